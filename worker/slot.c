/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "slot.h"

#include "farmlog.h"
#include "moment.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* An upload that failed is tried again after this; the answer is safe in the spool meanwhile. */
enum { RETRY_MS = 2000 };

struct slot {
    struct slot_host host;
    unsigned index;
    pthread_t thread;
    int wake_fd; /* eventfd: cancelled or stopping changed */
    atomic_bool cancelled, stopping;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct slot_machine machine;
    struct lease *lease; /* to be worked on; the thread's alone once it has started */
    struct spool_entry *replay;
    char *endpoint;
    struct lease_nonce nonce; /* a copy, for slot_look */
    struct digest key;
    char node[WIRE_NODE_MAX + 1];
    int64_t since_ms;

    /* The thread's own. */
    struct bulk_client *bulk;
    char *bulk_endpoint; /* that 'bulk' talks to */
    int64_t spoke_ms;    /* when the last progress went out */
    enum wire_phase phase;
};

/* ---- the machine ---- */

static void feed(struct slot *slot, enum slot_event event)
{
    struct diag why = DIAG_INIT;
    pthread_mutex_lock(&slot->lock);
    if (slot_machine_feed(&slot->machine, event, &why) < 0)
        log_event(LOG_LEVEL_ERROR, "slot", log_number(FIELD_SLOT, slot->index),
                  log_text(FIELD_REASON, why.text));
    pthread_mutex_unlock(&slot->lock);
}

static void post_text(struct slot *slot, enum outbox_kind kind, const struct lease_nonce *nonce,
                      const char *node, enum wire_refuse_reason reason, const char *text)
{
    struct outbox_item *item = outbox_item_new(kind, slot->index);
    item->nonce = *nonce;
    item->node = mem_string(node);
    item->reason = reason;
    item->text = text != NULL ? mem_string(text) : NULL;
    outbox_post(slot->host.outbox, item);
}

/* ---- watching a lease ---- */

static bool is_cancelled(void *context)
{
    struct slot *slot = context;
    return atomic_load(&slot->cancelled) || atomic_load(&slot->stopping);
}

static bool is_stopping(void *context)
{
    struct slot *slot = context;
    return atomic_load(&slot->stopping);
}

static void say_phase(struct slot *slot, const struct lease *lease, enum wire_phase phase)
{
    static const char *const names[] = {"?",     "preparing", "unpacking",  "configure", "build",
                                        "check", "install",   "collecting", "reporting"};
    if (phase != slot->phase && moment_steady_ms() - lease->began_ms >= LEASE_PROGRESS_MS)
        log_event(LOG_LEVEL_INFO, "building", log_text(FIELD_NODE, lease->node),
                  log_bytes(FIELD_LEASE, lease->nonce.bytes), log_text(FIELD_PHASE, names[phase]));
    slot->phase = phase;
}

/* A short build sends nothing at all: its answer says enough. */
static void on_progress(void *context, enum wire_phase phase, uint64_t offset, struct view tail)
{
    struct slot *slot = context;
    const struct lease *lease = slot->lease;
    int64_t now = moment_steady_ms();
    say_phase(slot, lease, phase);
    if (now - slot->spoke_ms < LEASE_PROGRESS_MS)
        return;
    slot->spoke_ms = now;
    Wire__Progress progress = WIRE__PROGRESS__INIT;
    progress.nonce = wire_bytes(view_of(lease->nonce.bytes, sizeof lease->nonce.bytes));
    progress.phase = (Wire__Phase)phase;
    progress.log_offset = offset;
    progress.log_tail = wire_bytes(tail);
    struct outbox_item *item = outbox_item_new(OUTBOX_PROGRESS, slot->index);
    struct diag why = DIAG_INIT;
    if (wire_encode(WIRE_PROGRESS, &progress.base, &item->frame, &why) < 0) {
        log_debug("progress: %s", why.text);
        outbox_item_free(item);
        return;
    }
    outbox_post(slot->host.outbox, item);
}

/* ---- the bulk connection ---- */

static int connect_bulk(struct slot *slot, const char *endpoint, struct diag *diag)
{
    const struct workshop *shop = slot->host.shop;
    if (slot->bulk != NULL && strcmp(slot->bulk_endpoint, endpoint) == 0)
        return 0;
    slot->bulk = bulk_client_free(slot->bulk);
    free(slot->bulk_endpoint);
    slot->bulk_endpoint = mem_string(endpoint);
    /* Slots that want the same object at the same time each receive it into a file of their own. */
    CLEANUP_FREE char *owner = mem_format("slot-%u", slot->index);
    const struct bulk_client_options options = {
        .endpoint = slot->bulk_endpoint,
        .owner = owner,
        .server_key = shop->conf.server_key,
        .secret_key = identity_curve_secret(shop->identity),
        .cancelled = is_cancelled,
        .context = slot,
    };
    return bulk_client_new(&options, &slot->bulk, diag);
}

