/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sessions: what workers say, one function per message. Who speaks is the ZAP User-Id of the connection,
 * which is the worker's name in the directory; names inside messages are for people and are never believed.
 *
 * Each message is checked against the directory of the moment: an entry that is gone, has run out or says that its keys are
 * compromised ends the session before its message is looked at (W11).
 */
#include "farm.h"

#include "farmlog.h"
#include "journal.h"
#include "json.h"
#include "lograte.h"

#include <assert.h>
#include <stdlib.h>

/* One more line that the worker causes; says how many were left out before it. */
bool sessions_may_log(struct farm *farm, const char *worker)
{
    struct lograte *rate = map_get(farm->noise, view_text(worker));
    uint64_t held;
    if (rate == NULL)
        map_set(farm->noise, view_text(worker), rate = mem_zero(1, sizeof *rate));
    if (!lograte_pass(rate, moment_steady_ms(), &held)) {
        farm->stats.log_lines_held++;
        return false;
    }
    if (held > 0)
        log_event(LOG_LEVEL_WARNING, "more lines about what the worker sent were not written",
                  log_text(FIELD_WORKER, worker), log_number(FIELD_COUNT, (int64_t)held));
    return true;
}

static void refuse(struct farm *farm, const char *worker, int error, const char *text)
{
    Wire__Refused refused = WIRE__REFUSED__INIT;
    refused.code = (uint32_t)-error;
    refused.text = wire_text(text);
    farm_post(farm, worker, WIRE_REFUSED, &refused.base);
}

static void welcome(struct farm *farm, const struct link_peer *peer)
{
    Wire__Welcome message = WIRE__WELCOME__INIT;
    CLEANUP_FREE char *session = mem_format("%llu", (unsigned long long)peer->session);
    const char *port = strrchr(bulk_server_endpoint(farm->bulk), ':');
    message.protocol_version = WIRE_PROTOCOL_VERSION;
    message.session = session;
    message.heartbeat_ms = (uint32_t)(farm->config.heartbeat * 1000);
    message.server_time_ms = (uint64_t)moment_wall_ms();
    message.bulk_endpoint = wire_text(port);
    message.software = wire_text("intergenos-farm/" FARM_VERSION);
    farm_post(farm, peer->user, WIRE_WELCOME, &message.base);
}

/* For "farmctl worker list"; what a worker says of itself decides nothing but what it is offered. */
static void remember_hello(struct farm *farm, const struct link_peer *peer, const Wire__Hello *hello)
{
    json_t *facts = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:I}", "software", hello->software, "cpu_vendor",
        hello->facts->cpu_vendor, "kernel", hello->facts->kernel, "cores", (json_int_t)hello->facts->cores,
        "memory_bytes", (json_int_t)hello->facts->memory_bytes, "disk_bytes",
        (json_int_t)hello->facts->disk_bytes, "slots", (json_int_t)hello->slots, "address", peer->address,
        "clock_skew_ms", (json_int_t)((int64_t)hello->clock_ms - moment_wall_ms()));
    json_t *before = map_set(farm->hellos, view_text(peer->user), facts);
    json_decref(before);
}

static void on_pause(struct farm *farm, const char *worker, bool by_owner)
{
    struct core_event event = {.type = CORE_WORKER_PAUSE, .name = worker};
    event.flag = by_owner || map_get(farm->held_back, view_text(worker)) != NULL;
    (void)farm_feed(farm, &event, NULL);
}

