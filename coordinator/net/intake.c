/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Intake: checks an answer before anybody counts it.
 *
 * In the pool: the envelope by the worker's directory key, the statement's form, that it speaks of exactly
 * this job, nonce, worker and operator (W6, W8, W12, N6), that the objects are here and that the tar is the
 * canonical one of the manifest (W14). Only then the core hears of it.
 *
 * The tar is looked at once for each manifest and job (outputs.h): the second operator's answer, which names the same objects, costs
 * a signature and no second reading of what may be gigabytes.
 *
 * Who may answer is decided twice by the directory of the moment, on arrival and when the pool is done: the session's user, the
 * lease's worker and the signer are one (N6). An answer that its worker really signed for that lease is shown by the log either way:
 * taken, or refused. What was refused stays refused.
 */
#include "farm.h"

#include "farmlog.h"
#include "journal.h"
#include "json.h"
#include "missing.h"
#include "outputs.h"
#include "payload.h"
#include "pkginfo.h"
#include "specs.h"
#include "statement.h"

#include <stdlib.h>

/* Answers of one worker that are checked at a time; it is asked to send more of them again. Checking costs more than
 * sending. */
enum { PENDING_MAX = 16 };
/* Refused answers to one lease that are kept and logged: an honest worker gives one, and others shall not fill the log. */
enum { REFUSALS_MAX = 4 };
/* Different answers to one lease that are taken; the core takes no more either. */
enum { ANSWERS_MAX = 8 };

/* Built by the pool task, kept until the core has said what becomes of it. */
struct intake {
    struct pool_task task;
    struct store *store;
    struct specs *specs;
    char *worker, *operator_name;
    struct public_key key;
    struct digest nonce, job, manifest, tar, log;
    struct buf envelope;
    struct digest digest; /* of the envelope */
    bool outputs_known;   /* found to be canonical when another answer named them */
    int64_t granted_ms;
    bool genuine; /* signed by this worker, for this lease */
    int result;
    struct diag diag;
    enum failure_kind failure;
};

static void intake_free(struct intake *intake)
{
    free(intake->worker);
    free(intake->operator_name);
    buf_done(&intake->envelope);
    free(intake);
}

static int check_identity(struct intake *intake, const struct statement *statement, struct diag *diag)
{
    if (memcmp(statement->nonce.bytes, intake->nonce.bytes, DIGEST_SIZE) != 0)
        return diag_set(diag, FARM_E_REFUSED, "the statement is about another lease");
    intake->genuine = true;
    if (strcmp(statement->worker, intake->worker) != 0 ||
        strcmp(statement->operator_name, intake->operator_name) != 0)
        return diag_set(diag, FARM_E_REFUSED, "the statement names worker %s of %s, but %s of %s sent it",
                        statement->worker, statement->operator_name, intake->worker, intake->operator_name);
    if (!digest_equal(&statement->job, &intake->job))
        return diag_set(diag, FARM_E_REFUSED, "the statement is about another job");
    if (!digest_equal(&statement->log, &intake->log))
        return diag_set(diag, FARM_E_REFUSED, "the statement names another log");
    return 0;
}

static int check_outputs(const struct intake *intake, const struct statement *statement,
                         const struct spec *spec, struct diag *diag)
{
    if (!digest_equal(&statement->payload, &intake->manifest) || !digest_equal(&statement->tar, &intake->tar))
        return diag_set(diag, FARM_E_REFUSED, "the statement names other outputs than the message");
    if (intake->outputs_known && store_has(intake->store, &statement->payload) &&
        store_has(intake->store, &statement->tar))
        return 0;
    struct manifest manifest = MANIFEST_INIT;
    CLEANUP_BUF struct buf pkginfo = BUF_INIT;
    int result = payload_manifest(intake->store, &statement->payload, &manifest, diag);
    if (result >= 0) {
        struct payload payload = {.manifest = statement->payload, .tar = statement->tar};
        pkginfo_write(spec, &manifest, &pkginfo);
        payload.tar_size = canontar_size(&manifest, buf_view(&pkginfo));
        result =
            payload_verify_tar(intake->store, &payload, &manifest, buf_view(&pkginfo), spec->epoch, diag);
    }
    manifest_done(&manifest);
    return result;
}

