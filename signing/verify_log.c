/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The whole log, replayed from the entry bundles of the export.
 *
 * A first walk recomputes the root at every size that somebody signed, cosigned or remembered, and takes in what is about the
 * release: the leases of its jobs, their verdicts, directories, roots, releases. A second walk, over the same tree again, takes in what
 * is about those leases: their ends and answers. It needs its own walk because a coordinator that hides a dissent would log the answer,
 * which its worker looks for, before its lease, or never log the lease: so every answer must be to a lease that the log shows.
 * Memory is that of the leases of the release's jobs, and eight bytes for any other lease.
 *
 * Evidence ends at release.log.size. What stands behind it, up to the checkpoint, belongs to the next release; what of it people
 * should know is said in notes.
 */
#include "verify_private.h"

#include "file.h"
#include "logentry.h"
#include "nonceset.h"
#include "tiledir.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

/* Ten for each node of the largest plan; what more there is, somebody made to fill our memory. */
enum { LEASES_MAX = 10 * PLAN_NODES_MAX, ANSWERS_MAX = 1000 /* of one lease; an honest worker gives one */ };

struct replay {
    struct verify_run *run;
    struct tlog_tree tree;
    struct nonceset *granted; /* the nonce of every lease of the log */
    size_t next_point;        /* in run->points, which are sorted by size */
    uint64_t evidence_ends;   /* release.log.size */
    bool workers_logged, root_logged;
    /* What is newer than the release: the newest of each. */
    int64_t newest_directory, newest_root, newest_release;
    uint64_t others;       /* entries of a kind that this program does not know */
    uint64_t late_answers; /* answers to the release's leases that came behind release.log.size */
};

static int by_size(const void *left, const void *right)
{
    const struct verify_point *a = left, *b = right;
    return a->size < b->size ? -1 : a->size > b->size ? 1 : 0;
}

/* L1, L7 */
static void check_points(struct replay *replay)
{
    struct verify_run *run = replay->run;
    for (; replay->next_point < run->npoints && run->points[replay->next_point].size == replay->tree.size;
         replay->next_point++) {
        const struct verify_point *point = &run->points[replay->next_point];
        struct digest root = tlog_root(&replay->tree);
        if (!digest_equal(&root, &point->root))
            verify_problem(run, point->file, point->rule,
                           "the first %" PRIu64 " entries of the log give the root %s, %s says %s: they were "
                           "altered, or it speaks of another history",
                           point->size, digest_hex(&root).text, point->who, digest_hex(&point->root).text);
    }
}

static void grow(struct replay *replay, struct view entry)
{
    struct digest leaf = tlog_leaf(entry);
    tlog_append(&replay->tree, &leaf, NULL, NULL);
}

/* ---- a glance at an entry ---- */

/*
 * Most of a long log is about leases of other jobs, and need not be taken apart: an entry has one form, so kind, job and nonce stand at
 * fixed places. What is in another form is no entry, and is found by whoever takes it apart.
 */
enum glance_kind { GLANCE_OTHER, GLANCE_LEASE, GLANCE_EVENT };
struct glance {
    enum glance_kind kind;
    struct lease_nonce nonce; /* of a lease, or an event of one */
    struct digest job;        /* of a lease or an answer */
    bool has_job;
};

/* Takes words, or 2 * size digits into ret_bytes, off the front of *rest. */
static bool take_words(struct view *rest, struct view words)
{
    if (!view_starts(*rest, words))
        return false;
    *rest = view_of(rest->data + words.size, rest->size - words.size);
    return true;
}

static bool take_hex(struct view *rest, void *ret_bytes, size_t size)
{
    if (rest->size < 2 * size || !hex_decode(view_of(rest->data, 2 * size), ret_bytes, size))
        return false;
    *rest = view_of(rest->data + 2 * size, rest->size - 2 * size);
    return true;
}

/* Which of these stands in front; its number in the list, or SIZE_MAX. */
static size_t take_one(struct view *rest, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct view tried = *rest;
        if (take_words(&tried, view_text(words[i])) && take_words(&tried, VIEW("\",\"nonce\":\""))) {
            *rest = tried;
            return i;
        }
    }
    return SIZE_MAX;
}

