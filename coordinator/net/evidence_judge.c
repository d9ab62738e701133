/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the log says of the rows, and what the answers amount to. In the pool: nothing in here asks the database or the core. */
#include "evidence.h"

#include "file.h"
#include "journal.h"
#include "tiledir.h"

#include <assert.h>
#include <stdlib.h>

struct evidence_lease *evidence_find_lease(const struct evidence_job *job, const struct lease_nonce *nonce)
{
    for (size_t i = 0; i < job->nleases; i++)
        if (lease_nonce_equal(&job->leases[i].nonce, nonce))
            return &job->leases[i];
    return NULL;
}

bool evidence_is_open(const struct evidence_job *job, uint32_t round, uint64_t position)
{
    for (size_t i = 0; i < job->nrounds; i++)
        if (job->rounds[i].round == round)
            return position != EVIDENCE_NOWHERE && position > job->rounds[i].settled;
    return false;
}

enum lease_outcome evidence_outcome(const struct evidence_lease *lease)
{
    if (lease->answered != EVIDENCE_NOWHERE)
        return lease->answered > lease->ended ? OUTCOME_LATE : OUTCOME_ANSWERED;
    if (lease->refused != EVIDENCE_NOWHERE)
        return OUTCOME_REFUSED;
    if (lease->ended == EVIDENCE_NOWHERE)
        return OUTCOME_EXPIRED; /* nothing came of it as far as the log goes */
    switch (lease->ended_as) {
    case LEASE_REFUSED:
    case LEASE_WITHDRAWN:
        return OUTCOME_RETURNED;
    case LEASE_LIVE:
    case LEASE_ANSWERED:
    case LEASE_EXPIRED:
        return OUTCOME_EXPIRED;
    }
    return OUTCOME_EXPIRED;
}

/* ---- the log ---- */

struct evidence_index {
    struct map *leases; /* nonce -> struct evidence_lease */
    struct map *jobs;   /* key -> struct evidence_job */
};

struct evidence_index *evidence_index_new(struct evidence *evidence)
{
    struct evidence_index *index = mem_zero(1, sizeof *index);
    index->leases = map_new();
    index->jobs = map_new();
    for (size_t i = 0; i < evidence->njobs; i++) {
        struct evidence_job *job = &evidence->jobs[i];
        if (job->keyed)
            map_set(index->jobs, view_of(job->key.bytes, DIGEST_SIZE), job);
        for (size_t k = 0; k < job->nleases; k++)
            map_set(index->leases, view_of(job->leases[k].nonce.bytes, STATEMENT_NONCE_SIZE),
                    &job->leases[k]);
    }
    return index;
}

struct evidence_index *evidence_index_free(struct evidence_index *index)
{
    if (index == NULL)
        return NULL;
    map_free(index->leases);
    map_free(index->jobs);
    free(index);
    return NULL;
}

static enum lease_state state_of(const char *name)
{
    for (int state = LEASE_ANSWERED; state < LEASE_WITHDRAWN; state++)
        if (strcmp(name, lease_state_name((enum lease_state)state)) == 0)
            return (enum lease_state)state;
    return LEASE_WITHDRAWN;
}

/* What the log says of the grant's time is what everybody sees. */
static void take_grant(struct evidence_index *index, const struct logentry *entry)
{
    struct evidence_lease *lease = map_get(index->leases, view_of(entry->nonce.bytes, STATEMENT_NONCE_SIZE));
    if (lease != NULL)
        lease->granted_ms = entry->at_ms;
}

static void take_end(struct evidence_index *index, uint64_t position, const struct logentry *entry)
{
    struct evidence_lease *lease = map_get(index->leases, view_of(entry->nonce.bytes, STATEMENT_NONCE_SIZE));
    if (lease == NULL || lease->ended != EVIDENCE_NOWHERE)
        return;
    lease->ended = position;
    lease->ended_as = state_of(entry->state);
}

static void take_verdict(struct evidence_index *index, uint64_t position, const struct logentry *entry)
{
    struct evidence_job *job = map_get(index->jobs, view_of(entry->job.bytes, DIGEST_SIZE));
    if (job == NULL || !verdict_is_settled(entry->verdict))
        return;
    for (size_t i = 0; i < job->nrounds; i++)
        if (job->rounds[i].round == entry->round)
            return;
    job->rounds = mem_reserve(job->rounds, &job->rounds_capacity, job->nrounds + 1, sizeof *job->rounds);
    job->rounds[job->nrounds++] = (struct evidence_round){entry->round, position};
}