static int check_job(struct intake *intake, const struct statement *statement, struct diag *diag)
{
    struct taken_spec *spec = NULL;
    int result = specs_take(intake->specs, intake->store, &intake->job, &spec, diag);
    if (result >= 0)
        result = statement_check_spec(statement, specs_spec(spec), diag);
    if (result >= 0 && statement->failure == FAILURE_NONE)
        result = check_outputs(intake, statement, specs_spec(spec), diag);
    specs_give(intake->specs, spec);
    return result;
}

static int check(struct intake *intake, struct diag *diag)
{
    CLEANUP_STATEMENT struct statement *statement = NULL;
    int result = statement_open(buf_view(&intake->envelope), &intake->key, &statement, diag);
    if (result >= 0)
        result = check_identity(intake, statement, diag);
    if (result >= 0 && !store_has(intake->store, &intake->log))
        result = diag_set(diag, FARM_E_MISSING, "the build log was not uploaded");
    if (result >= 0)
        result = check_job(intake, statement, diag);
    if (result >= 0)
        intake->failure = statement->failure;
    return result;
}

static void intake_run(struct pool_task *task)
{
    struct intake *intake = (struct intake *)task;
    intake->result = check(intake, &intake->diag);
}

/* 'log_entry': as in the message. */
static void acknowledge(struct farm *farm, const struct intake *intake, enum wire_ack code, const char *text,
                        uint64_t log_entry)
{
    Wire__ResultAck ack = WIRE__RESULT_ACK__INIT;
    CLEANUP_JSON json_t *clean = json_view(view_text(text)); /* it may quote the envelope, and must arrive */
    ack.nonce = wire_digest(&intake->nonce);
    ack.code = (Wire__AckCode)code;
    ack.text = wire_text(json_string_value(clean));
    ack.log_entry = log_entry;
    farm_post(farm, intake->worker, WIRE_RESULT_ACK, &ack.base);
}

/* ---- rows ---- */

static int keep_position(void *context, const struct db_attestation *row)
{
    *(uint64_t *)context = 1 + (uint64_t)row->position;
    return 0;
}

static int keep_refused_position(void *context, const struct db_refusal *row)
{
    *(uint64_t *)context = 1 + (uint64_t)row->position;
    return 0;
}

uint64_t intake_known(struct farm *farm, const struct digest *envelope)
{
    uint64_t log_entry = 0;
    if (db_find_attestation(farm->db, envelope, keep_position, &log_entry, NULL) <= 0)
        (void)!db_find_refusal(farm->db, envelope, keep_refused_position, &log_entry, NULL);
    return log_entry;
}

static uint64_t log_answer(struct farm *farm, enum logentry_kind kind, const struct intake *intake,
                           const struct digest *envelope)
{
    struct logentry entry = {.kind = kind, .job = intake->job, .sha256 = *envelope};
    memcpy(entry.nonce.bytes, intake->nonce.bytes, sizeof entry.nonce.bytes);
    return journal_add(farm, &entry);
}

static void keep_object(struct farm *farm, const struct digest *object, const struct digest *envelope)
{
    db_put_output(farm->db, object, envelope);
    access_named(farm->access, object);
}

/* Called while the answer is being fed. */
uint64_t intake_record(struct farm *farm, const struct core_answer *answer, const char *fate)
{
    const struct intake *intake = farm->answering;
    struct db *db = farm_write(farm);
    uint64_t position = log_answer(farm, LOG_ENVELOPE, intake, &answer->envelope);
    struct db_attestation row = {.digest = answer->envelope,
                                 .nonce = intake->nonce,
                                 .payload = answer->payload,
                                 .tar = answer->tar,
                                 .log = intake->log,
                                 .failure = failure_kind_name(answer->failure),
                                 .fate = fate,
                                 .duration_ms = answer->duration_ms,
                                 .received_ms = moment_wall_ms(),
                                 .position = (int64_t)position,
                                 .envelope = buf_view(&intake->envelope)};
    db_put_attestation(db, &row);
    if (!db_is_referenced(db, &intake->job)) /* late, and its plan was dropped: the row is the evidence */
        return position;
    keep_object(farm, &intake->log, &answer->envelope);
    if (answer->failure == FAILURE_NONE && /* once known, an earlier answer keeps them */
        !outputs_knows(farm->outputs, &intake->job, &answer->payload, &answer->tar)) {
        keep_object(farm, &answer->payload, &answer->envelope);
        keep_object(farm, &answer->tar, &answer->envelope);
        outputs_add(farm->outputs, &intake->job, &answer->payload, &answer->tar);
    } else if (answer->failure == FAILURE_NONE) {
        access_named(farm->access, &answer->payload);
        access_named(farm->access, &answer->tar);
    }
    return position;
}

