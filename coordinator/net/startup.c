/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Startup: reads the database back, and believes nothing in it.
 *
 * Every attestation's bytes are hashed and its signature is verified with the directory's key; what its row
 * says must be what the statement says; every vote must be carried by such an attestation of that operator;
 * every verdict must be the one that the votes give. A difference refuses to start and names the row (cases
 * D1, D2, D4).
 */
#include "farm.h"

#include "farmlog.h"
#include "journal.h"
#include "statement.h"

#include <stdlib.h>

/* What the checked attestations say: by digest. */
struct checked {
    char *operator_name;
    struct digest job, payload;
    uint32_t round;
    bool failed;
    bool counted, open; /* by its fate */
};

struct audit {
    struct farm *farm;
    struct map *keys;         /* worker -> struct public_key; also of those that left */
    struct map *attestations; /* digest -> struct checked */
    struct map *voters;  /* job, round, operator: has a vote, or gave two answers and has none any more */
    struct map *tallies; /* job, round, payload -> number of votes (as pointer) */
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

struct lease_of {
    struct digest job;
    uint32_t round;
    char worker[WIRE_NAME_MAX + 1], operator_name[WIRE_NAME_MAX + 1];
};

static int visit_lease(void *context, const struct db_lease *row)
{
    struct lease_of *lease = context;
    lease->job = row->job;
    lease->round = row->round;
    snprintf(lease->worker, sizeof lease->worker, "%s", row->worker);
    snprintf(lease->operator_name, sizeof lease->operator_name, "%s", row->operator_name);
    return 0;
}

static int compare(struct audit *audit, const struct db_attestation *row, const struct lease_of *lease,
                   const struct statement *statement)
{
    static const struct digest none;
    bool failed = statement->failure != FAILURE_NONE;
    if (memcmp(statement->nonce.bytes, row->nonce.bytes, DIGEST_SIZE) != 0 ||
        !digest_equal(&statement->job, &lease->job) || strcmp(statement->worker, lease->worker) != 0 ||
        strcmp(statement->operator_name, lease->operator_name) != 0)
        return bad_row(audit, "attestation", &row->digest,
                       "its lease is another one than the worker signed for");
    if (strcmp(failure_kind_name(statement->failure), row->failure) != 0 ||
        !digest_equal(&row->payload, failed ? &none : &statement->payload) ||
        !digest_equal(&row->tar, failed ? &none : &statement->tar) ||
        !digest_equal(&row->log, &statement->log))
        return bad_row(audit, "attestation", &row->digest, "the row differs from what the worker signed");
    return 0;
}

static void voter_key(struct buf *ret, const struct digest *job, uint32_t round, const char *operator_name)
{
    buf_add(ret, job->bytes, DIGEST_SIZE);
    buf_add(ret, &round, sizeof round);
    buf_add_text(ret, operator_name);
}

static void note_voter(struct audit *audit, const struct digest *job, uint32_t round,
                       const char *operator_name)
{
    CLEANUP_BUF struct buf key = BUF_INIT;
    voter_key(&key, job, round, operator_name);
    map_set(audit->voters, buf_view(&key), audit);
}

static void remember(struct audit *audit, const struct db_attestation *row, const struct lease_of *lease)
{
    struct checked *checked = mem_zero(1, sizeof *checked);
    checked->operator_name = mem_string(lease->operator_name);
    checked->job = lease->job;
    checked->round = lease->round;
    checked->payload = row->payload;
    checked->failed = strcmp(row->failure, "none") != 0;
    checked->open = strcmp(row->fate, answer_fate_name(ANSWER_OPEN)) == 0;
    checked->counted = checked->open || strcmp(row->fate, answer_fate_name(ANSWER_COUNTED)) == 0;
    if (strcmp(row->fate, answer_fate_name(ANSWER_EQUIVOCAL)) == 0)
        note_voter(audit, &lease->job, lease->round, lease->operator_name);
    map_set(audit->attestations, digest_key(&row->digest), checked);
}

/* A revoked worker's entry is gone from the directory, but its keys stay in its row. */
static int visit_worker(void *context, const struct db_worker *row)
{
    struct audit *audit = context;
    struct public_key *key = mem_zero(1, sizeof *key);
    memcpy(key->bytes, row->ed25519.bytes, KEYS_PUBLIC_SIZE);
    map_set(audit->keys, view_text(row->name), key);
    return 0;
}

static int check_attestation(void *context, const struct db_attestation *row)
{
    struct audit *audit = context;
    struct lease_of lease = {0};
    struct digest actual = digest_of(row->envelope);
    CLEANUP_STATEMENT struct statement *statement = NULL;
    if (!digest_equal(&actual, &row->digest))
        return bad_row(audit, "attestation", &row->digest, "the envelope's bytes have another digest");
    int result = db_find_lease(audit->farm->db, &row->nonce, visit_lease, &lease, audit->diag);
    if (result == 0)
        return bad_row(audit, "attestation", &row->digest, "its lease is missing");
    const struct public_key *key = map_get(audit->keys, view_text(lease.worker));
    if (result > 0 && key == NULL)
        return bad_row(audit, "attestation", &row->digest, "its worker is not in table \"worker\"");
    if (result > 0)
        result = statement_open(row->envelope, key, &statement, audit->diag);
    if (result < 0)
        return bad_row(audit, "attestation", &row->digest, diag_text(audit->diag, result));
    result = compare(audit, row, &lease, statement);
    if (result >= 0)
        remember(audit, row, &lease);
    return result;
}

/* Votes for one answer, counted in the pointer itself; failures share the zero payload. */
static struct view tally_key(char *room, const struct digest *job, uint32_t round,
                             const struct digest *payload, bool failed)
{
    memcpy(room, job->bytes, DIGEST_SIZE);
    memcpy(room + DIGEST_SIZE, payload->bytes, DIGEST_SIZE);
    memcpy(room + 2 * DIGEST_SIZE, &round, sizeof round);
    room[2 * DIGEST_SIZE + sizeof round] = (char)failed;
    return view_of(room, 2 * DIGEST_SIZE + sizeof round + 1);
}
enum { TALLY_KEY_SIZE = 2 * DIGEST_SIZE + sizeof(uint32_t) + 1 };

static int check_vote(void *context, const struct db_vote *row)
{
    struct audit *audit = context;
    char room[TALLY_KEY_SIZE];
    const struct checked *checked = map_get(audit->attestations, digest_key(&row->attestation));
    if (checked == NULL)
        return bad_row(audit, "vote for job", &row->job, "there is no attestation behind it");
    if (!digest_equal(&checked->job, &row->job) || checked->round != row->round ||
        strcmp(checked->operator_name, row->operator_name) != 0)
        return bad_row(audit, "vote for job", &row->job,
                       "the attestation behind it is another operator's or job's");
    if (!checked->counted || checked->open != row->open)
        return bad_row(audit, "vote for job", &row->job,
                       "the attestation behind it was not counted as this vote");
    note_voter(audit, &row->job, row->round, row->operator_name);
    struct view key = tally_key(room, &row->job, row->round, &checked->payload, checked->failed);
    uintptr_t votes = (uintptr_t)map_get(audit->tallies, key) + 1;
    map_set(audit->tallies, key, (void *)votes);
    return 0;
}

/* The core counts answers by their fates, so a vote that was taken away must not stay unseen. */
static int check_complete(struct audit *audit)
{
    size_t cursor = 0;
    struct view digest;
    void *value;
    while (map_next(audit->attestations, &cursor, &digest, &value)) {
        const struct checked *checked = value;
        CLEANUP_BUF struct buf key = BUF_INIT;
        voter_key(&key, &checked->job, checked->round, checked->operator_name);
        if (checked->counted && map_get(audit->voters, buf_view(&key)) == NULL)
            return bad_row(audit, "vote for job", &checked->job,
                           "it is missing, though its answer was counted");
    }
    return 0;
}

static void audit_done(struct audit *audit)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(audit->attestations, &cursor, &key, &value)) {
        free(((struct checked *)value)->operator_name);
        free(value);
    }
    cursor = 0;
    while (map_next(audit->keys, &cursor, &key, &value))
        free(value);
    map_free(audit->keys);
    map_free(audit->attestations);
    map_free(audit->voters);
    map_free(audit->tallies);
}

