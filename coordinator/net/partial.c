/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "partial.h"

#include "file.h"
#include "moment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARTIAL ".partial-"

void partial_name(const char *target, char **ret_target, char **ret_partial)
{
    size_t size = strlen(target);
    while (size > 1 && target[size - 1] == '/')
        size--;
    *ret_target = mem_string_n(target, size);
    *ret_partial =
        mem_format("%s" PARTIAL "%lld-%lld", *ret_target, (long long)getpid(), (long long)moment_steady_ms());
}

/* The pid in "<anything>.partial-<pid>-<ms>"; 0 if it is not of that form. */
static pid_t partial_pid(const char *name)
{
    const char *at = strstr(name, PARTIAL);
    for (const char *next = at; next != NULL; next = strstr(next + 1, PARTIAL))
        at = next;
    const char *dash = at != NULL ? strchr(at + strlen(PARTIAL), '-') : NULL;
    uint64_t pid, ms;
    if (dash == NULL || at == name ||
        !view_decimal(view_of(at + strlen(PARTIAL), (size_t)(dash - at) - strlen(PARTIAL)), &pid) ||
        !view_decimal(view_text(dash + 1), &ms) || pid < 2 || pid > INT32_MAX)
        return 0;
    return (pid_t)pid;
}

/* Ours, and of a process that is no more: also of one that had our number before us (a container's first process always has). */
static bool is_left_over(int64_t started_ms, const struct stat *status, pid_t pid)
{
    if (!S_ISDIR(status->st_mode) || status->st_uid != geteuid())
        return false;
    if (pid == getpid())
        return (int64_t)status->st_mtim.tv_sec * 1000 < started_ms - 1000;
    return kill(pid, 0) < 0 && errno == ESRCH;
}

void partial_sweep(const char *target, int64_t started_ms)
{
    CLEANUP_FREE char *parent = mem_string_n(target, (size_t)(strrchr(target, '/') - target) + 1);
    CLEANUP_CLOSE int dirfd = file_open_dir(AT_FDCWD, parent, NULL);
    int copy = dirfd < 0 ? -1 : openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (stream == NULL) {
        if (copy >= 0)
            close(copy);
        return; /* who writes there will say what is wrong with the place */
    }
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        struct stat status;
        pid_t pid = partial_pid(entry->d_name);
        if (pid > 0 && fstatat(dirfd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            is_left_over(started_ms, &status, pid))
            (void)!file_remove_tree(dirfd, entry->d_name, NULL);
    }
    closedir(stream);
}