static struct glance glance(struct view text)
{
    enum { TIME = sizeof "2026-11-22T16:45:38Z" - 1 };
    static const char *const of_job[] = {"lease", "envelope", "refusal"}, *const other[] = {"lease-end"};
    struct glance found = {.kind = GLANCE_OTHER};
    struct view rest = text;
    if (!take_words(&rest, VIEW("{\"at\":\"")) || rest.size < TIME)
        return found;
    rest = view_of(rest.data + TIME, rest.size - TIME);
    found.has_job = take_words(&rest, VIEW("\",\"job\":\""));
    if (found.has_job && !take_hex(&rest, found.job.bytes, DIGEST_SIZE))
        return found;
    if (!take_words(&rest, VIEW("\",\"kind\":\"")))
        return found;
    size_t which = found.has_job ? take_one(&rest, of_job, ARRAY_SIZE(of_job)) : take_one(&rest, other, 1);
    if (which != SIZE_MAX && take_hex(&rest, found.nonce.bytes, STATEMENT_NONCE_SIZE))
        found.kind = found.has_job && which == 0 ? GLANCE_LEASE : GLANCE_EVENT;
    return found;
}

/* ---- the first walk: leases, verdicts, documents ---- */

static void entry_problem(struct verify_run *run, uint64_t position, const char *rule, const char *what)
{
    verify_problem(run, RELEASE_LOG, rule, "entry %" PRIu64 ": %s", position, what);
}

/* How many rounds can a job have? Somebody asks for each by hand. */
enum { ROUNDS_MAX = 1000 };

static void add_lease(struct replay *replay, uint64_t position, const struct logentry *entry)
{
    struct verify_run *run = replay->run;
    struct verify_job *job = verify_find_job(run, &entry->job);
    if (job == NULL || position >= replay->evidence_ends || map_count(run->leases) >= LEASES_MAX)
        return;
    if (entry->round < 1 || entry->round > ROUNDS_MAX) { /* rounds are counted from the first to the last */
        entry_problem(run, position, "limit", "a lease of a round that no job can have");
        return;
    }
    struct view nonce = view_of(entry->nonce.bytes, STATEMENT_NONCE_SIZE);
    if (map_get(run->leases, nonce) != NULL)
        return; /* the second walk meets it again, and lists it */
    struct logged_lease *lease = mem_zero(1, sizeof *lease);
    *lease = (struct logged_lease){.nonce = entry->nonce,
                                   .job = entry->job,
                                   .position = position,
                                   .granted_ms = entry->at_ms,
                                   .round = entry->round,
                                   .worker = mem_string(entry->worker),
                                   .operator_name = mem_string(entry->operator_name),
                                   .end_position = UINT64_MAX};
    map_set(run->leases, nonce, lease);
    job->logged =
        mem_reserve(job->logged, &job->logged_capacity, job->nlogged + 1, sizeof(struct logged_lease *));
    job->logged[job->nlogged++] = lease;
    if (map_count(run->leases) == LEASES_MAX)
        entry_problem(run, position, "limit", "more leases for the jobs of one release than there can be");
}

static bool has_round(const struct verify_job *job, uint32_t round)
{
    for (size_t i = 0; i < job->nverdicts; i++)
        if (job->verdicts[i].round == round)
            return true;
    return false;
}

static void add_verdict(struct replay *replay, uint64_t position, const struct logentry *entry)
{
    struct verify_job *job = verify_find_job(replay->run, &entry->job);
    if (job == NULL)
        return;
    bool before = position < replay->evidence_ends;
    *(before ? &job->before : &job->after) =
        (struct logged_state){true, entry->verdict, entry->payload, position};
    if (!before || !verdict_is_settled(entry->verdict) || has_round(job, entry->round))
        return;
    if (job->nverdicts == ROUNDS_MAX) {
        entry_problem(replay->run, position, "limit", "more rounds of one job than there can be");
        return;
    }
    job->verdicts = mem_grow(job->verdicts, job->nverdicts + 1, sizeof *job->verdicts);
    job->verdicts[job->nverdicts++] = (struct logged_verdict){entry->round, position};
}

static void newer(int64_t *newest, int64_t version)
{
    if (version > *newest)
        *newest = version;
}

