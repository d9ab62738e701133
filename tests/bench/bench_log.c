/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bench_log: what the transparency log costs at a million entries of the farm's own kind ("envelope", 190 bytes).
 *
 *   log_entry_parse         one entry's JSON to a struct, the one form demanded; ratio to reading the JSON alone
 *   log_append_hash         leaf and tree in memory; ratio to SHA-256 (EVP) of the same entries
 *   log_append_files        the same with all tiles and bundles on disk, synced every 10,000 entries; ratio to writing the same
 *                           number of files with the same bytes and syncing once
 *   log_flush_1, _100       one or a hundred entries more: partial tiles written and synced; ratio to one durable file of that size
 *   log_open                a writer at the present size, from the files
 *   log_inclusion_*, log_consistency_*   a proof from tile files: _cold with a new reader and the files out of the page cache, _fresh
 *                           with a new reader, _warm with one that has the upper levels in memory; ratio to checking one such proof
 *   log_check_*             checking a proof; ratio to as many plain SHA-256 of two hashes
 *   log_replay              every entry from the bundles, and the root; ratio of the time to SHA-256 of the same entries
 *   log_verify              the same, with every hash tile compared
 *
 * JSON lines (bench.h). Needs 600 MB below the build directory for a minute.
 */
#include "bench.h"
#include "file.h"
#include "json.h"
#include "logentry.h"
#include "note.h"
#include "tiledir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ENTRIES = 1000000,
    FLUSH_EVERY = 10000,
    PROOFS = 2000,
    COLD_PROOFS = 50,
    FLUSHES = 40,
    PARSES = 200000
};

static struct diag diag;

static void must(int result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "bench_log: %s: %s\n", what, diag_text(&diag, result));
    exit(1);
}

/* --- the entries --- */

struct entries {
    struct buf bytes;
    size_t size; /* of each */
};

static struct entries make_entries(void)
{
    struct entries entries = {.bytes = BUF_INIT};
    struct logentry entry = {.kind = LOG_ENVELOPE, .at_ms = 1795365938000};
    uint64_t random = 1;
    for (uint64_t i = 0; i < ENTRIES; i++) {
        for (size_t k = 0; k < DIGEST_SIZE; k += sizeof(uint64_t)) {
            uint64_t words[2] = {bench_random(&random), bench_random(&random)};
            memcpy(entry.nonce.bytes + k, &words[0], sizeof words[0]);
            memcpy(entry.sha256.bytes + k, &words[1], sizeof words[1]);
        }
        logentry_write(&entry, &entries.bytes);
        if (i == 0)
            entries.size = entries.bytes.size;
    }
    return entries;
}

static struct view entry_at(const struct entries *entries, uint64_t i)
{
    return view_of(entries->bytes.data + i % ENTRIES * entries->size, entries->size);
}

static double plain_hashing(const struct entries *entries)
{
    struct hasher *hasher = hasher_new();
    unsigned int sum = 0;
    double start = 1e9 * bench_wall();
    for (uint64_t i = 0; i < ENTRIES; i++) {
        struct view entry = entry_at(entries, i);
        hasher_add(hasher, entry.data, entry.size);
        sum += hasher_finish(hasher).bytes[0];
    }
    double spent = 1e9 * bench_wall() - start;
    hasher_free(hasher);
    return sum > 0 ? spent / ENTRIES : 0;
}

static void bench_parse(const struct entries *entries)
{
    double start = 1e9 * bench_wall();
    for (uint64_t i = 0; i < PARSES; i++) {
        json_t *object;
        must(json_read(entry_at(entries, i), "entry", LOGENTRY_SIZE_MAX, &object, &diag), "json");
        json_decref(object);
    }
    double reading = 1e9 * bench_wall() - start;
    start = 1e9 * bench_wall();
    for (uint64_t i = 0; i < PARSES; i++) {
        struct logentry entry;
        must(logentry_parse(entry_at(entries, i), &entry, &diag), "parse");
        logentry_done(&entry);
    }
    double spent = 1e9 * bench_wall() - start;
    bench_print("log_entry_parse", spent / PARSES, "ns", spent / reading, "reading the JSON alone");
}

