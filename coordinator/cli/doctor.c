/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "doctor.h"

#include "directory.h"
#include "file.h"
#include "identity.h"
#include "moment.h"
#include "note.h"
#include "root.h"
#include "verify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Renewing a root takes people, an entry takes two signatures. */
enum { ROOT_DAYS = 30, DIRECTORY_DAYS = 20, ENTRY_DAYS = 14, BACKUP_DAYS = 7 };
#define DAY_MS ((int64_t)24 * 3600 * 1000)

/* Without configuration or state directory most rows have nothing to look at; why is said once, in their own rows. */
static bool has_config(const struct doctor *doctor, struct health_note *note)
{
    if (doctor->config_path != NULL && doctor->config_error >= 0)
        return true;
    health_say(note, HEALTH_NONE, NULL, "not looked at, without a configuration");
    return false;
}

static bool has_state(const struct doctor *doctor, struct health_note *note)
{
    if (doctor->state_dirfd >= 0)
        return true;
    health_say(note, HEALTH_NONE, NULL, "not looked at, without the state directory");
    return false;
}

/* ---- configuration and files ---- */

static void check_configuration(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    if (doctor->config_path == NULL)
        health_say(note, HEALTH_WARN, "name it: farmctl doctor --config FILE", "no configuration was found");
    else if (doctor->config_error < 0)
        health_fail(note, doctor->config_error, &doctor->config_diag);
    else
        health_say(note, HEALTH_OK, NULL, "%s", doctor->config_path);
}

static void check_state(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    if (!has_config(doctor, note))
        return;
    if (doctor->state_dirfd < 0)
        health_say(note, HEALTH_FAIL,
                   "run this as the coordinator's user, or as root; a new farm makes it at the first start",
                   "%s: %s", doctor->config.state_dir, strerror(doctor->state_error));
    else
        health_check_directory(note, doctor->state_dirfd, doctor->config.state_dir);
    if (doctor->state_dirfd >= 0 && faccessat(doctor->state_dirfd, "restore.unfinished", F_OK, 0) == 0)
        health_say(note, HEALTH_FAIL, "run \"farm-coordinator restore\" again", "a restore was interrupted");
}

static void check_key(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    if (has_state(doctor, note))
        health_check_secret(note, doctor->state_dirfd, "coordinator.key");
}

static void check_disk(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    if (has_state(doctor, note))
        health_check_disk(note, doctor->state_dirfd, doctor->config.reserve);
}

static void check_repositories(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    if (!has_config(doctor, note))
        return;
    struct view rest = view_text(doctor->config.local_repositories), path;
    size_t count = 0;
    while (rest.size > 0 && view_split(&rest, ',', &path)) {
        CLEANUP_FREE char *text = view_string(path);
        count++;
        if (access(text, R_OK | X_OK) < 0)
            health_say(note, HEALTH_WARN, "mend or remove it in local_repositories", "%s: %s", text,
                       strerror(errno));
    }
    if (note->level == HEALTH_OK)
        health_say(note, HEALTH_OK, NULL, "%zu places may be opened", count);
}

/* ---- time ---- */

/* What was written last here, and what the gate remembers. */
static int64_t newest_time(const struct doctor *doctor)
{
    static const char *const files[] = {"farm.db", "farm.db-wal", "log/checkpoint", "workers.json",
                                        "gate.state"};
    struct verify_state gate = {0};
    int64_t newest = 0;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        int64_t time_ms = health_time_of(doctor->state_dirfd, files[i]);
        newest = time_ms > newest ? time_ms : newest;
    }
    if (verify_state_read(doctor->state_dirfd, "gate.state", &gate, NULL) >= 0 && gate.time_ms > newest)
        newest = gate.time_ms;
    return newest;
}

static void check_clock(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    health_check_clock(note, doctor->now_ms, doctor->state_dirfd >= 0 ? newest_time(doctor) : 0);
}

static void check_root(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *root = NULL;
    struct diag diag = DIAG_INIT;
    if (!has_state(doctor, note))
        return;
    int result = file_read(doctor->state_dirfd, "root.json", ROOT_SIZE_MAX, &text, &diag);
    if (result == -ENOENT) {
        health_say(note, HEALTH_WARN, "farmctl root install root.json",
                   "none is installed: nothing is built");
        return;
    }
    if (result >= 0)
        result = root_parse(buf_view(&text), "root.json", &root, &diag);
    if (result < 0) {
        health_fail(note, result, &diag);
        return;
    }
    CLEANUP_FREE char *what = mem_format("version %lld", (long long)root->version);
    health_check_expiry(note, what, doctor->now_ms, root->expires_ms, ROOT_DAYS,
                        "the root managers make and sign the next root before that (RELEASE-MANAGERS.md)");
    if (!root->log.present)
        health_say(note, HEALTH_WARN, "name a log in the next root",
                   "it names no log: nothing shows what a "
                   "coordinator hides");
}