static int count_refusal(void *context, const struct db_refusal *row)
{
    (void)row;
    ++*(int *)context;
    return 0;
}

/* Returns what the acknowledgement says: 0 for what nobody signed for this lease, and for more of them than are kept. */
static uint64_t record_refusal(struct farm *farm, const struct intake *intake, const char *reason)
{
    uint64_t known = intake_known(farm, &intake->digest);
    int refusals = 0;
    if (!intake->genuine || known > 0)
        return known;
    (void)!db_each_refusal_to(farm->db, &intake->nonce, count_refusal, &refusals, NULL);
    if (refusals >= REFUSALS_MAX)
        return 0;
    struct db_refusal row = {.digest = intake->digest,
                             .nonce = intake->nonce,
                             .reason = reason,
                             .position = (int64_t)log_answer(farm, LOG_REFUSAL, intake, &intake->digest),
                             .received_ms = moment_wall_ms(),
                             .envelope = buf_view(&intake->envelope)};
    db_put_refusal(farm_write(farm), &row);
    return 1 + (uint64_t)row.position;
}

/* ---- what becomes of it ---- */

static void feed(struct farm *farm, const struct intake *intake)
{
    struct diag diag = DIAG_INIT;
    struct core_event event = {.type = CORE_ANSWER, .name = intake->worker};
    memcpy(event.answer.nonce.bytes, intake->nonce.bytes, DIGEST_SIZE);
    event.answer.envelope = intake->digest;
    event.answer.failure = intake->failure;
    event.answer.manifest_log = intake->log;
    int64_t duration_ms = moment_wall_ms() - intake->granted_ms;
    event.answer.duration_ms = duration_ms > 0 ? duration_ms : 0; /* the clock may have been set back */
    if (intake->failure == FAILURE_NONE) {
        event.answer.payload = intake->manifest;
        event.answer.tar = intake->tar;
    }
    struct core_lease lease;
    int result =
        core_lease_find(farm->core, &event.answer.nonce, &lease)
            ? 0
            : plans_feed_history(farm, &intake->job, &diag); /* of a plan that was not started since */
    farm->answering = intake;
    if (result >= 0)
        result = farm_feed(farm, &event, &diag);
    farm->answering = NULL;
    if (result < 0)
        sessions_warn(farm, intake->worker, "answer passed over",
                      log_text(FIELD_REASON, diag_text(&diag, result)),
                      log_digest(FIELD_LEASE, &intake->nonce));
}

/* An answer that broke a rule is none: its lease ends, and somebody else is asked. */
static void refuse(struct farm *farm, const struct intake *intake)
{
    const char *text = diag_text(&intake->diag, intake->result);
    CLEANUP_FREE char *reason = mem_format("its answer was refused: %s", text);
    struct core_event event = {.type = CORE_LEASE_REFUSED, .name = intake->worker, .text = reason};
    memcpy(event.answer.nonce.bytes, intake->nonce.bytes, DIGEST_SIZE);
    farm->stats.answers_refused++;
    sessions_warn(farm, intake->worker, "answer refused", log_text(FIELD_REASON, text),
                  log_digest(FIELD_LEASE, &intake->nonce));
    acknowledge(farm, intake, WIRE_ACK_REFUSED, text, record_refusal(farm, intake, text));
    (void)farm_feed(farm, &event, NULL);
}

static uintptr_t pending_of(const struct farm *farm, const char *worker)
{
    return (uintptr_t)map_get(farm->checked_workers, view_text(worker));
}

static void begin(struct farm *farm, struct intake *intake)
{
    uintptr_t pending = pending_of(farm, intake->worker) + 1;
    map_set(farm->checked_nonces, view_of(intake->nonce.bytes, DIGEST_SIZE), farm);
    map_set(farm->checked_workers, view_text(intake->worker), (void *)pending);
    pool_submit(farm->pool, &intake->task);
}

static void end(struct farm *farm, const struct intake *intake)
{
    uintptr_t pending = pending_of(farm, intake->worker);
    (void)map_remove(farm->checked_nonces, view_of(intake->nonce.bytes, DIGEST_SIZE));
    if (pending > 1)
        map_set(farm->checked_workers, view_text(intake->worker), (void *)(pending - 1));
    else
        (void)map_remove(farm->checked_workers, view_text(intake->worker));
}

