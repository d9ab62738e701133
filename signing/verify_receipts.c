/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The evidence: every receipt is read, every job's evidence must be the same in each receipt that has it (so that none can leave a
 * dissent out alone), votes are judged once per job, and each closure must be covered.
 */
#include "verify_private.h"

#include "parallel.h"

#include <stdlib.h>

static void read_receipt(void *context, size_t index)
{
    struct verify_run *run = context;
    CLEANUP_FREE char *file = release_path(RELEASE_RECEIPTS, &run->release->packages[index], ".intoto.jsonl");
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    if (!verify_read(run, file, RECEIPT_SIZE_MAX, &text))
        return;
    int result = receipt_parse(buf_view(&text), file, &run->receipts[index], &diag);
    if (result < 0)
        verify_failure(run, file, "receipt-malformed", result, &diag);
    run->receipt_read[index] = result >= 0;
}

/* One job's part of a receipt; lines are sorted by job. */
struct section {
    struct digest job;
    const struct receipt_lease *leases;
    size_t nleases;
    const struct receipt_envelope *envelopes;
    size_t nenvelopes;
    const struct receipt_verdict *claimed;
};

struct cursor {
    const struct receipt *receipt;
    size_t lease, envelope, verdict;
};

static const struct digest *lesser(const struct digest *a, const struct digest *b)
{
    return a == NULL || (b != NULL && digest_compare(b, a) < 0) ? b : a;
}

static bool next_section(struct cursor *at, struct section *ret)
{
    const struct receipt *r = at->receipt;
    const struct digest *job = at->lease < r->nleases ? &r->leases[at->lease].job : NULL;
    job = lesser(job, at->envelope < r->nenvelopes ? &r->envelopes[at->envelope].job : NULL);
    job = lesser(job, at->verdict < r->nverdicts ? &r->verdicts[at->verdict].job : NULL);
    if (job == NULL)
        return false;
    *ret = (struct section){
        .job = *job, .leases = r->leases + at->lease, .envelopes = r->envelopes + at->envelope};
    for (; at->lease < r->nleases && digest_equal(&r->leases[at->lease].job, &ret->job); at->lease++)
        ret->nleases++;
    for (; at->envelope < r->nenvelopes && digest_equal(&r->envelopes[at->envelope].job, &ret->job);
         at->envelope++)
        ret->nenvelopes++;
    if (at->verdict < r->nverdicts && digest_equal(&r->verdicts[at->verdict].job, &ret->job))
        ret->claimed = &r->verdicts[at->verdict++];
    return true;
}

static bool same_lease(const struct receipt_lease *a, const struct receipt_lease *b)
{
    return lease_nonce_equal(&a->nonce, &b->nonce) && a->round == b->round && a->open == b->open &&
           a->outcome == b->outcome && a->granted_ms == b->granted_ms && strcmp(a->worker, b->worker) == 0 &&
           strcmp(a->operator_name, b->operator_name) == 0;
}

static bool same_claim(const struct receipt_verdict *a, const struct receipt_verdict *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a->state == b->state && digest_equal(&a->payload, &b->payload) && a->operators == b->operators &&
           a->dissent == b->dissent;
}

static bool same_evidence(const struct verify_job *job, const struct section *section)
{
    bool same = job->nleases == section->nleases && job->nenvelopes == section->nenvelopes &&
                same_claim(job->claimed, section->claimed);
    for (size_t i = 0; same && i < job->nleases; i++)
        same = same_lease(&job->leases[i], &section->leases[i]);
    for (size_t i = 0; same && i < job->nenvelopes; i++)
        same = digest_equal(&job->envelopes[i].digest, &section->envelopes[i].digest);
    return same;
}

static void take_section(struct verify_run *run, const char *file, const struct section *section)
{
    struct verify_job *job = verify_find_job(run, &section->job);
    if (job == NULL) {
        verify_problem(run, file, "unknown-job", "evidence for job %s, which has no spec here",
                       digest_hex(&section->job).text);
        return;
    }
    if (job->receipt != NULL) {
        if (!same_evidence(job, section))
            verify_problem(run, file, "evidence-differs",
                           "the evidence for %s is not the same as in %s: something was left out of "
                           "one of them",
                           job->spec->name, job->receipt); /* K2 */
        return;
    }
    job->receipt = file;
    job->leases = section->leases;
    job->nleases = section->nleases;
    job->envelopes = section->envelopes;
    job->nenvelopes = section->nenvelopes;
    job->claimed = section->claimed;
}

