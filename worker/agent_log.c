/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The agent as a witness of the log: asks, gives what comes to the rules (witness.h), and does what they say, in this order: keep on
 * disk, then cosign, then say so.
 *
 * One question is under way at a time, so that an answer is compared with what was kept when it was asked for. An answer may outlive its
 * connection, though; the checkpoints of questions that were given up are remembered, and an answer to one of them is passed over (L3).
 */
#include "agent_private.h"

#include "farmlog.h"
#include "file.h"
#include "moment.h"
#include "statedir.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* NULL: nothing is to be watched, now. */
static const struct root_log *log_of(const struct agent *agent)
{
    const struct root *root = trust_root(agent->shop->trust);
    return root != NULL && root->log.present ? &root->log : NULL;
}

static void due_by(struct agent *agent, int64_t when_ms)
{
    if (when_ms < agent->log.due_ms)
        agent->log.due_ms = when_ms;
}

bool agent_log_save(struct agent *agent)
{
    struct diag why = DIAG_INIT;
    if (!agent->log.unsaved)
        return true;
    int error = witness_save(agent->shop->state_dirfd, &agent->log.witness, &why);
    if (error < 0)
        log_error("what was seen of the log cannot be kept: %s", diag_text(&why, error));
    agent->log.unsaved = error < 0;
    return error >= 0;
}

/* ---- asking ---- */

static void give_up_question(struct agent *agent)
{
    struct agent_log *log = &agent->log;
    if (!log->asked)
        return;
    log->asked = false;
    if (log->nlate == AGENT_LOG_LATE)
        memmove(&log->late[0], &log->late[1], --log->nlate * sizeof log->late[0]);
    log->late[log->nlate++] = log->ask.known;
    log->late_ms = moment_steady_ms();
}

void agent_log_welcome(struct agent *agent, int64_t now_ms)
{
    give_up_question(agent);
    agent->log.due_ms = now_ms;
    agent->log.doubts = 0;
    agent->log.cosigned = (struct checkpoint){.size = 0};
}

void agent_log_down(struct agent *agent)
{
    give_up_question(agent);
}

static void doubt(struct agent *agent, const char *text, int64_t now_ms)
{
    struct agent_log *log = &agent->log;
    if (log->doubts == 0 || strcmp(log->doubt, text) != 0)
        log_warning("the log: %s", text);
    log->doubts++;
    snprintf(log->doubt, sizeof log->doubt, "%s", text);
    log->due_ms = now_ms + AGENT_LOG_BUSY_MS;
    agent_judge(agent, now_ms);
}

static bool is_watching(const struct agent *agent)
{
    return agent->welcomed && !alarm_is_set(&agent->alarm) && log_of(agent) != NULL;
}

int64_t agent_log_due(const struct agent *agent, int64_t otherwise)
{
    const struct agent_log *log = &agent->log;
    if (!is_watching(agent))
        return otherwise;
    int64_t due = log->asked ? log->asked_ms + AGENT_LOG_SILENT_MS : log->due_ms;
    return due < otherwise ? due : otherwise;
}

void agent_log_turn(struct agent *agent, int64_t now_ms)
{
    struct agent_log *log = &agent->log;
    if (!is_watching(agent) || now_ms < agent_log_due(agent, INT64_MAX))
        return;
    if (log->asked) {
        give_up_question(agent);
        doubt(agent, "the coordinator does not answer when it is asked about it", now_ms);
        return;
    }
    witness_make_ask(&log->witness, &log->ask);
    log->asked = agent_say_log_ask(agent, &log->ask, witness_note(&log->witness)) >= 0;
    log->asked_ms = now_ms;
    log->due_ms = now_ms + AGENT_LOG_BUSY_MS; /* if it could not be sent */
}

/* ---- cosigning ---- */

static int write_cosigned(const struct agent *agent, const struct note_key *key, uint64_t time_s,
                          const struct signature *signature, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    buf_add_text(&text, agent->log.witness.note);
    note_write_cosignature(key, time_s, signature, &text);
    return file_write(agent->shop->state_dirfd, STATEDIR_COSIGNED, buf_view(&text), 0600, diag);
}

static bool was_cosigned(const struct agent *agent)
{
    const struct checkpoint *last = &agent->log.cosigned, *kept = &agent->log.witness.kept;
    return strcmp(last->origin, kept->origin) == 0 && last->size == kept->size;
}

