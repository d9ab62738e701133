/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a simulated worker signs. A load generator shall cost little: statement_write() writes one statement, which is filled in anew for
 * each lease; and the DSSE envelope is made here, since dsse_sign() verifies what it signed.
 */
#ifndef FARM_BENCH_ANSWER_H
#define FARM_BENCH_ANSWER_H

#include "bench_farm.h"

struct bench_answer;

/* 'statement_bytes': how long statements are made, by a fact about the environment; 0: as they come. */
struct bench_answer *bench_answer_new(const struct bench_farm *farm, size_t statement_bytes);
struct bench_answer *bench_answer_free(struct bench_answer *answer);

/* The envelope; borrowed until the next one. */
struct view bench_answer_sign(struct bench_answer *answer, const struct bench_worker *worker, size_t job,
                              const struct digest *nonce);
/* Of the newest statement. */
size_t bench_answer_statement_bytes(const struct bench_answer *answer);

#endif
