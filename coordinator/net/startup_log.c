/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Rows and log against each other: whoever can write the database can also write its log table, but not make it the tree that was
 * shown (journal.c has compared that). So what the log says happened, and each row must be what it says, in both directions:
 *
 *     lease, lease-end     a lease, by nonce, with the same job, worker, operator and round; ended or live
 *     envelope, refusal    an attestation or a refusal, by digest, of the same lease
 *     verdict              the newest of a job and round is the row, and the first that settles it is what the row says settled it
 *     revoke               which attestations are voided: those, and no others (D2, D4)
 *     directory, root      the installed ones are the newest that were logged (K4, D5), or newer: those come before their entry.
 *                          Whose revocation was logged is not listed as if there had been none
 */
#include "journal.h"

#include "farmlog.h"
#include "startup_progress.h"

#include <stdlib.h>

struct log_lease {
    struct digest job;
    uint64_t position;
    char *worker, *operator_name;
    char ended[16]; /* "": live */
    uint32_t round;
    bool answered, row;
};
struct log_answer {
    uint64_t position;
    struct lease_nonce nonce;
    bool refused, row;
};
struct log_verdict {
    struct digest job, payload;
    uint64_t position;     /* of the newest */
    uint64_t settled_size; /* as in its row */
    uint32_t round, operators, dissent;
    enum verdict_state state;
    bool row;
};
/* What a worker signed from position 'from' on and before position 'until' is void. */
struct log_revocation {
    char *worker;
    uint64_t from, until;
};
struct log_version {
    int64_t version; /* 0: none was logged */
    struct digest sha256;
};

struct history {
    struct farm *farm;
    struct map *leases;   /* nonce -> struct log_lease */
    struct map *answers;  /* digest -> struct log_answer */
    struct map *verdicts; /* job, round -> struct log_verdict */
    struct log_revocation *revocations;
    size_t nrevocations, revocations_capacity;
    struct log_version directory, root;
    struct map *voided; /* digests */
    struct startup_progress progress;
    struct diag *diag;
};

static struct view digest_key(const struct digest *digest)
{
    return view_of(digest->bytes, DIGEST_SIZE);
}

static struct view nonce_key(const struct lease_nonce *nonce)
{
    return view_of(nonce->bytes, sizeof nonce->bytes);
}

static int bad_entry(const struct history *history, uint64_t position, const char *what)
{
    return diag_set(history->diag, FARM_E_CORRUPT,
                    "database: entry %llu of the log: %s. Nothing of it is believed; restore a backup",
                    (unsigned long long)position, what);
}

static int bad_row(const struct history *history, const char *table, const struct digest *row,
                   const char *what)
{
    return diag_set(history->diag, FARM_E_CORRUPT,
                    "database: %s %s: %s. Nothing of it is believed; restore a backup", table,
                    digest_hex(row).text, what);
}

/* ---- what the log says ---- */

static int read_lease(struct history *history, uint64_t position, const struct logentry *entry)
{
    if (map_get(history->leases, nonce_key(&entry->nonce)) != NULL)
        return bad_entry(history, position, "its lease was granted before");
    struct log_lease *lease = mem_zero(1, sizeof *lease);
    lease->job = entry->job;
    lease->position = position;
    lease->round = entry->round;
    lease->worker = mem_string(entry->worker);
    lease->operator_name = mem_string(entry->operator_name);
    map_set(history->leases, nonce_key(&entry->nonce), lease);
    return 0;
}

static int read_end(struct history *history, uint64_t position, const struct logentry *entry)
{
    struct log_lease *lease = map_get(history->leases, nonce_key(&entry->nonce));
    if (lease == NULL)
        return bad_entry(history, position, "there was no such lease");
    snprintf(lease->ended, sizeof lease->ended, "%s", entry->state);
    return 0;
}

static int read_answer(struct history *history, uint64_t position, const struct logentry *entry)
{
    struct log_lease *lease = map_get(history->leases, nonce_key(&entry->nonce));
    if (lease == NULL)
        return bad_entry(history, position, "there was no such lease");
    if (!digest_equal(&lease->job, &entry->job))
        return bad_entry(history, position, "its lease is one of another job");
    if (map_get(history->answers, digest_key(&entry->sha256)) != NULL)
        return bad_entry(history, position, "this answer came before");
    struct log_answer *answer = mem_zero(1, sizeof *answer);
    answer->position = position;
    answer->nonce = entry->nonce;
    answer->refused = entry->kind == LOG_REFUSAL;
    lease->answered = lease->answered || !answer->refused;
    map_set(history->answers, digest_key(&entry->sha256), answer);
    return 0;
}

