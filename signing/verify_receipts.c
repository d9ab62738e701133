/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The evidence: every receipt is read, every job's evidence must be the same in each receipt that has it (so that none can leave a
 * dissent out alone), votes are judged once per job, and each closure must be covered.
 *
 * Receipts repeat each other: a library's evidence stands in the receipt of everything that was built with it. They are taken apart
 * in parallel and merged in their order, each kept no longer than that; memory holds every job's evidence once.
 */
#include "verify_private.h"

#include "parallel.h"

#include <assert.h>
#include <stdlib.h>

/* Of one receipt, after it was merged: which jobs it speaks of. */
struct extent {
    bool read;
    size_t *jobs; /* indexes of run->jobs, rising */
    size_t njobs;
    size_t nsections; /* also of jobs that nobody knows */
};

struct reading {
    struct verify_run *run;
    char **files;
    struct extent *extents;
    struct receipt_lines *lines; /* that were read before, in any receipt */
    pthread_mutex_t lock;
    pthread_cond_t merged;
    size_t turn; /* the receipt that is merged next */
};

/* ---- reading and merging ---- */

/* One job's part of a receipt; lines are sorted by job. Borrowed, until it is taken. */
struct section {
    struct digest job;
    struct receipt_lease *leases;
    size_t nleases;
    struct receipt_envelope *envelopes;
    size_t nenvelopes;
    struct receipt_verdict *claimed;
};

struct cursor {
    struct receipt *receipt;
    size_t lease, envelope, verdict;
};

static const struct digest *lesser(const struct digest *a, const struct digest *b)
{
    return a == NULL || (b != NULL && digest_compare(b, a) < 0) ? b : a;
}