static void check_entry(const struct directory_entry *entry, int64_t now_ms, struct health_note *note)
{
    if (entry->expires_ms > now_ms + ENTRY_DAYS * DAY_MS)
        return;
    health_say(note, HEALTH_WARN, NULL, "the entry of %s %s at %s", entry->worker,
               entry->expires_ms > now_ms ? "expires" : "expired", moment_format(entry->expires_ms).text);
}

static void check_workers(void *context, struct health_note *note)
{
    enum { DIRECTORY_FILE_MAX = 64 * 1024 * 1024 };
    struct doctor *doctor = context;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct directory *directory = NULL;
    struct diag diag = DIAG_INIT;
    if (!has_state(doctor, note))
        return;
    int result = file_read(doctor->state_dirfd, "workers.json", DIRECTORY_FILE_MAX, &text, &diag);
    if (result == -ENOENT) {
        health_say(note, HEALTH_NONE, NULL, "no worker was admitted yet");
        return;
    }
    if (result >= 0)
        result = directory_parse(buf_view(&text), "workers.json", &directory, &diag);
    if (result < 0) {
        health_fail(note, result, &diag);
        return;
    }
    CLEANUP_FREE char *what =
        mem_format("version %lld with %zu workers", (long long)directory->version, directory->nentries);
    health_check_expiry(note, what, doctor->now_ms, directory->expires_ms, DIRECTORY_DAYS,
                        "a running coordinator publishes it anew by itself: let it run");
    for (size_t i = 0; i < directory->nentries; i++)
        check_entry(&directory->entries[i], doctor->now_ms, note);
    if (note->level == HEALTH_WARN)
        buf_add_text(&note->remedy, note->remedy.size > 0 ? "" : "their operators sign newer entries");
    directory_free(directory);
}

/* ---- database, log, backup, store ---- */

/* The schema's version stands in the database's header (sqlite.org/fileformat.html, offset 60), so SQLite is not needed for it. */
static void check_database(void *context, struct health_note *note)
{
    enum { HEADER = 100, USER_VERSION = 60 };
    struct doctor *doctor = context;
    unsigned char header[HEADER];
    if (!has_state(doctor, note))
        return;
    CLEANUP_CLOSE int fd = openat(doctor->state_dirfd, "farm.db", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        health_say(note, HEALTH_NONE, NULL, "none yet");
        return;
    }
    if (fd < 0 || pread(fd, header, HEADER, 0) != HEADER || memcmp(header, "SQLite format 3", 16) != 0) {
        health_say(note, HEALTH_FAIL, "restore a backup", "farm.db cannot be read, or is no database");
        return;
    }
    const unsigned char *at = header + USER_VERSION;
    unsigned int version =
        (unsigned int)at[0] << 24 | (unsigned int)at[1] << 16 | (unsigned int)at[2] << 8 | at[3];
    health_say(note, HEALTH_OK, NULL, "schema version %u", version);
}

/* Line 2 of a checkpoint is its size; who signed it is the coordinator's and the witnesses' affair. */
static bool read_size(const struct doctor *doctor, const char *path, uint64_t *ret)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct view rest, origin, line;
    if (file_read(doctor->state_dirfd, path, NOTE_SIZE_MAX, &text, NULL) < 0)
        return false;
    rest = buf_view(&text);
    return view_split(&rest, '\n', &origin) && view_split(&rest, '\n', &line) && view_decimal(line, ret);
}