static void see_release(struct replay *replay, const struct logentry *entry)
{
    const struct release *release = replay->run->release;
    newer(&replay->newest_release, entry->version);
    if (entry->version == release->sequence && !digest_equal(&entry->sha256, &release->digest))
        verify_note(
            replay->run,
            "ANOTHER RELEASE of sequence %lld was signed: the log names %s with SHA-256 %s. Ask the release "
            "managers which one is meant.",
            (long long)entry->version, entry->name, digest_hex(&entry->sha256).text);
}

static void see_revocation(struct replay *replay, uint64_t position, const struct logentry *entry)
{
    const struct directory_entry *worker = directory_find(replay->run->directory, entry->worker);
    int64_t from = entry->version < 0 ? 0 : entry->version;
    if (worker == NULL || (worker->compromised_from >= 0 && worker->compromised_from <= from))
        return;
    if (position <
        replay->evidence_ends) /* W11: an older entry of it, signed as well, in a newer directory */
        verify_problem(replay->run, RELEASE_WORKERS, "revocation-hidden",
                       "log entry %" PRIu64 " revokes %s, and the worker directory of the release does not",
                       position, entry->worker);
    else
        verify_note(replay->run,
                    "%s was revoked since this release was made (log entry %" PRIu64
                    "): what its answers are worth is not judged here. Ask for a newer release.",
                    entry->worker, position);
}

static void see_document(struct replay *replay, uint64_t position, const struct logentry *entry)
{
    const struct verify_run *run = replay->run;
    bool before = position < replay->evidence_ends;
    bool directory = entry->kind == LOG_DIRECTORY;
    newer(directory ? &replay->newest_directory : &replay->newest_root, entry->version);
    if (directory)
        replay->workers_logged =
            replay->workers_logged || (before && entry->version == run->directory->version &&
                                       digest_equal(&entry->sha256, &run->directory->digest));
    else
        replay->root_logged = replay->root_logged || (before && entry->version == run->root->version &&
                                                      digest_equal(&entry->sha256, &run->root->digest));
}

static void see_first(struct replay *replay, uint64_t position, const struct logentry *entry)
{
    switch (entry->kind) {
    case LOG_LEASE:
        add_lease(replay, position, entry);
        break;
    case LOG_VERDICT:
        add_verdict(replay, position, entry);
        break;
    case LOG_DIRECTORY:
    case LOG_ROOT:
        see_document(replay, position, entry);
        break;
    case LOG_REVOKE:
        see_revocation(replay, position, entry);
        break;
    case LOG_RELEASE:
        see_release(replay, entry);
        break;
    case LOG_OTHER:
        replay->others++;
        break;
    case LOG_LEASE_END:
    case LOG_ENVELOPE:
    case LOG_REFUSAL:
    case LOG_PLAN:
    case LOG_WAIVER:
        break;
    }
}

static int visit_first(void *context, uint64_t position, struct view text)
{
    struct replay *replay = context;
    struct logentry entry;
    struct diag diag = DIAG_INIT;
    check_points(replay);
    grow(replay, text);
    struct glance seen = glance(text);
    if (seen.kind == GLANCE_LEASE)
        nonceset_add(replay->granted, &seen.nonce);
    if (seen.kind == GLANCE_EVENT ||
        (seen.kind == GLANCE_LEASE && verify_find_job(replay->run, &seen.job) == NULL))
        return 0;
    int result = logentry_parse(text, &entry, &diag);
    if (result < 0) {
        entry_problem(replay->run, position, "log-entry", diag_text(&diag, result));
        return 0;
    }
    see_first(replay, position, &entry);
    logentry_done(&entry);
    return 0;
}

/* ---- the second walk: what became of the leases ---- */

static void end_lease(struct replay *replay, struct logged_lease *lease, uint64_t position, const char *state)
{
    static const char *const names[] = {[LOGGED_ANSWERED] = "answered",
                                        [LOGGED_REFUSED] = "refused",
                                        [LOGGED_EXPIRED] = "expired",
                                        [LOGGED_WITHDRAWN] = "withdrawn"};
    if (lease->end != LOGGED_OPEN)
        entry_problem(replay->run, position, "log-order", "ends a lease that had ended before");
    for (size_t i = LOGGED_ANSWERED; i < ARRAY_SIZE(names); i++)
        if (strcmp(names[i], state) == 0)
            lease->end = (enum logged_end)i;
    lease->end_position = position;
}