static double bench_tree(const struct entries *entries, double plain, struct digest *ret_root)
{
    struct tlog_tree tree = {.size = 0};
    double start = 1e9 * bench_wall();
    for (uint64_t i = 0; i < ENTRIES; i++) {
        struct digest leaf = tlog_leaf(entry_at(entries, i));
        tlog_append(&tree, &leaf, NULL, NULL);
    }
    *ret_root = tlog_root(&tree);
    double spent = (1e9 * bench_wall() - start) / ENTRIES;
    bench_print("log_append_hash", spent, "ns", spent / plain, "SHA-256 of the same entries");
    return spent;
}

/* --- the directory --- */

/* As many files as the directory has tiles and bundles, with as many bytes, and one sync: what a disk asks for. */
static double plain_files(int dirfd, const struct entries *entries)
{
    enum { FILES = ENTRIES / TILE_WIDTH };
    size_t bundle = TILE_WIDTH * (2 + entries->size);
    must(file_make_dirs(dirfd, "plain", 0755, &diag), "plain");
    double start = 1e9 * bench_wall();
    for (int i = 0; i < 2 * FILES; i++) {
        char name[64];
        snprintf(name, sizeof name, "plain/%d", i);
        CLEANUP_CLOSE int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        must(file_write_all(fd, entries->bytes.data, i % 2 != 0 ? bundle : (size_t)TILE_WIDTH * DIGEST_SIZE),
             name);
    }
    must(syncfs(dirfd), "sync");
    double spent = (1e9 * bench_wall() - start) / ENTRIES;
    must(file_remove_tree(dirfd, "plain", &diag), "plain");
    return spent;
}

static struct tiledir_writer *bench_files(int dirfd, const struct entries *entries, double hashing)
{
    double plain = plain_files(dirfd, entries);
    struct tiledir_writer *writer;
    must(tiledir_open(dirfd, 0, &writer, &diag), "open");
    double start = 1e9 * bench_wall();
    for (uint64_t i = 0; i < ENTRIES; i++) {
        tiledir_append(writer, entry_at(entries, i));
        if ((i + 1) % FLUSH_EVERY == 0)
            must(tiledir_flush(writer, &diag), "flush");
    }
    double spent = (1e9 * bench_wall() - start) / ENTRIES;
    bench_print("log_append_files", spent, "ns", spent / plain,
                "as many files of the same bytes, synced once");
    bench_print("log_append_files_without_hashing", spent - hashing, "ns", (spent - hashing) / plain,
                "as many files of the same bytes, synced once");
    return writer;
}

static void bench_flush(int dirfd, struct tiledir_writer *writer, const struct entries *entries,
                        uint64_t count, const char *name)
{
    double spent = 0, plain = 0;
    for (int i = 0; i < FLUSHES; i++) {
        for (uint64_t k = 0; k < count; k++)
            tiledir_append(writer, entry_at(entries, tiledir_size(writer)));
        double start = 1e9 * bench_wall();
        must(tiledir_flush(writer, &diag), "flush");
        spent += 1e9 * bench_wall() - start;
        start = 1e9 * bench_wall();
        size_t size = (size_t)(tiledir_size(writer) % TILE_WIDTH + 1) * (entries->size + DIGEST_SIZE);
        must(file_write(dirfd, "one", view_of(entries->bytes.data, size), 0644, &diag), "write");
        plain += 1e9 * bench_wall() - start;
    }
    bench_print(name, spent / FLUSHES / 1e6, "ms", spent / plain, "one durable file of that size");
}

static void bench_open(int dirfd, uint64_t size)
{
    struct tiledir_writer *writer;
    double start = 1e9 * bench_wall();
    must(tiledir_open(dirfd, size, &writer, &diag), "open");
    bench_print("log_open", (1e9 * bench_wall() - start) / 1e6, "ms", 0, NULL);
    tiledir_close(writer);
}

/* --- proofs --- */

