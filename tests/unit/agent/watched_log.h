/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A log as a coordinator has it, in memory, for the tests of those who watch it. Its proofs are RFC 6962's text word for word (log_test.h),
 * not the code under test. It answers honestly; a lie is made by answering from another one, or by changing the answer.
 */
#ifndef FARM_WATCHED_LOG_H
#define FARM_WATCHED_LOG_H

#include "../signing-log/log_test.h"

#include "witness.h"

struct watched_log {
    struct key_pair *key; /* owned */
    char origin[NOTE_NAME_MAX + 1];
    struct buf *entries;
    struct digest *leaves;
    size_t count, capacity;
};

/* 'seed' is the key's, so that a fork can have the same one. */
void watched_log_init(struct watched_log *log, const char *origin, unsigned char seed);
void watched_log_done(struct watched_log *log);
/* The first 'size' entries of another one. */
void watched_log_copy(struct watched_log *log, const struct watched_log *from, size_t size);
void watched_log_add(struct watched_log *log, const struct logentry *entry);
/* Others' entries. */
void watched_log_grow(struct watched_log *log, size_t count);
/* The entry of the test's n-th answer; its position. */
uint64_t watched_log_add_answer(struct watched_log *log, enum logentry_kind kind, unsigned char n);
/* The trust root's words about it. */
struct root_log watched_log_root(const struct watched_log *log);
struct checkpoint watched_log_checkpoint(const struct watched_log *log, uint64_t size);

/* The test's n-th answer. */
struct lease_nonce watched_nonce(unsigned char n);
struct digest watched_envelope(unsigned char n);

struct watched_answer {
    struct buf note;
    struct witness_answer answer;
};
/* On the heap: it is large. */
struct watched_answer *watched_log_answer(const struct watched_log *log, const struct witness_ask *ask,
                                          uint64_t size);
struct watched_answer *watched_answer_free(struct watched_answer *answer);

#endif