static int check_verdict(void *context, const struct db_verdict *row)
{
    struct audit *audit = context;
    char room[TALLY_KEY_SIZE];
    bool agreed = strcmp(row->state, "agreed") == 0, failed = strcmp(row->state, "failed") == 0;
    if (!agreed && !failed)
        return 0;
    uintptr_t votes =
        (uintptr_t)map_get(audit->tallies, tally_key(room, &row->job, row->round, &row->payload, failed));
    if (votes == 0 || votes != row->operators)
        return bad_row(audit, "verdict for job", &row->job, "it is not what the signed answers say");
    return 0;
}

static int audit_all(struct farm *farm, struct diag *diag)
{
    struct audit audit = {farm, map_new(), map_new(), map_new(), map_new(), diag};
    int result = db_each_worker(farm->db, visit_worker, &audit, diag);
    if (result >= 0)
        result = db_each_attestation(farm->db, check_attestation, &audit, diag);
    int attestations = result;
    if (result >= 0)
        result = db_each_vote(farm->db, check_vote, &audit, diag);
    if (result >= 0)
        result = check_complete(&audit);
    if (result >= 0)
        result = db_each_verdict(farm->db, check_verdict, &audit, diag);
    if (result >= 0)
        log_info("database verified attestations=%d verdicts=%d", attestations, result);
    audit_done(&audit);
    return result < 0 ? result : 0;
}