/* What the bytes of the answer are to blame for. Anything else is missing uploads or our own disk, and may pass. */
static bool is_the_answers_fault(int error)
{
    static const int faults[] = {FARM_E_SYNTAX,    FARM_E_LIMIT,   FARM_E_DIGEST,
                                 FARM_E_SIGNATURE, FARM_E_REFUSED, FARM_E_UNSUPPORTED};
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
        if (faults[i] == error)
            return true;
    return false;
}

/* Checked, and found missing since: the core takes an answer for a promise that its payload is here. */
static bool is_gone_again(const struct farm *farm, const struct intake *intake)
{
    return missing_count(farm) > 0 && intake->failure == FAILURE_NONE &&
           (!store_has(farm->store, &intake->manifest) || !store_has(farm->store, &intake->tar));
}

/* It cannot be checked without the spec: that is made again (missing.c), and the worker sends the answer again. */
static void look_for_spec(struct farm *farm, const struct intake *intake)
{
    if (store_has(farm->store, &intake->job) || !db_is_referenced(farm->db, &intake->job))
        return;
    missing_add(farm, &intake->job);
    missing_hurry(farm);
}

static void intake_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct intake *intake = (struct intake *)task;
    end(farm, intake);
    const struct directory_entry *entry = sessions_entry(farm, intake->worker);
    if (farm->stopping) {
        /* not acknowledged: the worker sends it again */
    } else if (!sessions_entry_is_valid(entry) || !keys_public_equal(&entry->ed25519, &intake->key)) {
        sessions_warn(farm, intake->worker, "answer dropped: revoked or expired meanwhile",
                      log_digest(FIELD_LEASE, &intake->nonce));
    } else if (intake->result < 0 && !is_the_answers_fault(intake->result)) {
        sessions_warn(farm, intake->worker, "answer cannot be checked now",
                      log_text(FIELD_REASON, diag_text(&intake->diag, intake->result)),
                      log_digest(FIELD_LEASE, &intake->nonce));
        look_for_spec(farm, intake);
        acknowledge(farm, intake, WIRE_ACK_AGAIN, diag_text(&intake->diag, intake->result), 0);
    } else if (intake->result < 0) {
        refuse(farm, intake);
    } else if (is_gone_again(farm, intake)) {
        acknowledge(farm, intake, WIRE_ACK_AGAIN, "its files were lost since they were checked", 0);
    } else {
        feed(farm, intake);
    }
    intake_free(intake);
}

/* ---- arrival ---- */

static int visit_lease(void *context, const struct db_lease *row)
{
    struct intake *intake = context;
    intake->job = row->job;
    intake->granted_ms = row->granted_ms;
    free(intake->operator_name);
    intake->operator_name = mem_string(row->operator_name);
    return strcmp(row->worker, intake->worker) == 0 ? 0 : FARM_E_REFUSED;
}

static struct intake *intake_new(struct farm *farm, const char *worker, const Wire__Result *result)
{
    struct intake *intake = mem_zero(1, sizeof *intake);
    intake->task.run = intake_run;
    intake->task.done = intake_done;
    intake->store = farm->store;
    intake->specs = farm->specs;
    intake->worker = mem_string(worker);
    intake->nonce = wire_get_digest(&result->nonce);
    intake->manifest = wire_get_digest(&result->manifest);
    intake->tar = wire_get_digest(&result->tar);
    intake->log = wire_get_digest(&result->log);
    buf_add_view(&intake->envelope, wire_view(&result->envelope));
    intake->digest = digest_of(buf_view(&intake->envelope));
    return intake;
}

struct refused_before {
    const struct intake *intake;
    uint64_t log_entry;
    char *reason;
};

static int visit_refused(void *context, const struct db_refusal *row)
{
    struct refused_before *refused = context;
    if (!digest_equal(&row->nonce, &refused->intake->nonce))
        return 0;
    refused->log_entry = 1 + (uint64_t)row->position;
    refused->reason = mem_string(row->reason);
    return 0;
}

/* The same answer again, whose acknowledgement was lost. */
static bool was_refused(struct farm *farm, const struct intake *intake)
{
    struct refused_before refused = {.intake = intake};
    (void)!db_find_refusal(farm->db, &intake->digest, visit_refused, &refused, NULL);
    if (refused.reason == NULL)
        return false;
    acknowledge(farm, intake, WIRE_ACK_REFUSED, refused.reason, refused.log_entry);
    free(refused.reason);
    return true;
}

