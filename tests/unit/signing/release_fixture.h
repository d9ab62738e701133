/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A whole small release for the tests: a package tree of two packages ("liba", and "appb" which is built with it), really planned, packed
 * and exported; attested by the operators of farm_fixture as the votes say, signed by ann and ben. A test changes votes or
 * fields, writes, and may then damage files.
 */
#ifndef FARM_RELEASE_FIXTURE_H
#define FARM_RELEASE_FIXTURE_H

#include "farm_fixture.h"
#include "payload.h"
#include "receipt.h"
#include "release.h"
#include "verify.h"

enum { RELEASE_FIXTURE_PACKAGES = 2, RELEASE_FIXTURE_VOTES_MAX = 16 };
enum { LIBA, APPB }; /* in the plan's order */

enum fixture_answer { ANSWER_GOOD, ANSWER_OTHER, ANSWER_FAILED, ANSWER_NONE, ANSWER_OTHER_BASE };

struct fixture_vote {
    size_t package, operator_index;
    enum fixture_answer answer;
    enum lease_outcome outcome;
    uint32_t round;
    bool open;
};

struct fixture_package {
    struct digest job;
    struct buf spec_text, manifest_text;
    struct spec *spec;
    struct payload payload;
};

struct release_fixture {
    struct farm_fixture *farm;
    char path[64]; /* everything lies below; removed at the end */
    int dirfd;     /* of it */
    const char *policy;
    struct tree *tree;
    struct tree_pin pin;
    struct plan *plan;
    struct buf base_text;
    struct digest base;
    struct store *store;
    struct fixture_package packages[RELEASE_FIXTURE_PACKAGES];
    struct fixture_vote votes[RELEASE_FIXTURE_VOTES_MAX];
    size_t nvotes;
    int64_t sequence;
    struct digest previous;
    uint32_t claimed_dissent;  /* what release and receipts claim for both packages */
    size_t claimed_operators;  /* the first so many */
    size_t receipt_leaves_out; /* index + 1 of a vote whose envelope is left out of the receipts; 0: none */
    bool appb_receipt_alone;   /* appb's receipt says nothing of liba */
    bool leaves_out_appb;      /* from release.json */
    int release_dirfd;         /* <path>/release */
};

/* 'policy': the text of policy.yml; NULL for quorum 2, one anchor. */
struct release_fixture *release_fixture_new(const char *policy);
struct release_fixture *release_fixture_free(struct release_fixture *fixture);
/* Writes <path>/release and <path>/trust.json. */
void release_fixture_write(struct release_fixture *fixture);
/* Signs release.json as it lies there, by the first 'people' managers, in this namespace. */
void release_fixture_sign(struct release_fixture *fixture, size_t people, const char *name_space);
void release_fixture_add_vote(struct release_fixture *fixture, struct fixture_vote vote);
/* Runs verify_release; *ret is the caller's to finish. */
int release_fixture_verify(struct release_fixture *fixture, const struct verify_state *state, int64_t now,
                           struct verify_result *ret);

#endif
