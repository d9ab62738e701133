/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Answers, checked in the pool before anybody counts them: see net/intake.c. */
#include "sim.h"

#include <stdlib.h>

enum { PENDING_MAX = 16, REFUSALS_MAX = 4, ANSWERS_MAX = 8 };

struct intake {
    size_t worker;
    struct core_nonce nonce;
    struct digest job, manifest, tar, log, digest; /* 'digest': of the envelope */
    struct buf envelope;
    int64_t granted_wall_ms;
    unsigned life; /* of the coordinator that checks it */
    bool genuine;
    int result;
    enum failure_kind failure;
};

void intake_free(struct intake *intake)
{
    buf_done(&intake->envelope);
    free(intake);
}

/* --- checking --- */

static int check_outputs(const struct world *world, const struct intake *intake,
                         const struct statement *statement)
{
    if (!digest_equal(&statement->payload, &intake->manifest) || !digest_equal(&statement->tar, &intake->tar))
        return FARM_E_REFUSED;
    return objects_has(&world->objects, &statement->payload) && objects_has(&world->objects, &statement->tar)
               ? 0
               : FARM_E_MISSING;
}

static int check_identity(struct intake *intake, const struct statement *statement)
{
    if (memcmp(&statement->nonce, &intake->nonce, sizeof intake->nonce) != 0)
        return FARM_E_REFUSED;
    intake->genuine = true;
    if (statement->worker != intake->worker)
        return FARM_E_REFUSED;
    if (!digest_equal(&statement->key, &intake->job))
        return FARM_E_REFUSED;
    return digest_equal(&statement->log, &intake->log) ? 0 : FARM_E_REFUSED;
}

static int check(const struct world *world, struct intake *intake)
{
    struct statement statement;
    int result =
        statement_open(buf_view(&intake->envelope), &world->workers[intake->worker].secret, &statement);
    if (result >= 0)
        result = check_identity(intake, &statement);
    if (result >= 0 && !objects_has(&world->objects, &intake->log))
        result = FARM_E_MISSING;
    if (result >= 0 && statement.failure == FAILURE_NONE)
        result = check_outputs(world, intake, &statement);
    if (result >= 0)
        intake->failure = statement.failure;
    return result;
}

/* --- acknowledgements --- */

static void acknowledge(struct world *world, const struct intake *intake, enum wire_ack code,
                        uint64_t log_entry)
{
    Wire__ResultAck ack = WIRE__RESULT_ACK__INIT;
    ack.nonce = wire_bytes(view_of(intake->nonce.bytes, sizeof intake->nonce.bytes));
    ack.code = (Wire__AckCode)code;
    ack.text = wire_text("so it is");
    ack.log_entry = log_entry;
    coordinator_post(world, intake->worker, WIRE_RESULT_ACK, &ack.base);
}

static uint64_t known(struct world *world, const struct digest *envelope)
{
    const struct row_answer *answer = db_answer(&world->db, envelope);
    const struct row_refusal *refusal = db_refusal(&world->db, envelope);
    return answer != NULL ? 1 + answer->position : refusal != NULL ? 1 + refusal->position : 0;
}

uint64_t intake_record(struct world *world, const struct core_effect *effect)
{
    struct row_answer row = {
        .envelope = effect->answer.envelope,
        .lease = db_lease(&world->db, &effect->answer.nonce),
        .answer = effect->answer,
        .fate = effect->fate,
    };
    row.is_void = world->workers[row.lease->worker].revoked;
    return 1 + db_put_answer(&world->db, &row)->position;
}

static size_t count_refusals(struct world *world, const struct core_nonce *nonce)
{
    size_t n = 0, cursor = 0;
    struct view key;
    for (void *row; map_next(world->db.refusals, &cursor, &key, &row);)
        n += memcmp(&((struct row_refusal *)row)->nonce, nonce, sizeof *nonce) == 0;
    return n;
}

