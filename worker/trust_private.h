/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What trust.c (the rules) and trust_file.c (what is kept) share. */
#ifndef FARM_TRUST_PRIVATE_H
#define FARM_TRUST_PRIVATE_H

#include "trust.h"

#include <pthread.h>

struct trust {
    pthread_mutex_t lock; /* around changes of 'root', which other threads ask about */
    struct trust_self self;
    char *root_text; /* root.json verbatim; NULL: none yet */
    struct root *root;
    bool has_directory;
    struct trust_listing directory;
    int64_t seen_ms;  /* wall clock: the highest seen */
    int64_t saved_ms; /* of it in the file */
    uint64_t walked;  /* without a root: the version that was looked at last on the way to the pinned one */
};

/* Takes both over. */
void trust_set_root(struct trust *trust, struct root *root, char *text);

#endif
