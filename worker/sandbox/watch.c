/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "watch.h"

#include "file.h"
#include "walk.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

/* How fast a build is assumed to grow: what one core of today's machines can touch in a second. */
#define WATCH_GROWTH (UINT64_C(4) << 30)

enum {
    WATCH_SOONEST_MS = 10, /* closer looks would cost more than they can catch */
    WATCH_LATEST_MS = 250, /* a limit is noticed within this time */
    WATCH_MEASURE_US =
        5000000,     /* trees are measured this often anyway: others may free the space a build takes */
    WATCH_DUTY = 20, /* measuring takes at most one part in so many of the time */
    WATCH_DELETED_MAX = 1024, /* deleted open files that are told apart */
};

static uint64_t statfs_used(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) < 0 ? 0 : (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize;
}

static uint64_t statfs_free(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) < 0 ? 0 : (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
}

/* Reads a small file of /proc; false if the process has gone. Always NUL-terminated. */
static bool read_small(int dirfd, const char *path, char *ret, size_t size)
{
    int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, ret, size - 1);
    close(fd);
    ret[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/* The last column but one of each row is "rss". Consumes whole rows and says how many bytes they were. */
static size_t sysv_rows(const char *text, uint64_t *total)
{
    const char *row = text, *end;
    while ((end = strchr(row, '\n')) != NULL) {
        unsigned long long rss = 0;
        if (sscanf(row, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &rss) == 1)
            *total += rss; /* the head line has no number there */
        row = end + 1;
    }
    return (size_t)(row - text);
}

/* Segments that nobody has attached are in no process; the file was opened in the build's ipc namespace. */
static uint64_t sysv_bytes(int fd)
{
    char text[8192];
    uint64_t total = 0;
    off_t offset = 0;
    ssize_t got;
    while ((got = pread(fd, text, sizeof text - 1, offset)) > 0) {
        text[got] = '\0';
        size_t used = sysv_rows(text, &total);
        if (used == 0)
            break;
        offset += (off_t)used;
    }
    return total;
}

static uint64_t file_systems(const struct watch *watch)
{
    return statfs_used(watch->tmp_fd) + statfs_used(watch->shm_fd) + sysv_bytes(watch->sysv_fd);
}

static uint64_t resident(int proc, const char *pid)
{
    char path[32], text[128];
    unsigned long long pages = 0;
    snprintf(path, sizeof path, "%.12s/statm", pid);
    if (read_small(proc, path, text, sizeof text) && sscanf(text, "%*u %llu", &pages) != 1)
        pages = 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t line_bytes(const char *text, const char *key)
{
    unsigned long long kib = 0;
    const char *line = strstr(text, key);
    return line != NULL && sscanf(line + strlen(key), " %llu", &kib) == 1 ? kib * 1024 : 0;
}

/* What the process adds to the whole; its resident set if it does not let itself be read. */
static uint64_t share(int proc, const char *pid)
{
    char path[40], text[2048];
    snprintf(path, sizeof path, "%.12s/smaps_rollup", pid);
    if (!read_small(proc, path, text, sizeof text))
        return resident(proc, pid);
    return line_bytes(text, "\nPss_Anon:") + line_bytes(text, "\nPss_Shmem:");
}

static unsigned tasks_of(int proc, const char *pid)
{
    char path[32];
    struct stat st;
    snprintf(path, sizeof path, "%.12s/task", pid);
    return fstatat(proc, path, &st, 0) < 0 || st.st_nlink < 3 ? 1 : (unsigned)st.st_nlink - 2;
}

static bool next_process(DIR *proc, const char **ret_pid)
{
    struct dirent *entry;
    while ((entry = readdir(proc)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0])) {
            *ret_pid = entry->d_name;
            return true;
        }
    return false;
}

static void look_processes(const struct watch *watch, struct watch_sample *sample)
{
    const char *pid;
    int proc = dirfd(watch->proc);
    unsigned tasks = 0;
    sample->memory_bytes = file_systems(watch);
    rewinddir(watch->proc);
    while (next_process(watch->proc, &pid)) {
        sample->memory_bytes += resident(proc, pid);
        tasks += tasks_of(proc, pid);
    }
    sample->tasks = tasks > 0 ? tasks - 1 : 0;
}

static uint64_t exact_memory(const struct watch *watch)
{
    const char *pid;
    uint64_t total = file_systems(watch);
    rewinddir(watch->proc);
    while (next_process(watch->proc, &pid))
        total += share(dirfd(watch->proc), pid);
    return total;
}

static int add_blocks(int dirfd_, const char *name, const struct stat *st, void *arg)
{
    uint64_t *total = arg;
    (void)dirfd_;
    (void)name;
    *total += (uint64_t)st->st_blocks * 512 / (st->st_nlink > 0 ? st->st_nlink : 1);
    return 0;
}

static uint64_t tree_bytes(const struct watch *watch)
{
    uint64_t total = 0;
    const struct walk walk = {.enter = add_blocks, .entry = add_blocks, .arg = &total, .tolerant = true};
    for (size_t i = 0; i < watch->ntrees; i++)
        if (walk_tree(watch->disk_dirfd, watch->trees[i], &walk) < 0)
            continue; /* changed under the walk: what was counted so far stands */
    return total;
}

struct deleted {
    dev_t skip[2]; /* /tmp and /dev/shm, which are memory */
    struct {
        dev_t dev;
        ino_t ino;
    } seen[WATCH_DELETED_MAX];
    size_t count;
    uint64_t bytes;
};

static void deleted_add(struct deleted *deleted, const struct stat *st)
{
    if (!S_ISREG(st->st_mode) || st->st_nlink > 0 || st->st_dev == deleted->skip[0] ||
        st->st_dev == deleted->skip[1])
        return;
    for (size_t i = 0; i < deleted->count; i++)
        if (deleted->seen[i].dev == st->st_dev && deleted->seen[i].ino == st->st_ino)
            return;
    if (deleted->count == WATCH_DELETED_MAX)
        return;
    deleted->seen[deleted->count].dev = st->st_dev;
    deleted->seen[deleted->count++].ino = st->st_ino;
    deleted->bytes += (uint64_t)st->st_blocks * 512;
}

static void deleted_process(struct deleted *deleted, int proc, const char *pid)
{
    char path[32];
    const char *name;
    struct stat st;
    snprintf(path, sizeof path, "%.12s/fd", pid);
    int fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while (next_process(dir, &name)) /* descriptors are numbers, like processes */
        if (fstatat(dirfd(dir), name, &st, 0) == 0)
            deleted_add(deleted, &st);
    closedir(dir);
}

static uint64_t deleted_bytes(const struct watch *watch)
{
    struct deleted deleted = {.count = 0};
    struct stat st;
    const char *pid;
    deleted.skip[0] = fstat(watch->tmp_fd, &st) == 0 ? st.st_dev : 0;
    deleted.skip[1] = fstat(watch->shm_fd, &st) == 0 ? st.st_dev : 0;
    rewinddir(watch->proc);
    while (next_process(watch->proc, &pid))
        deleted_process(&deleted, dirfd(watch->proc), pid);
    return deleted.bytes;
}

static uint64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void measure(struct watch *watch, uint64_t now)
{
    uint64_t start = now_us();
    watch->free_measured = statfs_free(watch->disk_dirfd);
    watch->disk_measured = tree_bytes(watch) + deleted_bytes(watch);
    uint64_t cost = now_us() - start;
    uint64_t pause = cost * WATCH_DUTY > WATCH_MEASURE_US ? cost * WATCH_DUTY : WATCH_MEASURE_US;
    watch->next_measure_us = now + pause;
}

/* At most what was measured, and all that the file system lost since. */
static uint64_t disk_at_most(const struct watch *watch, uint64_t free_now)
{
    uint64_t lost = watch->free_measured > free_now ? watch->free_measured - free_now : 0;
    return watch->disk_measured + lost;
}

static void look_disk(struct watch *watch, uint64_t now, struct watch_sample *sample)
{
    sample->free_bytes = statfs_free(watch->disk_dirfd);
    sample->disk_bytes = disk_at_most(watch, sample->free_bytes);
    if (sample->disk_bytes > watch->limits.disk_bytes || now >= watch->next_measure_us) {
        measure(watch, now);
        sample->disk_bytes = watch->disk_measured;
    }
}

int watch_init(struct watch *watch, const struct sandbox_limits *limits, int disk_dirfd, struct diag *diag)
{
    struct statfs fs;
    if (fstatfs(disk_dirfd, &fs) < 0)
        return diag_errno(diag, "cannot read the free space of the work directory");
    *watch = (struct watch){
        .limits = *limits, .tmp_fd = -1, .shm_fd = -1, .sysv_fd = -1, .disk_dirfd = disk_dirfd};
    watch->free_measured = statfs_free(disk_dirfd);
    watch->next_measure_us = now_us() + WATCH_MEASURE_US;
    return 0;
}

uint64_t watch_free(const struct watch *watch)
{
    return statfs_free(watch->disk_dirfd);
}

int watch_attach(struct watch *watch, int fds[REPORT_FDS], struct diag *diag)
{
    watch->tmp_fd = fds[REPORT_FD_TMP];
    watch->shm_fd = fds[REPORT_FD_SHM];
    watch->sysv_fd = fds[REPORT_FD_SYSV];
    watch->proc = fdopendir(fds[REPORT_FD_PROC]);
    return watch->proc == NULL ? diag_errno(diag, "cannot list the build's processes") : 0;
}

void watch_done(struct watch *watch)
{
    if (watch->proc != NULL)
        closedir(watch->proc);
    mem_close_p(&watch->tmp_fd);
    mem_close_p(&watch->shm_fd);
    mem_close_p(&watch->sysv_fd);
    watch->proc = NULL;
}

enum watch_breach watch_judge(const struct sandbox_limits *limits, const struct watch_sample *sample)
{
    if (sample->memory_bytes > limits->memory_bytes)
        return WATCH_MEMORY;
    if (sample->tasks >= limits->processes)
        return WATCH_PROCESSES;
    if (sample->disk_bytes > limits->disk_bytes)
        return WATCH_DISK;
    if (sample->free_bytes < limits->disk_reserve_bytes)
        return WATCH_RESERVE;
    return WATCH_NONE;
}

enum watch_breach watch_look(struct watch *watch, uint64_t now, struct watch_sample *ret)
{
    struct watch_sample sample = {0};
    look_processes(watch, &sample);
    if (sample.memory_bytes > watch->limits.memory_bytes)
        sample.memory_bytes = exact_memory(watch);
    look_disk(watch, now, &sample);
    if (sample.memory_bytes > watch->memory_peak)
        watch->memory_peak = sample.memory_bytes;
    if (sample.disk_bytes > watch->disk_peak)
        watch->disk_peak = sample.disk_bytes;
    *ret = sample;
    return watch_judge(&watch->limits, &sample);
}

static uint64_t headroom(uint64_t limit, uint64_t used)
{
    return limit > used ? limit - used : 0;
}

int watch_interval(const struct sandbox_limits *limits, const struct watch_sample *sample)
{
    uint64_t room = headroom(limits->memory_bytes, sample->memory_bytes);
    uint64_t disk = headroom(limits->disk_bytes, sample->disk_bytes);
    uint64_t ms = (disk < room ? disk : room) / (WATCH_GROWTH / 1000);
    if (ms < WATCH_SOONEST_MS)
        return WATCH_SOONEST_MS;
    return ms > WATCH_LATEST_MS ? WATCH_LATEST_MS : (int)ms;
}

uint64_t watch_host_oom_kills(void)
{
    struct buf text CLEANUP_BUF = BUF_INIT;
    unsigned long long kills = 0;
    if (file_read(AT_FDCWD, "/proc/vmstat", 1 << 20, &text, NULL) < 0)
        return 0;
    const char *line = strstr(text.data, "\noom_kill ");
    return line != NULL && sscanf(line, "\noom_kill %llu", &kills) == 1 ? kills : 0;
}
