/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Audit: what the database claims about answers, votes and verdicts, against what workers signed.
 *
 * Every attestation's bytes are hashed and its signature is verified with its worker's key (on all cores: this is what a start takes
 * its time for); what its row says must be what the statement says. Every vote must be carried by such an attestation of that
 * operator, every operator's answers must give exactly the vote that it has, and every verdict must be one that the votes can give.
 * A difference refuses to start and names the row (cases D1, D2, D4). Voided answers are verified as well, and count for nothing.
 *
 * Which policy a verdict was reached under is not asked here: the core judges again, with the rules of each plan.
 */
#include "farm.h"

#include "farmlog.h"
#include "journal.h"
#include "parallel.h"
#include "startup_progress.h"
#include "statement.h"

#include <stdlib.h>

/* Verified at a time: enough to keep all cores busy, little enough to hold the envelopes (48 KiB at most) in memory. */
enum { BATCH = 256 };

struct lease_of {
    struct digest job;
    uint32_t round;
    char worker[WIRE_NAME_MAX + 1], operator_name[WIRE_NAME_MAX + 1];
};

/* A row on its way through the verification; everything is a copy. */
struct candidate {
    struct digest digest, nonce, payload, tar, log;
    enum failure_kind failure;
    char kind[16], fate[16]; /* as the row has them */
    struct buf envelope;
    struct lease_of lease;
    const struct public_key *key;
    const char *what; /* what is wrong with it; else NULL */
    struct diag diag;
};

/* What the answers of one operator to one job and round amount to. */
struct voter {
    struct digest job, payload; /* payload: of its first digest */
    uint32_t round;
    char *operator_name;
    unsigned int digests, failures; /* different digests (two are as good as more); failures */
    bool any;                       /* it has answered, void or not */
    bool has_vote;                  /* there is a row */
};

/* A verified attestation. */
struct checked {
    struct voter *voter;
    struct digest payload;
    bool failed, counts; /* counts: neither void nor an infrastructure failure */
    bool counted, open;  /* by its fate */
};

/* Votes for one answer. */
struct tally {
    unsigned int votes, open;
    bool seen; /* somebody gave this answer, void or not */
};

struct audit {
    struct farm *farm;
    struct map *keys;         /* worker -> struct public_key; also of those that left */
    struct map *voided;       /* digests */
    struct map *attestations; /* digest -> struct checked */
    struct map *voters;       /* job, round, operator -> struct voter */
    struct map *tallies;      /* job, round, answer -> struct tally */
    struct map *shaken;       /* job, round: of these, something was voided */
    struct candidate *batch;
    size_t count; /* of the batch */
    struct startup_progress progress;
    struct diag *diag;
};

static struct view digest_key(const struct digest *digest)
{
    return view_of(digest->bytes, DIGEST_SIZE);
}

static int bad_row(struct audit *audit, const char *table, const struct digest *row, const char *what)
{
    return diag_set(
        audit->diag, FARM_E_CORRUPT,
        "database: %s %s: %s. Nothing of it is believed; restore a backup, or remove the row and build again",
        table, digest_hex(row).text, what);
}

/* ---- keys of the maps ---- */

struct round_key {
    unsigned char bytes[(size_t)2 * DIGEST_SIZE + sizeof(uint32_t) + 1];
    size_t size;
};

static struct view key_view(const struct round_key *key)
{
    return view_of(key->bytes, key->size);
}

static struct round_key round_key(const struct digest *job, uint32_t round)
{
    struct round_key key = {.size = DIGEST_SIZE + sizeof round};
    memcpy(key.bytes, job->bytes, DIGEST_SIZE);
    memcpy(key.bytes + DIGEST_SIZE, &round, sizeof round);
    return key;
}

/* Failures share the zero payload. */
static struct round_key answer_key(const struct digest *job, uint32_t round, const struct digest *payload,
                                   bool failed)
{
    struct round_key key = round_key(job, round);
    memcpy(key.bytes + key.size, payload->bytes, DIGEST_SIZE);
    key.size += DIGEST_SIZE;
    key.bytes[key.size++] = failed;
    return key;
}

