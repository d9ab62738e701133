/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "farm.h"

#include "backup.h"
#include "ctl.h"
#include "farmlog.h"
#include "file.h"
#include "gitpin.h"
#include "join.h"
#include "journal.h"
#include "json.h"
#include "missing.h"
#include "outputs.h"
#include "scrub.h"
#include "specs.h"
#include "web.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Level 1: build results are read a few times; packing speed is what the farm waits for. */
enum { STORE_LEVEL = 1 };

static void system_random(void *context, void *ret, size_t size)
{
    (void)context;
    if (getrandom(ret, size, 0) != (ssize_t)size)
        abort();
}

/* One coordinator a state directory; the lock dies with the process, if not before. */
static int lock_state(struct farm *farm, struct diag *diag)
{
    int fd = openat(farm->state_dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return diag_errno(diag, "%s/lock", farm->state_path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return diag_set(diag, FARM_E_UNAVAILABLE, "%s: another coordinator runs on this state directory",
                        farm->state_path);
    }
    farm->lock_fd = fd; /* held until the end */
    return 0;
}

static int open_state(struct farm *farm, struct diag *diag)
{
    static const char *const parts[] = {"trees", "git", "scratch"};
    int result = file_make_dirs(AT_FDCWD, farm->config.state_dir, 0700, diag);
    if (result < 0)
        return result;
    farm->state_path = realpath(farm->config.state_dir, NULL);
    farm->state_dirfd = file_open_dir(AT_FDCWD, farm->config.state_dir, diag);
    if (farm->state_path == NULL || farm->state_dirfd < 0)
        return diag_errno(diag, "%s", farm->config.state_dir);
    struct stat status;
    if (fstat(farm->state_dirfd, &status) < 0)
        return diag_errno(diag, "%s", farm->state_path);
    if (status.st_uid != geteuid())
        return diag_set(diag, FARM_E_CONFIG,
                        "%s: belongs to user %u, this is user %u; run the coordinator as its owner",
                        farm->state_path, (unsigned int)status.st_uid, (unsigned int)geteuid());
    if ((status.st_mode & 077) != 0)
        return diag_set(diag, FARM_E_CONFIG, "%s: open to others (mode %04o); chmod 700 it", farm->state_path,
                        (unsigned int)status.st_mode & 07777);
    result = lock_state(farm, diag);
    if (result >= 0 && faccessat(farm->state_dirfd, RESTORE_UNFINISHED, F_OK, 0) == 0)
        return diag_set(diag, FARM_E_STATE,
                        "%s: a restore of a backup was interrupted here; run it again, it begins anew",
                        farm->state_path);
    if (result >= 0)
        result = file_remove_tree(farm->state_dirfd, "scratch", diag); /* leftovers of a crash */
    for (size_t i = 0; result >= 0 && i < ARRAY_SIZE(parts); i++)
        result = file_make_dirs(farm->state_dirfd, parts[i], 0700, diag);
    if (result >= 0) /* its own name: the keys go with it, which workers pin from the first start on */
        result = file_sync_parent(AT_FDCWD, farm->state_path, diag);
    return result < 0 ? result : file_sync(farm->state_dirfd, diag);
}

static int open_identity(struct farm *farm, struct diag *diag)
{
    int result = identity_read(farm->state_dirfd, "coordinator.key", &farm->identity, diag);
    if (result != -ENOENT)
        return result;
    if (faccessat(farm->state_dirfd, "farm.db", F_OK, 0) == 0)
        return diag_set(
            diag, FARM_E_MISSING,
            "%s/coordinator.key is missing, and every worker has pinned it; restore it from a backup "
            "(without one: move farm.db away and begin anew, all workers need a new join string)",
            farm->state_path);
    farm->identity = identity_generate("coordinator", true);
    return identity_write(farm->identity, farm->state_dirfd, "coordinator.key", diag);
}

static int open_data(struct farm *farm, struct diag *diag)
{
    CLEANUP_FREE char *db_path = mem_format("%s/farm.db", farm->state_path);
    int result = open_identity(farm, diag);
    if (result >= 0)
        result = db_open(db_path, &farm->db, diag);
    if (result >= 0)
        result = store_open(farm->state_dirfd, "store", STORE_LEVEL, &farm->store, diag);
    if (result < 0)
        return result;
    farm->access = access_new(farm->store);
    access_keep_free(farm->access, farm->state_dirfd, farm->config.reserve / DISK_OWN_SHARE);
    return trust_load(farm, diag);
}

static void open_core(struct farm *farm)
{
    const struct coordinator_config *config = &farm->config;
    struct core_config core = {.session_timeout_ms = (int64_t)config->session_timeout * 1000,
                               .lease_grace_ms = (int64_t)config->lease_grace * 1000,
                               .lease_margin_ms = (int64_t)config->lease_margin * 1000,
                               .outvoted_limit = (uint32_t)config->outvoted_limit,
                               .refusals_limit = (uint32_t)config->refusals_limit,
                               .rest_ms = (int64_t)config->rest * 1000,
                               .random = system_random};
    farm->core = core_new(&core);
}

/* What the restoring works with, and farmctl's socket: who asks meanwhile waits for the answer. */
static int open_helpers(struct farm *farm, struct diag *diag)
{
    CLEANUP_FREE char *socket = farm->config.control_socket[0] != '\0'
                                    ? mem_string(farm->config.control_socket)
                                    : mem_format("%s/control.sock", farm->state_path);
    int result = pool_new((unsigned int)farm->config.pool_threads, farm, &farm->pool, diag);
    return result < 0 ? result : ctl_new(farm, socket, &farm->ctl, diag);
}

/*
 * The doors of the workers open last: one that came before the directory was read back would hear that it is not admitted,
 * which is not so, and would come back later and later.
 */
static int open_sockets(struct farm *farm, struct diag *diag)
{
    CLEANUP_FREE char *control = mem_format("tcp://%s", farm->config.control_listen);
    CLEANUP_FREE char *bulk = mem_format("tcp://%s", farm->config.bulk_listen);
    struct link_server_options options = {.endpoint = control,
                                          .secret_key = identity_curve_secret(farm->identity),
                                          .gate = farm->gate,
                                          .frame_max = WIRE_CONTROL_MAX};
    struct bulk_server_options bulk_options = {.link = options,
                                               .store = farm->store,
                                               .may_get = access_may_get,
                                               .present = access_present,
                                               .held = access_held,
                                               .has_room = access_has_room,
                                               .absent = access_absent,
                                               .context = farm->access,
                                               .object_max = farm->config.upload_limit};
    bulk_options.link.endpoint = bulk;
    int result = link_server_new(&options, &farm->control, diag);
    return result < 0 ? result : bulk_server_new(&bulk_options, &farm->bulk, diag);
}

static int open_web(struct farm *farm, struct diag *diag)
{
    if (farm->config.web_listen[0] == '\0')
        return 0;
    int result = web_new(farm->config.web_listen, &farm->web, diag);
    if (result >= 0)
        log_event(LOG_LEVEL_INFO, "metrics are served", log_text(FIELD_ADDRESS, web_address(farm->web)));
    return result;
}

int farm_open(struct coordinator_config *config, struct farm **ret, struct diag *diag)
{
    struct farm *farm = mem_zero(1, sizeof *farm);
    farm->config = *config;
    memset(config, 0, sizeof *config);
    farm->state_dirfd = farm->lock_fd = -1;
    farm->started_ms = moment_wall_ms();
    farm->trees = map_new();
    farm->plans = map_new();
    farm->live = map_new();
    farm->hellos = map_new();
    farm->held_back = map_new();
    farm->log_tails = map_new();
    farm->noise = map_new();
    farm->checked_nonces = map_new();
    farm->checked_workers = map_new();
    farm->outputs = outputs_new();
    farm->specs = specs_new();
    farm->gate = link_gate_new();
    farm->entries = sessions_entries_new();
    link_tune_memory();
    int result = gitpin_setup(diag);
    if (result >= 0)
        result = open_state(farm, diag);
    if (result >= 0)
        result = open_data(farm, diag);
    if (result >= 0) {
        open_core(farm);
        result = open_helpers(farm, diag);
    }
    if (result >= 0)
        result = startup_restore(farm, diag);
    if (result >= 0)
        result = open_sockets(farm, diag);
    if (result >= 0)
        result = open_web(farm, diag);
    if (result < 0) {
        farm_close(farm);
        return result;
    }
    *ret = farm;
    return 0;
}

static void free_plans(struct farm *farm)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(farm->plans, &cursor, &key, &value)) {
        struct farm_plan *plan = value;
        plan_free(plan->plan);
        free(plan->tars);
        free(plan);
    }
    cursor = 0;
    while (map_next(farm->trees, &cursor, &key, &value)) {
        plans_free_tree(value);
    }
    map_free(farm->plans);
    map_free(farm->trees);
}

