/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the agent says to the coordinator: one function a message. What it does about what it is told is agent_talk.c's.
 */
#include "agent_private.h"

#include "farmlog.h"
#include "moment.h"

#include <stdlib.h>

static int say(struct agent *agent, int type, const ProtobufCMessage *body)
{
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct diag why = DIAG_INIT;
    int error = wire_encode(type, body, &frame, &why);
    if (error < 0)
        log_event(LOG_LEVEL_ERROR, "message cannot be written", log_text(FIELD_TYPE, wire_type_name(type)),
                  log_text(FIELD_REASON, why.text));
    else
        error = link_client_send_buf(agent->link, &frame, &why);
    if (error < 0)
        log_event(LOG_LEVEL_DEBUG, "message not sent", log_text(FIELD_TYPE, wire_type_name(type)),
                  log_text(FIELD_REASON, why.text));
    return error;
}

static ProtobufCBinaryData nonce_bytes(const struct lease_nonce *nonce)
{
    return wire_bytes(view_of(nonce->bytes, sizeof nonce->bytes));
}

/* Leases we still work on: answers that are not acknowledged, what waits for a slot, and what the slots do.
 */
static size_t list_running(struct agent *agent, Wire__Running *ret, struct slot_view *views)
{
    size_t count = 0;
    for (size_t i = 0; i < agent->answers.count && count < WIRE_RUNNING_MAX; i++) {
        const struct answer *answer = &agent->answers.items[i];
        if (answer->stage == ANSWER_ACKNOWLEDGED)
            continue;
        wire__running__init(&ret[count]);
        ret[count].nonce = nonce_bytes(&answer->entry->nonce);
        ret[count].job_key = wire_digest(&answer->entry->job);
        count++;
    }
    for (size_t i = 0; i < agent->nwaiting && count < WIRE_RUNNING_MAX; i++, count++) {
        wire__running__init(&ret[count]);
        ret[count].nonce = nonce_bytes(&agent->waiting[i]->nonce);
        ret[count].job_key = wire_digest(&agent->waiting[i]->key);
    }
    for (size_t i = 0; i < agent->nslots && count < WIRE_RUNNING_MAX; i++) {
        views[i] = slot_look(agent->slots[i]);
        if (agent->idle[i] || views[i].state == SLOT_IDLE ||
            answers_find(&agent->answers, &views[i].nonce) != NULL)
            continue;
        wire__running__init(&ret[count]);
        ret[count].nonce = nonce_bytes(&views[i].nonce);
        ret[count].job_key = wire_digest(&views[i].key);
        count++;
    }
    return count;
}

void agent_say_hello(struct agent *agent)
{
    const struct workshop *shop = agent->shop;
    Wire__Facts facts = WIRE__FACTS__INIT;
    Wire__Hello hello = WIRE__HELLO__INIT;
    Wire__Running *running = mem_zero(WIRE_RUNNING_MAX, sizeof *running);
    Wire__Running *pointers[WIRE_RUNNING_MAX];
    struct slot_view *views = mem_zero(agent->nslots, sizeof *views);
    facts.cpu_vendor = wire_text(shop->facts.cpu_vendor);
    facts.cpu_level = wire_text(shop->facts.cpu_level);
    facts.kernel = wire_text(shop->facts.kernel);
    facts.cores = (uint32_t)shop->conf.cores;
    facts.memory_bytes = shop->conf.memory_bytes;
    facts.disk_bytes = shop->conf.disk_bytes;
    hello.protocol_version = WIRE_PROTOCOL_VERSION;
    hello.software = wire_text("farm-worker/" FARM_VERSION);
    hello.operator_name = wire_text(shop->conf.operator_name);
    hello.worker = wire_text(shop->conf.name);
    hello.facts = &facts;
    hello.slots = (uint32_t)agent->nslots;
    hello.clock_ms = (uint64_t)moment_wall_ms();
    hello.n_running = list_running(agent, running, views);
    hello.running = pointers;
    for (size_t i = 0; i < hello.n_running; i++)
        pointers[i] = &running[i];
    say(agent, WIRE_HELLO, &hello.base);
    agent->hello_due_ms = moment_steady_ms() + AGENT_HELLO_MS;
    free(running);
    free(views);
}