static size_t count_answers(struct world *world, const struct core_nonce *nonce)
{
    const struct row_lease *lease = db_lease(&world->db, nonce);
    size_t n = 0;
    for (size_t i = 0; lease != NULL && i < lease->job->answers.count; i++)
        n += ((const struct row_answer *)lease->job->answers.items[i])->lease == lease;
    return n;
}

static uint64_t record_refusal(struct world *world, const struct intake *intake)
{
    uint64_t position = known(world, &intake->digest);
    if (!intake->genuine || position > 0)
        return position;
    if (count_refusals(world, &intake->nonce) >= REFUSALS_MAX)
        return 0;
    struct row_refusal row = {.envelope = intake->digest, .nonce = intake->nonce};
    db_put_refusal(&world->db, &row);
    return known(world, &intake->digest);
}

/* --- what becomes of it --- */

static void feed(struct world *world, const struct intake *intake)
{
    struct core_event event = {.type = CORE_ANSWER, .name = world->workers[intake->worker].name};
    int64_t duration_ms = coordinator_wall(world) - intake->granted_wall_ms;
    struct core_lease lease;
    event.answer =
        (struct core_answer){.nonce = intake->nonce, .envelope = intake->digest, .failure = intake->failure};
    event.answer.manifest_log = intake->log;
    event.answer.duration_ms = duration_ms > 0 ? duration_ms : 0;
    if (intake->failure == FAILURE_NONE) {
        event.answer.payload = intake->manifest;
        event.answer.tar = intake->tar;
    }
    if (!core_lease_find(world->coordinator.core, &event.answer.nonce, &lease))
        coordinator_feed_history(world, db_job(&world->db, &intake->job));
    world->coordinator.answering = intake;
    (void)coordinator_feed(world, &event, NULL);
    world->coordinator.answering = NULL;
}

/* An answer that broke a rule is none: its lease ends, and somebody else is asked. */
static void refuse(struct world *world, const struct intake *intake)
{
    struct core_event event = {.type = CORE_LEASE_REFUSED,
                               .name = world->workers[intake->worker].name,
                               .text = "its answer was refused"};
    event.answer.nonce = intake->nonce;
    world->totals->refused++;
    acknowledge(world, intake, WIRE_ACK_REFUSED, record_refusal(world, intake));
    (void)coordinator_feed(world, &event, NULL);
}

/* Checked, and found missing since: the core takes an answer's word that its payload is here. */
static bool is_gone_again(const struct world *world, const struct intake *intake)
{
    return intake->result >= 0 && intake->failure == FAILURE_NONE && map_count(world->coordinator.lost) > 0 &&
           (!objects_has(&world->objects, &intake->manifest) || !objects_has(&world->objects, &intake->tar));
}

void coordinator_finish_intake(struct world *world, struct intake *intake)
{
    struct coordinator *c = &world->coordinator;
    (void)map_remove(c->checking, view_of(&intake->nonce, sizeof intake->nonce));
    c->pending[intake->worker]--;
    if (c->dying || world->workers[intake->worker].revoked) {
        /* not acknowledged */
    } else if (intake->result == FARM_E_MISSING || is_gone_again(world, intake)) {
        world->totals->again++;
        acknowledge(world, intake, WIRE_ACK_AGAIN, 0);
    } else if (intake->result < 0) {
        refuse(world, intake);
    } else {
        feed(world, intake);
    }
    intake_free(intake);
}

/* --- arrival --- */

static struct intake *intake_new(struct world *world, size_t worker, const Wire__Result *result)
{
    struct intake *intake = mem_zero(1, sizeof *intake);
    struct digest nonce = wire_get_digest(&result->nonce);
    intake->worker = worker;
    intake->life = world->coordinator.life;
    memcpy(intake->nonce.bytes, nonce.bytes, sizeof intake->nonce.bytes);
    intake->manifest = wire_get_digest(&result->manifest);
    intake->tar = wire_get_digest(&result->tar);
    intake->log = wire_get_digest(&result->log);
    buf_add_view(&intake->envelope, wire_view(&result->envelope));
    intake->digest = digest_of(buf_view(&intake->envelope));
    return intake;
}