static void on_hello(struct farm *farm, const struct link_peer *peer, const Wire__Hello *hello)
{
    struct diag diag = DIAG_INIT;
    if (hello->protocol_version != WIRE_PROTOCOL_VERSION) {
        CLEANUP_FREE char *text =
            mem_format("this farm speaks protocol %d, you speak %u: install the matching farm-worker",
                       WIRE_PROTOCOL_VERSION, hello->protocol_version);
        refuse(farm, peer->user, FARM_E_UNSUPPORTED, text);
        return;
    }
    if (hello->facts == NULL) {
        refuse(farm, peer->user, FARM_E_SYNTAX, "Hello without facts");
        return;
    }
    CLEANUP_FREE struct core_nonce *nonces = mem_zero(hello->n_running, sizeof *nonces);
    for (size_t i = 0; i < hello->n_running; i++) {
        struct digest nonce = wire_get_digest(&hello->running[i]->nonce);
        memcpy(nonces[i].bytes, nonce.bytes, CORE_NONCE_SIZE);
    }
    remember_hello(farm, peer, hello);
    welcome(farm, peer);
    on_pause(farm, peer->user, false); /* a paused worker says so next */
    struct core_event event = {.type = CORE_WORKER_ONLINE,
                               .name = peer->user,
                               .nonces = nonces,
                               .nnonces = hello->n_running,
                               .capacity = {.slots = hello->slots,
                                            .cores = hello->facts->cores,
                                            .memory_bytes = hello->facts->memory_bytes,
                                            .disk_bytes = hello->facts->disk_bytes}};
    int result = farm_feed(farm, &event, &diag);
    for (size_t i = 0; result >= 0 && i < hello->n_running; i++)
        effects_resume_lease(farm, &nonces[i]);
    if (result < 0)
        refuse(farm, peer->user, result, diag_text(&diag, result));
    else if (sessions_may_log(farm, peer->user))
        log_event(LOG_LEVEL_INFO, "worker is online", log_text(FIELD_WORKER, peer->user),
                  log_text(FIELD_OPERATOR, sessions_entry(farm, peer->user)->operator_name),
                  log_text(FIELD_ADDRESS, peer->address), log_number(FIELD_COUNT, hello->slots));
}

static void on_refuse(struct farm *farm, const char *worker, const Wire__LeaseRefuse *message)
{
    struct diag diag = DIAG_INIT;
    struct digest nonce = wire_get_digest(&message->nonce);
    struct core_event event = {.type = CORE_LEASE_REFUSED, .name = worker, .text = message->text};
    memcpy(event.answer.nonce.bytes, nonce.bytes, CORE_NONCE_SIZE);
    sessions_warn(farm, worker, "lease refused", log_number(FIELD_KIND, message->reason),
                  log_text(FIELD_REASON, message->text), log_digest(FIELD_LEASE, &nonce));
    int result = farm_feed(farm, &event, &diag);
    if (result < 0)
        sessions_warn(farm, worker, "lease refusal passed over",
                      log_text(FIELD_REASON, diag_text(&diag, result)), log_digest(FIELD_LEASE, &nonce));
}

static void keep_tail(struct live_lease *live, uint64_t offset, struct view tail)
{
    uint64_t have = live->log_offset + live->log.size;
    if (offset > have || offset + tail.size <= have) { /* a gap starts anew; old news adds nothing */
        if (offset <= have)
            return;
        buf_clear(&live->log);
        live->log_offset = offset;
        have = offset;
    }
    buf_add(&live->log, tail.data + (have - offset), tail.size - (size_t)(have - offset));
    if (live->log.size > LIVE_LOG_MAX) {
        size_t drop = live->log.size - LIVE_LOG_MAX;
        memmove(live->log.data, live->log.data + drop, LIVE_LOG_MAX);
        live->log.size = LIVE_LOG_MAX;
        live->log_offset += drop;
    }
}

static void on_progress(struct farm *farm, const char *worker, const Wire__Progress *message)
{
    struct live_lease *live = map_get(farm->live, wire_view(&message->nonce));
    if (live == NULL || strcmp(live->worker, worker) != 0)
        return;
    live->phase = (enum wire_phase)message->phase;
    if (message->log_tail.len > 0)
        keep_tail(live, message->log_offset, wire_view(&message->log_tail));
}

