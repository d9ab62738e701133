/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What every machine of the farm has: directories, secrets, disk, clock, addresses. */
#include "health.h"

#include "moment.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- files ---- */

void health_check_directory(struct health_note *note, int dirfd, const char *path)
{
    struct stat status;
    if (fstat(dirfd, &status) < 0) {
        health_say(note, HEALTH_FAIL, NULL, "%s: %s", path, strerror(errno));
        return;
    }
    if ((status.st_mode & 077) != 0)
        health_say(note, HEALTH_FAIL, "chmod 700 it", "%s is open to others (mode %04o)", path,
                   (unsigned int)status.st_mode & 07777);
    if (geteuid() != 0 && status.st_uid != geteuid())
        health_say(note, HEALTH_FAIL, "run this as its owner, or as root",
                   "%s belongs to user %u, this is user %u", path, (unsigned int)status.st_uid,
                   (unsigned int)geteuid());
    if (note->level == HEALTH_OK)
        health_say(note, HEALTH_OK, NULL, "%s, of user %u alone", path, (unsigned int)status.st_uid);
}

void health_check_secret(struct health_note *note, int dirfd, const char *name)
{
    struct stat status, directory;
    if (fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || fstat(dirfd, &directory) < 0) {
        health_say(note, HEALTH_FAIL, "restore it from a backup", "%s: %s", name, strerror(errno));
        return;
    }
    if (!S_ISREG(status.st_mode))
        health_say(note, HEALTH_FAIL, "put the key itself there", "%s is no regular file", name);
    else if ((status.st_mode & 077) != 0)
        health_say(note, HEALTH_FAIL,
                   "chmod 600 it; whoever could read it may have the key: consider making a new one",
                   "%s is open to others (mode %04o)", name, (unsigned int)status.st_mode & 07777);
    if (status.st_uid != directory.st_uid)
        health_say(note, HEALTH_FAIL, "chown it to the owner of its directory", "%s belongs to user %u", name,
                   (unsigned int)status.st_uid);
    if (note->level == HEALTH_OK)
        health_say(note, HEALTH_OK, NULL, "%s is its owner's alone", name);
}