/* Job and round as a key of the map. */
struct verdict_key {
    unsigned char bytes[DIGEST_SIZE + sizeof(uint32_t)];
};

static struct verdict_key verdict_key(const struct digest *job, uint32_t round)
{
    struct verdict_key key;
    memcpy(key.bytes, job->bytes, DIGEST_SIZE);
    memcpy(key.bytes + DIGEST_SIZE, &round, sizeof round);
    return key;
}

static int read_verdict(struct history *history, uint64_t position, const struct logentry *entry)
{
    struct verdict_key key = verdict_key(&entry->job, entry->round);
    struct view key_view = view_of(key.bytes, sizeof key.bytes);
    struct log_verdict *verdict = map_get(history->verdicts, key_view);
    if (verdict == NULL) {
        verdict = mem_zero(1, sizeof *verdict);
        map_set(history->verdicts, key_view, verdict);
    }
    bool settles = verdict->settled_size == 0 && verdict_is_settled(entry->verdict);
    *verdict = (struct log_verdict){.job = entry->job,
                                    .payload = entry->payload,
                                    .position = position,
                                    .settled_size = settles ? position + 1 : verdict->settled_size,
                                    .round = entry->round,
                                    .operators = entry->operators,
                                    .dissent = entry->dissent,
                                    .state = entry->verdict};
    return 0;
}

static int read_revocation(struct history *history, uint64_t position, const struct logentry *entry)
{
    history->revocations = mem_reserve(history->revocations, &history->revocations_capacity,
                                       history->nrevocations + 1, sizeof *history->revocations);
    history->revocations[history->nrevocations++] =
        (struct log_revocation){.worker = mem_string(entry->worker),
                                .from = entry->version < 0 ? 0 : (uint64_t)entry->version,
                                .until = position};
    return 0;
}

static int read_version(struct log_version *version, const struct logentry *entry)
{
    *version = (struct log_version){entry->version, entry->sha256};
    return 0;
}

static int read_entry(struct history *history, uint64_t position, const struct logentry *entry)
{
    switch (entry->kind) {
    case LOG_LEASE:
        return read_lease(history, position, entry);
    case LOG_LEASE_END:
        return read_end(history, position, entry);
    case LOG_ENVELOPE:
    case LOG_REFUSAL:
        return read_answer(history, position, entry);
    case LOG_VERDICT:
        return read_verdict(history, position, entry);
    case LOG_REVOKE:
        return read_revocation(history, position, entry);
    case LOG_DIRECTORY:
        return read_version(&history->directory, entry);
    case LOG_ROOT:
        return read_version(&history->root, entry);
    case LOG_PLAN:
    case LOG_RELEASE:
    case LOG_WAIVER:
    case LOG_OTHER:
        return 0;
    }
    return 0;
}

static int visit_entry(void *context, const struct db_log_entry *row)
{
    struct history *history = context;
    struct logentry entry;
    startup_progress_at(&history->progress, row->position, moment_steady_ms());
    int result = logentry_parse(row->entry, &entry, history->diag);
    if (result < 0)
        return bad_entry(history, row->position, diag_text(history->diag, result));
    result = read_entry(history, row->position, &entry);
    logentry_done(&entry);
    return result;
}

/* ---- rows ---- */

/* A late answer makes a lease that had ended otherwise an answered one. */
static bool fits_state(const struct log_lease *lease, const char *state)
{
    if (lease->ended[0] == '\0')
        return strcmp(state, lease->answered ? "answered" : "live") == 0;
    return strcmp(state, lease->answered ? "answered" : lease->ended) == 0;
}

static int check_lease(void *context, const struct db_lease *row)
{
    struct history *history = context;
    struct log_lease *lease = map_get(history->leases, digest_key(&row->nonce));
    if (lease == NULL || row->position < 0 || (uint64_t)row->position != lease->position)
        return bad_row(history, "lease", &row->nonce, "the log does not show it there");
    if (!digest_equal(&row->job, &lease->job) || row->round != lease->round ||
        strcmp(row->worker, lease->worker) != 0 || strcmp(row->operator_name, lease->operator_name) != 0)
        return bad_row(history, "lease", &row->nonce, "it was granted otherwise, as the log shows");
    if (!fits_state(lease, row->state))
        return bad_row(history, "lease", &row->nonce, "the log shows another end of it");
    lease->row = true;
    return 0;
}