static void on_goodbye(struct farm *farm, const char *worker, const char *reason)
{
    struct core_event event = {.type = CORE_WORKER_OFFLINE, .name = worker};
    if (sessions_may_log(farm, worker))
        log_event(LOG_LEVEL_INFO, "worker left", log_text(FIELD_WORKER, worker),
                  log_text(FIELD_REASON, reason));
    (void)farm_feed(farm, &event, NULL);
}

/* ---- who may speak ---- */

/* Names to entries, for one state of the directory: it is looked up with each message, and may have 20,000 entries. */
struct entry_table {
    struct map *indices; /* worker -> index + 1 */
    const struct directory_entry *entries;
    size_t count;
    int64_t version;
};

struct entry_table *sessions_entries_new(void)
{
    struct entry_table *table = mem_zero(1, sizeof *table);
    table->indices = map_new();
    return table;
}

struct entry_table *sessions_entries_free(struct entry_table *table)
{
    if (table == NULL)
        return NULL;
    map_free(table->indices);
    free(table);
    return NULL;
}

static void follow_directory(struct entry_table *table, const struct directory *directory)
{
    if (table->entries == directory->entries && table->count == directory->nentries &&
        table->version == directory->version)
        return;
    map_free(table->indices);
    table->indices = map_new();
    for (size_t i = 0; i < directory->nentries; i++)
        map_set(table->indices, view_text(directory->entries[i].worker), (void *)(uintptr_t)(i + 1));
    table->entries = directory->entries;
    table->count = directory->nentries;
    table->version = directory->version;
}

const struct directory_entry *sessions_entry(const struct farm *farm, const char *worker)
{
    follow_directory(farm->entries, farm->directory);
    uintptr_t index = (uintptr_t)map_get(farm->entries->indices, view_text(worker));
    return index > 0 ? &farm->directory->entries[index - 1] : NULL;
}

static bool is_expired(const struct directory_entry *entry)
{
    return entry->expires_ms <= moment_wall_ms();
}

bool sessions_entry_is_valid(const struct directory_entry *entry)
{
    return entry != NULL && !is_expired(entry) && entry->compromised_from < 0;
}

/* NULL: nothing speaks against it. */
static const char *why_silenced(const struct farm *farm, const char *worker)
{
    const struct directory_entry *entry = sessions_entry(farm, worker);
    if (entry == NULL)
        return "this worker is not in the farm's directory any more";
    if (entry->compromised_from >= 0)
        return "the farm's directory says that this worker's keys are compromised; make new ones, under a "
               "new name";
    if (is_expired(entry))
        return "this worker's entry in the farm's directory has expired; a new one is signed with "
               "\"farm-sign entry\"";
    if (!link_gate_knows(farm->gate, entry->curve, worker))
        return "this connection was made with another key than the farm's directory has";
    return NULL;
}

