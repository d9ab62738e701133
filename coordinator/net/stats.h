/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stats: what the coordinator counts of itself, and the table of metrics that is made of it (docs/OPERATORS.md, Monitoring).
 *
 * Counters belong to the loop's thread, begin at zero with the process, and are raised where things happen. A snapshot adds what others
 * keep: the core's states, the sockets' counts, sizes of files. With [web] on one is published every second at most; without it nothing
 * is done until somebody asks "farmctl metrics". No label names a job, a worker or an operator.
 */
#ifndef FARM_STATS_H
#define FARM_STATS_H

#include "buf.h"
#include "core.h"
#include "metrics.h"

struct farm;
struct stats_store;

struct farm_stats {
    double leases_granted;
    double leases_ended[LEASE_WITHDRAWN + 1];
    double answers[ANSWER_REJECTED + 1], answers_refused;
    double verdicts[VERDICT_FAILED + 1];
    double frames_undecodable, frames_silenced;
    double log_lines_held; /* lograte.h */
    struct metrics_histogram turn, commit;
    int64_t publish_due_ms, fds_due_ms; /* steady */
    double open_fds;
    struct stats_store *store; /* the thread that counts objects; NULL: nobody asked yet */
};

/* Seconds on a clock that only goes forward, finer than moment.h. */
double stats_clock(void);
/* All metrics of now. Appends. */
void stats_text(struct farm *farm, struct buf *ret);
/* In each turn: publishes if it is due and there is a web server. */
void stats_turn(struct farm *farm);
/* Before the store is closed. */
void stats_close(struct farm *farm);

extern const struct metrics_row stats_rows[];
extern const size_t stats_nrows;

#endif