static void free_json_map(struct map *documents)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(documents, &cursor, &key, &value))
        json_decref(value);
    map_free(documents);
}

static void free_values(struct map *map)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(map, &cursor, &key, &value))
        free(value);
    map_free(map);
}

static void outgoing_done(struct outgoing *message)
{
    free(message->user);
    buf_done(&message->frame);
}

static void drop_outbox(struct farm *farm)
{
    for (size_t i = 0; i < farm->noutbox; i++)
        outgoing_done(&farm->outbox[i]);
    farm->noutbox = 0;
    for (size_t i = 0; i < farm->nunsent; i++)
        outgoing_done(&farm->unsent[i]);
    farm->nunsent = 0;
}

struct farm *farm_close(struct farm *farm)
{
    if (farm == NULL)
        return NULL;
    farm->stopping = true;
    web_free(farm->web);
    stats_close(farm);
    pool_free(farm->pool);
    journal_close(farm);
    ctl_free(farm->ctl);
    bulk_server_free(farm->bulk);
    link_server_free(farm->control);
    link_gate_free(farm->gate);
    core_free(farm->core);
    core_effects_done(&farm->effects);
    free_plans(farm);
    live_free_all(farm->live);
    free_json_map(farm->hellos);
    free_json_map(farm->log_tails);
    map_free(farm->held_back);
    free_values(farm->noise);
    map_free(farm->checked_nonces);
    map_free(farm->checked_workers);
    outputs_free(farm->outputs);
    specs_free(farm->specs);
    access_free(farm->access);
    restored_done(&farm->restored);
    scrub_free(farm->scrub);
    missing_free(farm->missing);
    drop_outbox(farm);
    free(farm->outbox);
    free(farm->unsent);
    sessions_entries_free(farm->entries);
    directory_free(farm->directory);
    root_free(farm->root);
    store_close(farm->store);
    db_close(farm->db);
    identity_free(farm->identity);
    mem_close_p(&farm->lock_fd);
    mem_close_p(&farm->state_dirfd);
    free(farm->state_path);
    config_done(&farm->config);
    free(farm);
    return NULL;
}

