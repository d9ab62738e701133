/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The agent's side of the protocol: what it does about what it is told, by the coordinator and by its slots.
 */
#include "agent_private.h"

#include "farmlog.h"
#include "moment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- answers ---- */

static void upload_kept(struct agent *agent)
{
    for (size_t i = 0; i < agent->nslots; i++) {
        struct diag why = DIAG_INIT;
        struct answer *answer = answers_first(&agent->answers, ANSWER_KEPT);
        if (answer == NULL)
            return;
        if (!agent->idle[i])
            continue;
        if (slot_replay(agent->slots[i], answer->entry, agent->bulk_endpoint, &why) < 0) {
            log_event(LOG_LEVEL_ERROR, "slot", log_number(FIELD_SLOT, (int64_t)i),
                      log_text(FIELD_REASON, why.text));
            continue;
        }
        agent->idle[i] = false;
        answer->stage = ANSWER_UPLOADING;
    }
}

void agent_move_answers(struct agent *agent, int64_t now_ms)
{
    if (!agent->welcomed || agent->stopping)
        return;
    for (struct answer *answer; (answer = answers_first(&agent->answers, ANSWER_UPLOADED)) != NULL;) {
        if (agent_send_answer(agent, answer->entry) < 0)
            break;
        answer->stage = ANSWER_SENT;
        answer->sent_ms = now_ms;
    }
    upload_kept(agent);
}

static void forget(struct agent *agent, struct answer *answer)
{
    struct diag why = DIAG_INIT;
    if (spool_remove(agent->shop->state_dirfd, &answer->entry->nonce, &why) < 0)
        log_warning("%s", why.text);
    answers_remove(&agent->answers, answer);
    agent->status_changed = true;
}

void agent_let_go(struct agent *agent)
{
    if (agent->let_go_ms == 0)
        return;
    agent->let_go_ms = moment_steady_ms() + AGENT_STATUS_MS; /* if it fails: the next try */
    if (!agent_log_save(agent))
        return;
    agent->let_go_ms = 0;
    for (struct answer *answer; (answer = answers_first(&agent->answers, ANSWER_ACKNOWLEDGED)) != NULL;)
        forget(agent, answer);
}

/* ---- being told ---- */

static void on_welcome(struct agent *agent, const Wire__Welcome *welcome)
{
    const char *control = agent->shop->conf.coordinator;
    char *bulk = NULL;
    struct diag why = DIAG_INIT;
    if (welcome->protocol_version != WIRE_PROTOCOL_VERSION) {
        log_event(LOG_LEVEL_ERROR,
                  "the coordinator speaks another version of the protocol: install the matching worker",
                  log_number(FIELD_VERSION, welcome->protocol_version));
        return;
    }
    if (worker_conf_bulk_endpoint(&agent->shop->conf, welcome->bulk_endpoint, &bulk, &why) < 0) {
        log_error("%s", why.text);
        snprintf(agent->connection, sizeof agent->connection, "%s", why.text);
        agent->status_changed = true;
        return;
    }
    free(agent->bulk_endpoint);
    agent->bulk_endpoint = bulk;
    agent->heartbeat_ms = welcome->heartbeat_ms < AGENT_HEARTBEAT_MIN_MS   ? AGENT_HEARTBEAT_MIN_MS
                          : welcome->heartbeat_ms > AGENT_HEARTBEAT_MAX_MS ? AGENT_HEARTBEAT_MAX_MS
                                                                           : (int)welcome->heartbeat_ms;
    agent->heartbeat_due_ms = moment_steady_ms() + agent->heartbeat_ms;
    agent->welcomed = true;
    agent->hello_due_ms = 0;
    snprintf(agent->connection, sizeof agent->connection, "connected");
    agent->status_changed = true;
    log_event(LOG_LEVEL_INFO, "connected; waiting for work", log_text(FIELD_ADDRESS, control),
              log_text(FIELD_WORKER, agent->shop->conf.name),
              log_text(FIELD_OPERATOR, agent->shop->conf.operator_name));
    answers_resend(&agent->answers);
    agent_trust_welcome(agent, moment_steady_ms());
    agent_log_welcome(agent, moment_steady_ms());
    agent_judge(agent, moment_steady_ms());
    if (agent_is_paused(agent) || agent->draining)
        agent_say_status(agent, agent->hindrance);
    agent_move_answers(agent, moment_steady_ms());
}

