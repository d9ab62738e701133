/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats.h"

#include "farm.h"
#include "journal.h"
#include "missing.h"
#include "stats_store.h"
#include "web.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { PUBLISH_MS = 1000, FDS_MS = 10 * 1000 };

/* Workers, by what "farmctl worker list" calls them; one may be in several. */
enum { WORKERS_KNOWN, WORKERS_ONLINE, WORKERS_PAUSED, WORKERS_RESTING, WORKERS_REVOKED, WORKER_STATES };
/* Frames that were dropped, by why. */
enum { DROP_SHAPE, DROP_REVOKED, DROP_STALE, DROP_UNDECODABLE, DROP_SILENCED, DROP_BULK, DROP_KINDS };
enum { PLANS_PLANNED = PLAN_CANCELLED + 1, PLAN_STATES };
enum { SOCKET_CONTROL, SOCKET_BULK, SOCKETS };

struct snapshot {
    struct farm_stats counted; /* as it was */
    double build, start_time, time, stopping;
    double plans[PLAN_STATES], nodes[NODE_BLOCKED + 1];
    double leases_live, workers[WORKER_STATES], operators, operators_flagged, illegal_events, held;
    double lost_objects, lost_payloads;
    double handshakes[SOCKETS], handshakes_refused[SOCKETS], frames[SOCKETS], cut[SOCKETS],
        dropped[DROP_KINDS];
    double bulk_sent, bulk_received, uploads, uploads_refused;
    double tasks_waiting, tasks_pending;
    struct metrics_sum task_wait;
    double clients;
    double db_bytes, wal_bytes, store_objects, store_bytes, disk_free, disk_reserve;
    double log_entries, log_cosigned, log_cosigned_time;
    double root_expiry, directory_expiry, root_version;
    double resident, virtual_memory, cpu, fds, max_fds;
};

/* ---- label values ---- */

static const char *plan_label(size_t i)
{
    return i == PLANS_PLANNED ? "planned" : plan_state_name((enum plan_state)i);
}
static const char *node_label(size_t i)
{
    return node_state_name((enum node_state)i);
}
static const char *lease_label(size_t i)
{
    return lease_state_name((enum lease_state)i);
}
static const char *fate_label(size_t i)
{
    return answer_fate_name((enum answer_fate)i);
}
static const char *verdict_label(size_t i)
{
    return verdict_state_name((enum verdict_state)i);
}
static const char *worker_label(size_t i)
{
    static const char *const names[] = {"known", "online", "paused", "resting", "revoked"};
    return names[i];
}
static const char *drop_label(size_t i)
{
    static const char *const names[] = {"shape",       "revoked",  "stale",
                                        "undecodable", "silenced", "bulk_undecodable"};
    return names[i];
}
static const char *socket_label(size_t i)
{
    return i == SOCKET_CONTROL ? "control" : "bulk";
}
static const char *version_label(size_t i)
{
    (void)i;
    return FARM_VERSION;
}

/* ---- the table ---- */

#define P          "igos_farm_"
#define AT(field)  offsetof(struct snapshot, field)
#define ONE(field) AT(field), NULL, NULL, 0