/* A cosignature of no entries says nothing. */
static void cosign(struct agent *agent)
{
    const struct workshop *shop = agent->shop;
    const struct checkpoint *kept = &agent->log.witness.kept;
    uint64_t time_s = (uint64_t)moment_wall_ms() / 1000;
    struct note_key key = {.type = NOTE_COSIGNATURE, .key = *keys_public(identity_keys(shop->identity))};
    struct signature signature;
    struct diag why = DIAG_INIT;
    if (kept->size == 0 || was_cosigned(agent))
        return;
    snprintf(key.name, sizeof key.name, "%s/%s", shop->conf.operator_name, shop->conf.name);
    int error = note_cosign(kept, time_s, identity_keys(shop->identity), &signature, &why);
    if (error >= 0)
        error = write_cosigned(agent, &key, time_s, &signature, &why);
    if (error < 0) {
        log_event(LOG_LEVEL_ERROR, "a checkpoint is not cosigned",
                  log_number(FIELD_ENTRIES, (int64_t)kept->size),
                  log_text(FIELD_REASON, diag_text(&why, error)));
        return;
    }
    agent_say_cosign(agent, kept, time_s, &signature);
    agent->log.cosigned = *kept;
    log_event(LOG_LEVEL_DEBUG, "cosigned the log", log_number(FIELD_ENTRIES, (int64_t)kept->size));
}

/* ---- answers ---- */

static void take_proof(const ProtobufCBinaryData *hashes, size_t count, struct tlog_proof *ret)
{
    assert(count <= TLOG_PROOF_MAX); /* the catalogue's limits are lower */
    ret->count = count;
    for (size_t i = 0; i < count; i++)
        ret->hashes[i] = wire_get_digest(&hashes[i]);
}

static struct witness_answer *decode(const Wire__LogAnswer *message)
{
    struct witness_answer *answer = mem_zero(1, sizeof *answer);
    answer->note = wire_view(&message->checkpoint);
    take_proof(message->consistency, message->n_consistency, &answer->consistency);
    for (; answer->ninclusions < message->n_inclusions && answer->ninclusions < WITNESS_POSITIONS_MAX;
         answer->ninclusions++) {
        const Wire__LogInclusion *from = message->inclusions[answer->ninclusions];
        struct witness_inclusion *to = &answer->inclusions[answer->ninclusions];
        to->position = from->position;
        to->entry = wire_view(&from->entry);
        take_proof(from->path, from->n_path, &to->path);
    }
    return answer;
}

/* L3. */
static bool answers_older_question(struct agent *agent, const struct witness_answer *answer, int64_t now_ms)
{
    struct agent_log *log = &agent->log;
    const struct root_log *root_log = log_of(agent);
    if (now_ms - log->late_ms > AGENT_LOG_LATE_MS)
        log->nlate = 0;
    if (log->nlate == 0)
        return false;
    if (log->asked && witness_is_late(&log->ask.known, root_log, answer))
        return false;
    for (size_t i = 0; i < log->nlate; i++)
        if (witness_is_late(&log->late[i], root_log, answer)) {
            log->nlate--;
            memmove(&log->late[i], &log->late[i + 1], (log->nlate - i) * sizeof log->late[0]);
            return true;
        }
    return false;
}

/* Those whose cosignatures count have to meet at one checkpoint: while the log grows they look more often than the others. */
static bool is_counted(const struct agent *agent)
{
    const struct root *root = trust_root(agent->shop->trust);
    return root != NULL && root_is_witness(root, agent->shop->conf.operator_name);
}

static void plan_next(struct agent *agent, const struct witness_finding *finding, bool grew, int64_t now_ms)
{
    struct agent_log *log = &agent->log;
    bool busy = log->witness.nunproven > 0 || (grew && is_counted(agent));
    log->due_ms = finding->more ? now_ms : now_ms + (busy ? AGENT_LOG_BUSY_MS : AGENT_LOG_IDLE_MS);
}

