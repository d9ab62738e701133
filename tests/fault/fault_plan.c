/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The plan: what counts, which call it hits, and what then happens. See fault.h. */
#include "fault_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const fault_class_names[FAULT_CLASSES] = {"write", "sync", "name", "alloc", "step", "send"};
const char *const fault_kind_names[FAULT_KINDS] = {"none", "error", "full", "short", "kill", "power"};

/* One test process has one plan; the calls that come by have no place for a context. */
static struct {
    char directory[PATH_MAX];
    size_t length;
    struct fault_plan plan;
    struct fault_report *report;
    _Atomic bool armed;
    bool began;
    pthread_mutex_t lock; /* over the count, the model and the call itself */
} fault = {.lock = PTHREAD_MUTEX_INITIALIZER};

__thread int fault_inside;

/* ---- the plan ---- */

bool fault_watched(void)
{
    return fault_inside == 0 && atomic_load(&fault.armed);
}

unsigned int fault_seed(void)
{
    return fault.plan.seed;
}

bool fault_lies(void)
{
    return fault.plan.lie;
}

static void end_here(bool power)
{
    if (power)
        power_cut(fault.plan.seed);
    syscall(SYS_exit_group, FAULT_EXIT_KILLED);
}

enum fault_verdict fault_count(enum fault_class class, const char *call, const char *what)
{
    if ((fault.plan.classes & 1u << class) == 0)
        return GO;
    uint64_t number = atomic_fetch_add(&fault.report->counted, 1) + 1;
    if (fault.plan.kind == FAULT_FULL && number > fault.plan.k)
        return FAIL;
    if (number != fault.plan.k || fault.plan.kind == FAULT_NONE)
        return GO;
    const char *shown = strncmp(what, fault.directory, fault.length) == 0 ? what + fault.length : what;
    snprintf(fault.report->call, FAULT_CALL_MAX, "%s %s", call, shown);
    atomic_store(&fault.report->hit, true);
    switch (fault.plan.kind) {
    case FAULT_ERROR:
    case FAULT_FULL:
        return FAIL;
    case FAULT_SHORT:
        return HALF;
    case FAULT_KILL:
        end_here(false);
        break;
    case FAULT_POWER:
        end_here(true);
        break;
    case FAULT_NONE:
    case FAULT_KINDS:
        break;
    }
    return GO;
}

bool fault_fails(enum fault_class class, const char *call, const char *what)
{
    if (!fault_watched() || (fault.plan.classes & 1u << class) == 0)
        return false;
    fault_inside++;
    bool fails = fault_count(class, call, what) == FAIL;
    fault_inside--;
    return fails;
}

int fault_refuse(void)
{
    errno = fault.plan.kind == FAULT_FULL || fault.plan.seed % 2 == 1 ? ENOSPC : EIO;
    return -1;
}

void fault_enter(void)
{
    fault_inside++;
    pthread_mutex_lock(&fault.lock);
}

void fault_leave(void)
{
    int error = errno;
    pthread_mutex_unlock(&fault.lock);
    fault_inside--;
    errno = error;
}

/* ---- what is below the directory ---- */

bool fault_path_of(int fd, char path[static PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = '\0';
    return strncmp(path, fault.directory, fault.length) == 0 &&
           (path[fault.length] == '/' || path[fault.length] == '\0');
}

bool fault_find_place(int dirfd, const char *path, struct power_place *ret, char where[static PATH_MAX])
{
    char parent[PATH_MAX];
    struct stat status;
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    snprintf(parent, sizeof parent, "%.*s", slash != NULL ? (int)(slash - path) + 1 : 1,
             slash != NULL ? path : ".");
    if (strlen(name) == 0 || strlen(name) >= sizeof ret->name)
        return false;
    int fd = openat(dirfd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (!fault_path_of(fd, where) || fstat(fd, &status) < 0) {
        close(fd);
        return false;
    }
    *ret = (struct power_place){.dirfd = fd, .device = status.st_dev, .directory = status.st_ino};
    strcpy(ret->name, name);
    size_t length = strlen(where);
    snprintf(where + length, PATH_MAX - length, "/%s", name);
    return true;
}

/* ---- begin and end ---- */

void fault_begin(const char *directory, const struct fault_plan *plan, struct fault_report *report)
{
    struct rlimit files;
    char attic[PATH_MAX];
    fault_inside++;
    snprintf(fault.directory, sizeof fault.directory, "%s", directory);
    fault.length = strlen(directory);
    fault.plan = *plan;
    fault.report = report;
    fault.began = true;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* the model keeps what it may have to take back */
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    snprintf(attic, sizeof attic, "%s.attic", directory);
    mkdir(attic, 0700);
    int fd = open(attic, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "fault: %s: %s\n", attic, strerror(errno));
        _exit(70);
    }
    power_begin(fd);
    fault_inside--;
    atomic_store(&fault.armed, true);
}

void fault_end(void)
{
    atomic_store(&fault.armed, false);
}

static bool power_goes_at_the_end(void)
{
    return fault.began && (fault.plan.kind == FAULT_POWER ||
                           (fault.plan.kind == FAULT_ERROR && fault.plan.classes == 1u << FAULT_SYNC));
}

void fault_exit(int status)
{
    if (power_goes_at_the_end()) {
        fault_enter(); /* and never leaves: other threads stop where they are */
        atomic_store(&fault.armed, false);
        power_cut(fault.plan.seed);
    }
    syscall(SYS_exit_group, status);
    __builtin_unreachable();
}

void _exit(int status)
{
    fault_exit(status);
}