static void merge(struct verify_run *run, char *const *files)
{
    for (size_t i = 0; i < run->release->npackages; i++) {
        struct cursor cursor = {.receipt = &run->receipts[i]};
        struct section section;
        while (run->receipt_read[i] && next_section(&cursor, &section))
            take_section(run, files[i], &section);
    }
}

static void judge(void *context, size_t index)
{
    struct verify_run *run = context;
    if (run->jobs[index].receipt != NULL)
        verify_job_votes(run, &run->jobs[index]);
}

/* Does the receipt of this package hold evidence for the job? */
static bool has_evidence(const struct receipt *receipt, const struct digest *job)
{
    for (size_t i = 0; i < receipt->nverdicts; i++)
        if (digest_equal(&receipt->verdicts[i].job, job))
            return true;
    return false;
}

static size_t count_sections(const struct receipt *receipt)
{
    struct cursor cursor = {.receipt = receipt};
    struct section section;
    size_t count = 0;
    while (next_section(&cursor, &section))
        count++;
    return count;
}

/* S15: every dependency's payload has a verdict of its own, in this receipt. */
static void check_dependencies(struct verify_run *run, const struct verify_job *job,
                               const struct receipt *receipt, const char *file)
{
    for (size_t i = 0; i < job->spec->ndependencies; i++) {
        const struct spec_dependency *dependency = &job->spec->dependencies[i];
        struct verify_job *other = verify_find_payload(run, dependency->name, &dependency->payload);
        if (other == NULL)
            verify_problem(run, file, "dependency-without-verdict",
                           "%s was built with %s %s, for which there is no agreement here", job->spec->name,
                           dependency->name, digest_hex(&dependency->payload).text);
        else if (!has_evidence(receipt, &other->spec->key))
            verify_problem(run, file, "dependency-without-receipt",
                           "the receipt of %s has no evidence for its dependency %s", job->spec->name,
                           dependency->name);
        if (other != NULL)
            other->used = true;
    }
    if (count_sections(receipt) != 1 + job->spec->ndependencies)
        verify_problem(run, file, "receipt-extent",
                       "the receipt speaks of %zu jobs; the package and its dependencies are %zu",
                       count_sections(receipt), 1 + job->spec->ndependencies);
}

static void check_closure(struct verify_run *run, size_t index, const char *file)
{
    struct verify_job *job = verify_find_job(run, &run->release->packages[index].job);
    if (job == NULL || !run->receipt_read[index])
        return;
    job->used = true;
    if (!has_evidence(&run->receipts[index], &job->spec->key))
        verify_problem(run, file, "receipt-other", "the receipt has no verdict for the package's own job");
    check_dependencies(run, job, &run->receipts[index], file);
}

void verify_receipts(struct verify_run *run)
{
    size_t count = run->release->npackages;
    run->receipts = mem_zero(count + 1, sizeof *run->receipts);
    run->receipt_read = mem_zero(count + 1, sizeof *run->receipt_read);
    CLEANUP_FREE char **files = mem_zero(count + 1, sizeof *files);
    for (size_t i = 0; i < count; i++)
        files[i] = release_path(RELEASE_RECEIPTS, &run->release->packages[i], ".intoto.jsonl");
    parallel_each(count, run->options->threads, read_receipt, run);
    merge(run, files);
    parallel_each(run->njobs, run->options->threads, judge, run);
    for (size_t i = 0; i < count; i++)
        check_closure(run, i, files[i]);
    for (size_t i = 0; i < run->njobs; i++) {
        run->result->jobs += run->jobs[i].receipt != NULL;
        run->result->envelopes += run->jobs[i].nenvelopes;
        run->jobs[i].receipt = NULL; /* the names end here */
        if (!run->jobs[i].used)
            verify_problem(run, run->jobs[i].file, "extra-file",
                           "this job belongs to no released package and no dependency of one");
    }
    for (size_t i = 0; i < count; i++)
        free(files[i]);
}