static void check_log(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    uint64_t shown = 0, cosigned = 0;
    if (!has_state(doctor, note))
        return;
    if (!read_size(doctor, "log/checkpoint", &shown)) {
        health_say(note, HEALTH_WARN, "the coordinator makes it when it starts",
                   "no checkpoint was shown yet");
        return;
    }
    if (read_size(doctor, "log/cosigned", &cosigned))
        health_say(note, HEALTH_OK, NULL, "%llu entries shown, %llu cosigned", (unsigned long long)shown,
                   (unsigned long long)cosigned);
    else
        health_say(
            note, HEALTH_WARN, "the listed witnesses' workers must run: \"farmctl log show\" names them",
            "%llu entries shown, and none was cosigned by enough witnesses", (unsigned long long)shown);
    if (faccessat(doctor->state_dirfd, "restored.json", F_OK, 0) == 0)
        health_say(note, HEALTH_WARN,
                   "\"farmctl status\" says whom it waits for (OPERATORS.md, Backup and restore)",
                   "the state was restored from a backup, and witnesses have not confirmed it yet");
}

static void check_backup(void *context, struct health_note *note)
{
    enum { LAST_MAX = 16 * 1024 };
    static const char remedy[] = "farmctl backup DIR, by a timer; and keep a copy on another machine";
    struct doctor *doctor = context;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *last = NULL;
    int64_t taken_ms = 0;
    if (!has_state(doctor, note))
        return;
    if (file_read(doctor->state_dirfd, "backup.last", LAST_MAX, &text, NULL) < 0 ||
        json_read(buf_view(&text), "backup.last", LAST_MAX, &last, NULL) < 0 ||
        !moment_parse(view_text(cli_text(last, "taken")), &taken_ms)) {
        health_say(note, HEALTH_WARN, remedy, "none was made with \"farmctl backup\"");
        return;
    }
    bool old = doctor->now_ms - taken_ms > BACKUP_DAYS * DAY_MS;
    health_say(note, old ? HEALTH_WARN : HEALTH_OK, old ? remedy : NULL, "the last one was made at %s, in %s",
               moment_format(taken_ms).text, cli_text(last, "to"));
}