static bool next_section(struct cursor *at, struct section *ret)
{
    struct receipt *r = at->receipt;
    assert((r->leases != NULL || r->nleases == 0) && (r->envelopes != NULL || r->nenvelopes == 0) &&
           (r->verdicts != NULL || r->nverdicts == 0));
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

/* Equal lines are equal evidence. */
static bool same_evidence(const struct receipt *evidence, const struct section *section)
{
    bool same = evidence->nleases == section->nleases && evidence->nenvelopes == section->nenvelopes &&
                evidence->nverdicts == (section->claimed != NULL);
    for (size_t i = 0; same && i < evidence->nleases; i++)
        same = digest_equal(&evidence->leases[i].line, &section->leases[i].line);
    for (size_t i = 0; same && i < evidence->nenvelopes; i++)
        same = digest_equal(&evidence->envelopes[i].line, &section->envelopes[i].line);
    return same &&
           (section->claimed == NULL || digest_equal(&evidence->verdicts[0].line, &section->claimed->line));
}

/* What the section borrowed belongs to the job from now on. */
static void take_evidence(struct receipt *evidence, struct section *section)
{
    evidence->leases = mem_zero(section->nleases + 1, sizeof *evidence->leases);
    evidence->envelopes = mem_zero(section->nenvelopes + 1, sizeof *evidence->envelopes);
    for (size_t i = 0; i < section->nleases; i++) {
        evidence->leases[evidence->nleases++] = section->leases[i];
        section->leases[i].worker = section->leases[i].operator_name = NULL;
    }
    for (size_t i = 0; i < section->nenvelopes; i++) {
        evidence->envelopes[evidence->nenvelopes++] = section->envelopes[i];
        section->envelopes[i].bytes = NULL;
    }
    if (section->claimed != NULL)
        receipt_add_verdict(evidence, section->claimed);
}

static void merge_section(struct verify_run *run, const char *file, struct section *section,
                          struct extent *extent)
{
    struct verify_job *job = verify_find_job(run, &section->job);
    extent->nsections++;
    if (job == NULL) {
        verify_problem(run, file, "unknown-job", "evidence for job %s, which has no spec here",
                       digest_hex(&section->job).text);
        return;
    }
    extent->jobs = mem_grow(extent->jobs, extent->njobs + 1, sizeof *extent->jobs);
    extent->jobs[extent->njobs++] = (size_t)(job - run->jobs);
    if (job->receipt == NULL) {
        job->receipt = file;
        take_evidence(&job->evidence, section);
    } else if (!same_evidence(&job->evidence, section)) {
        verify_problem(run, file, "evidence-differs",
                       "the evidence for %s is not the same as in %s: something was left out of one of them",
                       job->spec->name, job->receipt); /* K2 */
    }
}

static void merge(struct reading *reading, size_t index, struct receipt *receipt)
{
    struct cursor cursor = {.receipt = receipt};
    struct section section;
    receipt_lines_add(reading->lines,
                      receipt); /* from here on nobody needs more of them than that they are the same */
    while (next_section(&cursor, &section))
        merge_section(reading->run, reading->files[index], &section, &reading->extents[index]);
}

static bool read_receipt(struct reading *reading, size_t index, struct receipt *ret)
{
    struct verify_run *run = reading->run;
    const char *file = reading->files[index];
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    if (!verify_read(run, file, RECEIPT_SIZE_MAX, &text))
        return false;
    int result = receipt_parse_known(buf_view(&text), file, reading->lines, ret, &diag);
    if (result < 0)
        verify_failure(run, file, "receipt-malformed", result, &diag);
    return result >= 0;
}

/* Parallel, but for the merging: who comes first decides what messages say, so it must not be chance. */
static void read_and_merge(void *context, size_t index)
{
    struct reading *reading = context;
    CLEANUP(receipt_done) struct receipt receipt = RECEIPT_INIT;
    bool read = read_receipt(reading, index, &receipt);
    pthread_mutex_lock(&reading->lock);
    while (reading->turn != index) /* indexes are given out in order, so the one before is being read */
        pthread_cond_wait(&reading->merged, &reading->lock);
    reading->extents[index].read = read;
    if (read)
        merge(reading, index, &receipt);
    reading->turn++;
    pthread_cond_broadcast(&reading->merged);
    pthread_mutex_unlock(&reading->lock);
}

/* ---- judging ---- */

static void judge(void *context, size_t index)
{
    struct verify_run *run = context;
    struct verify_job *job = &run->jobs[index];
    if (job->receipt == NULL)
        return;
    if (run->replayed)
        verify_account(run, job);
    verify_job_votes(run, job);
}

static void know_payload(struct verify_run *run, struct verify_job *job)
{
    CLEANUP_BUF struct buf key = BUF_INIT;
    buf_add(&key, job->payload.bytes, DIGEST_SIZE);
    buf_add_text(&key, job->spec->name);
    if (map_get(run->payloads, buf_view(&key)) == NULL)
        map_set(run->payloads, buf_view(&key), job);
}

struct verify_job *verify_find_payload(struct verify_run *run, const char *name, const struct digest *payload)
{
    CLEANUP_BUF struct buf key = BUF_INIT;
    buf_add(&key, payload->bytes, DIGEST_SIZE);
    buf_add_text(&key, name);
    return map_get(run->payloads, buf_view(&key));
}

/* ---- closures ---- */

static int by_number(const void *left, const void *right)
{
    const size_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b ? 1 : 0;
}

static bool speaks_of(const struct verify_run *run, const struct extent *extent, const struct verify_job *job)
{
    size_t index = (size_t)(job - run->jobs);
    return extent->njobs > 0 && bsearch(&index, extent->jobs, extent->njobs, sizeof index, by_number) != NULL;
}

/* The one with the fewest operators behind it, then with the most dissent; of equals the first that is asked. */
static void weigh(struct verify_package *package, const struct verify_job *job)
{
    uint32_t operators = job->agreed ? job->verdict.operators : 0, dissent = job->verdict.dissent;
    if (package->weakest != NULL &&
        (operators > package->weakest_operators ||
         (operators == package->weakest_operators && dissent <= package->weakest_dissent)))
        return;
    free(package->weakest);
    package->weakest = mem_format("%s/%s", job->spec->tier, job->spec->name);
    package->weakest_operators = operators;
    package->weakest_dissent = dissent;
}

/* S15: every dependency's payload has a verdict of its own, in this receipt. */
static void check_dependency(struct verify_run *run, const struct verify_job *job, size_t index,
                             const struct extent *extent, const char *file, struct verify_package *shown)
{
    const struct spec_dependency *dependency = &job->spec->dependencies[index];
    struct verify_job *other = job->dependencies[index];
    if (other == NULL) {
        verify_problem(run, file, "dependency-without-verdict",
                       "%s was built with %s %s, for which there is no agreement here", job->spec->name,
                       dependency->name, digest_hex(&dependency->payload).text);
        return;
    }
    other->used = true;
    weigh(shown, other);
    if (!speaks_of(run, extent, other))
        verify_problem(run, file, "dependency-without-receipt",
                       "the receipt of %s has no evidence for its dependency %s", job->spec->name,
                       dependency->name);
}

/*
 * A closure is closed: what a dependency was built with is a dependency too, and the same bytes. Else a package that is not
 * released itself could have been built, by everybody, with something that nobody agreed on. What lacks an agreement is said once,
 * by check_dependencies.
 */
static void check_closed(struct verify_run *run, const struct verify_job *job, size_t closure,
                         const char *file)
{
    for (size_t i = 0; i < job->spec->ndependencies; i++) {
        const struct verify_job *other = job->dependencies[i];
        for (size_t k = 0; other != NULL && k < other->spec->ndependencies; k++)
            if (other->dependencies[k] != NULL && other->dependencies[k]->closure != closure)
                verify_problem(run, file, "dependency-differs",
                               "%s was built with %s, which was built with other bytes of %s, or with a "
                               "dependency that is none of %s",
                               job->spec->name, other->spec->name, other->spec->dependencies[k].name,
                               job->spec->name);
    }
}

static void check_closure(struct verify_run *run, size_t index, const struct extent *extent, const char *file)
{
    struct verify_job *job = verify_find_job(run, &run->release->packages[index].job);
    struct verify_package *shown = &run->result->packages[index];
    if (job == NULL || !extent->read)
        return;
    job->used = job->released = true;
    weigh(shown, job);
    if (!speaks_of(run, extent, job))
        verify_problem(run, file, "receipt-other", "the receipt has no evidence for the package's own job");
    for (size_t i = 0; i < job->spec->ndependencies; i++) {
        check_dependency(run, job, i, extent, file, shown);
        if (job->dependencies[i] != NULL)
            job->dependencies[i]->closure = index + 1;
    }
    check_closed(run, job, index + 1, file);
    if (extent->nsections != 1 + job->spec->ndependencies)
        verify_problem(run, file, "receipt-extent",
                       "the receipt speaks of %zu jobs; the package and its dependencies are %zu",
                       extent->nsections, 1 + job->spec->ndependencies);
}

/* ---- */

static void read_all(struct verify_run *run, char **files, struct extent *extents)
{
    struct reading reading = {.run = run,
                              .files = files,
                              .extents = extents,
                              .lines = receipt_lines_new(),
                              .lock = PTHREAD_MUTEX_INITIALIZER,
                              .merged = PTHREAD_COND_INITIALIZER};
    parallel_each(run->release->npackages, run->options->threads, read_and_merge, &reading);
    receipt_lines_free(reading.lines);
    pthread_mutex_destroy(&reading.lock);
    pthread_cond_destroy(&reading.merged);
}

static void find_dependencies(struct verify_run *run, struct verify_job *job)
{
    const struct spec *spec = job->spec;
    job->dependencies = mem_zero(spec->ndependencies + 1, sizeof(struct verify_job *));
    for (size_t i = 0; i < spec->ndependencies; i++)
        job->dependencies[i] =
            verify_find_payload(run, spec->dependencies[i].name, &spec->dependencies[i].payload);
}

static void know_signers(struct verify_run *run)
{
    run->signers = map_new();
    for (size_t i = 0; i < run->directory->nentries; i++) {
        struct digest id = keys_id(&run->directory->entries[i].ed25519);
        map_set(run->signers, view_of(id.bytes, sizeof id.bytes), &run->directory->entries[i]);
    }
}

static void judge_all(struct verify_run *run)
{
    know_signers(run);
    parallel_each(run->njobs, run->options->threads, judge, run);
    run->payloads = map_new();
    for (size_t i = 0; i < run->njobs; i++)
        if (run->jobs[i].agreed)
            know_payload(run, &run->jobs[i]);
    for (size_t i = 0; i < run->njobs; i++)
        find_dependencies(run, &run->jobs[i]);
}

/* S15: also for jobs that are no released package's own. */
static void check_dependencies(struct verify_run *run, const struct verify_job *job)
{
    for (size_t i = 0; i < job->spec->ndependencies; i++)
        if (job->dependencies[i] == NULL)
            verify_problem(run, job->file, "dependency-without-verdict",
                           "%s was built with %s %s, for which there is no agreement here", job->spec->name,
                           job->spec->dependencies[i].name,
                           digest_hex(&job->spec->dependencies[i].payload).text);
}

/* A released package's own is judged with the package. */
static void check_quorum(struct verify_run *run, const struct verify_job *job)
{
    if (!job->released && job->rules.quorum == 1 && !root_allows_unverified(run->root, job->spec->name))
        verify_problem(
            run, job->file, "unverified",
            "%s was built upon, has a quorum of 1, and the trust root does not list it under \"unverified\"",
            job->spec->name);
}

/* The same job may come from many commits, so an older one in a statement is nothing bad; but nobody said that this one gives it. */
static void say_elsewhere(struct verify_run *run)
{
    size_t count = 0, first = 0;
    for (size_t i = run->njobs; i-- > 0;)
        if (run->jobs[i].elsewhere) {
            first = i;
            count++;
        }
    if (count > 0 && run->options->tree == NULL)
        verify_note(
            run,
            "%zu of %zu jobs (one is %s) were derived by their workers from another package tree than the "
            "release names. Whether this tree gives the same jobs is known only with --tree.",
            count, run->njobs, run->jobs[first].spec->name);
}

static void finish_jobs(struct verify_run *run)
{
    for (size_t i = 0; i < run->njobs; i++) {
        struct verify_job *job = &run->jobs[i];
        check_dependencies(run, job);
        check_quorum(run, job);
        run->result->jobs += job->receipt != NULL;
        run->result->envelopes += job->evidence.nenvelopes;
        job->receipt = NULL; /* the names end here */
        if (!job->used)
            verify_problem(run, job->file, "extra-file",
                           "this job belongs to no released package and no dependency of one");
    }
    say_elsewhere(run);
    verify_account_notes(run);
}

void verify_receipts(struct verify_run *run)
{
    size_t count = run->release->npackages;
    CLEANUP_FREE struct extent *extents = mem_zero(count + 1, sizeof *extents);
    CLEANUP_FREE char **files = mem_zero(count + 1, sizeof *files);
    for (size_t i = 0; i < count; i++)
        files[i] = release_path(RELEASE_RECEIPTS, &run->release->packages[i], ".intoto.jsonl");
    read_all(run, files, extents);
    judge_all(run);
    for (size_t i = 0; i < count; i++)
        check_closure(run, i, &extents[i], files[i]);
    finish_jobs(run);
    for (size_t i = 0; i < count; i++) {
        free(extents[i].jobs);
        free(files[i]);
    }
}