/* ---- delivering ---- */

static void pause_before_retry(struct slot *slot)
{
    struct pollfd wake = {.fd = slot->wake_fd, .events = POLLIN};
    uint64_t count;
    if (!is_stopping(slot) && poll(&wake, 1, RETRY_MS) > 0)
        (void)!read(slot->wake_fd, &count, sizeof count);
}

/* An answer that is in the spool is delivered, even if its lease was cancelled meanwhile: it is an
 * observation. */
static void deliver(struct slot *slot, const struct spool_entry *entry)
{
    struct diag why = DIAG_INIT;
    int error;
    atomic_store(&slot->cancelled, false);
    while ((error = lease_deliver(entry, slot->bulk, slot->host.shop->store, &why)) < 0) {
        if (is_stopping(slot)) {
            feed(slot, SLOT_ABANDON);
            return;
        }
        if (error == FARM_E_REFUSED || error == FARM_E_LIMIT || error == FARM_E_MISSING) {
            post_text(slot, OUTBOX_DROPPED, &entry->nonce, entry->node, WIRE_REFUSE_UNSPECIFIED, why.text);
            feed(slot, SLOT_ABANDON);
            return;
        }
        if (error != -ECANCELED)
            log_event(LOG_LEVEL_WARNING, "uploading a result failed, trying again",
                      log_text(FIELD_NODE, entry->node), log_bytes(FIELD_LEASE, entry->nonce.bytes),
                      log_text(FIELD_REASON, diag_text(&why, error)));
        pause_before_retry(slot);
    }
    post_text(slot, OUTBOX_DELIVERED, &entry->nonce, entry->node, WIRE_REFUSE_UNSPECIFIED, NULL);
    feed(slot, SLOT_DELIVERED);
}

/* ---- one lease ---- */

static void finish(struct slot *slot, enum lease_fate fate, struct diag *why)
{
    const struct lease *lease = slot->lease;
    if (fate == LEASE_RETURNED) {
        log_event(LOG_LEVEL_WARNING, "lease goes back", log_text(FIELD_NODE, lease->node),
                  log_bytes(FIELD_LEASE, lease->nonce.bytes), log_text(FIELD_REASON, why->text));
        post_text(slot, OUTBOX_RETURNED, &lease->nonce, lease->node, lease->reason, why->text);
        feed(slot, SLOT_REFUSED);
        return;
    }
    log_event(LOG_LEVEL_INFO, "abandoned", log_text(FIELD_NODE, lease->node),
              log_bytes(FIELD_LEASE, lease->nonce.bytes));
    feed(slot, SLOT_ABANDON);
}

/* The copy is needed because the main thread owns an answer as soon as it knows of it. */
static struct spool_entry *names_of(const struct spool_entry *entry)
{
    struct spool_entry *copy = mem_copy(entry, sizeof *entry);
    copy->node = mem_string(entry->node);
    copy->envelope = NULL;
    return copy;
}

static void answer(struct slot *slot, const struct lease *lease)
{
    struct workshop *shop = slot->host.shop;
    struct diag why = DIAG_INIT;
    struct spool_entry *entry = NULL;
    int error = lease_sign(lease, shop, &entry, &why);
    if (error >= 0)
        error = spool_put(shop->state_dirfd, entry, &why);
    if (error < 0) {
        spool_entry_free(entry);
        log_event(LOG_LEVEL_ERROR, "the result cannot be kept", log_text(FIELD_NODE, lease->node),
                  log_bytes(FIELD_LEASE, lease->nonce.bytes), log_text(FIELD_REASON, why.text));
        post_text(slot, OUTBOX_RETURNED, &lease->nonce, lease->node, WIRE_REFUSE_INPUT, why.text);
        feed(slot, SLOT_ABANDON);
        return;
    }
    struct spool_entry *names = names_of(entry);
    struct outbox_item *item = outbox_item_new(OUTBOX_ANSWERED, slot->index);
    item->entry = entry;
    feed(slot, SLOT_COLLECTED);
    outbox_post(slot->host.outbox, item);
    deliver(slot, names);
    spool_entry_free(names);
}