static void add_answer(struct replay *replay, struct logged_lease *lease, uint64_t position,
                       const struct logentry *entry)
{
    if (lease->nanswers == ANSWERS_MAX) {
        entry_problem(replay->run, position, "limit", "more answers to one lease than a worker gives");
        return;
    }
    lease->answers = mem_grow(lease->answers, lease->nanswers + 1, sizeof *lease->answers);
    lease->answers[lease->nanswers++] = (struct logged_answer){entry->sha256, position};
}

static void see_second(struct replay *replay, struct logged_lease *lease, uint64_t position,
                       const struct logentry *entry)
{
    bool is_lease = entry->kind == LOG_LEASE;
    if (is_lease && position == lease->position)
        return;
    if (is_lease)
        entry_problem(replay->run, position, "log-order", "grants a lease that was granted before");
    else if (position < lease->position)
        entry_problem(replay->run, position, "log-order",
                      "speaks of a lease that was granted later"); /* K2 */
    else if (position >= replay->evidence_ends)
        replay->late_answers += entry->kind == LOG_ENVELOPE;
    else if (entry->kind == LOG_LEASE_END)
        end_lease(replay, lease, position, entry->state);
    else if (!digest_equal(&entry->job, &lease->job))
        entry_problem(replay->run, position, "answer-lease", "answers a lease of another job"); /* K2 */
    else if (entry->kind == LOG_ENVELOPE)
        add_answer(replay, lease, position, entry);
    else if (entry->kind == LOG_REFUSAL)
        lease->refusals++;
}

/* An answer to a lease of nobody: so could one be shown to its worker, and kept out of every receipt. */
static void check_granted(struct replay *replay, uint64_t position, const struct glance *seen)
{
    if (seen->kind == GLANCE_EVENT && position < replay->evidence_ends &&
        !nonceset_has(replay->granted, &seen->nonce))
        entry_problem(replay->run, position, "log-lease-missing",
                      "speaks of a lease that the log does not show"); /* K2 */
    else if (seen->kind == GLANCE_EVENT && position < replay->evidence_ends && seen->has_job &&
             verify_find_job(replay->run, &seen->job) != NULL)
        entry_problem(replay->run, position, "answer-hidden",
                      "answers a job of this release to a lease that is logged for another job"); /* K2 */
}

static int visit_second(void *context, uint64_t position, struct view text)
{
    struct replay *replay = context;
    struct logentry entry;
    struct diag diag = DIAG_INIT;
    grow(replay, text);
    struct glance seen = glance(text);
    struct logged_lease *lease =
        seen.kind != GLANCE_OTHER
            ? map_get(replay->run->leases, view_of(seen.nonce.bytes, STATEMENT_NONCE_SIZE))
            : NULL;
    if (lease == NULL) {
        check_granted(replay, position, &seen);
        return 0;
    }
    int result = logentry_parse(text, &entry, &diag);
    if (result < 0) {
        entry_problem(replay->run, position, "log-entry", diag_text(&diag, result));
        return 0;
    }
    see_second(replay, lease, position, &entry);
    logentry_done(&entry);
    return 0;
}

/* ---- */

/* L7: what cannot be read as it must be is said with the file's name. */
static bool walk(struct replay *replay, int dirfd,
                 int (*visit)(void *context, uint64_t position, struct view entry))
{
    struct diag diag = DIAG_INIT;
    replay->tree = (struct tlog_tree){.size = 0};
    int result = tiledir_each_entry(dirfd, verify_log_size(replay->run), visit, replay, &diag);
    if (result < 0)
        verify_failure(replay->run, RELEASE_LOG, "log-entries", result, &diag);
    return result >= 0;
}