static void act(struct agent *agent, struct witness_finding *finding, bool grew, int64_t now_ms)
{
    bool kept = agent_log_save(agent);
    plan_next(agent, finding, grew, now_ms);
    switch (finding->move) {
    case WITNESS_NOTHING:
        break;
    case WITNESS_DOUBT:
        doubt(agent, finding->why.text, now_ms);
        return;
    case WITNESS_ALARM:
        agent_raise(agent, &finding->alarm);
        return;
    case WITNESS_WAIT:
        if (!finding->more)
            log_info(
                "the log at %llu entries is not cosigned: it does not prove an answer of this worker yet",
                (unsigned long long)agent->log.witness.kept.size);
        break;
    case WITNESS_COSIGN:
        if (kept)
            cosign(agent);
        break;
    }
    agent->log.doubts = 0;
    agent->status_changed = true;
    agent_judge(agent, now_ms);
}

/*
 * An empty answer is a call: somebody waits for cosignatures. It makes us look now, and not more often than that. If a question is under
 * way its answer is still to come, and a coordinator that has nothing else to say is found out by its silence; only before anything
 * was ever shown is "nothing" an answer.
 */
static bool is_call(const struct agent *agent, const Wire__LogAnswer *message)
{
    return message->checkpoint.len == 0 && (!agent->log.asked || agent->log.witness.kept.size > 0);
}

static void judge(struct agent *agent, const struct witness_answer *answer, int64_t now_ms)
{
    struct agent_log *log = &agent->log;
    struct witness_finding finding = WITNESS_FINDING_INIT;
    uint64_t before = log->witness.kept.size;
    log->asked = false;
    witness_on_answer(&log->witness, log_of(agent), &log->ask, answer, &finding);
    log->unsaved = log->unsaved || finding.changed;
    act(agent, &finding, log->witness.kept.size > before, now_ms);
    witness_finding_done(&finding);
}

void agent_log_on_answer(struct agent *agent, const Wire__LogAnswer *message, int64_t now_ms)
{
    int64_t soon_ms = agent->log.asked_ms + AGENT_LOG_SOON_MS;
    if (!is_watching(agent))
        return;
    if (is_call(agent, message)) {
        due_by(agent, soon_ms > now_ms ? soon_ms : now_ms);
        return;
    }
    struct witness_answer *answer = decode(message);
    if (answers_older_question(agent, answer, now_ms) || !agent->log.asked)
        log_debug("an answer about the log that was not asked for, or came late, is passed over");
    else
        judge(agent, answer, now_ms);
    free(answer);
}

/* ---- this worker's own answers ---- */

bool agent_log_on_ack(struct agent *agent, const struct spool_entry *entry, const Wire__ResultAck *ack,
                      int64_t now_ms)
{
    const struct root *root = trust_root(agent->shop->trust);
    const struct witness_ack shown = {.nonce = entry->nonce,
                                      .envelope = digest_of(view_text(entry->envelope)),
                                      .log_entry = ack->log_entry,
                                      .taken = (int)ack->code != WIRE_ACK_REFUSED,
                                      .job = entry->job};
    struct witness_finding finding = WITNESS_FINDING_INIT;
    if (!trust_is_pinned(agent->shop->trust) || (root != NULL && !root->log.present))
        return true;
    if (root == NULL && ack->log_entry == 0)
        return true; /* whether there is a log is not known yet */
    witness_on_ack(&agent->log.witness, &shown, &finding);
    agent->log.unsaved = agent->log.unsaved || finding.changed;
    bool goes = finding.move != WITNESS_WAIT;
    if (finding.move == WITNESS_ALARM)
        agent_raise(agent, &finding.alarm);
    if (finding.changed)
        due_by(agent, now_ms + AGENT_LOG_SOON_MS);
    witness_finding_done(&finding);
    return goes;
}

/* ---- another root ---- */

void agent_log_on_root(struct agent *agent)
{
    struct witness_finding finding = WITNESS_FINDING_INIT;
    const struct root *root = trust_root(agent->shop->trust);
    if (root == NULL)
        return;
    uint64_t lost = agent->log.witness.lost;
    witness_on_root(&agent->log.witness, root, &finding);
    agent->log.unsaved = agent->log.unsaved || finding.changed;
    (void)agent_log_save(agent);
    if (agent->log.witness.lost > lost)
        log_warning(
            "the log was replaced before it proved %llu answers of this worker; ask the farm's operator",
            (unsigned long long)(agent->log.witness.lost - lost));
    if (finding.move == WITNESS_ALARM)
        agent_raise(agent, &finding.alarm);
    if (finding.changed) { /* what is still to come is about another log */
        agent->log.nlate = 0;
        agent->log.asked = false;
        agent->log.due_ms = 0;
    }
    witness_finding_done(&finding);
}