static struct tally *tally_of(struct audit *audit, const struct digest *job, uint32_t round,
                              const struct digest *payload, bool failed)
{
    struct round_key key = answer_key(job, round, payload, failed);
    struct tally *tally = map_get(audit->tallies, key_view(&key));
    if (tally == NULL) {
        tally = mem_zero(1, sizeof *tally);
        map_set(audit->tallies, key_view(&key), tally);
    }
    return tally;
}

static struct voter *voter_of(struct audit *audit, const struct digest *job, uint32_t round,
                              const char *operator_name)
{
    CLEANUP_BUF struct buf key = BUF_INIT;
    struct round_key start = round_key(job, round);
    buf_add_view(&key, key_view(&start));
    buf_add_text(&key, operator_name);
    struct voter *voter = map_get(audit->voters, buf_view(&key));
    if (voter == NULL) {
        voter = mem_zero(1, sizeof *voter);
        voter->job = *job;
        voter->round = round;
        voter->operator_name = mem_string(operator_name);
        map_set(audit->voters, buf_view(&key), voter);
    }
    return voter;
}

/* ---- one attestation, on any thread ---- */

static const char *compare(const struct candidate *candidate, const struct statement *statement)
{
    static const struct digest none;
    const struct lease_of *lease = &candidate->lease;
    bool failed = statement->failure != FAILURE_NONE;
    if (memcmp(statement->nonce.bytes, candidate->nonce.bytes, DIGEST_SIZE) != 0 ||
        !digest_equal(&statement->job, &lease->job) || strcmp(statement->worker, lease->worker) != 0 ||
        strcmp(statement->operator_name, lease->operator_name) != 0)
        return "its lease is another one than the worker signed for";
    if (strcmp(failure_kind_name(statement->failure), candidate->kind) != 0 ||
        !digest_equal(&candidate->payload, failed ? &none : &statement->payload) ||
        !digest_equal(&candidate->tar, failed ? &none : &statement->tar) ||
        !digest_equal(&candidate->log, &statement->log))
        return "the row differs from what the worker signed";
    return NULL;
}

static void verify(void *context, size_t index)
{
    struct candidate *candidate = (struct candidate *)context + index;
    struct digest actual = digest_of(buf_view(&candidate->envelope));
    CLEANUP_STATEMENT struct statement *statement = NULL;
    if (candidate->what != NULL)
        return;
    int result = 0;
    if (!digest_equal(&actual, &candidate->digest))
        candidate->what = "the envelope's bytes have another digest";
    else if ((result = statement_open(buf_view(&candidate->envelope), candidate->key, &statement,
                                      &candidate->diag)) < 0)
        candidate->what = diag_text(&candidate->diag, result);
    else if ((candidate->what = compare(candidate, statement)) == NULL)
        candidate->failure = statement->failure;
}

/* ---- what it adds ---- */

static void count_answer(struct audit *audit, const struct candidate *candidate, struct checked *checked)
{
    struct voter *voter = checked->voter;
    tally_of(audit, &voter->job, voter->round, &checked->payload, checked->failed)->seen = true;
    if (!checked->counts)
        return;
    if (checked->failed) {
        voter->failures++;
    } else if (voter->digests == 0) {
        voter->digests = 1;
        voter->payload = candidate->payload;
    } else if (!digest_equal(&voter->payload, &candidate->payload)) {
        voter->digests = 2;
    }
}