/* NULL: it may be taken. */
static const char *why_not(const struct agent *agent, enum wire_refuse_reason *ret_reason)
{
    *ret_reason = WIRE_REFUSE_PAUSED;
    if (agent->draining)
        return "this worker finishes what it has and leaves";
    if (agent->hindrance[0] != '\0')
        return agent->hindrance;
    if (agent_is_paused(agent))
        return "this worker is paused";
    *ret_reason = WIRE_REFUSE_BUSY;
    return agent->welcomed && agent->nwaiting < agent->nslots ? NULL : "no slot is free";
}

static bool is_known(struct agent *agent, const struct lease_nonce *nonce)
{
    struct answer *answer = answers_find(&agent->answers, nonce);
    if (answer != NULL && answer->stage == ANSWER_SENT)
        answer->stage = ANSWER_UPLOADED; /* it is asked for: once more */
    bool known = answer != NULL;
    for (size_t i = 0; !known && i < agent->nwaiting; i++)
        known = lease_nonce_equal(&agent->waiting[i]->nonce, nonce);
    for (size_t i = 0; !known && i < agent->nslots; i++) {
        struct slot_view view = slot_look(agent->slots[i]);
        known = !agent->idle[i] && lease_nonce_equal(&view.nonce, nonce);
    }
    return known;
}

static struct lease *take_waiting(struct agent *agent, size_t index)
{
    struct lease *lease = agent->waiting[index];
    agent->nwaiting--;
    memmove(&agent->waiting[index], &agent->waiting[index + 1],
            (agent->nwaiting - index) * sizeof(struct lease *));
    return lease;
}

void agent_assign(struct agent *agent)
{
    for (size_t i = 0; !agent->settling && i < agent->nslots && agent->nwaiting > 0; i++) {
        struct diag why = DIAG_INIT;
        if (!agent->idle[i])
            continue;
        struct lease *lease = take_waiting(agent, 0);
        struct lease_nonce nonce = lease->nonce;
        agent->idle[i] = false;
        agent->status_changed = true;
        if (slot_assign(agent->slots[i], lease, agent->bulk_endpoint, &why) < 0) {
            log_event(LOG_LEVEL_ERROR, "slot", log_number(FIELD_SLOT, (int64_t)i),
                      log_text(FIELD_REASON, why.text));
            agent_refuse(agent, &nonce, WIRE_REFUSE_BUSY, why.text);
        }
    }
}

void agent_return_waiting(struct agent *agent, const char *text)
{
    while (agent->nwaiting > 0) {
        struct lease *lease = take_waiting(agent, 0);
        agent_refuse(agent, &lease->nonce, WIRE_REFUSE_PAUSED, text);
        lease_free(lease, agent->shop);
    }
}

static void on_lease(struct agent *agent, const Wire__Lease *message)
{
    struct lease_nonce nonce;
    enum wire_refuse_reason reason;
    struct digest bytes = wire_get_digest(&message->nonce);
    memcpy(nonce.bytes, bytes.bytes, sizeof nonce.bytes);
    if (is_known(agent, &nonce)) {
        agent_move_answers(agent, moment_steady_ms());
        return;
    }
    const char *objection = why_not(agent, &reason);
    if (objection != NULL) {
        agent_refuse(agent, &nonce, reason, objection);
        return;
    }
    agent->waiting[agent->nwaiting++] = lease_new(message);
    agent_assign(agent);
}

static void on_cancel(struct agent *agent, const Wire__LeaseCancel *cancel)
{
    struct lease_nonce nonce;
    struct digest bytes = wire_get_digest(&cancel->nonce);
    memcpy(nonce.bytes, bytes.bytes, sizeof nonce.bytes);
    for (size_t i = 0; i < agent->nwaiting; i++)
        if (lease_nonce_equal(&agent->waiting[i]->nonce, &nonce)) {
            lease_free(take_waiting(agent, i), agent->shop);
            return;
        }
    for (size_t i = 0; i < agent->nslots; i++)
        if (slot_cancel(agent->slots[i], &nonce))
            log_event(LOG_LEVEL_INFO, "lease is withdrawn", log_bytes(FIELD_LEASE, nonce.bytes),
                      log_text(FIELD_REASON, cancel->reason));
}

