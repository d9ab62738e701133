/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Crowds: more workers than one process may have descriptors for. Each crowd (bench_crowd.h) lives in a child process of its own and is
 * told what to do; the calls are those of one crowd, with all workers divided among them.
 */
#ifndef FARM_BENCH_CROWDS_H
#define FARM_BENCH_CROWDS_H

#include "bench_crowd.h"

struct bench_crowds;

/* The farm runs already. Exits if a child cannot be started, or ends. */
struct bench_crowds *bench_crowds_new(struct bench_farm *farm, const struct bench_crowd_options *options,
                                      size_t processes);
struct bench_crowds *bench_crowds_free(struct bench_crowds *crowds);

/* Each of these returns when all crowds have done it. */
void bench_crowds_join(struct bench_crowds *crowds); /* all workers of the farm */
void bench_crowds_heartbeats(struct bench_crowds *crowds, size_t count);
void bench_crowds_set_working(struct bench_crowds *crowds, bool working);

/* Until so many in all. Exits if nothing comes for a minute. */
void bench_crowds_until_leased(struct bench_crowds *crowds, size_t leases);
void bench_crowds_until_accepted(struct bench_crowds *crowds, size_t accepted);

/* Messages that nobody expects, of all crowds. */
size_t bench_crowds_others(const struct bench_crowds *crowds);

#endif
