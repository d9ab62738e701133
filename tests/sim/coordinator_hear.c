/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What workers say: see net/sessions.c. */
#include "sim.h"

static const char *name_of(const struct world *world, size_t worker)
{
    return world->workers[worker].name;
}

static void refuse(struct world *world, size_t worker, int error, const char *text)
{
    Wire__Refused refused = WIRE__REFUSED__INIT;
    refused.code = (uint32_t)-error;
    refused.text = wire_text(text);
    coordinator_post(world, worker, WIRE_REFUSED, &refused.base);
}

static void welcome(struct world *world, size_t worker)
{
    Wire__Welcome message = WIRE__WELCOME__INIT;
    message.protocol_version = WIRE_PROTOCOL_VERSION;
    message.session = wire_text("1");
    message.heartbeat_ms = 15000;
    message.bulk_endpoint = wire_text(":1");
    message.software = wire_text("sim");
    coordinator_post(world, worker, WIRE_WELCOME, &message.base);
}

int coordinator_pause(struct world *world, size_t worker, bool paused)
{
    struct core_event event = {.type = CORE_WORKER_PAUSE, .name = name_of(world, worker), .flag = paused};
    world->coordinator.paused[worker] = paused;
    return coordinator_feed(world, &event, NULL);
}

static void on_hello(struct world *world, size_t worker, const Wire__Hello *hello)
{
    struct diag diag = DIAG_INIT;
    if (hello->protocol_version != WIRE_PROTOCOL_VERSION) {
        refuse(world, worker, FARM_E_UNSUPPORTED, "another protocol");
        return;
    }
    CLEANUP_FREE struct core_nonce *nonces = mem_zero(hello->n_running, sizeof *nonces);
    for (size_t i = 0; i < hello->n_running; i++) {
        struct digest nonce = wire_get_digest(&hello->running[i]->nonce);
        memcpy(nonces[i].bytes, nonce.bytes, CORE_NONCE_SIZE);
    }
    welcome(world, worker);
    (void)coordinator_pause(world, worker, false); /* a paused worker says so next */
    world->coordinator.slots[worker] = hello->slots;
    struct core_event event = {.type = CORE_WORKER_ONLINE,
                               .name = name_of(world, worker),
                               .nonces = nonces,
                               .nnonces = hello->n_running,
                               .capacity = {.slots = hello->slots,
                                            .cores = hello->facts->cores,
                                            .memory_bytes = hello->facts->memory_bytes,
                                            .disk_bytes = hello->facts->disk_bytes}};
    int result = coordinator_feed(world, &event, &diag);
    if (result < 0)
        refuse(world, worker, result, "not now");
}

static void on_refuse(struct world *world, size_t worker, const Wire__LeaseRefuse *message)
{
    struct digest nonce = wire_get_digest(&message->nonce);
    struct core_event event = {
        .type = CORE_LEASE_REFUSED, .name = name_of(world, worker), .text = message->text};
    memcpy(event.answer.nonce.bytes, nonce.bytes, CORE_NONCE_SIZE);
    (void)coordinator_feed(world, &event, NULL);
}

static void on_goodbye(struct world *world, size_t worker)
{
    struct core_event event = {.type = CORE_WORKER_OFFLINE, .name = name_of(world, worker)};
    (void)coordinator_feed(world, &event, NULL);
}

static void listen(struct world *world, size_t worker, const struct wire_message *message)
{
    struct core_event heard = {.type = CORE_WORKER_HEARD, .name = name_of(world, worker)};
    if (coordinator_feed(world, &heard, NULL) < 0 && message->type != WIRE_HELLO)
        refuse(world, worker, FARM_E_STATE, "say Hello first"); /* after our restart: it will */
    switch ((enum wire_from_worker)message->type) {
    case WIRE_HELLO:
        on_hello(world, worker, message->hello);
        break;
    case WIRE_LEASE_REFUSE:
        on_refuse(world, worker, message->lease_refuse);
        break;
    case WIRE_RESULT:
        coordinator_take_result(world, worker, message->result);
        break;
    case WIRE_STATUS:
        (void)coordinator_pause(world, worker, message->status->paused || message->status->draining);
        break;
    case WIRE_GOODBYE:
        on_goodbye(world, worker);
        break;
    case WIRE_HEARTBEAT:
    case WIRE_PROGRESS:
    case WIRE_LOG_ASK:
    case WIRE_COSIGN:
    case WIRE_TRUST_ASK:
        break;
    }
}

void coordinator_hear(struct world *world, const struct frame *frame)
{
    struct diag diag = DIAG_INIT;
    struct wire_message *message = NULL;
    if (world->coordinator.dying)
        return;
    if (wire_decode(WIRE_FROM_WORKER, buf_view(&frame->bytes), &message, &diag) < 0) {
        judge_dropped(world, frame, diag.text);
        return;
    }
    judge_told(world, frame, message);
    if (world->workers[frame->worker].revoked) {
        struct core_event gone = {.type = CORE_WORKER_OFFLINE, .name = name_of(world, frame->worker)};
        refuse(world, frame->worker, FARM_E_REFUSED, "this worker is not in the farm's directory any more");
        (void)coordinator_feed(world, &gone, NULL);
    } else {
        listen(world, frame->worker, message);
    }
    wire_free(message);
}