static void check_store(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    size_t damaged = 0;
    if (!has_state(doctor, note))
        return;
    CLEANUP_CLOSE int fd = openat(doctor->state_dirfd, "store/damaged", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (stream == NULL) {
        health_say(note, HEALTH_NONE, NULL, "none yet");
        return;
    }
    (void)STEAL_FD(fd); /* the stream's now */
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        damaged += entry->d_name[0] != '.';
    closedir(stream);
    if (cli_number(doctor->status, "lost_objects") > 0)
        health_say(note, HEALTH_FAIL, "\"farmctl scrub\" says what brings each back",
                   "%lld objects are damaged or missing; %lld lost payloads are built again",
                   (long long)cli_number(doctor->status, "lost_objects"),
                   (long long)cli_number(doctor->status, "lost_payloads"));
    if (damaged > 0)
        health_say(note, HEALTH_WARN,
                   "look at the disk (smartctl, dmesg); \"farmctl scrub\" says what is lost",
                   "%zu objects were found damaged in the last weeks and moved to store/damaged", damaged);
    else if (note->level == HEALTH_OK)
        health_say(note, HEALTH_OK, NULL, "nothing damaged was found");
}

/* ---- network, and the program itself ---- */

static void check_port(const struct doctor *doctor, const char *listen, struct health_note *note)
{
    struct diag diag = DIAG_INIT;
    const char *port = strrchr(listen, ':');
    CLEANUP_FREE char *here = NULL;
    if (port == NULL) {
        health_say(note, HEALTH_FAIL, "write it as host:port", "%s is no address", listen);
        return;
    }
    bool any = strncmp(listen, "0.0.0.0:", 8) == 0 || strncmp(listen, "*:", 2) == 0 ||
               strncmp(listen, "[::]:", 5) == 0;
    here = any ? mem_format("localhost%s", port) : mem_string(listen);
    int result = doctor->status != NULL ? health_connect(here, &diag) : health_can_listen(listen, &diag);
    if (result < 0)
        health_say(note, HEALTH_FAIL,
                   doctor->status != NULL ? "see the coordinator's messages"
                                          : "free the port, or choose another",
                   doctor->status != NULL ? "nobody can connect: %s" : "cannot be listened on: %s",
                   diag_text(&diag, result));
    else
        health_say(note, HEALTH_OK, NULL, "%s %s", listen, doctor->status != NULL ? "answers" : "is free");
}

static void check_ports(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    if (!has_config(doctor, note))
        return;
    check_port(doctor, doctor->config.control_listen, note);
    check_port(doctor, doctor->config.bulk_listen, note);
}

/* From here; that workers elsewhere reach it depends on what lies between. */
static void check_address(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    struct diag diag = DIAG_INIT;
    if (!has_config(doctor, note))
        return;
    const char *port = strrchr(doctor->config.control_listen, ':');
    CLEANUP_FREE char *address = mem_format("%s%s", doctor->config.advertise, port != NULL ? port : "");
    if (doctor->status == NULL) {
        health_say(note, HEALTH_NONE, NULL, "not tried, since no coordinator runs");
        return;
    }
    int result = health_connect(address, &diag);
    if (result < 0)
        health_say(note, HEALTH_WARN,
                   "workers dial this: look at advertise, the name service and the firewall",
                   "not reachable from here: %s", diag_text(&diag, result));
    else
        health_say(note, HEALTH_OK, NULL, "%s answers, seen from here", address);
}

static void check_program(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    if (doctor->status == NULL) {
        health_say(note, HEALTH_WARN, "systemctl status farm-coordinator; its last messages say why",
                   "no coordinator answers on the control socket");
        return;
    }
    const char *version = cli_text(doctor->status, "version"), *held = cli_text(doctor->status, "held");
    if (strcmp(version, FARM_VERSION) != 0)
        health_say(note, HEALTH_WARN, "restart the coordinator, or install the same version of both",
                   "the coordinator is version %s, farmctl is " FARM_VERSION, version);
    else
        health_say(note, HEALTH_OK, NULL, "version %s runs since %s", version,
                   cli_text(doctor->status, "started"));
    if (held[0] != '\0')
        health_say(note, HEALTH_FAIL, NULL, "no new work is taken: %s", held);
}

/* The coordinator's libraries are what it was started with, not what is installed by now. */
static void check_versions(void *context, struct health_note *note)
{
    const struct doctor *doctor = context;
    const json_t *libraries = json_object_get(doctor->status, "libraries");
    CLEANUP_BUF struct buf text = BUF_INIT;
    buf_add_text(&text, "farmctl " FARM_VERSION ", ");
    health_add_kernel(&text);
    for (size_t i = 0; i < json_array_size(libraries); i++)
        buf_add_format(&text, ", %s", json_string_value(json_array_get(libraries, i)));
    health_say(note, HEALTH_OK, NULL, "%s%s", text.data,
               doctor->status == NULL ? "; what the coordinator uses is not known, since none answers" : "");
}

static void check_descriptors(void *context, struct health_note *note)
{
    enum {
        OWN = 512,
        OF_A_WORKER = 4
    }; /* database, store, pool, farmctl; two connections, and as many that come back */
    const struct doctor *doctor = context;
    int64_t limit = cli_number(doctor->status, "descriptors");
    int64_t known = cli_number(json_object_get(doctor->status, "workers"), "known");
    if (limit <= 0)
        health_say(note, HEALTH_NONE, NULL, "not known, since no coordinator answers");
    else
        health_judge_descriptors(note, (uint64_t)limit, OWN + OF_A_WORKER * (uint64_t)known);
}

static void check_online(void *context, struct health_note *note)
{
    struct doctor *doctor = context;
    const json_t *workers = json_object_get(doctor->status, "workers");
    long long online = (long long)cli_number(workers, "online"),
              known = (long long)cli_number(workers, "known");
    if (doctor->status == NULL) {
        health_say(note, HEALTH_NONE, NULL, "not known, since no coordinator answers");
        return;
    }
    health_say(note, known > 0 && online == 0 ? HEALTH_WARN : HEALTH_OK,
               known > 0 && online == 0
                   ? "\"farmctl worker list\"; their owners see why with \"farm-worker status\""
                   : NULL,
               "%lld of %lld workers online", online, known);
    if (cli_number(workers, "flagged") > 0)
        health_say(note, HEALTH_WARN, "farmctl worker list, then farmctl operator clear OPERATOR",
                   "%lld of operators that somebody should look at",
                   (long long)cli_number(workers, "flagged"));
}

const struct health_check doctor_checks[] = {
    {"configuration", check_configuration},
    {"state directory", check_state},
    {"coordinator.key", check_key},
    {"disk", check_disk},
    {"clock", check_clock},
    {"local repositories", check_repositories},
    {"trust root", check_root},
    {"worker directory", check_workers},
    {"database", check_database},
    {"log", check_log},
    {"backup", check_backup},
    {"store", check_store},
    {"ports", check_ports},
    {"address", check_address},
    {"coordinator", check_program},
    {"versions", check_versions},
    {"descriptors", check_descriptors},
    {"workers", check_online},
};
const size_t doctor_nchecks = ARRAY_SIZE(doctor_checks);
