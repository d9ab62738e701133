/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rows in, documents out; what is made of them in between is in evidence_judge.c. */
#include "evidence.h"

#include <stdlib.h>

static void job_done(struct evidence_job *job)
{
    for (size_t i = 0; i < job->nleases; i++) {
        free(job->leases[i].worker);
        free(job->leases[i].operator_name);
    }
    for (size_t i = 0; i < job->nanswers; i++)
        buf_done(&job->answers[i].envelope);
    for (size_t i = 0; i < job->noperators; i++)
        free(job->operators[i]);
    free(job->leases);
    free(job->answers);
    free(job->rounds);
    free(job->operators);
    free(job->closure);
    free(job->id);
    free(job->name);
    free(job->version);
    free(job->release);
    free(job->tier);
}

void evidence_done(struct evidence *evidence)
{
    for (size_t i = 0; i < evidence->njobs; i++)
        job_done(&evidence->jobs[i]);
    free(evidence->jobs);
    *evidence = (struct evidence)EVIDENCE_INIT;
}

/* ---- rows in ---- */

struct collecting {
    struct evidence_job *job;
    uint64_t size;
    struct diag *diag;
};

static bool is_below(const struct collecting *collecting, int64_t position)
{
    return position >= 0 && (uint64_t)position < collecting->size;
}

static int add_lease(void *context, const struct db_lease *row)
{
    struct collecting *collecting = context;
    struct evidence_job *job = collecting->job;
    if (!is_below(collecting, row->position))
        return 0;
    job->leases = mem_reserve(job->leases, &job->leases_capacity, job->nleases + 1, sizeof *job->leases);
    struct evidence_lease *lease = &job->leases[job->nleases++];
    *lease = (struct evidence_lease){.worker = mem_string(row->worker),
                                     .operator_name = mem_string(row->operator_name),
                                     .round = row->round,
                                     .granted_ms = row->granted_ms,
                                     .answered = EVIDENCE_NOWHERE,
                                     .refused = EVIDENCE_NOWHERE,
                                     .ended = EVIDENCE_NOWHERE};
    memcpy(lease->nonce.bytes, row->nonce.bytes, STATEMENT_NONCE_SIZE);
    return 0;
}

static struct lease_nonce nonce_of(const struct digest *digest)
{
    struct lease_nonce nonce;
    memcpy(nonce.bytes, digest->bytes, STATEMENT_NONCE_SIZE);
    return nonce;
}

static void note_first(uint64_t *first, uint64_t position)
{
    if (position < *first)
        *first = position;
}

static int add_answer(void *context, const struct db_attestation *row)
{
    struct collecting *collecting = context;
    struct evidence_job *job = collecting->job;
    struct lease_nonce nonce = nonce_of(&row->nonce);
    struct evidence_lease *lease = evidence_find_lease(job, &nonce);
    int failure = failure_kind_parse(view_text(row->failure));
    if (!is_below(collecting, row->position))
        return 0;
    if (lease == NULL || failure < 0)
        return diag_set(collecting->diag, FARM_E_CORRUPT,
                        "%s: the answer %s has no lease before it in the log, or a failure of unknown kind",
                        job->id, digest_hex(&row->digest).text);
    job->answers = mem_reserve(job->answers, &job->answers_capacity, job->nanswers + 1, sizeof *job->answers);
    struct evidence_answer *answer = &job->answers[job->nanswers++];
    *answer = (struct evidence_answer){.nonce = nonce,
                                       .digest = row->digest,
                                       .payload = row->payload,
                                       .tar = row->tar,
                                       .failure = (enum failure_kind)failure,
                                       .position = (uint64_t)row->position};
    buf_add_view(&answer->envelope, row->envelope);
    note_first(&lease->answered, answer->position);
    return 0;
}

static int add_refusal(void *context, const struct db_refusal *row)
{
    struct collecting *collecting = context;
    struct lease_nonce nonce = nonce_of(&row->nonce);
    struct evidence_lease *lease = evidence_find_lease(collecting->job, &nonce);
    if (lease != NULL && is_below(collecting, row->position))
        note_first(&lease->refused, (uint64_t)row->position);
    return 0;
}

static int collect_job(struct farm *farm, struct evidence_job *job, uint64_t size, struct diag *diag)
{
    struct collecting collecting = {job, size, diag};
    int result = db_each_lease_of(farm->db, &job->key, add_lease, &collecting, diag);
    if (result >= 0)
        result = db_each_attestation_of(farm->db, &job->key, add_answer, &collecting, diag);
    if (result >= 0)
        result = db_each_refusal_of(farm->db, &job->key, add_refusal, &collecting, diag);
    return result < 0 ? result : 0;
}

static void describe(struct evidence_job *job, const struct plan_node *node)
{
    job->id = mem_string(node->id);
    job->name = mem_string(node->name);
    job->version = mem_string(node->version);
    job->release = mem_string(node->release);
    job->tier = mem_string(node->tier);
    job->closure = mem_copy(node->closure, node->nclosure * sizeof *node->closure);
    job->nclosure = node->nclosure;
    job->rules = node->rules;
}