/* The value of a member that is 32 bytes in hex. Entries have one form, in which it stands so and nowhere else. */
static bool find_hex(struct view entry, struct view member, unsigned char ret[DIGEST_SIZE])
{
    const char *at = memmem(entry.data, entry.size, member.data, member.size);
    size_t offset = at != NULL ? (size_t)(at - entry.data) + member.size : 0;
    return at != NULL && entry.size - offset >= DIGEST_HEX_SIZE &&
           hex_decode(view_of(entry.data + offset, DIGEST_HEX_SIZE), ret, DIGEST_SIZE);
}

static bool has_text(struct view entry, struct view text)
{
    return memmem(entry.data, entry.size, text.data, text.size) != NULL;
}

/* Most of a log is about other plans, and of the answers the rows know the positions: neither need be taken apart. */
static bool is_of_interest(const struct evidence_index *index, struct view entry)
{
    unsigned char bytes[DIGEST_SIZE];
    if (entry.size == 0)
        return false;
    if (has_text(entry, VIEW("\"kind\":\"verdict\"")))
        return find_hex(entry, VIEW("\"job\":\""), bytes) &&
               map_get(index->jobs, view_of(bytes, sizeof bytes)) != NULL;
    if (has_text(entry, VIEW("\"kind\":\"lease")))
        return find_hex(entry, VIEW("\"nonce\":\""), bytes) &&
               map_get(index->leases, view_of(bytes, sizeof bytes)) != NULL;
    return false;
}

int evidence_take_entry(struct evidence_index *index, uint64_t position, struct view text, struct diag *diag)
{
    struct logentry entry;
    if (!is_of_interest(index, text))
        return 0;
    int result = logentry_parse(text, &entry, diag);
    if (result < 0)
        return diag_wrap(diag, result, "log entry %llu", (unsigned long long)position);
    if (entry.kind == LOG_LEASE)
        take_grant(index, &entry);
    else if (entry.kind == LOG_LEASE_END)
        take_end(index, position, &entry);
    else if (entry.kind == LOG_VERDICT)
        take_verdict(index, position, &entry);
    logentry_done(&entry);
    return 0;
}

struct walk {
    struct evidence_index *index;
    struct diag *diag;
};

static int visit_entry(void *context, uint64_t position, struct view entry)
{
    struct walk *walk = context;
    return evidence_take_entry(walk->index, position, entry, walk->diag);
}

int evidence_read_log(struct evidence *evidence, int state_dirfd, struct diag *diag)
{
    CLEANUP_CLOSE int dirfd = file_open_dir(state_dirfd, JOURNAL_DIR, diag);
    if (dirfd < 0)
        return dirfd;
    struct walk walk = {evidence_index_new(evidence), diag};
    int result = tiledir_each_entry(dirfd, evidence->size, visit_entry, &walk, diag);
    evidence_index_free(walk.index);
    return result < 0 ? diag_wrap(diag, result, "transparency log") : 0;
}

/* ---- verdicts ---- */

struct cast {
    struct vote vote;
    uint32_t round;
    struct digest tar;
};
struct ballots {
    struct evidence_job *job;
    struct cast *casts;
    size_t ncasts;
    struct vote *votes; /* the same for verdict_of_rounds() */
    uint32_t *rounds;
};

/* W11: what the directory takes back does not count, as farm-verify has it. */
static bool counts(const struct evidence_lease *lease, const struct evidence_answer *answer,
                   const struct directory_entry *entry)
{
    return entry != NULL && strcmp(entry->operator_name, lease->operator_name) == 0 &&
           lease->granted_ms >= entry->admitted_ms && lease->granted_ms < entry->expires_ms &&
           (entry->compromised_from < 0 || answer->position < (uint64_t)entry->compromised_from);
}