static void collect(struct slot *slot)
{
    struct diag why = DIAG_INIT;
    struct lease *lease = slot->lease;
    say_phase(slot, lease, WIRE_PHASE_COLLECT);
    int error = lease_collect(lease, slot->host.shop, &why);
    if (error < 0) {
        log_event(LOG_LEVEL_ERROR, "the result cannot be stored", log_text(FIELD_NODE, lease->node),
                  log_bytes(FIELD_LEASE, lease->nonce.bytes), log_text(FIELD_REASON, why.text));
        post_text(slot, OUTBOX_RETURNED, &lease->nonce, lease->node, WIRE_REFUSE_INPUT, why.text);
        feed(slot, SLOT_ABANDON);
        return;
    }
    if (lease->failure == FAILURE_NONE)
        log_event(LOG_LEVEL_INFO, "built", log_text(FIELD_NODE, lease->node),
                  log_bytes(FIELD_LEASE, lease->nonce.bytes),
                  log_number(FIELD_DURATION, moment_steady_ms() - lease->began_ms),
                  log_digest(FIELD_PAYLOAD, &lease->payload.manifest));
    else
        log_event(LOG_LEVEL_WARNING, "build failed", log_text(FIELD_NODE, lease->node),
                  log_bytes(FIELD_LEASE, lease->nonce.bytes),
                  log_text(FIELD_KIND, failure_kind_name(lease->failure)),
                  log_text(FIELD_REASON, lease->result.text));
    if (is_stopping(slot))
        finish(slot, LEASE_ABANDONED, &why);
    else
        answer(slot, lease);
}

static void work(struct slot *slot, const char *endpoint)
{
    struct lease *lease = slot->lease;
    struct workshop *shop = slot->host.shop;
    struct diag why = DIAG_INIT;
    const struct lease_watch watch = {is_cancelled, on_progress, slot, slot->wake_fd};
    log_event(LOG_LEVEL_INFO, "building", log_text(FIELD_NODE, lease->node),
              log_bytes(FIELD_LEASE, lease->nonce.bytes));
    slot->phase = WIRE_PHASE_UNSPECIFIED;
    slot->spoke_ms = moment_steady_ms();
    enum lease_fate fate = LEASE_RETURNED;
    if (connect_bulk(slot, endpoint, &why) < 0)
        lease->reason = WIRE_REFUSE_INPUT;
    else
        fate = lease_prepare(lease, shop, slot->bulk, &watch, &why);
    if (fate == LEASE_GOES_ON) {
        feed(slot, SLOT_PREPARED);
        fate = lease_build(lease, shop, &watch, &why);
    }
    if (fate == LEASE_ENDED) {
        feed(slot, SLOT_ENDED);
        collect(slot);
    } else {
        finish(slot, fate, &why);
    }
}

static void replay(struct slot *slot, const struct spool_entry *entry, const char *endpoint)
{
    struct diag why = DIAG_INIT;
    log_event(LOG_LEVEL_INFO, "delivering the result again", log_text(FIELD_NODE, entry->node),
              log_bytes(FIELD_LEASE, entry->nonce.bytes));
    if (connect_bulk(slot, endpoint, &why) < 0) {
        log_error("%s", why.text);
        feed(slot, SLOT_ABANDON);
        return;
    }
    deliver(slot, entry);
}

/* ---- the thread ---- */

static bool wait_for_work(struct slot *slot, char **ret_endpoint)
{
    pthread_mutex_lock(&slot->lock);
    while (slot->lease == NULL && slot->replay == NULL && !atomic_load(&slot->stopping))
        pthread_cond_wait(&slot->changed, &slot->lock);
    *ret_endpoint = STEAL(slot->endpoint);
    bool stopping = atomic_load(&slot->stopping);
    pthread_mutex_unlock(&slot->lock);
    return !stopping;
}

static void clear(struct slot *slot)
{
    slot->lease = lease_free(slot->lease, slot->host.shop);
    slot->replay = spool_entry_free(slot->replay);
}

static void tidy(struct slot *slot)
{
    struct diag why = DIAG_INIT;
    if (workshop_tidy(slot->host.shop, moment_steady_ms(), &why) < 0)
        log_warning("tidying the caches: %s", why.text);
}

static void *run(void *context)
{
    struct slot *slot = context;
    char *endpoint = NULL;
    while (wait_for_work(slot, &endpoint)) {
        if (slot->lease != NULL)
            work(slot, endpoint);
        else
            replay(slot, slot->replay, endpoint);
        free(STEAL(endpoint));
        clear(slot);
        tidy(slot);
        outbox_post(slot->host.outbox, outbox_item_new(OUTBOX_IDLE, slot->index));
    }
    free(endpoint);
    clear(slot);
    return NULL;
}