/* "tier/name" -> struct release_package. */
static struct map *released_packages(const struct release *release)
{
    struct map *packages = map_new();
    for (size_t i = 0; release != NULL && i < release->npackages; i++) {
        CLEANUP_FREE char *id = mem_format("%s/%s", release->packages[i].tier, release->packages[i].name);
        map_set(packages, view_text(id), &release->packages[i]);
    }
    return packages;
}

/* Which job the node stands for. */
static int find_key(struct farm *farm, const struct farm_plan *plan, size_t node,
                    const struct release_package *released, bool needs_core, struct evidence_job *job,
                    struct diag *diag)
{
    struct core_node_view view = {.state = NODE_WAITING};
    bool known = core_node(farm->core, &plan->id, node, &view);
    if (!known && needs_core)
        return diag_set(diag, FARM_E_STATE, "the plan was not built; \"farmctl build %.12s\" does it",
                        digest_hex(&plan->id).text);
    job->state = view.state;
    job->keyed = released != NULL || view.keyed;
    job->key = released != NULL ? released->job : view.key;
    return 0;
}

int evidence_collect(struct farm *farm, const struct farm_plan *plan, const struct release *release,
                     uint64_t size, struct evidence *ret, struct diag *diag)
{
    CLEANUP(evidence_done) struct evidence evidence = {.size = size};
    struct map *packages = released_packages(release);
    int result = 0;
    evidence.jobs = mem_zero(plan->plan->nnodes + 1, sizeof *evidence.jobs);
    for (size_t i = 0; result >= 0 && i < plan->plan->nnodes; i++) {
        struct evidence_job *job = &evidence.jobs[evidence.njobs++];
        describe(job, &plan->plan->nodes[i]);
        result = find_key(farm, plan, i, map_get(packages, view_text(job->id)), release == NULL, job, diag);
        if (result >= 0 && job->keyed)
            result = collect_job(farm, job, size, diag);
    }
    map_free(packages);
    if (result < 0)
        return result;
    *ret = evidence;
    evidence = (struct evidence)EVIDENCE_INIT;
    return 0;
}

/* ---- documents out ---- */

static void add_leases(const struct evidence_job *job, struct receipt *receipt)
{
    for (size_t i = 0; i < job->nleases; i++) {
        const struct evidence_lease *lease = &job->leases[i];
        receipt_add_lease(
            receipt, &(struct receipt_lease){.job = job->key,
                                             .nonce = lease->nonce,
                                             .round = lease->round,
                                             .open = evidence_is_open(job, lease->round, lease->answered),
                                             .worker = lease->worker,
                                             .operator_name = lease->operator_name,
                                             .granted_ms = lease->granted_ms,
                                             .outcome = evidence_outcome(lease)});
    }
}

static int add_job(const struct evidence_job *job, struct receipt *receipt, struct diag *diag)
{
    struct receipt_verdict verdict = {
        .job = job->key, .state = job->verdict, .operators = job->support, .dissent = job->dissent};
    if (job->agreed)
        verdict.payload = job->payload;
    add_leases(job, receipt);
    for (size_t i = 0; i < job->nanswers; i++) {
        int result = receipt_add_envelope(receipt, &job->key, buf_view(&job->answers[i].envelope), diag);
        if (result < 0)
            return diag_wrap(diag, result, "%s", job->id);
    }
    receipt_add_verdict(receipt, &verdict);
    return 0;
}

int evidence_receipt(const struct evidence *evidence, size_t node, struct buf *ret, struct diag *diag)
{
    CLEANUP(receipt_done) struct receipt receipt = RECEIPT_INIT;
    const struct evidence_job *job = &evidence->jobs[node];
    int result = add_job(job, &receipt, diag);
    for (size_t i = 0; result >= 0 && i < job->nclosure; i++)
        result = add_job(&evidence->jobs[job->closure[i]], &receipt, diag);
    if (result >= 0)
        receipt_write(&receipt, ret);
    return result;
}

void evidence_package(const struct evidence_job *job, struct release_package *ret)
{
    *ret = (struct release_package){
        .name = mem_string(job->name),
        .version = mem_string(job->version),
        .release = mem_string(job->release),
        .tier = mem_string(job->tier),
        .phase = mem_string(job->tier), /* a tier's packages are built in the phase of the same name */
        .job = job->key,
        .payload = job->payload,
        .tar = job->tar,
        .noperators = job->noperators,
        .dissent = job->dissent,
        .gpu = mem_string(job->rules.evidence ? "not-validated" : "none"),
        .archive = mem_format("%s-%s.igos.tar.gz", job->name, job->version)};
    ret->operators = mem_zero(job->noperators + 1, sizeof *ret->operators);
    for (size_t i = 0; i < job->noperators; i++)
        ret->operators[i] = mem_string(job->operators[i]);
}

static int by_digest(const void *left, const void *right)
{
    return digest_compare(left, right);
}

struct digest *evidence_envelopes(const struct evidence_job *job, size_t *ret_count)
{
    struct digest *digests = mem_zero(job->nanswers + 1, sizeof *digests);
    for (size_t i = 0; i < job->nanswers; i++)
        digests[i] = job->answers[i].digest;
    qsort(digests, job->nanswers, sizeof *digests, by_digest);
    *ret_count = job->nanswers;
    return digests;
}