static void cast_votes(struct ballots *ballots, const struct directory *directory, const struct root *root)
{
    const struct evidence_job *job = ballots->job;
    for (size_t i = 0; i < job->nanswers; i++) {
        const struct evidence_answer *answer = &job->answers[i];
        const struct evidence_lease *lease = evidence_find_lease(job, &answer->nonce);
        assert(lease != NULL); /* evidence_collect() takes no answer without its lease */
        const struct directory_entry *entry = directory_find(directory, lease->worker);
        if (!counts(lease, answer, entry))
            continue;
        ballots->casts[ballots->ncasts++] =
            (struct cast){.vote = {.operator_name = entry->operator_name,
                                   .anchor = directory_entry_is_anchor(entry, root),
                                   .open = evidence_is_open(job, lease->round, answer->position),
                                   .failure = answer->failure,
                                   .payload = answer->payload,
                                   .cpu_vendor = entry->cpu_vendor,
                                   .kernel = entry->kernel,
                                   .site = entry->site},
                          .round = lease->round,
                          .tar = answer->tar};
    }
}

static void forget_operators(struct evidence_job *job)
{
    for (size_t i = 0; i < job->noperators; i++)
        free(job->operators[i]);
    free(job->operators);
    job->operators = NULL;
    job->noperators = 0;
}

static void take_agreement(struct evidence_job *job, const struct verdict *verdict, const struct vote *votes,
                           size_t n)
{
    const char *names[RELEASE_OPERATORS_MAX];
    size_t count = verdict_supporters(&job->rules, votes, n, &verdict->payload, names, ARRAY_SIZE(names));
    count = count < ARRAY_SIZE(names) ? count : ARRAY_SIZE(names);
    forget_operators(job);
    job->operators = mem_zero(count + 1, sizeof *job->operators);
    for (; job->noperators < count; job->noperators++)
        job->operators[job->noperators] = mem_string(names[job->noperators]);
    job->agreed = true;
    job->verdict = VERDICT_AGREED;
    job->payload = verdict->payload;
    job->support = verdict->operators;
    job->dissent = verdict->dissent;
}

static void judge_rounds(struct ballots *ballots)
{
    struct evidence_job *job = ballots->job;
    for (size_t i = 0; i < ballots->ncasts; i++) {
        ballots->votes[i] = ballots->casts[i].vote;
        ballots->rounds[i] = ballots->casts[i].round;
    }
    struct verdict_rounds rounds =
        verdict_of_rounds(&job->rules, ballots->votes, ballots->rounds, ballots->ncasts);
    if (rounds.agreed)
        take_agreement(job, &rounds.all, ballots->votes, ballots->ncasts);
    else
        job->verdict = rounds.contradicted                  ? VERDICT_DISPUTED
                       : rounds.all.state == VERDICT_AGREED ? VERDICT_PENDING /* no round by itself */
                                                            : rounds.all.state;
}

/* Who agrees on the manifest must have made the same tar of it: the one is a function of the other. */
static void find_tar(struct ballots *ballots)
{
    struct evidence_job *job = ballots->job;
    bool found = false;
    for (size_t i = 0; job->agreed && i < ballots->ncasts; i++) {
        const struct cast *cast = &ballots->casts[i];
        if (cast->vote.failure != FAILURE_NONE || !digest_equal(&cast->vote.payload, &job->payload))
            continue;
        if (found && !digest_equal(&job->tar, &cast->tar))
            job->agreed = false;
        job->tar = cast->tar;
        found = true;
    }
    if (!job->agreed) {
        forget_operators(job);
        job->support = job->dissent = 0;
    }
}

void evidence_judge(struct evidence *evidence, const struct directory *directory, const struct root *root)
{
    for (size_t i = 0; i < evidence->njobs; i++) {
        struct evidence_job *job = &evidence->jobs[i];
        struct ballots ballots = {.job = job};
        ballots.casts = mem_zero(job->nanswers + 1, sizeof *ballots.casts);
        ballots.votes = mem_zero(job->nanswers + 1, sizeof *ballots.votes);
        ballots.rounds = mem_zero(job->nanswers + 1, sizeof *ballots.rounds);
        job->agreed = false;
        job->verdict = VERDICT_PENDING;
        job->support = job->dissent = 0;
        cast_votes(&ballots, directory, root);
        judge_rounds(&ballots);
        find_tar(&ballots);
        free(ballots.casts);
        free(ballots.votes);
        free(ballots.rounds);
    }
}