const struct metrics_row stats_rows[] = {
    {P "build_info", "Always 1; the version is a label.", METRICS_GAUGE, AT(build), "version", version_label,
     1},
    {P "snapshot_time_seconds", "When these figures were taken, Unix time.", METRICS_GAUGE, ONE(time)},
    {P "stopping", "1 while the coordinator stops.", METRICS_GAUGE, ONE(stopping)},
    {P "plans", "Plans, by state.", METRICS_GAUGE, AT(plans), "state", plan_label, PLAN_STATES},
    {P "nodes", "Nodes of started plans, by state.", METRICS_GAUGE, AT(nodes), "state", node_label,
     NODE_BLOCKED + 1},
    {P "leases_live", "Leases that workers hold now.", METRICS_GAUGE, ONE(leases_live)},
    {P "leases_granted_total", "Leases granted.", METRICS_COUNTER, ONE(counted.leases_granted)},
    {P "leases_ended_total", "Leases that ended, by how; live is always 0.", METRICS_COUNTER,
     AT(counted.leases_ended), "state", lease_label, LEASE_WITHDRAWN + 1},
    {P "answers_total", "Answers that were taken, by what became of them.", METRICS_COUNTER,
     AT(counted.answers), "fate", fate_label, ANSWER_REJECTED + 1},
    {P "answers_refused_total", "Answers that broke a rule and are no evidence.", METRICS_COUNTER,
     ONE(counted.answers_refused)},
    {P "verdicts_total", "Verdicts recorded, by state; a job may have several.", METRICS_COUNTER,
     AT(counted.verdicts), "state", verdict_label, VERDICT_FAILED + 1},
    {P "workers", "Workers; one may be in several states.", METRICS_GAUGE, AT(workers), "state", worker_label,
     WORKER_STATES},
    {P "operators", "Operators with an admitted worker, or known from the past.", METRICS_GAUGE,
     ONE(operators)},
    {P "operators_flagged", "Operators that get no leases until somebody looked.", METRICS_GAUGE,
     ONE(operators_flagged)},
    {P "leases_held", "1 while no lease is granted, because the disk is low.", METRICS_GAUGE, ONE(held)},
    {P "illegal_events_total", "Events that the core refused: a worker's message out of order, or a mistake.",
     METRICS_COUNTER, ONE(illegal_events)},
    {P "handshakes_total", "Connections that the gate admitted.", METRICS_COUNTER, AT(handshakes), "socket",
     socket_label, SOCKETS},
    {P "handshakes_refused_total", "Handshakes with an unknown key, another mechanism or domain.",
     METRICS_COUNTER, AT(handshakes_refused), "socket", socket_label, SOCKETS},
    {P "frames_total", "Frames that were delivered.", METRICS_COUNTER, AT(frames), "socket", socket_label,
     SOCKETS},
    {P "connections_cut_total",
     "Connections that were ended: too much waited here for them, or they said nothing while descriptors ran "
     "short.",
     METRICS_COUNTER, AT(cut), "socket", socket_label, SOCKETS},
    {P "frames_dropped_total", "Frames that were dropped, by why.", METRICS_COUNTER, AT(dropped), "kind",
     drop_label, DROP_KINDS},
    {P "log_lines_held_total", "Lines of the log that a worker would have caused, over its limit.",
     METRICS_COUNTER, ONE(counted.log_lines_held)},
    {P "bulk_sent_bytes_total", "Bytes of objects sent to workers, as stored.", METRICS_COUNTER,
     ONE(bulk_sent)},
    {P "bulk_received_bytes_total", "Bytes of objects received from workers, as stored.", METRICS_COUNTER,
     ONE(bulk_received)},
    {P "uploads_total", "Uploads that became objects.", METRICS_COUNTER, ONE(uploads)},
    {P "uploads_refused_total", "Uploads that were refused.", METRICS_COUNTER, ONE(uploads_refused)},
    {P "pool_tasks_waiting", "Tasks that no pool thread has taken yet.", METRICS_GAUGE, ONE(tasks_waiting)},
    {P "pool_tasks_pending", "Tasks submitted and not done.", METRICS_GAUGE, ONE(tasks_pending)},
    {P "pool_wait_seconds", "How long tasks waited for a pool thread.", METRICS_SUMMARY, ONE(task_wait)},
    {P "turn_duration_seconds", "Work of one turn of the loop, without its waiting.", METRICS_HISTOGRAM,
     ONE(counted.turn)},
    {P "commit_duration_seconds", "Durable commits of the database.", METRICS_HISTOGRAM, ONE(counted.commit)},
    {P "database_size_bytes", "Size of farm.db.", METRICS_GAUGE, ONE(db_bytes)},
    {P "database_wal_size_bytes", "Size of farm.db-wal.", METRICS_GAUGE, ONE(wal_bytes)},
    {P "store_objects",
     "Objects in the store, counted in the background every five seconds or, where there are many, less "
     "often.",
     METRICS_GAUGE, ONE(store_objects)},
    {P "lost_objects", "Objects that are damaged or missing; farmctl scrub lists them.", METRICS_GAUGE,
     ONE(lost_objects)},
    {P "lost_payloads", "Jobs whose agreed payload is lost and built again.", METRICS_GAUGE,
     ONE(lost_payloads)},
    {P "store_size_bytes", "Their size as stored.", METRICS_GAUGE, ONE(store_bytes)},
    {P "disk_free_bytes", "Free space of the state directory's file system.", METRICS_GAUGE, ONE(disk_free)},
    {P "disk_reserve_bytes", "The reserve below which no new work is taken.", METRICS_GAUGE,
     ONE(disk_reserve)},
    {P "log_entries", "Entries of the transparency log.", METRICS_GAUGE, ONE(log_entries)},
    {P "log_cosigned_entries", "Entries of the newest checkpoint that enough witnesses cosigned.",
     METRICS_GAUGE, ONE(log_cosigned)},
    {P "log_cosigned_time_seconds", "When that checkpoint was shown, Unix time; since this start.",
     METRICS_GAUGE, ONE(log_cosigned_time)},
    {P "root_version", "Version of the installed trust root.", METRICS_GAUGE, ONE(root_version)},
    {P "root_expiry_time_seconds", "When the installed trust root expires, Unix time.", METRICS_GAUGE,
     ONE(root_expiry)},
    {P "directory_expiry_time_seconds",
     "When the worker directory expires, Unix time; renewed at half of its time.", METRICS_GAUGE,
     ONE(directory_expiry)},
    {"process_start_time_seconds", "When the process started, Unix time.", METRICS_GAUGE, ONE(start_time)},
    {"process_cpu_seconds_total", "User and system time.", METRICS_COUNTER, ONE(cpu)},
    {"process_resident_memory_bytes", "Resident memory.", METRICS_GAUGE, ONE(resident)},
    {"process_virtual_memory_bytes", "Virtual memory.", METRICS_GAUGE, ONE(virtual_memory)},
    {"process_open_fds", "Open descriptors, counted every ten seconds.", METRICS_GAUGE, ONE(fds)},
    {"process_max_fds", "Limit of open descriptors.", METRICS_GAUGE, ONE(max_fds)},
};
const size_t stats_nrows = ARRAY_SIZE(stats_rows);