/* Rows come in order of arrival: who had not answered before has a vote from then on. */
static int remember(struct audit *audit, const struct candidate *candidate)
{
    const struct lease_of *lease = &candidate->lease;
    bool is_void = map_get(audit->voided, digest_key(&candidate->digest)) != NULL;
    struct checked *checked = mem_zero(1, sizeof *checked);
    checked->voter = voter_of(audit, &lease->job, lease->round, lease->operator_name);
    checked->payload = candidate->payload;
    checked->failed = candidate->failure != FAILURE_NONE;
    checked->counts = !is_void && candidate->failure != FAILURE_INFRASTRUCTURE;
    checked->open = strcmp(candidate->fate, answer_fate_name(ANSWER_OPEN)) == 0;
    checked->counted = checked->open || strcmp(candidate->fate, answer_fate_name(ANSWER_COUNTED)) == 0;
    map_set(audit->attestations, digest_key(&candidate->digest), checked);
    if (candidate->failure == FAILURE_INFRASTRUCTURE)
        return 0;
    bool first = !checked->voter->any;
    checked->voter->any = true;
    count_answer(audit, candidate, checked);
    if (is_void) {
        struct round_key key = round_key(&lease->job, lease->round);
        map_set(audit->shaken, key_view(&key), audit);
    }
    if (first && !checked->counted)
        return bad_row(audit, "attestation", &candidate->digest,
                       "it is its operator's first answer, and was not counted as this vote");
    return 0;
}

static int finish_batch(struct audit *audit)
{
    int result = 0;
    parallel_each(audit->count, 0, verify, audit->batch);
    for (size_t i = 0; i < audit->count; i++) {
        struct candidate *candidate = &audit->batch[i];
        if (result >= 0 && candidate->what != NULL)
            result = bad_row(audit, "attestation", &candidate->digest, candidate->what);
        if (result >= 0)
            result = remember(audit, candidate);
        buf_done(&candidate->envelope);
    }
    audit->count = 0;
    return result;
}

static int visit_lease(void *context, const struct db_lease *row)
{
    struct lease_of *lease = context;
    lease->job = row->job;
    lease->round = row->round;
    snprintf(lease->worker, sizeof lease->worker, "%s", row->worker);
    snprintf(lease->operator_name, sizeof lease->operator_name, "%s", row->operator_name);
    return 0;
}

static int visit_attestation(void *context, const struct db_attestation *row)
{
    struct audit *audit = context;
    struct candidate *candidate = &audit->batch[audit->count++];
    startup_progress_at(&audit->progress, (uint64_t)row->position, moment_steady_ms());
    *candidate = (struct candidate){.digest = row->digest,
                                    .nonce = row->nonce,
                                    .payload = row->payload,
                                    .tar = row->tar,
                                    .log = row->log};
    snprintf(candidate->kind, sizeof candidate->kind, "%s", row->failure);
    snprintf(candidate->fate, sizeof candidate->fate, "%s", row->fate);
    buf_add_view(&candidate->envelope, row->envelope);
    int found = db_find_lease(audit->farm->db, &row->nonce, visit_lease, &candidate->lease, audit->diag);
    if (found < 0)
        return found;
    candidate->key = map_get(audit->keys, view_text(candidate->lease.worker));
    if (found == 0)
        candidate->what = "its lease is missing";
    else if (candidate->key == NULL)
        candidate->what = "its worker is not in table \"worker\"";
    return audit->count == BATCH ? finish_batch(audit) : 0;
}

static int check_attestations(struct audit *audit)
{
    audit->batch = mem_zero(BATCH, sizeof *audit->batch);
    audit->progress = startup_progress_begin("the answers", journal_size(audit->farm), moment_steady_ms());
    int rows = db_each_attestation(audit->farm->db, visit_attestation, audit, audit->diag);
    int result = rows < 0 ? rows : finish_batch(audit);
    for (size_t i = 0; i < audit->count; i++) /* after an error in between */
        buf_done(&audit->batch[i].envelope);
    free(audit->batch);
    return result < 0 ? result : rows;
}

/* ---- votes ---- */

static int check_vote(void *context, const struct db_vote *row)
{
    struct audit *audit = context;
    struct checked *checked = map_get(audit->attestations, digest_key(&row->attestation));
    if (checked == NULL)
        return bad_row(audit, "vote for job", &row->job, "there is no attestation behind it");
    struct voter *voter = checked->voter;
    if (!digest_equal(&voter->job, &row->job) || voter->round != row->round ||
        strcmp(voter->operator_name, row->operator_name) != 0)
        return bad_row(audit, "vote for job", &row->job,
                       "the attestation behind it is another operator's or job's");
    if (!checked->counts)
        return bad_row(audit, "vote for job", &row->job, "the answer behind it is void, or was none");
    if ((checked->counted && checked->open != row->open) || voter->digests > 1 ||
        (checked->failed && voter->digests > 0))
        return bad_row(audit, "vote for job", &row->job,
                       "the attestation behind it was not counted as this vote");
    voter->has_vote = true;
    struct tally *tally = tally_of(audit, &row->job, row->round, &checked->payload, checked->failed);
    tally->votes++;
    tally->open += row->open;
    return 0;
}

