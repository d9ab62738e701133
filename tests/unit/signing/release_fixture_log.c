/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The log as the coordinator of such a farm would have kept it. */
#include "release_fixture_private.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define LOGGED_MS (FIXTURE_NOW - 1000) /* every entry's time, and so every lease's */

static uint64_t add(struct release_fixture *f, struct logentry entry)
{
    entry.at_ms = LOGGED_MS;
    return log_fixture_add(f->log, &entry);
}

static void add_documents(struct release_fixture *f, const struct digest *root, const struct digest *workers)
{
    add(f, (struct logentry){.kind = LOG_ROOT, .version = f->farm->root->version, .sha256 = *root});
    add(f,
        (struct logentry){.kind = LOG_DIRECTORY, .version = f->farm->directory->version, .sha256 = *workers});
    add(f, (struct logentry){.kind = LOG_PLAN, .sha256 = f->plan->id});
}

static void add_grant(struct release_fixture *f, size_t at)
{
    const struct fixture_vote *vote = &f->votes[at];
    add(f, (struct logentry){.kind = LOG_LEASE,
                             .job = f->packages[vote->package].job,
                             .nonce = fixture_nonce(at),
                             .round = f->logged_round != 0 ? f->logged_round : vote->round,
                             .worker = fixture_holder(f, at),
                             .operator_name = fixture_operators[vote->operator_index]});
}

static void add_end(struct release_fixture *f, size_t at, const char *state)
{
    add(f, (struct logentry){.kind = LOG_LEASE_END, .nonce = fixture_nonce(at), .state = state});
}

static void add_answer(struct release_fixture *f, size_t at, enum logentry_kind kind)
{
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    fixture_envelope(f, at, &envelope);
    f->votes[at].position = add(f, (struct logentry){.kind = kind,
                                                     .job = f->packages[f->votes[at].package].job,
                                                     .nonce = fixture_nonce(at),
                                                     .sha256 = digest_of(buf_view(&envelope))});
}

static void add_outcome(struct release_fixture *f, size_t at)
{
    switch (f->votes[at].outcome) {
    case OUTCOME_ANSWERED:
        add_answer(f, at, LOG_ENVELOPE);
        add_end(f, at, "answered");
        break;
    case OUTCOME_LATE:
        add_end(f, at, "expired");
        add_answer(f, at, LOG_ENVELOPE);
        break;
    case OUTCOME_REFUSED:
        add_answer(f, at, LOG_REFUSAL);
        add_end(f, at, "answered");
        break;
    case OUTCOME_EXPIRED:
        add_end(f, at, "expired");
        break;
    case OUTCOME_RETURNED:
        add_end(f, at, "refused");
        break;
    case OUTCOME_REVOKED:
        break;
    }
}

static bool belongs(const struct fixture_vote *vote, size_t package, uint32_t round, bool open)
{
    return vote->package == package && vote->round == round && vote->open == open;
}

/* The answers of one round, those that were blind or those that were open. */
static size_t add_votes(struct release_fixture *f, size_t package, uint32_t round, bool open)
{
    size_t count = 0;
    for (size_t i = 0; i < f->nvotes; i++)
        if (f->log_hides != i + 1 && belongs(&f->votes[i], package, round, open))
            add_grant(f, i);
    for (size_t i = 0; i < f->nvotes; i++)
        if (f->log_hides != i + 1 && belongs(&f->votes[i], package, round, open)) {
            add_outcome(f, i);
            count += f->votes[i].answer == ANSWER_GOOD;
        }
    return count;
}

static void add_round(struct release_fixture *f, size_t package, uint32_t round)
{
    enum { QUORUM = 2 };
    size_t good = add_votes(f, package, round, false);
    bool has_open = false;
    for (size_t i = 0; i < f->nvotes; i++)
        has_open = has_open || belongs(&f->votes[i], package, round, true);
    if (good >= QUORUM || has_open)
        add(f, (struct logentry){.kind = LOG_VERDICT,
                                 .job = f->packages[package].job,
                                 .round = round,
                                 .verdict = VERDICT_AGREED,
                                 .payload = f->packages[package].payload.manifest,
                                 .operators = (uint32_t)good});
    add_votes(f, package, round, true);
}

static void call_hook(struct release_fixture *f, enum fixture_stage stage)
{
    if (f->log_hook != NULL)
        f->log_hook(f, stage);
}

void fixture_write_log(struct release_fixture *f, const struct digest *root, const struct digest *workers)
{
    enum { ROUNDS = 2 };
    log_fixture_clear(f->log);
    add_documents(f, root, workers);
    for (size_t i = 0; i < f->npackages; i++)
        for (uint32_t round = 1; round <= ROUNDS; round++)
            add_round(f, i, round);
    call_hook(f, LOG_EVIDENCE);
    f->log_size = f->log->nentries;
    call_hook(f, LOG_LATER);
    f->checkpoint = log_fixture_checkpoint(f->log, f->log->nentries);
    log_fixture_write(f->log, f->release_dirfd, f->log->nentries);
    release_fixture_put_checkpoint(f, "release/log/checkpoint", f->log->nentries, f->cosigners);
}

void release_fixture_put_checkpoint(struct release_fixture *f, const char *path, uint64_t size,
                                    unsigned int cosigners)
{
    CLEANUP_BUF struct buf note = BUF_INIT;
    struct checkpoint checkpoint = log_fixture_checkpoint(f->log, size);
    log_fixture_sign(f->log, &checkpoint, &note);
    for (size_t i = 0; i < FIXTURE_OPERATORS; i++)
        if ((cosigners >> i & 1) != 0)
            log_fixture_cosign(&checkpoint, fixture_operators[i], f->farm->workers[i],
                               (uint64_t)(f->cosigned_ms / 1000), &note);
    fixture_put(f->dirfd, path, buf_view(&note), 0644);
}

static struct lease_nonce seeded(unsigned char seed)
{
    struct lease_nonce nonce = {{seed, 0, 0, 9}};
    return nonce;
}

uint64_t release_fixture_log_lease(struct release_fixture *f, size_t package, size_t operator_index,
                                   unsigned char seed)
{
    return add(f, (struct logentry){.kind = LOG_LEASE,
                                    .job = f->packages[package].job,
                                    .nonce = seeded(seed),
                                    .round = 1,
                                    .worker = fixture_workers[operator_index],
                                    .operator_name = fixture_operators[operator_index]});
}

uint64_t release_fixture_log_event(struct release_fixture *f, enum logentry_kind kind, unsigned char seed,
                                   const char *words)
{
    return add(f, (struct logentry){.kind = kind,
                                    .job = f->packages[LIBA].job,
                                    .nonce = seeded(seed),
                                    .state = words,
                                    .sha256 = digest_of(view_text(words))});
}
