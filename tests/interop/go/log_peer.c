/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * log_peer: our side of the exchange with peer/peer.go, which says what stands in the directory.
 *
 *     log_peer write DIR SIZE    makes the directory
 *     log_peer check DIR         checks one that the Go program made
 */
#include "base64.h"
#include "file.h"
#include "logproof.h"
#include "note.h"
#include "tiledir.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CLAIMS = 100, PROOFS = 20, WITNESSES = 2, FILE_MAX = 1 << 24 };
#define ORIGIN "farm.example/log"

static struct diag diag;

static void fail(const char *what)
{
    fprintf(stderr, "log_peer: %s: %s\n", what, diag.text);
    exit(1);
}

static void must(int result, const char *what)
{
    if (result < 0)
        fail(what);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* --- both ways --- */

struct peer {
    int dirfd;
    struct tiledir *tiles;
    struct tlog_reader hashes;
    struct checkpoint checkpoint;
    struct note_key log, witnesses[WITNESSES];
    uint64_t random;
};

static void open_tiles(struct peer *peer)
{
    must(tiledir_reader_open(peer->dirfd, peer->checkpoint.size, &peer->tiles, &diag), "tiles");
    peer->hashes = tiledir_hashes(peer->tiles);
}

static struct digest root_at(const struct peer *peer, uint64_t size)
{
    struct digest root;
    must(tlog_root_at(&peer->hashes, size, &root, &diag), "root");
    return root;
}

static void read_text(const struct peer *peer, const char *path, struct buf *ret)
{
    must(file_read(peer->dirfd, path, FILE_MAX, ret, &diag), path);
}

static void add_hash(const struct digest *hash, struct buf *ret)
{
    buf_add_byte(ret, ' ');
    base64_encode(view_of(hash->bytes, DIGEST_SIZE), ret);
}

/* --- writing --- */

static void make_entry(uint64_t position, struct buf *ret)
{
    enum { LONGEST = 3, EMPTY = 5 };
    buf_clear(ret);
    if (position == EMPTY)
        return;
    buf_add_format(ret, "{\"position\":%" PRIu64 "}", position);
    uint64_t size = position == LONGEST ? TLOG_ENTRY_MAX : ret->size + position % 211;
    while (ret->size < size)
        buf_add_byte(ret, (char)(ret->size * 31 + position));
}

/* In three flushes, so that there is something to replace. */
static void write_tiles(const struct peer *peer, uint64_t size)
{
    CLEANUP_BUF struct buf entry = BUF_INIT;
    struct tiledir_writer *writer;
    must(tiledir_open(peer->dirfd, 0, &writer, &diag), "open");
    for (uint64_t i = 0; i < size; i++) {
        make_entry(i, &entry);
        tiledir_append(writer, buf_view(&entry));
        if (i == size / 3 || i == size / 2)
            must(tiledir_flush(writer, &diag), "flush");
    }
    must(tiledir_flush(writer, &diag), "flush");
    tiledir_close(writer);
}

static void write_claim(const char *head, const struct tlog_proof *proof, struct buf *ret)
{
    buf_add_text(ret, head);
    for (size_t i = 0; i < proof->count; i++)
        add_hash(&proof->hashes[i], ret);
    buf_add_byte(ret, '\n');
}

/* One thing changed, so that it is false. */
static void falsify(struct peer *peer, struct tlog_proof *proof)
{
    uint64_t way = next_random(&peer->random) % 4, at = next_random(&peer->random);
    if (way == 0 && proof->count > 0) {
        proof->hashes[at % proof->count].bytes[at / 64 % DIGEST_SIZE] ^= (unsigned char)(1 << at / 4096 % 8);
    } else if (way == 1 && proof->count > 0) {
        proof->count--;
    } else if (way == 2 && proof->count > 1) {
        struct digest first = proof->hashes[0];
        proof->hashes[0] = proof->hashes[1];
        proof->hashes[1] = first;
    } else {
        proof->hashes[proof->count++] = peer->checkpoint.root;
    }
}

static void add_claim(struct peer *peer, const struct buf *head, const struct tlog_proof *proof,
                      struct buf *ret)
{
    struct tlog_proof wrong = *proof;
    write_claim(head->data, proof, ret);
    falsify(peer, &wrong);
    buf_add_byte(ret, '!');
    write_claim(head->data, &wrong, ret);
}

static void add_claims(struct peer *peer, struct buf *ret)
{
    CLEANUP_BUF struct buf head = BUF_INIT;
    struct tlog_proof proof;
    uint64_t size = 1 + next_random(&peer->random) % peer->checkpoint.size;
    uint64_t position = next_random(&peer->random) % size, old_size = 1 + next_random(&peer->random) % size;
    struct digest root = root_at(peer, size), old_root = root_at(peer, old_size);
    must(tlog_prove_inclusion(&peer->hashes, size, position, &proof, &diag), "prove inclusion");
    buf_add_format(&head, "inclusion %" PRIu64 " %" PRIu64, size, position);
    add_hash(&root, &head);
    add_claim(peer, &head, &proof, ret);
    must(tlog_prove_consistency(&peer->hashes, old_size, size, &proof, &diag), "prove consistency");
    buf_clear(&head);
    buf_add_format(&head, "consistency %" PRIu64 " %" PRIu64, old_size, size);
    add_hash(&old_root, &head);
    add_hash(&root, &head);
    add_claim(peer, &head, &proof, ret);
}

static void write_text(const struct peer *peer, const char *path, const struct buf *text)
{
    must(file_write(peer->dirfd, path, buf_view(text), 0644, &diag), path);
}

struct signers {
    struct key_pair *log, *witnesses[WITNESSES];
};

static struct signers make_signers(struct peer *peer)
{
    static const char *const names[WITNESSES] = {"alder/alder-1", "birch/birch-1"};
    unsigned char seed[KEYS_SEED_SIZE] = {1};
    struct signers signers = {.log = keys_from_seed(seed)};
    peer->log = (struct note_key){ORIGIN, NOTE_ED25519, *keys_public(signers.log)};
    for (unsigned char i = 0; i < WITNESSES; i++) {
        seed[1] = (unsigned char)(i + 1);
        signers.witnesses[i] = keys_from_seed(seed);
        peer->witnesses[i] = (struct note_key){"", NOTE_COSIGNATURE, *keys_public(signers.witnesses[i])};
        snprintf(peer->witnesses[i].name, sizeof peer->witnesses[i].name, "%s", names[i]);
    }
    return signers;
}

static void write_keys(const struct peer *peer)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    buf_add_text(&text, "log ");
    note_key_write(&peer->log, &text);
    for (size_t i = 0; i < WITNESSES; i++) {
        buf_add_text(&text, "\nwitness ");
        note_key_write(&peer->witnesses[i], &text);
    }
    buf_add_byte(&text, '\n');
    write_text(peer, "keys", &text);
}

