/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A whole release for the tests: a package tree, really planned, packed and exported; attested by the operators of farm_fixture as the
 * votes say, logged, cosigned, summarised, signed by ann and ben. A test changes votes or fields, writes, and may then damage files.
 *
 * Without a shape it has two packages: "liba", and "appb" which is built with it. With one it has as many as asked, in eight layers,
 * each built with one or two packages of the layer below: for figures.
 */
#ifndef FARM_RELEASE_FIXTURE_H
#define FARM_RELEASE_FIXTURE_H

#include "farm_fixture.h"
#include "log_fixture.h"
#include "payload.h"
#include "receipt.h"
#include "release.h"
#include "verify.h"

enum { RELEASE_FIXTURE_PACKAGES = 2 }; /* without a shape */
enum { LIBA, APPB };                   /* in the plan's order */
#define FIXTURE_ORIGIN "test/log"

struct fixture_shape {
    const char *policy;    /* the text of policy.yml; NULL for quorum 2, one anchor */
    const char *directory; /* where everything goes, and stays; NULL: a temporary place */
    size_t packages;       /* 0: liba and appb */
    uint64_t bytes;        /* of all payloads together, unpacked; a few packages have most of it */
    struct view corpus;    /* what files are cut from; at least a page */
};

enum fixture_answer { ANSWER_GOOD, ANSWER_OTHER, ANSWER_FAILED, ANSWER_NONE, ANSWER_OTHER_BASE };

struct fixture_vote {
    size_t package, operator_index;
    enum fixture_answer answer;
    enum lease_outcome outcome;
    uint32_t round;
    bool open;
    uint64_t position; /* of the answer in the log, once written */
};

struct fixture_package {
    struct digest job;
    struct buf spec_text, manifest_text;
    struct spec *spec;
    struct payload payload;
    size_t more_operators; /* beside those that are claimed for all */
    uint32_t more_dissent;
};

/* Where a hook may add entries of its own. */
enum fixture_stage { LOG_EVIDENCE, LOG_LATER }; /* before, and behind the checkpoint of the release */

struct release_fixture {
    struct fixture_shape shape;
    struct farm_fixture *farm;
    char *path; /* everything lies below; removed at the end */
    int dirfd;  /* of it */
    const char *policy;
    struct tree *tree;
    struct tree_pin pin;
    struct plan *plan;
    struct buf base_text;
    struct digest base;
    struct store *store;
    struct fixture_package *packages; /* as the plan's nodes */
    size_t npackages;
    struct fixture_vote *votes;
    size_t nvotes, votes_capacity;
    int64_t sequence;
    struct digest previous;
    uint32_t claimed_dissent;    /* what release and receipts claim for all packages */
    size_t claimed_operators;    /* the first so many */
    size_t receipt_leaves_out;   /* index + 1 of a vote whose envelope is left out of the receipts; 0: none */
    size_t receipt_hides;        /* the same, for the lease with its envelope */
    size_t receipt_expires;      /* the same, for the envelope; the lease is said to have expired */
    bool appb_receipt_alone;     /* appb's receipt says nothing of liba */
    bool leaves_out_appb;        /* from release.json */
    size_t held;                 /* index + 1 of a package that is held, not released; 0: none */
    size_t log_hides;            /* index + 1 of a vote that the log says nothing of */
    struct digest attested_tree; /* what statements say in place of the tree's digest, if not zero */
    uint32_t logged_round;       /* what the log says of every lease; 0: the truth */
    size_t leased_to_nobody; /* the same, whose lease names a worker that nobody knows, in log and receipts */
    bool without_log, without_summaries, release_without_log;
    struct log_fixture *log;
    void (*log_hook)(struct release_fixture *fixture, enum fixture_stage stage);
    unsigned int cosigners; /* a bit for each operator */
    int64_t cosigned_ms;
    uint64_t log_size;            /* of the release's checkpoint, once written */
    struct checkpoint checkpoint; /* of the export, once written */
    struct waiver *waivers;
    size_t nwaivers;
    int release_dirfd; /* <path>/release */
};

/* 'policy': NULL for the usual one. */
struct release_fixture *release_fixture_new(const char *policy);
struct release_fixture *release_fixture_make(const struct fixture_shape *shape);
struct release_fixture *release_fixture_free(struct release_fixture *fixture);
/* Writes <path>/release and <path>/trust.json. */
void release_fixture_write(struct release_fixture *fixture);
/* Signs release.json as it lies there, by the first 'people' managers, in this namespace. */
void release_fixture_sign(struct release_fixture *fixture, size_t people, const char *name_space);
/* Changes the text of release.json and signs it again. */
void release_fixture_replace(struct release_fixture *fixture, const char *old, const char *new_text);
/* A cosigned checkpoint of the first 'size' entries into 'path', below <path>; by the operators of these bits. */
void release_fixture_put_checkpoint(struct release_fixture *fixture, const char *path, uint64_t size,
                                    unsigned int cosigners);
void release_fixture_add_vote(struct release_fixture *fixture, struct fixture_vote vote);
/* Adds a waiver that the first 'people' managers signed; its texts become the fixture's. */
void release_fixture_add_waiver(struct release_fixture *fixture, struct waiver waiver, size_t people);
/* Entries for a lease that no vote is about; the nonce is made of 'seed'. */
uint64_t release_fixture_log_lease(struct release_fixture *fixture, size_t package, size_t operator_index,
                                   unsigned char seed);
uint64_t release_fixture_log_event(struct release_fixture *fixture, enum logentry_kind kind,
                                   unsigned char seed, const char *words);
/* Runs verify_release; *ret is the caller's to finish. */
int release_fixture_verify(struct release_fixture *fixture, const struct verify_state *state, int64_t now,
                           struct verify_result *ret);

#endif