static void say_newer(const struct replay *replay)
{
    struct verify_run *run = replay->run;
    if (replay->newest_directory > run->directory->version)
        verify_note(run,
                    "A NEWER WORKER DIRECTORY EXISTS: version %lld is in the log, this release was made with "
                    "%lld. Who was "
                    "removed or compromised since is not known here; ask for a newer release.",
                    (long long)replay->newest_directory, (long long)run->directory->version);
    if (replay->newest_root > run->root->version)
        verify_note(run, "A NEWER TRUST ROOT EXISTS: version %lld is in the log, this release has %lld.",
                    (long long)replay->newest_root, (long long)run->root->version);
    if (replay->newest_release > run->release->sequence)
        verify_note(run, "A NEWER RELEASE EXISTS: sequence %lld is in the log, this one has %lld.",
                    (long long)replay->newest_release, (long long)run->release->sequence);
    if (replay->late_answers > 0)
        verify_note(run,
                    "%" PRIu64
                    " answers to leases of this release came after it was made; they are no part of it.",
                    replay->late_answers);
    if (replay->others > 0)
        verify_note(run, "%" PRIu64 " entries of the log are of kinds that this program does not know.",
                    replay->others);
}

static void check_logged(const struct replay *replay)
{
    struct verify_run *run = replay->run;
    CLEANUP_FREE char *root = mem_format(RELEASE_ROOT_FORMAT, (long long)run->root->version);
    if (!replay->workers_logged)
        verify_problem(
            run, RELEASE_WORKERS, "not-logged",
            "version %lld of the worker directory, with these bytes, is not in the log before the release",
            (long long)run->directory->version);
    if (!replay->root_logged)
        verify_problem(run, root, "not-logged", "this trust root is not in the log before the release");
}

static int by_nonce(const void *left, const void *right)
{
    const struct logged_lease *const *a = left, *const *b = right;
    return memcmp((*a)->nonce.bytes, (*b)->nonce.bytes, STATEMENT_NONCE_SIZE);
}

static int by_digest(const void *left, const void *right)
{
    return digest_compare(&((const struct logged_digest *)left)->sha256,
                          &((const struct logged_digest *)right)->sha256);
}

static void index_answers(struct verify_job *job)
{
    size_t count = 0;
    for (size_t i = 0; i < job->nlogged; i++)
        count += job->logged[i]->nanswers;
    job->answers = mem_zero(count + 1, sizeof *job->answers);
    for (size_t i = 0; i < job->nlogged; i++)
        for (size_t k = 0; k < job->logged[i]->nanswers; k++)
            job->answers[job->nanswers++] =
                (struct logged_digest){job->logged[i]->answers[k].sha256, job->logged[i]};
    qsort(job->answers, job->nanswers, sizeof *job->answers, by_digest);
}

static void index_leases(struct verify_run *run)
{
    for (size_t i = 0; i < run->njobs; i++)
        if (run->jobs[i].nlogged > 0) {
            qsort(run->jobs[i].logged, run->jobs[i].nlogged, sizeof(struct logged_lease *), by_nonce);
            index_answers(&run->jobs[i]);
        }
}

static bool replay_both(struct replay *replay, int dirfd)
{
    struct verify_run *run = replay->run;
    if (!walk(replay, dirfd, visit_first))
        return false;
    check_points(replay);
    nonceset_seal(replay->granted);
    struct digest first = tlog_root(&replay->tree);
    if (!walk(replay, dirfd, visit_second))
        return false;
    struct digest second = tlog_root(&replay->tree);
    if (!digest_equal(&first, &second))
        verify_problem(run, RELEASE_LOG, "log-entries", "the entries changed while they were read");
    return digest_equal(&first, &second);
}

void verify_log(struct verify_run *run)
{
    struct replay replay = {.run = run};
    struct diag diag = DIAG_INIT;
    if (!run->has_log)
        return;
    CLEANUP_CLOSE int dirfd = file_open_dir(run->options->dirfd, RELEASE_LOG, &diag);
    if (dirfd < 0) {
        verify_failure(run, RELEASE_LOG, "missing", dirfd, &diag);
        return;
    }
    replay.evidence_ends = run->release->log.size;
    run->leases = map_new();
    qsort(run->points, run->npoints, sizeof *run->points, by_size);
    replay.granted = nonceset_new();
    run->replayed = replay_both(&replay, dirfd);
    nonceset_free(replay.granted);
    if (!run->replayed)
        return;
    run->result->log_entries = replay.tree.size;
    index_leases(run);
    check_logged(&replay);
    say_newer(&replay);
}