/* A vote that was taken away must not stay unseen. */
static int check_complete(struct audit *audit)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(audit->voters, &cursor, &key, &value)) {
        const struct voter *voter = value;
        bool votes = voter->digests == 1 || (voter->digests == 0 && voter->failures > 0);
        if (votes && !voter->has_vote)
            return bad_row(audit, "vote for job", &voter->job,
                           "it is missing, though its answer was counted");
    }
    return 0;
}

/* ---- verdicts ---- */

/* Open votes count where the policy says so: between those two. */
static int check_verdict(void *context, const struct db_verdict *row)
{
    struct audit *audit = context;
    bool agreed = strcmp(row->state, "agreed") == 0, failed = strcmp(row->state, "failed") == 0;
    struct round_key key = round_key(&row->job, row->round);
    if (!agreed && !failed)
        return 0;
    const struct tally *tally = tally_of(audit, &row->job, row->round, &row->payload, failed);
    /* It may be from before something was voided, if nobody has asked for the job since. */
    bool stale = map_get(audit->shaken, key_view(&key)) != NULL && tally->seen;
    bool fits = tally->votes > 0 && row->operators >= tally->votes - tally->open && row->operators > 0 &&
                row->operators <= tally->votes;
    if (!stale && !fits)
        return bad_row(audit, "verdict for job", &row->job, "it is not what the signed answers say");
    return 0;
}

/* ---- all of it ---- */

/* A revoked worker's entry is gone from the directory, but its keys stay in its row. */
static int visit_worker(void *context, const struct db_worker *row)
{
    struct audit *audit = context;
    struct public_key *key = mem_zero(1, sizeof *key);
    memcpy(key->bytes, row->ed25519.bytes, KEYS_PUBLIC_SIZE);
    free(map_set(audit->keys, view_text(row->name), key));
    if (!keys_public_is_valid(key))
        return diag_set(audit->diag, FARM_E_CORRUPT,
                        "database: worker %s: its key is no Ed25519 key that could sign; restore a backup",
                        row->name);
    return 0;
}

static int visit_voided(void *context, const struct db_voided *row)
{
    struct audit *audit = context;
    map_set(audit->voided, digest_key(&row->attestation), audit);
    return 0;
}

static void free_all(struct map *map)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(map, &cursor, &key, &value))
        free(value);
    map_free(map);
}

static void audit_done(struct audit *audit)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(audit->voters, &cursor, &key, &value))
        free(((struct voter *)value)->operator_name);
    free_all(audit->voters);
    free_all(audit->keys);
    free_all(audit->attestations);
    free_all(audit->tallies);
    map_free(audit->voided);
    map_free(audit->shaken);
}

int startup_audit(struct farm *farm, struct diag *diag)
{
    struct audit audit = {.farm = farm,
                          .keys = map_new(),
                          .voided = map_new(),
                          .attestations = map_new(),
                          .voters = map_new(),
                          .tallies = map_new(),
                          .shaken = map_new(),
                          .diag = diag};
    int result = db_each_worker(farm->db, visit_worker, &audit, diag);
    if (result >= 0)
        result = db_each_voided(farm->db, visit_voided, &audit, diag);
    if (result >= 0)
        result = check_attestations(&audit);
    int attestations = result;
    if (result >= 0)
        result = db_each_vote(farm->db, check_vote, &audit, diag);
    if (result >= 0)
        result = check_complete(&audit);
    if (result >= 0)
        result = db_each_verdict(farm->db, check_verdict, &audit, diag);
    if (result >= 0)
        log_info("database verified: %d attestations, %d verdicts", attestations, result);
    audit_done(&audit);
    return result < 0 ? result : 0;
}