/* What is wrong with a note that is to be refused. */
enum fault { SOUND, NO_LOG, BAD_LOG, BAD_TIME, BAD_WITNESS, FAULTS };

static void write_note(const struct peer *peer, const struct signers *signers, enum fault fault,
                       struct buf *ret)
{
    struct signature signature;
    CLEANUP_BUF struct buf text = BUF_INIT;
    checkpoint_write(&peer->checkpoint, &text);
    must(keys_sign(signers->log, buf_view(&text), &signature, &diag), "sign");
    if (fault == BAD_LOG)
        signature.bytes[5] ^= 1;
    buf_add_view(ret, buf_view(&text));
    buf_add_byte(ret, '\n');
    if (fault != NO_LOG)
        note_write_signature(&peer->log, view_of(signature.bytes, sizeof signature.bytes), ret);
    for (size_t i = 0; i < WITNESSES; i++) {
        uint64_t time_s = 1700000000 + i;
        must(note_cosign(&peer->checkpoint, time_s, signers->witnesses[i], &signature, &diag), "cosign");
        if (fault == BAD_WITNESS && i == 1)
            signature.bytes[40] ^= 1;
        note_write_cosignature(&peer->witnesses[i], time_s + (fault == BAD_TIME && i == 1), &signature, ret);
    }
}

static void write_notes(struct peer *peer, const struct signers *signers)
{
    CLEANUP_BUF struct buf note = BUF_INIT;
    must(file_make_dirs(peer->dirfd, "notes", 0755, &diag), "notes");
    for (enum fault fault = NO_LOG; fault < FAULTS; fault++) {
        CLEANUP_FREE char *path = mem_format("notes/bad-%d", (int)fault);
        buf_clear(&note);
        write_note(peer, signers, fault, &note);
        write_text(peer, path, &note);
    }
    buf_clear(&note);
    write_note(peer, signers, SOUND, &note);
    write_text(peer, "notes/good-plain", &note);
    write_text(peer, "checkpoint", &note);
    struct note_key stranger = peer->log; /* the log's name, another key */
    stranger.key = peer->witnesses[0].key;
    note_write_signature(&stranger, VIEW("somebody else's, of another type and length"), &note);
    write_text(peer, "notes/good-stranger", &note);
}