void agent_say_heartbeat(struct agent *agent)
{
    Wire__Heartbeat beat = WIRE__HEARTBEAT__INIT;
    double load = 0;
    if (getloadavg(&load, 1) != 1 || load < 0)
        load = 0;
    double percent = load * 100 / (double)agent->shop->facts.cores;
    beat.free_slots = agent_is_paused(agent) || agent->draining ? 0 : (uint32_t)agent_free_slots(agent);
    beat.load_percent = percent < 10000 ? (uint32_t)percent : 10000;
    say(agent, WIRE_HEARTBEAT, &beat.base);
}

/* Words may quote what others wrote; the catalogue takes no control characters. */
static char *clean_text(const char *text)
{
    char *clean = mem_string(text);
    for (char *c = clean; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
            *c = '?';
    return clean;
}

void agent_say_status(struct agent *agent, const char *text)
{
    Wire__Status status = WIRE__STATUS__INIT;
    CLEANUP_FREE char *clean = clean_text(text);
    status.paused = agent_is_paused(agent);
    status.draining = agent->draining;
    status.text = clean;
    say(agent, WIRE_STATUS, &status.base);
}

void agent_say_goodbye(struct agent *agent, const char *reason)
{
    Wire__Goodbye goodbye = WIRE__GOODBYE__INIT;
    goodbye.reason = wire_text(reason);
    say(agent, WIRE_GOODBYE, &goodbye.base);
}

void agent_refuse(struct agent *agent, const struct lease_nonce *nonce, enum wire_refuse_reason reason,
                  const char *text)
{
    Wire__LeaseRefuse refuse = WIRE__LEASE_REFUSE__INIT;
    CLEANUP_FREE char *clean = clean_text(text);
    refuse.nonce = nonce_bytes(nonce);
    refuse.reason = (Wire__RefuseReason)reason;
    refuse.text = clean;
    say(agent, WIRE_LEASE_REFUSE, &refuse.base);
    agent->tally.returned++;
}

int agent_send_answer(struct agent *agent, const struct spool_entry *entry)
{
    Wire__Result result = WIRE__RESULT__INIT;
    result.nonce = nonce_bytes(&entry->nonce);
    result.job_key = wire_digest(&entry->job);
    result.envelope = wire_bytes(view_text(entry->envelope));
    if (!digest_is_zero(&entry->manifest))
        result.manifest = wire_digest(&entry->manifest);
    if (!digest_is_zero(&entry->tar))
        result.tar = wire_digest(&entry->tar);
    if (!digest_is_zero(&entry->log))
        result.log = wire_digest(&entry->log);
    return say(agent, WIRE_RESULT, &result.base);
}

int agent_say_log_ask(struct agent *agent, const struct witness_ask *ask, struct view note)
{
    Wire__LogAsk message = WIRE__LOG_ASK__INIT;
    message.known_size = ask->known.size;
    message.positions = (uint64_t *)ask->positions;
    message.n_positions = ask->npositions;
    message.checkpoint = wire_bytes(note);
    return say(agent, WIRE_LOG_ASK, &message.base);
}

void agent_say_cosign(struct agent *agent, const struct checkpoint *checkpoint, uint64_t time_s,
                      const struct signature *signature)
{
    Wire__Cosign cosign = WIRE__COSIGN__INIT;
    cosign.size = checkpoint->size;
    cosign.root = wire_digest(&checkpoint->root);
    cosign.time_s = time_s;
    cosign.signature = wire_bytes(view_of(signature->bytes, sizeof signature->bytes));
    say(agent, WIRE_COSIGN, &cosign.base);
}

int agent_say_trust_ask(struct agent *agent, uint64_t root_version)
{
    Wire__TrustAsk ask = WIRE__TRUST_ASK__INIT;
    ask.root_version = root_version;
    return say(agent, WIRE_TRUST_ASK, &ask.base);
}