static void count_ack(struct agent *agent, const struct spool_entry *entry, const Wire__ResultAck *ack)
{

    switch ((enum wire_ack)ack->code) {
    case WIRE_ACK_ACCEPTED:
        agent->tally.accepted++;
        agent->tally.failed += entry->failure != FAILURE_NONE;
        log_event(LOG_LEVEL_INFO, "result accepted", log_text(FIELD_NODE, entry->node),
                  log_bytes(FIELD_LEASE, entry->nonce.bytes));
        return;
    case WIRE_ACK_EVIDENCE:
        agent->tally.evidence++;
        log_event(LOG_LEVEL_INFO, "result is kept as evidence, it is no vote",
                  log_text(FIELD_NODE, entry->node), log_bytes(FIELD_LEASE, entry->nonce.bytes),
                  log_text(FIELD_REASON, ack->text));
        return;
    case WIRE_ACK_REFUSED:
        agent->tally.refused++;
        tally_add_refusal(&agent->tally, moment_wall_ms(), entry->node, ack->text);
        log_event(LOG_LEVEL_ERROR, "result is refused", log_text(FIELD_NODE, entry->node),
                  log_bytes(FIELD_LEASE, entry->nonce.bytes), log_text(FIELD_REASON, ack->text));
        return;
    case WIRE_ACK_AGAIN:
    case WIRE_ACK_UNSPECIFIED:
        return;
    }
}

static void on_ack(struct agent *agent, const Wire__ResultAck *ack)
{
    struct lease_nonce nonce;
    struct digest bytes = wire_get_digest(&ack->nonce);
    memcpy(nonce.bytes, bytes.bytes, sizeof nonce.bytes);
    struct answer *answer = answers_find(&agent->answers, &nonce);
    if (answer == NULL || answer->stage == ANSWER_ACKNOWLEDGED ||
        ack->code == WIRE__ACK_CODE__ACK_UNSPECIFIED)
        return;
    if (ack->code == WIRE__ACK_CODE__ACK_AGAIN) {
        log_event(LOG_LEVEL_INFO, "the coordinator asks for the files again",
                  log_text(FIELD_NODE, answer->entry->node),
                  log_bytes(FIELD_LEASE, answer->entry->nonce.bytes));
        if (answer->stage != ANSWER_UPLOADING)
            answer->stage = ANSWER_KEPT;
        /* At once the first time, then with the heartbeats: "again" without end must not keep both of us busy. */
        if (!answer->asked_again)
            agent_move_answers(agent, moment_steady_ms());
        answer->asked_again = true;
        return;
    }
    if (!agent_log_on_ack(agent, answer->entry, ack, moment_steady_ms()))
        return;
    count_ack(agent, answer->entry, ack);
    answer->stage = ANSWER_ACKNOWLEDGED;
    if (agent->let_go_ms == 0)
        agent->let_go_ms = moment_steady_ms() + AGENT_LET_GO_MS;
    agent->status_changed = true;
}

static void on_order(struct agent *agent, const Wire__Order *order)
{
    switch ((enum wire_order)order->code) {
    case WIRE_ORDER_PAUSE:
        log_event(LOG_LEVEL_INFO, "paused by the farm's operator", log_text(FIELD_REASON, order->text));
        agent->paused_by_farm = true;
        break;
    case WIRE_ORDER_RESUME:
        log_info("resumed by the farm's operator");
        agent->paused_by_farm = false;
        break;
    case WIRE_ORDER_DRAIN:
        log_event(LOG_LEVEL_INFO, "the farm's operator asks this worker to finish and leave",
                  log_text(FIELD_REASON, order->text));
        agent->draining = true;
        break;
    case WIRE_ORDER_STOP:
        log_event(LOG_LEVEL_INFO, "the farm's operator asks this worker to stop",
                  log_text(FIELD_REASON, order->text));
        agent->draining = agent->stopping = true;
        break;
    case WIRE_ORDER_UNSPECIFIED:
        return;
    }
    agent_mode_changed(agent, "as ordered");
}

/*
 * "Not now" means that the coordinator has forgotten this session (it was restarted, or we were silent for
 * too long): Hello again, at once. Everything else is said once more after a while, since people may have
 * changed what was in the way; only another version of the protocol will not go away by itself.
 */
static void on_refused(struct agent *agent, const Wire__Refused *refused)
{
    int error = refused->code <= INT32_MAX ? -(int)refused->code : FARM_E_REFUSED;
    agent->welcomed = false;
    if (error == FARM_E_STATE) {
        agent_say_hello(agent);
        return;
    }
    log_event(LOG_LEVEL_ERROR, "the coordinator ends the session", log_text(FIELD_REASON, refused->text));
    snprintf(agent->connection, sizeof agent->connection, "refused: %s", refused->text);
    agent->status_changed = true;
    agent->hello_due_ms = moment_steady_ms() + AGENT_REFUSED_MS;
    if (error == FARM_E_UNSUPPORTED) {
        agent->exit_status = FARM_EXIT_CANNOT_RUN;
        agent->draining = true;
    }
}

