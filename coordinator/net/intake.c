/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Intake: checks an answer before anybody counts it.
 *
 * In the pool: the envelope by the worker's directory key, the statement's form, that it speaks of exactly
 * this job, nonce, worker and operator (W6, W8, W12, N6), that the objects are here and that the tar is the
 * canonical one of the manifest (W14). Only then the core hears of it.
 */
#include "farm.h"

#include "farmlog.h"
#include "json.h"
#include "payload.h"
#include "pkginfo.h"
#include "spec.h"
#include "statement.h"

#include <stdlib.h>

/* Answers of one worker that are checked at a time; it is asked to send more of them again. Checking costs more than
 * sending. */
enum { PENDING_MAX = 16 };

/* Built by the pool task, kept until the core has said what becomes of it. */
struct intake {
    struct pool_task task;
    struct store *store;
    char *worker, *operator_name;
    struct public_key key;
    struct digest nonce, job, manifest, tar, log;
    struct buf envelope;
    int64_t granted_ms;
    bool expects_objects;
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

static int check_identity(const struct intake *intake, const struct statement *statement, struct diag *diag)
{
    if (memcmp(statement->nonce.bytes, intake->nonce.bytes, DIGEST_SIZE) != 0)
        return diag_set(diag, FARM_E_REFUSED, "the statement is about another lease");
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
    struct manifest manifest = MANIFEST_INIT;
    CLEANUP_BUF struct buf pkginfo = BUF_INIT;
    int result = payload_manifest(intake->store, &statement->payload, &manifest, diag);
    if (result >= 0) {
        struct payload payload = {.manifest = statement->payload, .tar = statement->tar};
        pkginfo_write(spec, &manifest, &pkginfo);
        payload.tar_size = canontar_size(&manifest, buf_view(&pkginfo));
        result = payload_verify(intake->store, &payload, buf_view(&pkginfo), spec->epoch, diag);
    }
    manifest_done(&manifest);
    return result;
}

static int check(struct intake *intake, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_STATEMENT struct statement *statement = NULL;
    struct spec *spec = NULL;
    int result = statement_open(buf_view(&intake->envelope), &intake->key, &statement, diag);
    if (result >= 0)
        result = check_identity(intake, statement, diag);
    if (result >= 0 && !store_has(intake->store, &intake->log))
        result = diag_set(diag, FARM_E_MISSING, "the build log was not uploaded");
    if (result >= 0)
        result = store_get(intake->store, &intake->job, SPEC_SIZE_MAX, &text, diag);
    if (result >= 0)
        result = spec_parse(buf_view(&text), &spec, diag);
    if (result >= 0)
        result = statement_check_spec(statement, spec, diag);
    if (result >= 0 && statement->failure == FAILURE_NONE)
        result = check_outputs(intake, statement, spec, diag);
    if (result >= 0)
        intake->failure = statement->failure;
    spec_free(spec);
    return result;
}

static void intake_run(struct pool_task *task)
{
    struct intake *intake = (struct intake *)task;
    intake->result = check(intake, &intake->diag);
}

static void acknowledge(struct farm *farm, const struct intake *intake, enum wire_ack code, const char *text)
{
    Wire__ResultAck ack = WIRE__RESULT_ACK__INIT;
    CLEANUP_JSON json_t *clean = json_view(view_text(text)); /* it may quote the envelope, and must arrive */
    ack.nonce = wire_digest(&intake->nonce);
    ack.code = (Wire__AckCode)code;
    ack.text = wire_text(json_string_value(clean));
    farm_post(farm, intake->worker, WIRE_RESULT_ACK, &ack.base);
}

/* Writes the attestation and what it names; called while the answer is being fed. */
void intake_record(struct farm *farm, const struct core_answer *answer, const char *fate)
{
    const struct intake *intake = farm->answering;
    struct db *db = farm_write(farm);
    CLEANUP_FREE char *holder = mem_format("attestation:%s", digest_hex(&answer->envelope).text);
    struct db_attestation row = {.digest = answer->envelope,
                                 .nonce = intake->nonce,
                                 .payload = answer->payload,
                                 .tar = answer->tar,
                                 .log = intake->log,
                                 .failure = failure_kind_name(answer->failure),
                                 .fate = fate,
                                 .duration_ms = answer->duration_ms,
                                 .received_ms = moment_wall_ms(),
                                 .envelope = buf_view(&intake->envelope)};
    db_put_attestation(db, &row);
    db_put_reference(db, &intake->log, holder);
    if (answer->failure == FAILURE_NONE) {
        db_put_reference(db, &answer->payload, holder);
        db_put_reference(db, &answer->tar, holder);
    }
}

static void feed(struct farm *farm, const struct intake *intake)
{
    struct diag diag = DIAG_INIT;
    struct core_event event = {.type = CORE_ANSWER, .name = intake->worker};
    memcpy(event.answer.nonce.bytes, intake->nonce.bytes, DIGEST_SIZE);
    event.answer.envelope = digest_of(buf_view(&intake->envelope));
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
        log_warning("answer of %s: %s", intake->worker, diag_text(&diag, result));
}

/* An answer that broke a rule is none: its lease ends, and somebody else is asked. */
static void refuse(struct farm *farm, const struct intake *intake)
{
    const char *text = diag_text(&intake->diag, intake->result);
    CLEANUP_FREE char *reason = mem_format("its answer was refused: %s", text);
    struct core_event event = {.type = CORE_LEASE_REFUSED, .name = intake->worker, .text = reason};
    memcpy(event.answer.nonce.bytes, intake->nonce.bytes, DIGEST_SIZE);
    log_warning("answer of %s refused: %s", intake->worker, text);
    acknowledge(farm, intake, WIRE_ACK_REFUSED, text);
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

static void intake_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct intake *intake = (struct intake *)task;
    end(farm, intake);
    const struct directory_entry *entry = directory_find(farm->directory, intake->worker);
    if (farm->stopping) {
        /* not acknowledged: the worker sends it again */
    } else if (entry == NULL) {
        log_warning("answer of %s dropped: revoked meanwhile", intake->worker);
    } else if (intake->result < 0 && !is_the_answers_fault(intake->result)) {
        log_warning("answer of %s cannot be checked now: %s", intake->worker,
                    diag_text(&intake->diag, intake->result));
        acknowledge(farm, intake, WIRE_ACK_AGAIN, diag_text(&intake->diag, intake->result));
    } else if (intake->result < 0) {
        refuse(farm, intake);
    } else {
        feed(farm, intake);
    }
    intake_free(intake);
}

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
    intake->worker = mem_string(worker);
    intake->nonce = wire_get_digest(&result->nonce);
    intake->manifest = wire_get_digest(&result->manifest);
    intake->tar = wire_get_digest(&result->tar);
    intake->log = wire_get_digest(&result->log);
    buf_add_view(&intake->envelope, wire_view(&result->envelope));
    return intake;
}

void intake_result(struct farm *farm, const char *worker, const Wire__Result *result)
{
    struct intake *intake = intake_new(farm, worker, result);
    const struct directory_entry *entry = directory_find(farm->directory, worker);
    int found = entry == NULL ? FARM_E_UNKNOWN
                              : db_find_lease(farm->db, &intake->nonce, visit_lease, intake, &intake->diag);
    if (found <= 0) { /* W6, W7: no such lease, or another worker's */
        log_warning("answer of %s refused: no such lease of its own", worker);
        acknowledge(farm, intake, WIRE_ACK_REFUSED, "no such lease of yours");
        intake_free(intake);
        return;
    }
    if (map_get(farm->checked_nonces, view_of(intake->nonce.bytes, DIGEST_SIZE)) != NULL) {
        intake_free(intake); /* sent again while the first is being checked, which will be answered */
        return;
    }
    if (pending_of(farm, worker) >= PENDING_MAX) {
        acknowledge(farm, intake, WIRE_ACK_AGAIN, "too many answers of yours are being checked");
        intake_free(intake);
        return;
    }
    intake->key = entry->ed25519;
    begin(farm, intake);
}