static void write_proofs(struct peer *peer)
{
    must(file_make_dirs(peer->dirfd, "proofs", 0755, &diag), "proofs");
    for (int i = 0; i < PROOFS; i++) {
        struct logproof proof = {.position = next_random(&peer->random) % peer->checkpoint.size};
        CLEANUP_BUF struct buf text = BUF_INIT;
        CLEANUP_FREE char *path = mem_format("proofs/%" PRIu64, proof.position);
        must(tiledir_entry(peer->tiles, proof.position, &proof.entry, &diag), "entry");
        must(tlog_prove_inclusion(&peer->hashes, peer->checkpoint.size, proof.position, &proof.proof, &diag),
             "prove inclusion");
        read_text(peer, "checkpoint", &proof.note);
        logproof_write(&proof, &text);
        if (proof.entry.size > 0) /* no extra data is another thing than data of no length */
            write_text(peer, path, &text);
        logproof_done(&proof);
    }
}

static void write_all(struct peer *peer, uint64_t size)
{
    CLEANUP_BUF struct buf claims = BUF_INIT;
    struct signers signers = make_signers(peer);
    write_keys(peer);
    write_tiles(peer, size);
    snprintf(peer->checkpoint.origin, sizeof peer->checkpoint.origin, ORIGIN);
    peer->checkpoint.size = size;
    open_tiles(peer);
    peer->checkpoint.root = root_at(peer, size);
    for (int i = 0; i < CLAIMS; i++)
        add_claims(peer, &claims);
    write_text(peer, "claims", &claims);
    write_notes(peer, &signers);
    write_proofs(peer);
    keys_free(signers.log);
    for (size_t i = 0; i < WITNESSES; i++)
        keys_free(signers.witnesses[i]);
}

/* --- checking --- */

static void read_keys(struct peer *peer)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    size_t nwitnesses = 0;
    struct view rest, line, role;
    read_text(peer, "keys", &text);
    rest = buf_view(&text);
    while (view_split(&rest, '\n', &line) && line.size > 0) {
        struct note_key key;
        view_split(&line, ' ', &role);
        must(note_key_parse(line, &key, &diag), "keys");
        if (view_equal(role, VIEW("log")))
            peer->log = key;
        else if (nwitnesses < WITNESSES)
            peer->witnesses[nwitnesses++] = key;
    }
    if (nwitnesses != WITNESSES)
        fail("keys: not all witnesses");
}

/* Accepted: all known keys have signed. */
static int open_note(const struct peer *peer, struct view bytes, struct checkpoint *ret)
{
    struct note note = NOTE_INIT;
    int result = note_open_checkpoint(bytes, &peer->log, ret, &diag);
    if (result < 0)
        return result;
    must(note_parse(bytes, &note, &diag), "a note that was just opened");
    for (size_t i = 0; result >= 0 && i < WITNESSES; i++) {
        uint64_t time_s = 0;
        result = note_check(&note, &peer->witnesses[i], &time_s, &diag);
        if (result == 0 || (result > 0 && time_s != 1700000000 + i))
            result = diag_set(&diag, FARM_E_SIGNATURE, "no cosignature by %s", peer->witnesses[i].name);
    }
    note_done(&note);
    return result;
}

static struct digest parse_hash(struct view text)
{
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    struct digest hash;
    if (!base64_decode_standard(text, &bytes) || bytes.size != DIGEST_SIZE)
        fail("claims: not a hash");
    memcpy(hash.bytes, bytes.data, DIGEST_SIZE);
    return hash;
}

struct claim {
    bool wrong;
    struct view kind;
    uint64_t first, second;
    struct digest roots[2];
    struct tlog_proof proof;
};

static struct claim parse_claim(struct view line)
{
    struct claim claim = {.wrong = view_starts(line, VIEW("!"))};
    struct view rest = claim.wrong ? view_of(line.data + 1, line.size - 1) : line, field;
    view_split(&rest, ' ', &claim.kind);
    if (!view_split(&rest, ' ', &field) || !view_decimal(field, &claim.first) ||
        !view_split(&rest, ' ', &field) || !view_decimal(field, &claim.second))
        fail("claims: not two numbers");
    for (size_t i = view_equal(claim.kind, VIEW("consistency")) ? 0 : 1; i < 2; i++)
        if (view_split(&rest, ' ', &field))
            claim.roots[i] = parse_hash(field);
    while (view_split(&rest, ' ', &field))
        claim.proof.hashes[claim.proof.count++] = parse_hash(field);
    return claim;
}

static int check_inclusion(const struct peer *peer, const struct claim *claim)
{
    CLEANUP_BUF struct buf entry = BUF_INIT;
    struct digest root = root_at(peer, claim->first);
    if (!digest_equal(&root, &claim->roots[1]))
        fail("claims: another root");
    must(tiledir_entry(peer->tiles, claim->second, &entry, &diag), "entry");
    struct digest leaf = tlog_leaf(buf_view(&entry));
    return tlog_check_inclusion(&claim->proof, claim->first, claim->second, &leaf, &root, &diag);
}