/* ---- the values ---- */

double stats_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static size_t count_forgotten(const struct farm *farm)
{
    size_t n = 0, cursor = 0;
    struct view key;
    for (void *plan; map_next(farm->plans, &cursor, &key, &plan);)
        n += ((const struct farm_plan *)plan)->forgotten;
    return n;
}

static void take_core(struct farm *farm, struct snapshot *now)
{
    struct core_counts counts;
    core_count(farm->core, &counts);
    size_t started = 0;
    for (size_t i = 0; i <= PLAN_CANCELLED; i++) {
        now->plans[i] = (double)counts.plans[i];
        started += counts.plans[i];
    }
    started += count_forgotten(farm);
    now->plans[PLANS_PLANNED] =
        map_count(farm->plans) > started ? (double)(map_count(farm->plans) - started) : 0;
    for (size_t i = 0; i <= NODE_BLOCKED; i++)
        now->nodes[i] = (double)counts.nodes[i];
    now->leases_live = (double)counts.live_leases;
    now->lost_payloads = (double)counts.lost;
    now->workers[WORKERS_KNOWN] = (double)counts.workers;
    now->workers[WORKERS_ONLINE] = (double)counts.online;
    now->workers[WORKERS_PAUSED] = (double)counts.paused;
    now->workers[WORKERS_RESTING] = (double)counts.resting;
    now->workers[WORKERS_REVOKED] = (double)counts.revoked;
    now->operators = (double)counts.operators;
    now->operators_flagged = (double)counts.flagged;
    now->illegal_events = (double)counts.illegal_events;
    now->held = farm->disk.low;
    now->lost_objects = (double)missing_count(farm);
}

static void take_link(struct snapshot *now, size_t socket, const struct link_server_stats *stats)
{
    now->handshakes[socket] = (double)stats->handshakes;
    now->handshakes_refused[socket] = (double)stats->refused;
    now->frames[socket] = (double)stats->frames;
    now->cut[socket] = (double)stats->cut;
    now->dropped[DROP_SHAPE] += (double)stats->dropped_shape;
    now->dropped[DROP_REVOKED] += (double)stats->dropped_revoked;
    now->dropped[DROP_STALE] += (double)stats->dropped_stale;
}

static void take_sockets(struct farm *farm, struct snapshot *now)
{
    struct link_server_stats control = link_server_stats(farm->control);
    struct bulk_server_stats bulk = bulk_server_stats(farm->bulk);
    take_link(now, SOCKET_CONTROL, &control);
    take_link(now, SOCKET_BULK, &bulk.link);
    now->dropped[DROP_UNDECODABLE] = farm->stats.frames_undecodable;
    now->dropped[DROP_SILENCED] = farm->stats.frames_silenced;
    now->dropped[DROP_BULK] = (double)bulk.bad_frames;
    now->bulk_sent = (double)bulk.sent_bytes;
    now->bulk_received = (double)bulk.received_bytes;
    now->uploads = (double)bulk.stored;
    now->uploads_refused = (double)bulk.refused;
}