int64_t health_time_of(int dirfd, const char *path)
{
    struct stat status;
    if (fstatat(dirfd, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return (int64_t)status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000;
}

/* ---- disk ---- */

void health_judge_disk(struct health_note *note, const struct health_disk *disk)
{
    static const char remedy[] = "make room: \"farmctl gc\" on the coordinator, a smaller cache on a worker";
    unsigned long long free_mib = disk->free_bytes >> 20, reserve_mib = disk->reserve_bytes >> 20;
    uint64_t hundredth = disk->inodes / 100;
    if (disk->free_bytes < disk->reserve_bytes)
        health_say(note, HEALTH_FAIL, remedy,
                   "%llu MiB free, less than the reserve of %llu MiB: no new work is taken", free_mib,
                   reserve_mib);
    else if (disk->free_bytes / 2 < disk->reserve_bytes)
        health_say(note, HEALTH_WARN, remedy, "%llu MiB free; below %llu MiB no new work is taken", free_mib,
                   reserve_mib);
    else
        health_say(note, HEALTH_OK, NULL, "%llu MiB free", free_mib);
    if (disk->inodes > 0 && disk->free_inodes < hundredth)
        health_say(note, HEALTH_FAIL, remedy, "%llu of %llu inodes free",
                   (unsigned long long)disk->free_inodes, (unsigned long long)disk->inodes);
    else if (disk->inodes > 0 && disk->free_inodes < 5 * hundredth)
        health_say(note, HEALTH_WARN, remedy, "%llu of %llu inodes free",
                   (unsigned long long)disk->free_inodes, (unsigned long long)disk->inodes);
}

void health_check_disk(struct health_note *note, int dirfd, uint64_t reserve)
{
    struct statvfs found;
    if (fstatvfs(dirfd, &found) < 0) {
        health_say(note, HEALTH_FAIL, NULL, "statvfs: %s", strerror(errno));
        return;
    }
    struct health_disk disk = {.free_bytes = (uint64_t)found.f_bavail * found.f_frsize,
                               .reserve_bytes = reserve,
                               .inodes = found.f_files,
                               .free_inodes = found.f_favail};
    health_judge_disk(note, &disk);
}

/* ---- the system ---- */

void health_add_kernel(struct buf *ret)
{
    struct utsname name;
    if (uname(&name) == 0)
        buf_add_format(ret, "%s %s", name.sysname, name.release);
}

void health_judge_descriptors(struct health_note *note, uint64_t limit, uint64_t wanted)
{
    if (limit < wanted)
        health_say(note, HEALTH_WARN, "raise LimitNOFILE= in the unit, or ulimit -n",
                   "%llu may be open, %llu are advised", (unsigned long long)limit,
                   (unsigned long long)wanted);
    else
        health_say(note, HEALTH_OK, NULL, "%llu may be open", (unsigned long long)limit);
}

/* ---- time ---- */

enum { CLOCK_SLACK_MS = 60 * 1000 }; /* two machines may write to one disk */

void health_check_clock(struct health_note *note, int64_t now_ms, int64_t seen_ms)
{
    struct timex state = {.modes = 0};
    if (seen_ms - now_ms > CLOCK_SLACK_MS)
        health_say(note, HEALTH_FAIL, "set it; until then what expires is judged wrongly",
                   "the clock says %s, and files here were written at %s", moment_format(now_ms).text,
                   moment_format(seen_ms).text);
    /* Where it may not be asked, in a container say, nothing is known. */
    if (adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) != 0)
        health_say(note, HEALTH_WARN,
                   "run systemd-timesyncd, chrony or the like (in a container: on its host)",
                   "nothing keeps the clock right");
    if (note->level == HEALTH_OK)
        health_say(note, HEALTH_OK, NULL, "%s", moment_format(now_ms).text);
}

void health_check_expiry(struct health_note *note, const char *what, int64_t now_ms, int64_t expires_ms,
                         int days, const char *remedy)
{
    int64_t left_ms = expires_ms - now_ms;
    if (left_ms <= 0)
        health_say(note, HEALTH_FAIL, remedy, "%s expired at %s", what, moment_format(expires_ms).text);
    else if (left_ms < (int64_t)days * 24 * 3600 * 1000)
        health_say(note, HEALTH_WARN, remedy, "%s expires at %s, in %s", what, moment_format(expires_ms).text,
                   moment_duration(left_ms).text);
    else
        health_say(note, HEALTH_OK, NULL, "%s is valid until %s", what, moment_format(expires_ms).text);
}

/* ---- addresses ---- */

enum { CONNECT_MS = 2000 };

/* Splits "host:port", "[v6]:port"; "*" is any address. *ret is freeaddrinfo()'s. */
static int resolve(const char *address, bool passive, struct addrinfo **ret, struct diag *diag)
{
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0};
    if (colon == NULL || colon[1] == '\0')
        return diag_set(diag, FARM_E_CONFIG, "%s: expected host:port", address);
    CLEANUP_FREE char *host = mem_string_n(address, (size_t)(colon - address));
    char *name = host;
    if (host[0] == '[' && host[strlen(host) - 1] == ']') {
        host[strlen(host) - 1] = '\0';
        name = host + 1;
    }
    int error = getaddrinfo(name[0] == '\0' || strcmp(name, "*") == 0 ? NULL : name, colon + 1, &hints, ret);
    return error == 0 ? 0 : diag_set(diag, FARM_E_UNAVAILABLE, "%s: %s", address, gai_strerror(error));
}

static int connect_one(const struct addrinfo *to)
{
    CLEANUP_CLOSE int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = 0;
    socklen_t size = sizeof error;
    if (fd < 0)
        return -errno;
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    struct pollfd item = {.fd = fd, .events = POLLOUT};
    int ready = poll(&item, 1, CONNECT_MS);
    if (ready <= 0)
        return ready < 0 ? -errno : -ETIMEDOUT;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return -errno;
    return -error;
}

int health_connect(const char *address, struct diag *diag)
{
    struct addrinfo *list = NULL;
    int result = resolve(address, false, &list, diag);
    if (result < 0)
        return result;
    result = -EADDRNOTAVAIL;
    for (const struct addrinfo *to = list; to != NULL && result < 0; to = to->ai_next)
        result = connect_one(to);
    freeaddrinfo(list);
    return result < 0 ? diag_set(diag, result, "%s: %s", address, strerror(-result)) : 0;
}

static int listen_one(const struct addrinfo *at)
{
    static const int yes = 1;
    CLEANUP_CLOSE int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        bind(fd, at->ai_addr, at->ai_addrlen) < 0)
        return -errno;
    return 0;
}

int health_can_listen(const char *address, struct diag *diag)
{
    struct addrinfo *list = NULL;
    int result = resolve(address, true, &list, diag);
    if (result < 0)
        return result;
    result = listen_one(list);
    freeaddrinfo(list);
    return result < 0 ? diag_set(diag, result, "%s: %s", address, strerror(-result)) : 0;
}