static int check_consistency(const struct peer *peer, const struct claim *claim)
{
    struct digest old_root = root_at(peer, claim->first), root = root_at(peer, claim->second);
    if (!digest_equal(&old_root, &claim->roots[0]) || !digest_equal(&root, &claim->roots[1]))
        fail("claims: another root");
    return tlog_check_consistency(&claim->proof, claim->first, &old_root, claim->second, &root, &diag);
}

static size_t check_claims(const struct peer *peer)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct view rest, line;
    size_t count = 0;
    read_text(peer, "claims", &text);
    rest = buf_view(&text);
    for (; view_split(&rest, '\n', &line) && line.size > 0; count++) {
        struct claim claim = parse_claim(line);
        int result = view_equal(claim.kind, VIEW("inclusion")) ? check_inclusion(peer, &claim)
                                                               : check_consistency(peer, &claim);
        if ((result < 0) != claim.wrong) {
            fprintf(stderr, "log_peer: claims:%zu: %s: %.*s\n", count + 1,
                    result < 0 ? "refused" : "accepted", VIEW_ARG(line));
            exit(1);
        }
    }
    return count;
}

/* Calls 'check' with each file of a directory. */
static size_t each_file(struct peer *peer, const char *directory,
                        void (*check)(struct peer *peer, const char *name, struct view content))
{
    int fd = file_open_dir(peer->dirfd, directory, &diag);
    must(fd, directory);
    DIR *stream = fdopendir(fd);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        CLEANUP_BUF struct buf content = BUF_INIT;
        if (entry->d_name[0] == '.')
            continue;
        must(file_read(fd, entry->d_name, FILE_MAX, &content, &diag), entry->d_name);
        check(peer, entry->d_name, buf_view(&content));
        count++;
    }
    closedir(stream);
    return count;
}

static void check_note(struct peer *peer, const char *name, struct view content)
{
    struct checkpoint found;
    bool accepted = open_note(peer, content, &found) >= 0;
    if (accepted != view_starts(view_text(name), VIEW("good-")))
        fail(name);
    if (accepted && !digest_equal(&found.root, &peer->checkpoint.root))
        fail("a note of another tree");
}

static void check_proof(struct peer *peer, const char *name, struct view content)
{
    struct logproof proof;
    CLEANUP_BUF struct buf entry = BUF_INIT;
    uint64_t position;
    must(logproof_parse(content, &proof, &diag), name);
    must(logproof_check(&proof, &peer->log, NULL, &diag), name);
    must(tiledir_entry(peer->tiles, proof.position, &entry, &diag), name);
    if (!view_equal(buf_view(&entry), buf_view(&proof.entry)) || !view_decimal(view_text(name), &position) ||
        position != proof.position)
        fail(name);
    logproof_done(&proof);
}

static void check_all(struct peer *peer)
{
    CLEANUP_BUF struct buf note = BUF_INIT;
    struct digest root;
    read_keys(peer);
    read_text(peer, "checkpoint", &note);
    must(open_note(peer, buf_view(&note), &peer->checkpoint), "checkpoint");
    must(tiledir_verify(peer->dirfd, peer->checkpoint.size, &root, &diag), "tiles");
    if (!digest_equal(&root, &peer->checkpoint.root))
        fail("the root of the checkpoint is not that of the entries");
    open_tiles(peer);
    size_t claims = check_claims(peer);
    size_t notes = each_file(peer, "notes", check_note), proofs = each_file(peer, "proofs", check_proof);
    if (claims == 0 || notes == 0 || proofs == 0)
        fail("an empty directory");
    printf("log_peer: %" PRIu64 " entries, %zu claims, %zu notes, %zu proof files\n", peer->checkpoint.size,
           claims, notes, proofs);
}

int main(int argc, char **argv)
{
    struct peer peer = {.random = 1};
    uint64_t size = 0;
    bool writing = argc == 4 && strcmp(argv[1], "write") == 0;
    if (!(writing && view_decimal(view_text(argv[3]), &size) && size > 0) &&
        !(argc == 3 && strcmp(argv[1], "check") == 0)) {
        fputs("usage: log_peer write DIR SIZE | log_peer check DIR\n", stderr);
        return 2;
    }
    peer.dirfd = file_open_dir(AT_FDCWD, argv[2], &diag);
    must(peer.dirfd, argv[2]);
    if (writing)
        write_all(&peer, size);
    else
        check_all(&peer);
    tiledir_reader_free(peer.tiles);
    close(peer.dirfd);
    return 0;
}