/* ---- memory ---- */

struct restore {
    struct farm *farm;
    struct diag *diag;
};

static int restore_flag(void *context, const char *operator_name, const char *reason)
{
    struct restore *restore = context;
    struct core_event event = {.type = CORE_OPERATOR_FLAG, .name = operator_name, .text = reason};
    struct diag why = DIAG_INIT;
    int result = farm_feed(restore->farm, &event, &why);
    if (result < 0) /* none of its workers is admitted: there is nobody to keep from leases */
        log_warning("flag of operator %s: %s", operator_name, diag_text(&why, result));
    return 0;
}

static int visit_base(void *context, const struct db_base *row)
{
    *(struct digest *)context = row->tar;
    return 0;
}

static int restore_plan(void *context, const struct db_plan *row)
{
    struct restore *restore = context;
    struct farm *farm = restore->farm;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct plan *plan = NULL;
    struct digest base_tar = {{0}};
    int result = store_get(farm->store, &row->id, PLAN_SIZE_MAX, &text, restore->diag);
    if (result >= 0)
        result = plan_parse(buf_view(&text), &plan, restore->diag);
    if (result >= 0)
        result = db_find_base(farm->db, &row->base, visit_base, &base_tar, restore->diag);
    if (result < 0)
        return diag_wrap(restore->diag, result, "plan %s", digest_hex(&row->id).text);
    struct farm_plan *entry = plans_add(farm, plan, &base_tar);
    bool used = strcmp(row->state, "running") == 0 || strcmp(row->state, "done") == 0 ||
                strcmp(row->state, "failed") == 0;
    /* Finished plans go to the core as well: it answers "why", and a late dissent reopens them. */
    return used ? plans_start(farm, entry, row->from_scratch, row->started_ms, restore->diag) : 0;
}

int startup_restore(struct farm *farm, struct diag *diag)
{
    struct restore restore = {farm, diag};
    int result = journal_open(farm, diag);
    if (result >= 0)
        result = audit_all(farm, diag);
    if (result >= 0)
        result = admission_restore(farm, diag);
    if (result >= 0)
        result = db_each_flag(farm->db, restore_flag, &restore, diag);
    if (result >= 0)
        result = db_each_plan(farm->db, restore_plan, &restore, diag);
    return result < 0 ? result : farm_flush(farm, diag);
}
