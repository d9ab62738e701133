/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Verify: the library behind farm-verify and behind the coordinator's own gate. Checks a release directory offline, from
 * bytes alone: nothing that a database or a coordinator says is believed, every verdict is computed again.
 *
 * Every check that fails becomes a problem with file and rule; checking goes on, so that one run shows all of them.
 * Packages are checked in parallel. What could not be checked is listed in words, never skipped silently.
 */
#ifndef FARM_VERIFY_H
#define FARM_VERIFY_H

#include "problems.h"
#include "release.h"

/* What an earlier run accepted; the memory that makes rollback visible (S6, K4, C2). */
struct verify_state {
    int64_t root_version;
    struct digest root;
    int64_t directory_version;
    struct digest directory;
    int64_t sequence;
    struct digest release;
    struct checkpoint log; /* the newest that was seen with enough cosignatures; size 0: none */
    int64_t time_ms;       /* the highest time ever seen */
};

struct verify_options {
    int dirfd;                        /* the release directory */
    const char *trust;                /* path of the trusted root.json */
    const struct verify_state *state; /* NULL: freshness is not checked, and the result says so */
    int64_t now_ms;
    const char *phase;               /* NULL, or "bootloader", "image", "ukis-verity" */
    const char *root;                /* a chroot to compare; may be NULL */
    const char *tree;                /* a checkout to derive the specs from; may be NULL */
    const char *const *cosignatures; /* paths of cosigned checkpoints that were passed by hand (L8) */
    size_t ncosignatures;
    unsigned int threads; /* 0: one per core */
};

struct verify_package {
    char *id; /* tier/name */
    char *version;
    struct digest job, payload;
    uint32_t operators, anchors, dissent;
    bool unverified; /* quorum of 1 */
    /* In its closure: the one with the fewest operators, then the most dissent; perhaps itself. */
    char *weakest;
    uint32_t weakest_operators, weakest_dissent;
    bool passed;
};

/* Everything owned. */
struct verify_result {
    struct problems problems;
    struct verify_package *packages;
    size_t npackages;
    char **notes; /* what was not checked, and what people should know, one sentence each */
    size_t nnotes;
    char *name; /* of the release; NULL if it could not be read */
    struct digest release;
    int64_t sequence;
    size_t jobs, envelopes; /* how many were checked */
    size_t signers;         /* persons */
    uint64_t log_entries;   /* replayed */
    size_t witnesses;       /* listed operators that cosigned */
    struct {
        size_t granted, answered, late, expired, returned, refused, revoked;
    } leases;                  /* of the whole closure; a log knows no "revoked" */
    struct verify_state state; /* what to remember if it passed */
};

#define VERIFY_RESULT_INIT                                                                                   \
    {                                                                                                        \
        0                                                                                                    \
    }

/*
 * 0: passed. FARM_E_REFUSED: problems were found, they are in the result. Any other error: could not run (the diag says why).
 */
int verify_release(const struct verify_options *options, struct verify_result *ret,
                   struct diag *diag) MUST_USE;
void verify_result_done(struct verify_result *result);

/* The state file: JSON; an absent file is a fresh state (all zero). Written durably. */
int verify_state_read(int dirfd, const char *path, struct verify_state *ret, struct diag *diag) MUST_USE;
int verify_state_write(int dirfd, const char *path, const struct verify_state *state,
                       struct diag *diag) MUST_USE;

#endif