static int take_row(void *context, const struct db_attestation *row)
{
    struct intake *intake = context;
    int failure = failure_kind_parse(view_text(row->failure));
    if (!digest_equal(&row->nonce, &intake->nonce))
        return FARM_E_REFUSED;
    intake->failure = failure < 0 ? FAILURE_INFRASTRUCTURE : (enum failure_kind)failure;
    intake->manifest = row->payload;
    intake->tar = row->tar;
    intake->log = row->log;
    return 0;
}

/* The same answer again, which is known: the core says so without another look at its bytes. */
static bool was_taken(struct farm *farm, struct intake *intake)
{
    if (db_find_attestation(farm->db, &intake->digest, take_row, intake, NULL) <= 0)
        return false;
    feed(farm, intake);
    return true;
}

static int pass(void *context, const struct db_attestation *row)
{
    (void)context;
    (void)row;
    return 0;
}

/* Checking costs far more than sending: who has said so much about one lease is not listened to any more. */
static bool said_too_much(struct farm *farm, const struct intake *intake)
{
    int refusals = 0, answers = db_each_attestation_to(farm->db, &intake->nonce, pass, NULL, NULL);
    (void)!db_each_refusal_to(farm->db, &intake->nonce, count_refusal, &refusals, NULL);
    if (refusals < REFUSALS_MAX && answers < ANSWERS_MAX)
        return false;
    acknowledge(farm, intake, WIRE_ACK_REFUSED, "too many answers to one lease", 0);
    return true;
}

/* Its Hello may have named this lease, and the core keeps a slot for it: the work is over, whoever asked for it. */
static void forget_presented(struct farm *farm, const struct intake *intake)
{
    struct core_event event = {.type = CORE_LEASE_REFUSED,
                               .name = intake->worker,
                               .text = "it answered a lease that it was not granted"};
    memcpy(event.answer.nonce.bytes, intake->nonce.bytes, CORE_NONCE_SIZE);
    (void)farm_feed(farm, &event, NULL);
}

/* The usual case: the core waits for exactly this worker's answer. Then nothing was ever said to the lease, and no row is asked. */
static bool is_awaited(struct farm *farm, struct intake *intake)
{
    struct core_nonce nonce;
    struct core_lease lease;
    memcpy(nonce.bytes, intake->nonce.bytes, CORE_NONCE_SIZE);
    if (!core_lease_find(farm->core, &nonce, &lease) || lease.state != LEASE_LIVE ||
        strcmp(lease.worker, intake->worker) != 0)
        return false;
    intake->job = lease.key;
    intake->granted_ms = farm_wall_of_core(lease.granted_ms);
    intake->operator_name = mem_string(lease.operator_name);
    return true;
}

/* Whether it is to be checked; if not, it has been acknowledged, or will be. */
static bool is_wanted(struct farm *farm, struct intake *intake, const struct directory_entry *entry)
{
    bool awaited = sessions_entry_is_valid(entry) && is_awaited(farm, intake);
    int found = awaited ? 1
                : !sessions_entry_is_valid(entry)
                    ? FARM_E_UNKNOWN
                    : db_find_lease(farm->db, &intake->nonce, visit_lease, intake, &intake->diag);
    if (found <= 0) { /* W6, W7: no such lease, or another worker's */
        sessions_warn(farm, intake->worker, "answer refused",
                      log_text(FIELD_REASON, "no such lease of its own"),
                      log_digest(FIELD_LEASE, &intake->nonce));
        acknowledge(farm, intake, WIRE_ACK_REFUSED, "no such lease of yours", 0);
        forget_presented(farm, intake);
        return false;
    }
    if (map_get(farm->checked_nonces, view_of(intake->nonce.bytes, DIGEST_SIZE)) != NULL)
        return false; /* sent again while the first is being checked, which will be answered */
    if (!awaited && (was_refused(farm, intake) || was_taken(farm, intake) || said_too_much(farm, intake)))
        return false;
    if (pending_of(farm, intake->worker) >= PENDING_MAX) {
        acknowledge(farm, intake, WIRE_ACK_AGAIN, "too many answers of yours are being checked", 0);
        return false;
    }
    return true;
}

void intake_result(struct farm *farm, const char *worker, const Wire__Result *result)
{
    struct intake *intake = intake_new(farm, worker, result);
    const struct directory_entry *entry = sessions_entry(farm, worker);
    if (!is_wanted(farm, intake, entry)) {
        intake_free(intake);
        return;
    }
    intake->key = entry->ed25519;
    intake->outputs_known = outputs_knows(farm->outputs, &intake->job, &intake->manifest, &intake->tar);
    begin(farm, intake);
}