struct proving {
    int dirfd;
    uint64_t random;
    struct digest root;
    struct tiledir *reader;
    struct tlog_reader hashes;
    const struct entries *entries;
};

static void open_reader(struct proving *proving)
{
    tiledir_reader_free(proving->reader);
    must(tiledir_reader_open(proving->dirfd, ENTRIES, &proving->reader, &diag), "reader");
    proving->hashes = tiledir_hashes(proving->reader);
}

/* Out of the page cache: three levels of tiles, all of them. */
static void forget_tiles(int dirfd)
{
    for (int level = 0; level < 3; level++)
        for (uint64_t index = 0; index << (TILE_HEIGHT * (level + 1)) < ENTRIES; index++) {
            uint64_t left = (ENTRIES >> (TILE_HEIGHT * level)) - index * TILE_WIDTH;
            struct tile_path path =
                tiledir_path(level, index, left < TILE_WIDTH ? (unsigned int)left : TILE_WIDTH);
            CLEANUP_CLOSE int fd = openat(dirfd, path.text, O_RDONLY | O_CLOEXEC);
            if (fd >= 0)
                posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        }
}

typedef void prove_some(struct proving *proving, uint64_t position, struct tlog_proof *ret);

static void prove_inclusion(struct proving *proving, uint64_t position, struct tlog_proof *ret)
{
    must(tlog_prove_inclusion(&proving->hashes, ENTRIES, position, ret, &diag), "prove");
}

static void prove_consistency(struct proving *proving, uint64_t position, struct tlog_proof *ret)
{
    must(tlog_prove_consistency(&proving->hashes, position + 1, ENTRIES, ret, &diag), "prove");
}

static double time_proofs(struct proving *proving, prove_some *prove, int count, bool fresh, bool cold)
{
    struct tlog_proof proof;
    double spent = 0;
    for (int i = 0; i < count; i++) {
        uint64_t position = bench_random(&proving->random) % ENTRIES;
        if (cold)
            forget_tiles(proving->dirfd);
        double start = 1e9 * bench_wall();
        if (fresh)
            open_reader(proving);
        prove(proving, position, &proof);
        spent += 1e9 * bench_wall() - start;
    }
    return spent / count;
}

struct check_cost {
    double each;      /* ns */
    double per_proof; /* hashes */
};

static struct check_cost time_inclusion_checks(struct proving *proving)
{
    struct check_cost cost = {0, 0};
    for (int i = 0; i < PROOFS; i++) {
        struct tlog_proof proof;
        uint64_t position = bench_random(&proving->random) % ENTRIES;
        prove_inclusion(proving, position, &proof);
        struct digest leaf = tlog_leaf(entry_at(proving->entries, position));
        double start = 1e9 * bench_wall();
        must(tlog_check_inclusion(&proof, ENTRIES, position, &leaf, &proving->root, &diag), "check");
        cost.each += (1e9 * bench_wall() - start) / PROOFS;
        cost.per_proof += (double)proof.count / PROOFS;
    }
    return cost;
}

static struct check_cost time_consistency_checks(struct proving *proving)
{
    struct check_cost cost = {0, 0};
    for (int i = 0; i < PROOFS; i++) {
        struct tlog_proof proof;
        struct digest old_root;
        uint64_t old_size = 1 + bench_random(&proving->random) % ENTRIES;
        prove_consistency(proving, old_size - 1, &proof);
        must(tlog_root_at(&proving->hashes, old_size, &old_root, &diag), "root");
        double start = 1e9 * bench_wall();
        must(tlog_check_consistency(&proof, old_size, &old_root, ENTRIES, &proving->root, &diag), "check");
        cost.each += (1e9 * bench_wall() - start) / PROOFS;
        cost.per_proof += (double)proof.count / PROOFS;
    }
    return cost;
}

static double plain_node(void)
{
    enum { ROUNDS = 200000 };
    struct hasher *hasher = hasher_new();
    unsigned char bytes[1 + 2 * DIGEST_SIZE] = {1};
    double start = 1e9 * bench_wall();
    for (int i = 0; i < ROUNDS; i++) {
        hasher_add(hasher, bytes, sizeof bytes);
        struct digest digest = hasher_finish(hasher);
        memcpy(bytes + 1, digest.bytes, DIGEST_SIZE);
    }
    double spent = 1e9 * bench_wall() - start;
    hasher_free(hasher);
    return spent / ROUNDS;
}