/* The digest's answer, if the log shows it there, of this lease and kind. */
static struct log_answer *find_answer(const struct history *history, const struct digest *digest,
                                      const struct digest *nonce, int64_t position, bool refused)
{
    struct log_answer *answer = map_get(history->answers, digest_key(digest));
    if (answer == NULL || position < 0 || (uint64_t)position != answer->position ||
        answer->refused != refused || memcmp(answer->nonce.bytes, nonce->bytes, DIGEST_SIZE) != 0)
        return NULL;
    return answer;
}

static bool is_revoked(const struct history *history, const char *worker, uint64_t position)
{
    for (size_t i = 0; i < history->nrevocations; i++) {
        const struct log_revocation *revocation = &history->revocations[i];
        if (position >= revocation->from && position < revocation->until &&
            strcmp(revocation->worker, worker) == 0)
            return true;
    }
    return false;
}

static int check_attestation(void *context, const struct db_attestation *row)
{
    struct history *history = context;
    struct log_answer *answer = find_answer(history, &row->digest, &row->nonce, row->position, false);
    if (answer == NULL)
        return bad_row(history, "attestation", &row->digest, "the log does not show it there");
    const struct log_lease *lease = map_get(history->leases, nonce_key(&answer->nonce));
    bool is_void = map_get(history->voided, digest_key(&row->digest)) != NULL;
    bool revoked = is_revoked(history, lease->worker, answer->position);
    if (is_void && !revoked)
        return bad_row(history, "attestation", &row->digest,
                       "it is void, but the log shows no revocation of its worker");
    if (!is_void && revoked)
        return bad_row(history, "attestation", &row->digest,
                       "its worker was revoked, as the log shows, but it is not void");
    answer->row = true;
    return 0;
}

static int check_refusal(void *context, const struct db_refusal *row)
{
    struct history *history = context;
    struct digest actual = digest_of(row->envelope);
    struct log_answer *answer = find_answer(history, &row->digest, &row->nonce, row->position, true);
    if (!digest_equal(&actual, &row->digest))
        return bad_row(history, "refusal", &row->digest, "the envelope's bytes have another digest");
    if (answer == NULL)
        return bad_row(history, "refusal", &row->digest, "the log does not show it there");
    answer->row = true;
    return 0;
}

static int check_verdict(void *context, const struct db_verdict *row)
{
    struct history *history = context;
    struct verdict_key key = verdict_key(&row->job, row->round);
    struct log_verdict *verdict = map_get(history->verdicts, view_of(key.bytes, sizeof key.bytes));
    if (verdict == NULL || strcmp(row->state, verdict_state_name(verdict->state)) != 0 ||
        !digest_equal(&row->payload, &verdict->payload) || row->operators != verdict->operators ||
        row->dissent != verdict->dissent)
        return bad_row(history, "verdict for job", &row->job, "it is not the one that the log shows last");
    if (row->settled_size != verdict->settled_size)
        return bad_row(history, "verdict for job", &row->job, "the log shows it settled at another position");
    verdict->row = true;
    return 0;
}

static int visit_voided(void *context, const struct db_voided *row)
{
    struct history *history = context;
    map_set(history->voided, digest_key(&row->attestation), history);
    return 0;
}

static int check_rows(struct history *history)
{
    struct db *db = history->farm->db;
    int result = db_each_voided(db, visit_voided, history, history->diag);
    if (result >= 0)
        result = db_each_lease(db, check_lease, history, history->diag);
    if (result >= 0)
        result = db_each_attestation(db, check_attestation, history, history->diag);
    if (result >= 0)
        result = db_each_refusal(db, check_refusal, history, history->diag);
    return result < 0 ? result : db_each_verdict(db, check_verdict, history, history->diag);
}

/* ---- entries without rows ---- */