void farm_join_string(const struct farm *farm, struct buf *ret)
{
    struct join join = {0};
    const char *port = strrchr(link_server_endpoint(farm->control), ':');
    snprintf(join.endpoint, sizeof join.endpoint, "%s%s", farm->config.advertise, port);
    memcpy(join.curve, identity_curve_public(farm->identity), JOIN_CURVE_SIZE);
    if (farm->root != NULL)
        join.root = farm->root->digest;
    join_write(&join, ret);
}

struct db *farm_write(struct farm *farm)
{
    if (!farm->writing)
        db_begin(farm->db);
    farm->writing = true;
    return farm->db;
}

/* What cannot be sent is lost, and harmless: a worker presents its answers again, and a lease is taken back. */
static void send_one(struct farm *farm, struct outgoing *message)
{
    struct diag why = DIAG_INIT;
    int sent = farm->control != NULL
                   ? link_server_send(farm->control, message->user, buf_view(&message->frame), &why)
                   : 0;
    if (sent < 0)
        log_event(LOG_LEVEL_DEBUG, "message not sent", log_text(FIELD_WORKER, message->user),
                  log_text(FIELD_REASON, diag_text(&why, sent)));
    message->error = sent;
    if (sent < 0 && !digest_is_zero(&message->lease)) {
        farm->unsent =
            mem_reserve(farm->unsent, &farm->unsent_capacity, farm->nunsent + 1, sizeof *farm->unsent);
        farm->unsent[farm->nunsent++] = *message;
    } else {
        outgoing_done(message);
    }
}

int farm_flush(struct farm *farm, struct diag *diag)
{
    double began = stats_clock();
    int result = farm->writing ? db_commit(farm->db, diag) : 0;
    if (farm->writing)
        metrics_observe(&farm->stats.commit, stats_clock() - began);
    farm->writing = false;
    if (result < 0)
        return result;
    for (size_t i = 0; i < farm->noutbox; i++)
        send_one(farm, &farm->outbox[i]);
    farm->noutbox = 0;
    if (farm->ctl != NULL)
        ctl_flush(farm->ctl);
    return 0;
}

void farm_take_back(struct farm *farm)
{
    for (size_t i = 0; i < farm->nunsent; i++) {
        struct outgoing *message = &farm->unsent[i];
        struct core_event event = {.type = CORE_LEASE_REFUSED,
                                   .name = message->user,
                                   .text = "the lease could not be sent: the worker does not read"};
        if (message->error == FARM_E_UNKNOWN) /* gone; when it is back, its Hello says which leases it has */
            event = (struct core_event){.type = CORE_WORKER_OFFLINE, .name = message->user};
        memcpy(event.answer.nonce.bytes, message->lease.bytes, CORE_NONCE_SIZE);
        (void)farm_feed(farm, &event, NULL);
        outgoing_done(message);
    }
    farm->nunsent = 0;
}

void farm_post_lease(struct farm *farm, const char *user, const struct digest *nonce,
                     const Wire__Lease *lease)
{
    size_t before = farm->noutbox;
    farm_post(farm, user, WIRE_LEASE, &lease->base);
    if (farm->noutbox > before)
        farm->outbox[before].lease = *nonce;
}

void farm_post(struct farm *farm, const char *user, int type, const ProtobufCMessage *body)
{
    struct diag diag = DIAG_INIT;
    farm->outbox = mem_reserve(farm->outbox, &farm->outbox_capacity, farm->noutbox + 1, sizeof *farm->outbox);
    struct outgoing *message = &farm->outbox[farm->noutbox];
    *message = (struct outgoing){.user = mem_string(user)};
    int result = wire_encode(type, body, &message->frame, &diag);
    if (result < 0) {
        log_event(LOG_LEVEL_ERROR, "message cannot be written", log_text(FIELD_WORKER, user),
                  log_text(FIELD_TYPE, wire_type_name(type)),
                  log_text(FIELD_REASON, diag_text(&diag, result)));
        free(message->user);
        buf_done(&message->frame);
        return;
    }
    farm->noutbox++;
}
