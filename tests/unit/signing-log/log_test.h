/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the tests of the log share: a model of RFC 6962 that follows its text, made-up entries, and a scratch directory. */
#ifndef FARM_LOG_TEST_H
#define FARM_LOG_TEST_H

#include "buf.h"
#include "note.h"
#include "tlog.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The n-th entry of the tests' log: lengths and bytes differ. Appends. */
void log_entry(uint64_t position, struct buf *ret);
struct digest log_leaf(uint64_t position);

/* MTH(D[from:to]), PATH and PROOF of RFC 6962, section 2.1, word for word. */
struct digest model_root(const struct digest *leaves, uint64_t from, uint64_t to);
void model_inclusion(const struct digest *leaves, uint64_t from, uint64_t to, uint64_t position,
                     struct tlog_proof *ret);
void model_consistency(const struct digest *leaves, uint64_t old_size, uint64_t size, struct tlog_proof *ret);

/* A reader over leaves in memory. */
struct model {
    const struct digest *leaves;
    uint64_t size;
    uint64_t reads;
};
struct tlog_reader model_reader(struct model *model);

/* splitmix64 */
uint64_t log_random(uint64_t *state);

/* A scratch directory below the build's; state is a struct place. */
struct place {
    char path[256];
    int fd;
};
int make_place(void **state);
int remove_place(void **state);

#define assert_digest_equal(a, b) assert_memory_equal((a).bytes, (b).bytes, DIGEST_SIZE)
#define assert_ok(diag, call)                                                                                \
    do {                                                                                                     \
        int ok_ = (call);                                                                                    \
        if (ok_ < 0)                                                                                         \
            fail_msg("%s: %s", #call, diag_text(diag, ok_));                                                 \
    } while (0)

#endif
