/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "evidence.h"

#include <stdlib.h>

/* ---- receipts ---- */

struct collecting {
    struct farm *farm;
    struct receipt *receipt;
    struct digest job;
    struct diag *diag;
};

static int visit_vote(void *context, const struct db_vote *row)
{
    struct map *open_votes = context;
    if (row->open)
        map_set(open_votes, view_of(row->attestation.bytes, DIGEST_SIZE), open_votes);
    return 0;
}

/* Which nonces were answered by an open vote, or answered after their lease had ended. */
struct answers {
    struct map *open_votes; /* attestation digests */
    struct map *open_nonces, *answered;
};

static int visit_answer(void *context, const struct db_attestation *row)
{
    struct answers *answers = context;
    struct view nonce = view_of(row->nonce.bytes, DIGEST_SIZE);
    map_set(answers->answered, nonce, answers);
    if (map_get(answers->open_votes, view_of(row->digest.bytes, DIGEST_SIZE)) != NULL)
        map_set(answers->open_nonces, nonce, answers);
    return 0;
}

static enum lease_outcome outcome_of(const char *state, bool answered)
{
    static const struct {
        const char *state;
        enum lease_outcome outcome;
    } table[] = {{"live", OUTCOME_EXPIRED},
                 {"answered", OUTCOME_ANSWERED},
                 {"refused", OUTCOME_RETURNED},
                 {"expired", OUTCOME_EXPIRED},
                 {"withdrawn", OUTCOME_RETURNED}};
    if (answered)
        return OUTCOME_ANSWERED;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (strcmp(table[i].state, state) == 0)
            return table[i].outcome;
    return OUTCOME_EXPIRED;
}

struct lease_walk {
    struct collecting *collecting;
    struct answers *answers;
};

static int add_lease(void *context, const struct db_lease *row)
{
    struct lease_walk *walk = context;
    struct view nonce = view_of(row->nonce.bytes, DIGEST_SIZE);
    struct receipt_lease lease = {
        .job = row->job,
        .round = row->round,
        .open = map_get(walk->answers->open_nonces, nonce) != NULL,
        .worker = (char *)row->worker,
        .operator_name = (char *)row->operator_name,
        .granted_ms = row->granted_ms / 1000 * 1000,
        .outcome = outcome_of(row->state, map_get(walk->answers->answered, nonce) != NULL)};
    memcpy(lease.nonce.bytes, row->nonce.bytes, STATEMENT_NONCE_SIZE);
    receipt_add_lease(walk->collecting->receipt, &lease);
    return 0;
}

static int add_envelope(void *context, const struct db_attestation *row)
{
    struct collecting *collecting = context;
    return receipt_add_envelope(collecting->receipt, &collecting->job, row->envelope, collecting->diag);
}

static int add_rows(struct collecting *collecting, struct answers *answers)
{
    struct db *db = collecting->farm->db;
    struct lease_walk walk = {collecting, answers};
    struct diag *diag = collecting->diag;
    int result = db_each_vote_of(db, &collecting->job, visit_vote, answers->open_votes, diag);
    if (result >= 0)
        result = db_each_attestation_of(db, &collecting->job, visit_answer, answers, diag);
    if (result >= 0)
        result = db_each_lease_of(db, &collecting->job, add_lease, &walk, diag);
    if (result >= 0)
        result = db_each_attestation_of(db, &collecting->job, add_envelope, collecting, diag);
    return result < 0 ? result : 0;
}

int evidence_add(struct farm *farm, const struct farm_plan *plan, size_t node, struct receipt *receipt,
                 struct diag *diag)
{
    struct core_node_view view;
    if (!core_node(farm->core, &plan->id, node, &view) || !view.keyed)
        return diag_set(diag, FARM_E_STATE, "%s has no job key yet", plan->plan->nodes[node].id);
    struct collecting collecting = {farm, receipt, view.key, diag};
    struct answers answers = {map_new(), map_new(), map_new()};
    int result = add_rows(&collecting, &answers);
    map_free(answers.open_votes);
    map_free(answers.open_nonces);
    map_free(answers.answered);
    struct receipt_verdict verdict = {.job = view.key,
                                      .state = view.verdict.state,
                                      .operators = view.verdict.operators,
                                      .dissent = view.verdict.dissent};
    if (view.verdict.state == VERDICT_AGREED)
        verdict.payload = view.verdict.payload;
    receipt_add_verdict(receipt, &verdict);
    return result;
}

int evidence_receipt(struct farm *farm, const struct farm_plan *plan, size_t node, struct buf *ret,
                     struct diag *diag)
{
    struct receipt receipt = RECEIPT_INIT;
    const struct plan_node *row = &plan->plan->nodes[node];
    int result = evidence_add(farm, plan, node, &receipt, diag);
    for (size_t i = 0; result >= 0 && i < row->nclosure; i++)
        result = evidence_add(farm, plan, row->closure[i], &receipt, diag);
    if (result >= 0)
        receipt_write(&receipt, ret);
    receipt_done(&receipt);
    return result;
}

/* ---- a package's entry ---- */

struct backers {
    struct farm *farm;
    struct digest payload;
    uint32_t round;
    struct release_package *package;
    struct map *attestations; /* digest -> non-NULL: has this payload */
};

static int visit_same(void *context, const struct db_attestation *row)
{
    struct backers *backers = context;
    if (digest_equal(&row->payload, &backers->payload)) {
        map_set(backers->attestations, view_of(row->digest.bytes, DIGEST_SIZE), backers);
        backers->package->tar = row->tar;
    }
    return 0;
}

static int visit_backer(void *context, const struct db_vote *row)
{
    struct backers *backers = context;
    struct release_package *package = backers->package;
    if (row->round != backers->round || package->noperators == RELEASE_OPERATORS_MAX ||
        map_get(backers->attestations, view_of(row->attestation.bytes, DIGEST_SIZE)) == NULL)
        return 0;
    package->operators = mem_grow(package->operators, package->noperators + 1, sizeof *package->operators);
    package->operators[package->noperators++] = mem_string(row->operator_name); /* rows come sorted */
    return 0;
}

int evidence_package(struct farm *farm, const struct farm_plan *plan, size_t node,
                     struct release_package *ret, struct diag *diag)
{
    const struct plan_node *row = &plan->plan->nodes[node];
    struct core_node_view view;
    if (!core_node(farm->core, &plan->id, node, &view) || view.state != NODE_AGREED)
        return diag_set(diag, FARM_E_STATE, "%s is not agreed", row->id);
    struct backers backers = {farm, view.verdict.payload, view.round, ret, map_new()};
    int result = db_each_attestation_of(farm->db, &view.key, visit_same, &backers, diag);
    if (result >= 0)
        result = db_each_vote_of(farm->db, &view.key, visit_backer, &backers, diag);
    map_free(backers.attestations);
    ret->name = mem_string(row->name);
    ret->version = mem_string(row->version);
    ret->release = mem_string(row->release);
    ret->tier = mem_string(row->tier);
    ret->phase = mem_string(row->tier); /* a tier's packages are built in the phase of the same name */
    ret->job = view.key;
    ret->payload = view.verdict.payload;
    ret->dissent = view.verdict.dissent;
    ret->gpu = mem_string("none");
    ret->archive = mem_format("%s-%s.igos.tar.gz", row->name, row->version);
    return result < 0 ? result : 0;
}