void agent_warn(struct agent *agent, const char *why)
{
    uint64_t held;
    if (!lograte_pass(&agent->noise, moment_steady_ms(), &held))
        return;
    if (held > 0)
        log_event(LOG_LEVEL_WARNING, "more messages of the coordinator were dropped, and not told",
                  log_number(FIELD_COUNT, (int64_t)held));
    log_event(LOG_LEVEL_WARNING, "a message of the coordinator is dropped", log_text(FIELD_REASON, why));
}

void agent_on_frame(struct agent *agent, struct view frame)
{
    struct diag why = DIAG_INIT;
    struct wire_message *message = NULL;
    if (wire_decode(WIRE_TO_WORKER, frame, &message, &why) < 0) {
        agent_warn(agent, why.text);
        return;
    }
    switch ((enum wire_to_worker)message->type) {
    case WIRE_WELCOME:
        on_welcome(agent, message->welcome);
        break;
    case WIRE_LEASE:
        on_lease(agent, message->lease);
        break;
    case WIRE_LEASE_CANCEL:
        on_cancel(agent, message->lease_cancel);
        break;
    case WIRE_RESULT_ACK:
        on_ack(agent, message->result_ack);
        break;
    case WIRE_ORDER:
        on_order(agent, message->order);
        break;
    case WIRE_REFUSED:
        on_refused(agent, message->refused);
        break;
    case WIRE_LOG_ANSWER:
        agent_log_on_answer(agent, message->log_answer, moment_steady_ms());
        break;
    case WIRE_TRUST_ANSWER:
        agent_trust_on_answer(agent, message->trust_answer, moment_steady_ms());
        break;
    }
    wire_free(message);
}

/* ---- what the slots hand over ---- */

static void on_delivered(struct agent *agent, const struct outbox_item *item)
{
    struct answer *answer = answers_find(&agent->answers, &item->nonce);
    if (answer != NULL && answer->stage == ANSWER_UPLOADING)
        answer->stage = ANSWER_UPLOADED;
    agent_move_answers(agent, moment_steady_ms());
}

static void on_dropped(struct agent *agent, const struct outbox_item *item)
{
    struct answer *answer = answers_find(&agent->answers, &item->nonce);
    log_event(LOG_LEVEL_ERROR, "the result is given up", log_text(FIELD_NODE, item->node),
              log_bytes(FIELD_LEASE, item->nonce.bytes), log_text(FIELD_REASON, item->text));
    agent_refuse(agent, &item->nonce, WIRE_REFUSE_INPUT, item->text); /* so that nobody waits for it */
    if (answer != NULL)
        forget(agent, answer);
}

/* The time of a failed build was donated too. */
static void on_answered(struct agent *agent, struct outbox_item *item)
{
    struct slot_view view = slot_look(agent->slots[item->slot]);
    agent->tally.build_ms += moment_steady_ms() - view.since_ms;
    answers_add(&agent->answers, STEAL(item->entry), ANSWER_UPLOADING);
    agent->status_changed = true;
}

/* An upload that ended without a word is tried again at the next heartbeat, not at once: it would fail at
 * once. */
static void on_idle(struct agent *agent, unsigned slot)
{
    struct slot_view view = slot_look(agent->slots[slot]);
    agent->idle[slot] = true;
    agent->status_changed = true;
    agent_assign(agent);
    agent_move_answers(agent, moment_steady_ms());
    struct answer *answer = answers_find(&agent->answers, &view.nonce);
    if (agent->idle[slot] && answer != NULL && answer->stage == ANSWER_UPLOADING)
        answer->stage = ANSWER_KEPT;
}

void agent_on_item(struct agent *agent, struct outbox_item *item)
{
    switch (item->kind) {
    case OUTBOX_PROGRESS:
        if (agent->welcomed) {
            struct diag why = DIAG_INIT;
            if (link_client_send_buf(agent->link, &item->frame, &why) < 0)
                log_debug("progress was not sent: %s", why.text);
        }
        break;
    case OUTBOX_RETURNED:
        agent_refuse(agent, &item->nonce, item->reason, item->text);
        break;
    case OUTBOX_ANSWERED:
        on_answered(agent, item);
        break;
    case OUTBOX_DELIVERED:
        on_delivered(agent, item);
        break;
    case OUTBOX_DROPPED:
        on_dropped(agent, item);
        break;
    case OUTBOX_IDLE:
        on_idle(agent, item->slot);
        break;
    case OUTBOX_DIRECTORY:
        agent_trust_on_listing(agent, item, moment_steady_ms());
        break;
    }
    outbox_item_free(item);
}