int slot_new(const struct slot_host *host, unsigned index, struct slot **ret, struct diag *diag)
{
    struct slot *slot = mem_zero(1, sizeof *slot);
    slot->host = *host;
    slot->index = index;
    slot->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&slot->lock, NULL);
    pthread_cond_init(&slot->changed, NULL);
    int error = slot->wake_fd < 0 ? errno : pthread_create(&slot->thread, NULL, run, slot);
    if (error != 0) {
        mem_close_p(&slot->wake_fd);
        free(slot);
        return diag_set(diag, -error, "cannot start the thread of slot %u: %s", index,
                        farm_error_text(-error));
    }
    *ret = slot;
    return 0;
}

static void wake(struct slot *slot)
{
    (void)!write(slot->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
}

void slot_stop(struct slot *slot)
{
    pthread_mutex_lock(&slot->lock);
    atomic_store(&slot->stopping, true);
    pthread_cond_signal(&slot->changed);
    pthread_mutex_unlock(&slot->lock);
    wake(slot);
}

struct slot *slot_free(struct slot *slot)
{
    if (slot == NULL)
        return NULL;
    slot_stop(slot);
    pthread_join(slot->thread, NULL);
    bulk_client_free(slot->bulk);
    free(slot->bulk_endpoint);
    free(slot->endpoint);
    close(slot->wake_fd);
    pthread_cond_destroy(&slot->changed);
    pthread_mutex_destroy(&slot->lock);
    free(slot);
    return NULL;
}

struct slot_view slot_look(struct slot *slot)
{
    struct slot_view view = {0};
    pthread_mutex_lock(&slot->lock);
    view.state = slot->machine.state;
    view.nonce = slot->nonce;
    view.key = slot->key;
    memcpy(view.node, slot->node, sizeof view.node);
    view.since_ms = slot->since_ms;
    view.illegal = slot->machine.illegal;
    pthread_mutex_unlock(&slot->lock);
    return view;
}

static void take_on(struct slot *slot, const struct lease_nonce *nonce, const struct digest *key,
                    const char *node, const char *endpoint)
{
    uint64_t count;
    (void)!read(slot->wake_fd, &count, sizeof count); /* of the lease before */
    atomic_store(&slot->cancelled, false);
    slot->nonce = *nonce;
    slot->key = *key;
    size_t size = strnlen(node, sizeof slot->node - 1);
    memcpy(slot->node, node, size);
    slot->node[size] = '\0';
    slot->since_ms = moment_steady_ms();
    free(slot->endpoint);
    slot->endpoint = mem_string(endpoint);
    pthread_cond_signal(&slot->changed);
}

int slot_assign(struct slot *slot, struct lease *lease, const char *bulk_endpoint, struct diag *diag)
{
    pthread_mutex_lock(&slot->lock);
    int error = slot->lease != NULL || slot->replay != NULL
                    ? FARM_E_STATE
                    : slot_machine_feed(&slot->machine, SLOT_ASSIGN, diag);
    if (error >= 0) {
        slot->lease = lease;
        take_on(slot, &lease->nonce, &lease->key, lease->node, bulk_endpoint);
    }
    pthread_mutex_unlock(&slot->lock);
    if (error < 0)
        lease_free(lease, slot->host.shop);
    return error;
}

int slot_replay(struct slot *slot, const struct spool_entry *entry, const char *bulk_endpoint,
                struct diag *diag)
{
    pthread_mutex_lock(&slot->lock);
    int error = slot->lease != NULL || slot->replay != NULL
                    ? FARM_E_STATE
                    : slot_machine_feed(&slot->machine, SLOT_REPLAY, diag);
    if (error >= 0) {
        slot->replay = names_of(entry);
        take_on(slot, &entry->nonce, &entry->job, entry->node, bulk_endpoint);
    }
    pthread_mutex_unlock(&slot->lock);
    return error;
}

bool slot_cancel(struct slot *slot, const struct lease_nonce *nonce)
{
    pthread_mutex_lock(&slot->lock);
    bool works = (slot->machine.state == SLOT_PREPARE || slot->machine.state == SLOT_RUN) &&
                 lease_nonce_equal(&slot->nonce, nonce);
    if (works)
        atomic_store(&slot->cancelled, true);
    pthread_mutex_unlock(&slot->lock);
    if (works)
        wake(slot);
    return works;
}
