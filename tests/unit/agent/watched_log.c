/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "watched_log.h"

#include <stdio.h>
#include <stdlib.h>

void watched_log_init(struct watched_log *log, const char *origin, unsigned char seed)
{
    unsigned char bytes[KEYS_SEED_SIZE];
    memset(bytes, seed, sizeof bytes);
    *log = (struct watched_log){.key = keys_from_seed(bytes)};
    snprintf(log->origin, sizeof log->origin, "%s", origin);
}

void watched_log_done(struct watched_log *log)
{
    for (size_t i = 0; i < log->count; i++)
        buf_done(&log->entries[i]);
    free(log->entries);
    free(log->leaves);
    keys_free(log->key);
    *log = (struct watched_log){.count = 0};
}

static void add_text(struct watched_log *log, struct view text)
{
    log->entries = mem_grow(log->entries, log->count + 1, sizeof *log->entries);
    log->leaves = mem_grow(log->leaves, log->count + 1, sizeof *log->leaves);
    log->entries[log->count] = (struct buf)BUF_INIT;
    buf_add_view(&log->entries[log->count], text);
    log->leaves[log->count++] = tlog_leaf(text);
}

void watched_log_copy(struct watched_log *log, const struct watched_log *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        add_text(log, buf_view(&from->entries[i]));
}

void watched_log_add(struct watched_log *log, const struct logentry *entry)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    logentry_write(entry, &text);
    add_text(log, buf_view(&text));
}

void watched_log_grow(struct watched_log *log, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct logentry entry = {.kind = LOG_PLAN, .at_ms = 1000 * (int64_t)log->count};
        entry.sha256 = digest_of(view_of(&log->count, sizeof log->count));
        watched_log_add(log, &entry);
    }
}

struct lease_nonce watched_nonce(unsigned char n)
{
    struct lease_nonce nonce;
    memset(nonce.bytes, n, sizeof nonce.bytes);
    return nonce;
}

struct digest watched_envelope(unsigned char n)
{
    return digest_of(view_of(&n, 1));
}

uint64_t watched_log_add_answer(struct watched_log *log, enum logentry_kind kind, unsigned char n)
{
    struct logentry entry = {.kind = kind, .nonce = watched_nonce(n), .sha256 = watched_envelope(n)};
    watched_log_add(log, &entry);
    return log->count - 1;
}

struct root_log watched_log_root(const struct watched_log *log)
{
    struct root_log root = {.present = true, .key = {.type = NOTE_ED25519, .key = *keys_public(log->key)}};
    memcpy(root.key.name, log->origin, sizeof root.key.name);
    return root;
}

struct checkpoint watched_log_checkpoint(const struct watched_log *log, uint64_t size)
{
    struct checkpoint checkpoint = {.size = size, .root = model_root(log->leaves, 0, size)};
    memcpy(checkpoint.origin, log->origin, sizeof checkpoint.origin);
    return checkpoint;
}

struct watched_answer *watched_log_answer(const struct watched_log *log, const struct witness_ask *ask,
                                          uint64_t size)
{
    struct watched_answer *answer = mem_zero(1, sizeof *answer);
    struct checkpoint checkpoint = watched_log_checkpoint(log, size);
    assert_true(size <= log->count);
    assert_int_equal(note_sign_checkpoint(&checkpoint, log->key, &answer->note, NULL), 0);
    answer->answer.note = buf_view(&answer->note);
    if (ask->known.size > 0 && ask->known.size <= size)
        model_consistency(log->leaves, ask->known.size, size, &answer->answer.consistency);
    for (size_t i = 0; i < ask->npositions; i++) {
        if (ask->positions[i] >= size)
            continue;
        struct witness_inclusion *inclusion = &answer->answer.inclusions[answer->answer.ninclusions++];
        inclusion->position = ask->positions[i];
        inclusion->entry = buf_view(&log->entries[ask->positions[i]]);
        model_inclusion(log->leaves, 0, size, ask->positions[i], &inclusion->path);
    }
    return answer;
}

struct watched_answer *watched_answer_free(struct watched_answer *answer)
{
    buf_done(&answer->note);
    free(answer);
    return NULL;
}
