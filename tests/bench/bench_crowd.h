/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A crowd of simulated workers of a bench_farm: each with a CURVE connection and keys of its own, all in one thread of this process.
 * They say Hello, take leases, sign real statements about what the farm prepared, and answer. They build nothing and check
 * nothing, so that the coordinator is what is measured.
 *
 * It speaks libzmq itself: link_client has a context, and so two threads, for each connection.
 */
#ifndef FARM_BENCH_CROWD_H
#define FARM_BENCH_CROWD_H

#include "bench_farm.h"

struct bench_crowd;

struct bench_crowd_options {
    uint32_t slots;         /* of each worker */
    size_t statement_bytes; /* as long as this, by what it tells of its environment; 0: as it comes */
};

struct bench_crowd_counts {
    size_t welcomed, leases, accepted,
        others;               /* others: answers that did not count, and messages that nobody expects */
    uint64_t statement_bytes; /* of the newest one */
    const double *latencies;  /* seconds from sending a result to its acknowledgement */
    size_t nlatencies;
};

/* Connects nobody yet. */
struct bench_crowd *bench_crowd_new(struct bench_farm *farm, const struct bench_crowd_options *options);
/* Of the farm's workers only these. */
struct bench_crowd *bench_crowd_new_part(struct bench_farm *farm, const struct bench_crowd_options *options,
                                         size_t first, size_t count);
struct bench_crowd *bench_crowd_free(struct bench_crowd *crowd);

/* Connects this many more workers; each says Hello, and is waited for. */
void bench_crowd_join(struct bench_crowd *crowd, size_t count);
/* Each connected worker sends so many heartbeats. */
void bench_crowd_heartbeats(struct bench_crowd *crowd, size_t count);
/* Takes what has come, and answers it. Returns how many messages. */
size_t bench_crowd_hear(struct bench_crowd *crowd);
/* While false (as at first), leases are kept and not answered. */
void bench_crowd_set_working(struct bench_crowd *crowd, bool working);
/* Runs until so many results have been accepted in all, or so many leases taken. Exits if nothing comes for a minute. */
void bench_crowd_until_accepted(struct bench_crowd *crowd, size_t accepted);
void bench_crowd_until_leased(struct bench_crowd *crowd, size_t leases);
/* From here on latencies are kept anew. */
void bench_crowd_forget_latencies(struct bench_crowd *crowd);
struct bench_crowd_counts bench_crowd_counts(const struct bench_crowd *crowd);

#endif