/* The same answer again: the core says so without another look at its bytes. */
static bool was_taken(struct world *world, struct intake *intake)
{
    const struct row_answer *row = db_answer(&world->db, &intake->digest);
    if (row == NULL || memcmp(&row->answer.nonce, &intake->nonce, sizeof intake->nonce) != 0)
        return false;
    intake->failure = row->answer.failure;
    intake->manifest = row->answer.payload;
    intake->tar = row->answer.tar;
    intake->log = row->answer.manifest_log;
    feed(world, intake);
    return true;
}

static bool was_refused(struct world *world, const struct intake *intake)
{
    const struct row_refusal *row = db_refusal(&world->db, &intake->digest);
    if (row == NULL || memcmp(&row->nonce, &intake->nonce, sizeof intake->nonce) != 0)
        return false;
    acknowledge(world, intake, WIRE_ACK_REFUSED, 1 + row->position);
    return true;
}

/* Its Hello may have named this lease, and the core keeps a slot for it. */
static void forget_presented(struct world *world, const struct intake *intake)
{
    struct core_event event = {.type = CORE_LEASE_REFUSED, .name = world->workers[intake->worker].name};
    event.answer.nonce = intake->nonce;
    acknowledge(world, intake, WIRE_ACK_REFUSED, 0);
    (void)coordinator_feed(world, &event, NULL);
}

/* The lease is its own; else it hears so. Here the core is sometimes asked all the same: it keeps that rule by itself. */
static bool find_lease(struct world *world, struct intake *intake)
{
    const struct row_lease *lease = db_lease(&world->db, &intake->nonce);
    if (lease == NULL) {
        forget_presented(world, intake);
        return false;
    }
    intake->job = lease->job->key;
    intake->granted_wall_ms = lease->granted_wall_ms;
    if (lease->worker == intake->worker)
        return true;
    if (world_chance(world, DICE_COORDINATOR, 500))
        feed(world, intake);
    else
        acknowledge(world, intake, WIRE_ACK_REFUSED, 0);
    return false;
}

static bool is_wanted(struct world *world, struct intake *intake)
{
    struct coordinator *c = &world->coordinator;
    if (c->dying || !find_lease(world, intake))
        return false;
    if (map_get(c->checking, view_of(&intake->nonce, sizeof intake->nonce)) != NULL)
        return false; /* sent again while the first is being checked */
    if (was_refused(world, intake) || was_taken(world, intake))
        return false;
    bool too_much = count_refusals(world, &intake->nonce) >= REFUSALS_MAX ||
                    count_answers(world, &intake->nonce) >= ANSWERS_MAX;
    if (too_much || c->pending[intake->worker] >= PENDING_MAX) {
        acknowledge(world, intake, too_much ? WIRE_ACK_REFUSED : WIRE_ACK_AGAIN, 0);
        return false;
    }
    return true;
}

void coordinator_take_result(struct world *world, size_t worker, const Wire__Result *result)
{
    struct intake *intake = intake_new(world, worker, result);
    if (!is_wanted(world, intake)) {
        intake_free(intake);
        return;
    }
    map_set(world->coordinator.checking, view_of(&intake->nonce, sizeof intake->nonce), world);
    world->coordinator.pending[worker]++;
    schedule_add(&world->schedule, world->now_ms + (int64_t)world_below(world, DICE_COORDINATOR, 300),
                 HAPPENS_INTAKE, intake->life, intake);
}

/* In the pool. */
void coordinator_check(struct world *world, struct intake *intake)
{
    if (!world->coordinator.up || intake->life != world->coordinator.life) {
        intake_free(intake); /* its process is dead */
        return;
    }
    intake->result = check(world, intake);
    coordinator_checked(world, intake);
}
