/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "worker_doctor.h"

#include "alarm.h"
#include "download.h"
#include "facts.h"
#include "file.h"
#include "gitpin.h"
#include "health.h"
#include "identity.h"
#include "link.h"
#include "moment.h"
#include "sandbox.h"
#include "statedir.h"
#include "trust.h"
#include "worker_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* The agent, its slots and their builds' pipes: far more than a worker of WORKER_SLOTS_MAX slots uses. */
enum { DESCRIPTORS = 1024, ROOT_DAYS = 14 };

struct worker_doctor {
    const char *state;
    int dirfd;
    struct worker_conf conf;
    bool has_conf;
    int64_t now_ms;
};

static void check_state(void *context, struct health_note *note)
{
    const struct worker_doctor *doctor = context;
    struct diag ignored;
    pid_t pid;
    health_check_directory(note, doctor->dirfd, doctor->state);
    if (statedir_running(doctor->dirfd, &pid, &ignored) >= 0)
        health_say(note, HEALTH_OK, NULL, "a worker runs (pid %ld)", (long)pid);
    else
        health_say(note, HEALTH_WARN, "farm-worker run --state DIR, or systemctl start farm-worker",
                   "no worker runs");
}

static void check_conf(void *context, struct health_note *note)
{
    struct worker_doctor *doctor = context;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = file_read(doctor->dirfd, STATEDIR_CONF, WORKER_CONF_MAX, &text, &diag);
    if (result >= 0)
        result = worker_conf_parse(buf_view(&text), STATEDIR_CONF, &doctor->conf, &diag);
    doctor->has_conf = result >= 0;
    if (result < 0)
        health_fail(note, result, &diag);
    else
        health_say(note, HEALTH_OK, NULL, "%s of %s, for %s", doctor->conf.name, doctor->conf.operator_name,
                   doctor->conf.coordinator);
}

static void check_key(void *context, struct health_note *note)
{
    struct worker_doctor *doctor = context;
    health_check_secret(note, doctor->dirfd, STATEDIR_KEY);
}

static bool has_conf(const struct worker_doctor *doctor, struct health_note *note)
{
    if (!doctor->has_conf)
        health_say(note, HEALTH_NONE, NULL, "not looked at, without " STATEDIR_CONF);
    return doctor->has_conf;
}

static void check_disk(void *context, struct health_note *note)
{
    const struct worker_doctor *doctor = context;
    if (has_conf(doctor, note))
        health_check_disk(note, doctor->dirfd, doctor->conf.reserve_bytes);
}

static void check_limits(void *context, struct health_note *note)
{
    const struct worker_doctor *doctor = context;
    struct facts facts;
    struct diag diag = DIAG_INIT;
    if (!has_conf(doctor, note))
        return;
    int result = facts_read(doctor->dirfd, &facts, &diag);
    if (result < 0) {
        health_fail(note, result, &diag);
        return;
    }
    if (doctor->conf.memory_bytes > facts.memory_bytes)
        health_say(note, HEALTH_WARN, "lower memory in " STATEDIR_CONF,
                   "builds may use %llu MiB of memory, and there are %llu",
                   (unsigned long long)(doctor->conf.memory_bytes >> 20),
                   (unsigned long long)(facts.memory_bytes >> 20));
    if (doctor->conf.cores > facts.cores)
        health_say(note, HEALTH_WARN, "lower cores in " STATEDIR_CONF,
                   "builds may use %llu cores, and there are %llu", (unsigned long long)doctor->conf.cores,
                   (unsigned long long)facts.cores);
    if (note->level == HEALTH_OK)
        health_say(note, HEALTH_OK, NULL, "%llu slots, %llu of %llu cores",
                   (unsigned long long)doctor->conf.slots, (unsigned long long)doctor->conf.cores,
                   (unsigned long long)facts.cores);
}

static void check_clock(void *context, struct health_note *note)
{
    static const char *const files[] = {STATEDIR_STATUS, STATEDIR_TRUST, STATEDIR_WITNESS};
    const struct worker_doctor *doctor = context;
    int64_t newest = 0;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        int64_t time_ms = health_time_of(doctor->dirfd, files[i]);
        newest = time_ms > newest ? time_ms : newest;
    }
    health_check_clock(note, doctor->now_ms, newest);
}

static void check_descriptors(void *context, struct health_note *note)
{
    struct rlimit limit;
    (void)context;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        health_say(note, HEALTH_WARN, NULL, "getrlimit: %s", strerror(errno));
    else
        health_judge_descriptors(note, limit.rlim_cur, DESCRIPTORS); /* here; a unit has its own limit */
}

/* What a fault that is known from elsewhere is looked for by. */
static void check_versions(void *context, struct health_note *note)
{
    static void (*const libraries[])(struct buf *) = {health_add_kernel, link_library, gitpin_library,
                                                      download_library};
    CLEANUP_BUF struct buf text = BUF_INIT;
    (void)context;
    buf_add_text(&text, "farm-worker " FARM_VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(libraries); i++) {
        buf_add_text(&text, ", ");
        libraries[i](&text);
    }
    health_say(note, HEALTH_OK, NULL, "%s", text.data);
}