static double file_size(struct farm *farm, const char *name)
{
    struct stat status;
    return fstatat(farm->state_dirfd, name, &status, 0) == 0 ? (double)status.st_size : NAN;
}

static void take_disk(struct farm *farm, struct snapshot *now)
{
    struct statvfs found;
    now->db_bytes = file_size(farm, "farm.db");
    now->wal_bytes = file_size(farm, "farm.db-wal");
    now->disk_free =
        fstatvfs(farm->state_dirfd, &found) == 0 ? (double)found.f_bavail * (double)found.f_frsize : NAN;
    now->disk_reserve = (double)farm->config.reserve;
    now->store_objects = now->store_bytes = NAN;
    if (farm->stats.store == NULL)
        farm->stats.store = stats_store_new(farm->store);
    if (farm->stats.store != NULL)
        (void)stats_store_look(farm->stats.store, &now->store_objects, &now->store_bytes);
}

static void take_trust(struct farm *farm, struct snapshot *now)
{
    struct checkpoint cosigned;
    struct view note;
    int64_t shown_ms = journal_cosigned_ms(farm);
    now->log_entries = (double)journal_size(farm);
    now->log_cosigned = journal_cosigned(farm, &cosigned, &note) ? (double)cosigned.size : 0;
    now->log_cosigned_time = shown_ms > 0 ? (double)shown_ms / 1000 : NAN;
    now->root_version = farm->root != NULL ? (double)farm->root->version : NAN;
    now->root_expiry = farm->root != NULL ? (double)farm->root->expires_ms / 1000 : NAN;
    now->directory_expiry =
        farm->root != NULL && farm->directory != NULL ? (double)farm->directory->expires_ms / 1000 : NAN;
}

static double count_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    double count = -3; /* itself, "." and ".." */
    if (directory == NULL)
        return NAN;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* The first two numbers of /proc/self/statm, in pages (proc(5)). */
static bool read_statm(uint64_t *ret_pages, uint64_t *ret_resident)
{
    char text[256];
    struct view rest, first, second;
    CLEANUP_CLOSE int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (got <= 0)
        return false;
    rest = view_of(text, (size_t)got);
    return view_split(&rest, ' ', &first) && view_split(&rest, ' ', &second) &&
           view_decimal(first, ret_pages) && view_decimal(second, ret_resident);
}

static void take_process(struct farm *farm, struct snapshot *now)
{
    struct rusage usage;
    struct rlimit limit;
    uint64_t pages, resident;
    bool known = read_statm(&pages, &resident);
    double page = (double)sysconf(_SC_PAGESIZE);
    now->virtual_memory = known ? (double)pages * page : NAN;
    now->resident = known ? (double)resident * page : NAN;
    now->cpu = NAN;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        now->cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    now->max_fds = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY
                       ? (double)limit.rlim_cur
                       : NAN;
    if (moment_steady_ms() >= farm->stats.fds_due_ms) {
        farm->stats.open_fds = count_fds();
        farm->stats.fds_due_ms = moment_steady_ms() + FDS_MS;
    }
    now->fds = farm->stats.open_fds;
}

static void take_pool(struct farm *farm, struct snapshot *now)
{
    struct pool_stats stats = pool_stats(farm->pool);
    now->tasks_waiting = (double)stats.waiting;
    now->tasks_pending = (double)pool_pending(farm->pool);
    now->task_wait =
        (struct metrics_sum){.sum = (double)stats.waited_us / 1e6, .count = (double)stats.started};
}

void stats_text(struct farm *farm, struct buf *ret)
{
    struct snapshot now = {.build = 1,
                           .counted = farm->stats,
                           .start_time = (double)farm->started_ms / 1000,
                           .time = (double)moment_wall_ms() / 1000,
                           .stopping = farm->leaving};
    take_core(farm, &now);
    take_sockets(farm, &now);
    take_pool(farm, &now);
    take_disk(farm, &now);
    take_trust(farm, &now);
    take_process(farm, &now);
    metrics_write(stats_rows, stats_nrows, &now, ret);
}

void stats_turn(struct farm *farm)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int64_t now_ms = moment_steady_ms();
    if (farm->web == NULL || now_ms < farm->stats.publish_due_ms)
        return;
    farm->stats.publish_due_ms = now_ms + PUBLISH_MS;
    stats_text(farm, &text);
    web_publish(farm->web, &text);
}

void stats_close(struct farm *farm)
{
    farm->stats.store = stats_store_free(farm->stats.store);
}