static int check_all_seen(const struct history *history)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(history->leases, &cursor, &key, &value))
        if (!((struct log_lease *)value)->row)
            return bad_entry(history, ((struct log_lease *)value)->position,
                             "it shows a lease that the database does not have");
    for (cursor = 0; map_next(history->answers, &cursor, &key, &value);)
        if (!((struct log_answer *)value)->row)
            return bad_entry(history, ((struct log_answer *)value)->position,
                             "it shows an answer that the database does not have");
    for (cursor = 0; map_next(history->verdicts, &cursor, &key, &value);)
        if (!((struct log_verdict *)value)->row)
            return bad_entry(history, ((struct log_verdict *)value)->position,
                             "it shows a verdict that the database does not have");
    return 0;
}

/* ---- root and directory ---- */

/* Files come before their rows: a version that the log does not have yet is logged now. */
static int check_version(struct history *history, enum logentry_kind kind, const char *file,
                         const struct log_version *logged, int64_t version, const struct digest *sha256)
{
    if (version == 0 && logged->version > 0)
        return diag_set(history->diag, FARM_E_MISSING,
                        "%s/%s is missing, but the log shows version %lld; restore it from a backup",
                        history->farm->state_path, file, (long long)logged->version);
    if (version < logged->version)
        return diag_set(history->diag, FARM_E_STALE,
                        "%s/%s: version %lld, but the log shows version %lld; restore the newer one",
                        history->farm->state_path, file, (long long)version, (long long)logged->version);
    if (version == logged->version && version > 0 && !digest_equal(sha256, &logged->sha256))
        return diag_set(history->diag, FARM_E_CORRUPT,
                        "%s/%s: version %lld is not the one that the log shows; restore that one",
                        history->farm->state_path, file, (long long)version);
    if (version > logged->version) {
        struct logentry entry = {.kind = kind, .version = version, .sha256 = *sha256};
        (void)journal_add(history->farm, &entry);
    }
    return 0;
}

/* Whose answers count no longer is said by its entry, or it has none. */
static int check_revoked(const struct history *history)
{
    for (size_t i = 0; i < history->nrevocations; i++) {
        const struct log_revocation *revocation = &history->revocations[i];
        const struct directory_entry *entry = directory_find(history->farm->directory, revocation->worker);
        if (entry != NULL &&
            (entry->compromised_from < 0 || (uint64_t)entry->compromised_from > revocation->from))
            return diag_set(
                history->diag, FARM_E_STALE,
                "%s/workers.json: it does not say that the answers of %s count no longer from position "
                "%llu on, but entry %llu of the log does; restore the newer one",
                history->farm->state_path, revocation->worker, (unsigned long long)revocation->from,
                (unsigned long long)revocation->until);
    }
    return 0;
}

static int check_trust(struct history *history)
{
    static const struct digest none;
    const struct root *root = history->farm->root;
    const struct directory *directory = history->farm->directory;
    int result = check_version(history, LOG_ROOT, "root.json", &history->root,
                               root != NULL ? root->version : 0, root != NULL ? &root->digest : &none);
    if (result >= 0)
        result = check_version(history, LOG_DIRECTORY, "workers.json", &history->directory,
                               directory->version, &directory->digest);
    return result < 0 ? result : check_revoked(history);
}

/* ---- all of it ---- */

static void history_done(struct history *history)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(history->leases, &cursor, &key, &value)) {
        struct log_lease *lease = value;
        free(lease->worker);
        free(lease->operator_name);
        free(lease);
    }
    for (cursor = 0; map_next(history->answers, &cursor, &key, &value);)
        free(value);
    for (cursor = 0; map_next(history->verdicts, &cursor, &key, &value);)
        free(value);
    for (size_t i = 0; i < history->nrevocations; i++)
        free(history->revocations[i].worker);
    free(history->revocations);
    map_free(history->leases);
    map_free(history->answers);
    map_free(history->verdicts);
    map_free(history->voided);
}

int startup_check_log(struct farm *farm, struct diag *diag)
{
    struct history history = {
        .farm = farm,
        .leases = map_new(),
        .answers = map_new(),
        .verdicts = map_new(),
        .voided = map_new(),
        .progress = startup_progress_begin("what the log says", journal_size(farm), moment_steady_ms()),
        .diag = diag};
    int result = db_each_log_entry(farm->db, 0, visit_entry, &history, diag);
    if (result >= 0)
        result = check_rows(&history);
    if (result >= 0)
        result = check_all_seen(&history);
    if (result >= 0)
        result = check_trust(&history);
    history_done(&history);
    return result < 0 ? result : 0;
}
