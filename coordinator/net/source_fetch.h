/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fetching one source from its pin, in the pool: for a build that lacks it, and for the scrub that found it damaged. What comes is compared with
 * the pin; the place it came from decides nothing.
 */
#ifndef FARM_SOURCE_FETCH_H
#define FARM_SOURCE_FETCH_H

#include "farm.h"

/* Embedded as the first member of the fetcher's own task; .task.done is the fetcher's. */
struct source_fetch {
    struct pool_task task;
    struct store *store; /* borrowed, as all that is const */
    const char *state_path, *local_repositories;
    int state_dirfd;
    bool allow_http, allow_private;
    uint64_t limit;    /* bytes of an archive */
    bool is_git;       /* what is pinned: a commit's tree, or an archive */
    char *url;         /* owned */
    char commit[65];   /* of a git pin; "" for an archive */
    struct digest pin; /* tree_sha256, or the archive's SHA-256 */
    struct digest object;
    uint64_t size;
    int result;
    struct diag diag;
};

/* Everything but what to fetch and .task.done. */
void source_fetch_init(const struct farm *farm, struct source_fetch *fetch);
/* On the loop's thread, after it came: writes its row. */
void source_fetch_record(struct farm *farm, const struct source_fetch *fetch);
void source_fetch_done(struct source_fetch *fetch);

#endif