void sessions_receive(struct farm *farm, const struct link_peer *peer, struct view frame)
{
    struct diag diag = DIAG_INIT;
    struct wire_message *message = NULL;
    assert(peer != NULL);
    int result = wire_decode(WIRE_FROM_WORKER, frame, &message, &diag);
    if (result < 0) {
        farm->stats.frames_undecodable++;
        sessions_warn(farm, peer->user, "message dropped", log_text(FIELD_REASON, diag_text(&diag, result)));
        return;
    }
    const char *silenced = why_silenced(farm, peer->user);
    if (silenced != NULL) {
        farm->stats.frames_silenced++;
        sessions_warn(farm, peer->user, "message dropped", log_text(FIELD_REASON, silenced));
        refuse(farm, peer->user, FARM_E_REFUSED, silenced);
        sessions_suspend(farm, peer->user);
        wire_free(message);
        return;
    }
    struct core_event heard = {.type = CORE_WORKER_HEARD, .name = peer->user};
    if (farm_feed(farm, &heard, NULL) < 0 && message->type != WIRE_HELLO)
        refuse(farm, peer->user, FARM_E_STATE, "say Hello first"); /* after our restart: it will */
    switch ((enum wire_from_worker)message->type) {
    case WIRE_HELLO:
        on_hello(farm, peer, message->hello);
        break;
    case WIRE_HEARTBEAT:
        break;
    case WIRE_LEASE_REFUSE:
        on_refuse(farm, peer->user, message->lease_refuse);
        break;
    case WIRE_PROGRESS:
        on_progress(farm, peer->user, message->progress);
        break;
    case WIRE_RESULT:
        intake_result(farm, peer->user, message->result);
        break;
    case WIRE_STATUS:
        on_pause(farm, peer->user, message->status->paused || message->status->draining);
        break;
    case WIRE_GOODBYE:
        on_goodbye(farm, peer->user, message->goodbye->reason);
        break;
    case WIRE_LOG_ASK:
        journal_on_ask(farm, peer->user, message->log_ask);
        break;
    case WIRE_COSIGN:
        journal_on_cosign(farm, peer->user, message->cosign);
        break;
    case WIRE_TRUST_ASK:
        trust_on_ask(farm, peer->user, message->trust_ask);
        break;
    }
    wire_free(message);
}

int sessions_admit(struct farm *farm, const struct directory_entry *entry, const char *state,
                   struct diag *diag)
{
    struct core_event event = {.type = CORE_WORKER_ADMITTED,
                               .worker = {.name = entry->worker,
                                          .operator_name = entry->operator_name,
                                          .anchor = directory_entry_is_anchor(entry, farm->root),
                                          .cpu_vendor = entry->cpu_vendor,
                                          .kernel = entry->kernel,
                                          .site = entry->site}};
    int result = farm_feed(farm, &event, diag);
    if (result >= 0 && is_expired(entry))
        log_event(LOG_LEVEL_WARNING,
                  "its entry expired, so it cannot connect; \"farmctl worker admit\" takes a new one",
                  log_text(FIELD_WORKER, entry->worker),
                  log_text(FIELD_UNTIL, moment_format(entry->expires_ms).text));
    else if (result >= 0 && entry->compromised_from < 0 && journal_check_root(farm, farm->root, NULL) >= 0)
        result = link_gate_admit(farm->gate, entry->curve, entry->worker, diag);
    if (result >= 0 && strcmp(state, "paused") == 0)
        sessions_hold_back(farm, entry->worker, true);
    return result;
}

void sessions_hold_back(struct farm *farm, const char *worker, bool paused)
{
    if (paused)
        map_set(farm->held_back, view_text(worker), farm);
    else
        (void)map_remove(farm->held_back, view_text(worker));
    on_pause(farm, worker, false);
}

void sessions_suspend(struct farm *farm, const char *worker)
{
    struct core_event event = {.type = CORE_WORKER_OFFLINE, .name = worker};
    if (link_gate_revoke(farm->gate, worker))
        (void)farm_feed(farm, &event, NULL);
}

void sessions_expire(struct farm *farm)
{
    enum { INTERVAL_MS = 60 * 1000 };
    struct diag why = DIAG_INIT;
    int64_t now_ms = moment_steady_ms();
    if (now_ms < farm->expiry_due_ms)
        return;
    farm->expiry_due_ms = now_ms + INTERVAL_MS;
    if (trust_refresh_directory(farm, &why) < 0)
        log_error("the worker directory cannot be published again before it expires: %s", why.text);
    for (size_t i = 0; i < farm->directory->nentries; i++)
        if (is_expired(&farm->directory->entries[i]))
            sessions_suspend(farm, farm->directory->entries[i].worker);
}

void sessions_revoke(struct farm *farm, const char *worker)
{
    struct core_event event = {.type = CORE_WORKER_REVOKED, .name = worker};
    (void)farm_feed(farm, &event, NULL);
    link_gate_revoke(farm->gate, worker);
}