static void check_alarm(void *context, struct health_note *note)
{
    const struct worker_doctor *doctor = context;
    struct alarm alarm = ALARM_NONE;
    struct diag diag = DIAG_INIT;
    int stands = alarm_load(doctor->dirfd, &alarm, &diag);
    if (stands != 0)
        health_say(note, HEALTH_FAIL, "farm-worker alarm show --state DIR, and ask whoever runs the farm",
                   "it stopped believing its farm%s%s", stands < 0 ? ": " : "", stands < 0 ? diag.text : "");
    else
        health_say(note, HEALTH_OK, NULL, "none stands");
    alarm_done(&alarm);
}

static int open_trust(const struct worker_doctor *doctor, struct trust **ret, struct diag *diag)
{
    struct identity *identity = NULL;
    int result = identity_read(doctor->dirfd, STATEDIR_KEY, &identity, diag);
    if (result < 0)
        return result;
    struct trust_self self = {.worker = doctor->conf.name,
                              .operator_name = doctor->conf.operator_name,
                              .ed25519 = *keys_public(identity_keys(identity)),
                              .curve = identity_curve_public(identity),
                              .pinned = doctor->conf.root};
    result = trust_open(doctor->dirfd, &self, ret, diag);
    identity_free(identity);
    return result;
}

/* After the change to the build user, whose key it is. */
static void check_trust(void *context, struct health_note *note)
{
    const struct worker_doctor *doctor = context;
    struct trust *trust = NULL;
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    if (!has_conf(doctor, note))
        return;
    int result = open_trust(doctor, &trust, &diag);
    if (result < 0) {
        health_fail(note, result, &diag);
        return;
    }
    trust_describe(trust, &text);
    health_say(note, HEALTH_OK, NULL, "%s", text.data);
    const struct root *root = trust_root(trust);
    if (root != NULL)
        health_check_expiry(note, "the root", doctor->now_ms, root->expires_ms, ROOT_DAYS,
                            "the farm's managers make the next one; it is followed by itself");
    if (trust_is_pinned(trust) && (result = trust_may_work(trust, doctor->now_ms, &diag)) < 0)
        health_say(note, result == FARM_E_STATE ? HEALTH_WARN : HEALTH_FAIL, NULL, "no leases: %s",
                   diag_text(&diag, result));
    trust_close(trust);
}

static void check_coordinator(void *context, struct health_note *note)
{
    const struct worker_doctor *doctor = context;
    struct diag diag = DIAG_INIT;
    if (!has_conf(doctor, note))
        return;
    int result = health_connect(doctor->conf.coordinator, &diag);
    if (result < 0)
        health_say(note, HEALTH_FAIL, "is the name right, this machine online, and the coordinator running?",
                   "%s", diag_text(&diag, result));
    else
        health_say(note, HEALTH_OK, NULL, "%s answers", doctor->conf.coordinator);
}

/* User namespaces, overlayfs, bubblewrap, user attributes: all of it, as a build has it. */
static void check_sandbox(void *context, struct health_note *note)
{
    const struct worker_doctor *doctor = context;
    struct diag diag = DIAG_INIT;
    int result = sandbox_probe(doctor->dirfd, &diag);
    if (result < 0)
        health_fail(note, result, &diag);
    else
        health_say(note, HEALTH_OK, NULL,
                   "a build that does nothing ran: user namespaces, overlayfs and bubblewrap work");
}

static const struct health_check before[] = {
    {"state directory", check_state},   {"configuration", check_conf},
    {"worker.key", check_key},          {"disk", check_disk},
    {"limits", check_limits},           {"clock", check_clock},
    {"descriptors", check_descriptors}, {"versions", check_versions},
};
/* As the build user. */
static const struct health_check after[] = {
    {"alarm", check_alarm},
    {"trust root", check_trust},
    {"coordinator", check_coordinator},
    {"sandbox", check_sandbox},
};

static void show(const struct health_report *report, bool as_json, FILE *out)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    if (!as_json) {
        health_print(report, out);
        return;
    }
    CLEANUP_JSON json_t *body = health_json(report);
    json_write(body, &text);
    fprintf(out, "%s\n", text.data);
}

int worker_doctor(const char *state, bool as_json, FILE *out, struct diag *diag)
{
    struct worker_doctor doctor = {.state = state, .dirfd = -1, .now_ms = moment_wall_ms()};
    struct health_report report = HEALTH_REPORT_INIT;
    int result = statedir_open(state, &doctor.dirfd, diag);
    if (result < 0)
        return result;
    health_run(before, ARRAY_SIZE(before), &doctor, &report);
    result = sandbox_drop_root(NULL, doctor.dirfd, diag);
    if (result >= 0 && fchdir(doctor.dirfd) < 0)
        result = diag_errno(diag, "cannot enter the state directory");
    if (result >= 0)
        health_run(after, ARRAY_SIZE(after), &doctor, &report);
    if (result >= 0) {
        show(&report, as_json, out);
        result = health_exit(&report);
    }
    health_report_done(&report);
    if (doctor.has_conf)
        worker_conf_done(&doctor.conf);
    mem_close_p(&doctor.dirfd);
    return result;
}