static void print_proof(const char *kind, const char *how, double spent, double checking)
{
    char name[64];
    snprintf(name, sizeof name, "log_%s_%s", kind, how);
    bench_print(name, spent / 1e3, "us", spent / checking, "checking one such proof");
}

static void bench_proofs(struct proving *proving, const char *kind, prove_some *prove,
                         struct check_cost (*check)(struct proving *proving))
{
    char name[64];
    open_reader(proving);
    struct check_cost checking = check(proving);
    print_proof(kind, "cold", time_proofs(proving, prove, COLD_PROOFS, true, true), checking.each);
    print_proof(kind, "fresh", time_proofs(proving, prove, PROOFS / 4, true, false), checking.each);
    print_proof(kind, "warm", time_proofs(proving, prove, PROOFS, false, false), checking.each);
    snprintf(name, sizeof name, "log_check_%s", kind);
    bench_print(name, checking.each / 1e3, "us", checking.each / (checking.per_proof * plain_node()),
                "as many SHA-256 of two hashes");
}

/* --- replay --- */

static int replay_entry(void *context, uint64_t position, struct view entry)
{
    struct digest leaf = tlog_leaf(entry);
    (void)position;
    tlog_append(context, &leaf, NULL, NULL);
    return 0;
}

static void bench_replay(int dirfd, double plain, const struct digest *root)
{
    struct tlog_tree tree = {.size = 0};
    double start = 1e9 * bench_wall();
    must(tiledir_each_entry(dirfd, ENTRIES, replay_entry, &tree, &diag), "replay");
    struct digest found = tlog_root(&tree);
    double spent = (1e9 * bench_wall() - start) / ENTRIES;
    if (!digest_equal(&found, root))
        must(diag_set(&diag, FARM_E_CORRUPT, "another root"), "replay");
    bench_print("log_replay", 1e9 / spent, "entries/s", spent / plain, "SHA-256 of the same entries");
    start = 1e9 * bench_wall();
    must(tiledir_verify(dirfd, ENTRIES, &found, &diag), "verify");
    spent = (1e9 * bench_wall() - start) / ENTRIES;
    if (!digest_equal(&found, root))
        must(diag_set(&diag, FARM_E_CORRUPT, "another root"), "verify");
    bench_print("log_verify", 1e9 / spent, "entries/s", spent / plain, "SHA-256 of the same entries");
}

int main(void)
{
    char *scratch;
    int build = file_open_dir(AT_FDCWD, FARM_BINARY_DIR, &diag);
    must(build, FARM_BINARY_DIR);
    must(file_temp_dir(build, "bench-log", &scratch, &diag), "scratch");
    int dirfd = file_open_dir(build, scratch, &diag);
    must(dirfd, scratch);

    struct entries entries = make_entries();
    struct proving proving = {.dirfd = dirfd, .random = 5, .entries = &entries};
    double plain = plain_hashing(&entries);
    bench_parse(&entries);
    double hashing = bench_tree(&entries, plain, &proving.root);
    struct tiledir_writer *writer = bench_files(dirfd, &entries, hashing);
    bench_open(dirfd, ENTRIES);
    bench_proofs(&proving, "inclusion", prove_inclusion, time_inclusion_checks);
    bench_proofs(&proving, "consistency", prove_consistency, time_consistency_checks);
    bench_replay(dirfd, plain, &proving.root);
    bench_flush(dirfd, writer, &entries, 1, "log_flush_1");
    bench_flush(dirfd, writer, &entries, 100, "log_flush_100");

    tiledir_reader_free(proving.reader);
    tiledir_close(writer);
    buf_done(&entries.bytes);
    close(dirfd);
    must(file_remove_tree(build, scratch, &diag), scratch);
    close(build);
    free(scratch);
    return 0;
}
