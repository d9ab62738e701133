/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The calls: each counts, lets the disk's model know, and does or refuses what it is asked. See fault.h. */
#undef _FILE_OFFSET_BITS /* else open() and open64() could not both be defined */
#undef _FORTIFY_SOURCE   /* its inline functions bear the names that are defined here */
#include "fault_private.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

/* Calls that the model makes itself do not count. */
static __thread int inside;

/* The next definition: of the sanitizer or of the C library. */
#define NEXT(function)                                                                                       \
    static __typeof__(&function) next;                                                                       \
    if (next == NULL) {                                                                                      \
        inside++;                                                                                            \
        next = (__typeof__(&function))dlsym(RTLD_NEXT, #function);                                           \
        inside--;                                                                                            \
    }

static bool watched(void)
{
    return inside == 0 && atomic_load(&fault.armed);
}

/* ---- the plan ---- */

enum verdict { GO, FAIL, HALF };

static void end_here(bool power)
{
    if (power)
        power_cut(fault.plan.seed);
    syscall(SYS_exit_group, FAULT_EXIT_KILLED);
}

/* 'class', with what is called upon what: for people. */
static enum verdict count(enum fault_class class, const char *call, const char *what)
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

static int refuse(void)
{
    errno = fault.plan.kind == FAULT_FULL || fault.plan.seed % 2 == 1 ? ENOSPC : EIO;
    return -1;
}

static void enter(void)
{
    inside++;
    pthread_mutex_lock(&fault.lock);
}

static void leave(void)
{
    int error = errno;
    pthread_mutex_unlock(&fault.lock);
    inside--;
    errno = error;
}

/* ---- what is below the directory ---- */

static bool path_of(int fd, char path[static PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = '\0';
    return strncmp(path, fault.directory, fault.length) == 0 &&
           (path[fault.length] == '/' || path[fault.length] == '\0');
}

/* The directory that the path's last part is in, if it is one of ours. */
static bool find_place(int dirfd, const char *path, struct power_place *ret, char where[static PATH_MAX])
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
    if (!path_of(fd, where) || fstat(fd, &status) < 0) {
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
    inside++;
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
    inside--;
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
        enter(); /* and never leaves: other threads stop where they are */
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

/* ---- writing ---- */

static ssize_t put(int fd, const void *data, size_t size, off_t offset)
{
    NEXT(pwrite)
    return next(fd, data, size, offset);
}

/* Where the next write() goes. */
static uint64_t position_of(int fd)
{
    struct stat status;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_APPEND) != 0 && fstat(fd, &status) == 0)
        return (uint64_t)status.st_size;
    off_t at = lseek(fd, 0, SEEK_CUR);
    return at < 0 ? 0 : (uint64_t)at;
}

static bool is_ours(int fd, char path[static PATH_MAX])
{
    struct stat status;
    return path_of(fd, path) && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

/* How much of it may be written; -1 with errno: nothing. */
static ssize_t before_write(int fd, const char *call, uint64_t offset, size_t size)
{
    char path[PATH_MAX];
    if (!is_ours(fd, path))
        return (ssize_t)size;
    enum verdict verdict = count(FAULT_WRITE, call, path);
    if (verdict == FAIL)
        return refuse();
    if (verdict == HALF && size > 1)
        size /= 2;
    power_keep(fd, offset, size);
    return (ssize_t)size;
}

ssize_t write(int fd, const void *data, size_t size)
{
    NEXT(write)
    if (!watched())
        return next(fd, data, size);
    enter();
    ssize_t done = before_write(fd, "write", position_of(fd), size);
    if (done >= 0)
        done = next(fd, data, (size_t)done);
    leave();
    return done;
}

static ssize_t write_at(int fd, const void *data, size_t size, off_t offset)
{
    if (!watched())
        return put(fd, data, size, offset);
    enter();
    ssize_t done = before_write(fd, "pwrite", (uint64_t)offset, size);
    if (done >= 0)
        done = put(fd, data, (size_t)done, offset);
    leave();
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return write_at(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return write_at(fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int nparts)
{
    NEXT(writev)
    if (!watched())
        return next(fd, parts, nparts);
    enter();
    size_t size = 0;
    for (int i = 0; i < nparts; i++)
        size += parts[i].iov_len;
    ssize_t done = before_write(fd, "writev", position_of(fd), size);
    if (done >= 0 && (size_t)done < size && nparts > 0) {
        struct iovec first = parts[0];
        first.iov_len = first.iov_len < (size_t)done ? first.iov_len : (size_t)done;
        done = next(fd, &first, 1);
    } else if (done >= 0) {
        done = next(fd, parts, nparts);
    }
    leave();
    return done;
}

static int cut_at(int fd, off_t size)
{
    NEXT(ftruncate)
    char path[PATH_MAX];
    if (!watched())
        return next(fd, size);
    enter();
    int result = 0;
    if (is_ours(fd, path)) {
        result = count(FAULT_WRITE, "ftruncate", path) == FAIL ? refuse() : 0;
        if (result == 0)
            power_keep(fd, (uint64_t)size, UINT64_MAX);
    }
    if (result == 0)
        result = next(fd, size);
    leave();
    return result;
}

int ftruncate(int fd, off_t size)
{
    return cut_at(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return cut_at(fd, size);
}

static int reserve(int fd, int mode, off_t offset, off_t size)
{
    NEXT(fallocate)
    char path[PATH_MAX];
    if (!watched())
        return next(fd, mode, offset, size);
    enter();
    int result = 0;
    if (is_ours(fd, path)) {
        result = count(FAULT_WRITE, "fallocate", path) == FAIL ? refuse() : 0;
        if (result == 0)
            power_keep(fd, (uint64_t)offset, (uint64_t)size);
    }
    if (result == 0)
        result = next(fd, mode, offset, size);
    leave();
    return result;
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return reserve(fd, mode, offset, size);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    return reserve(fd, mode, offset, size);
}

ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size,
                        unsigned int flags)
{
    NEXT(copy_file_range)
    if (!watched())
        return next(from, from_offset, to, to_offset, size, flags);
    enter();
    ssize_t done =
        before_write(to, "copy_file_range", to_offset != NULL ? (uint64_t)*to_offset : position_of(to), size);
    if (done >= 0)
        done = next(from, from_offset, to, to_offset, (size_t)done, flags);
    leave();
    return done;
}

/* ---- syncing ---- */

typedef int sync_call(int fd);

static int sync_with(sync_call *next, const char *call, int fd, bool all)
{
    char path[PATH_MAX];
    if (!watched())
        return next(fd);
    enter();
    int result = 0;
    if (path_of(fd, path)) {
        bool failed = count(FAULT_SYNC, call, path) == FAIL;
        if (failed) {
            errno = EIO;
            result = -1;
        }
        if (failed || !fault.plan.lie)
            all ? power_synced_all(failed) : power_synced(fd, failed);
    } else {
        result = next(fd);
    }
    leave();
    return result;
}

int fsync(int fd)
{
    NEXT(fsync)
    return sync_with(next, "fsync", fd, false);
}

int fdatasync(int fd)
{
    NEXT(fdatasync)
    return sync_with(next, "fdatasync", fd, false);
}

int syncfs(int fd)
{
    NEXT(syncfs)
    return sync_with(next, "syncfs", fd, true);
}

/* ---- names ---- */

/* A file that is opened for the first time is a new name; one that is cut off loses pages. */
static int open_with(const char *call, int dirfd, const char *path, int flags, mode_t mode)
{
    NEXT(openat)
    struct power_place place;
    char where[PATH_MAX];
    struct stat status;
    if (!watched() || (flags & (O_CREAT | O_TRUNC)) == 0 || (flags & O_TMPFILE) == O_TMPFILE)
        return next(dirfd, path, flags, mode);
    enter();
    int fd = -1;
    if (!find_place(dirfd, path, &place, where)) {
        fd = next(dirfd, path, flags, mode);
    } else {
        bool present = fstatat(place.dirfd, place.name, &status, AT_SYMLINK_NOFOLLOW) == 0;
        bool made = !present && (flags & O_CREAT) != 0;
        if (made && count(FAULT_NAME, call, where) == FAIL) {
            refuse();
        } else if (present && (flags & O_TRUNC) != 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
            int old = next(dirfd, path, O_RDWR | O_CLOEXEC, 0);
            if (old >= 0) {
                power_keep(old, 0, UINT64_MAX);
                close(old);
            }
            fd = next(dirfd, path, flags, mode);
        } else {
            fd = next(dirfd, path, flags, mode);
        }
        if (made && fd >= 0)
            power_made(place, false);
        else
            close(place.dirfd);
    }
    leave();
    return fd;
}

#define TAKE_MODE(flags)                                                                                     \
    mode_t mode = 0;                                                                                         \
    if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {                                                            \
        va_list list;                                                                                        \
        va_start(list, flags);                                                                               \
        mode = va_arg(list, mode_t);                                                                         \
        va_end(list);                                                                                        \
    }

int open(const char *path, int flags, ...)
{
    TAKE_MODE(flags)
    return open_with("open", AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    TAKE_MODE(flags)
    return open_with("open", AT_FDCWD, path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
    TAKE_MODE(flags)
    return open_with("openat", dirfd, path, flags, mode);
}

int openat64(int dirfd, const char *path, int flags, ...)
{
    TAKE_MODE(flags)
    return open_with("openat", dirfd, path, flags, mode);
}

/* The rest of a call that makes a name: 'made' is the call. */
#define MAKE_NAME(what, is_directory, dirfd, path, made)                                                     \
    struct power_place place;                                                                                \
    char where[PATH_MAX];                                                                                    \
    if (!watched())                                                                                          \
        return made;                                                                                         \
    enter();                                                                                                 \
    int result = -1;                                                                                         \
    bool is_ours = find_place(dirfd, path, &place, where);                                                   \
    if (is_ours && count(FAULT_NAME, what, where) == FAIL)                                                   \
        refuse();                                                                                            \
    else                                                                                                     \
        result = made;                                                                                       \
    if (is_ours && result == 0)                                                                              \
        power_made(place, is_directory);                                                                     \
    else if (is_ours)                                                                                        \
        close(place.dirfd);                                                                                  \
    leave();                                                                                                 \
    return result;

int mkdirat(int dirfd, const char *path, mode_t mode)
{
    NEXT(mkdirat)
    MAKE_NAME("mkdir", true, dirfd, path, next(dirfd, path, mode))
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int symlinkat(const char *target, int dirfd, const char *path)
{
    NEXT(symlinkat)
    MAKE_NAME("symlink", false, dirfd, path, next(target, dirfd, path))
}

int symlink(const char *target, const char *path)
{
    return symlinkat(target, AT_FDCWD, path);
}

int linkat(int olddirfd, const char *old, int dirfd, const char *path, int flags)
{
    NEXT(linkat)
    MAKE_NAME("link", false, dirfd, path, next(olddirfd, old, dirfd, path, flags))
}

int link(const char *old, const char *path)
{
    return linkat(AT_FDCWD, old, AT_FDCWD, path, 0);
}

int unlinkat(int dirfd, const char *path, int flags)
{
    NEXT(unlinkat)
    struct power_place place;
    char where[PATH_MAX];
    if (!watched())
        return next(dirfd, path, flags);
    enter();
    int result = -1;
    if (!find_place(dirfd, path, &place, where)) {
        result = next(dirfd, path, flags);
    } else {
        power_removing(&place);
        if (count(FAULT_NAME, "unlink", where) == FAIL)
            errno = EIO;
        else
            result = next(dirfd, path, flags);
        int error = errno;
        power_removed(place, (flags & AT_REMOVEDIR) != 0, result == 0);
        errno = error;
    }
    leave();
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int renameat2(int olddirfd, const char *old, int dirfd, const char *path, unsigned int flags)
{
    NEXT(renameat2)
    struct power_place from, to;
    char where[PATH_MAX];
    if (!watched())
        return next(olddirfd, old, dirfd, path, flags);
    enter();
    int result = -1;
    if (!find_place(olddirfd, old, &from, where)) {
        result = next(olddirfd, old, dirfd, path, flags);
    } else if (!find_place(dirfd, path, &to, where)) {
        close(from.dirfd);
        result = next(olddirfd, old, dirfd, path, flags);
    } else {
        power_removing(&to);
        if (count(FAULT_NAME, "rename", where) == FAIL)
            refuse();
        else
            result = next(olddirfd, old, dirfd, path, flags);
        int error = errno;
        power_renamed(from, to, result == 0);
        errno = error;
    }
    leave();
    return result;
}

int renameat(int olddirfd, const char *old, int dirfd, const char *path)
{
    return renameat2(olddirfd, old, dirfd, path, 0);
}

int rename(const char *old, const char *path)
{
    return renameat2(AT_FDCWD, old, AT_FDCWD, path, 0);
}

/* ---- memory ---- */

#ifdef FAULT_SANITIZED /* its allocator, by the name that it has for this */
#define NEXT_ALLOC(function) __interceptor_##function
#else
#define NEXT_ALLOC(function) __libc_##function
#endif
void *NEXT_ALLOC(malloc)(size_t size);
void *NEXT_ALLOC(calloc)(size_t count, size_t size);
void *NEXT_ALLOC(realloc)(void *old, size_t size);

/* Without the lock, and before anything is set up. */
static bool alloc_fails(const char *call)
{
    if (!watched() || (fault.plan.classes & 1u << FAULT_ALLOC) == 0)
        return false;
    inside++;
    bool fails = count(FAULT_ALLOC, call, "") == FAIL;
    inside--;
    if (fails)
        errno = ENOMEM;
    return fails;
}

void *malloc(size_t size)
{
    return alloc_fails("malloc") ? NULL : NEXT_ALLOC(malloc)(size);
}

void *calloc(size_t number, size_t size)
{
    return alloc_fails("calloc") ? NULL : NEXT_ALLOC(calloc)(number, size);
}

void *realloc(void *old, size_t size)
{
    return alloc_fails("realloc") ? NULL : NEXT_ALLOC(realloc)(old, size);
}

void *reallocarray(void *old, size_t number, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(number, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, bytes);
}

/* ---- sockets ---- */

static bool send_fails(const char *call)
{
    if (!watched() || (fault.plan.classes & 1u << FAULT_SEND) == 0)
        return false;
    inside++;
    bool fails = count(FAULT_SEND, call, "") == FAIL;
    inside--;
    if (fails)
        errno = ECONNRESET;
    return fails;
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    NEXT(send)
    return send_fails("send") ? -1 : next(fd, data, size, flags);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
    NEXT(sendto)
    return send_fails("sendto") ? -1 : next(fd, data, size, flags, to, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    NEXT(sendmsg)
    return send_fails("sendmsg") ? -1 : next(fd, message, flags);
}

/* ---- SQLite and ZeroMQ: named and not included, since not every program that is tested has them ---- */

struct sqlite3;
struct sqlite3_stmt;
int sqlite3_step(struct sqlite3_stmt *statement);
int sqlite3_exec(struct sqlite3 *db, const char *sql, int (*callback)(void *, int, char **, char **),
                 void *context, char **error);
struct zmq_msg_t;
int zmq_send(void *socket, const void *data, size_t size, int flags);
int zmq_msg_send(struct zmq_msg_t *message, void *socket, int flags);
enum { ZMQ_SNDMORE = 2 };

/* SQLITE_IOERR, SQLITE_FULL, SQLITE_NOMEM; 0: go on. */
static int step_fails(const char *call, const char *sql)
{
    static const int codes[] = {10, 13, 7};
    if (!watched() || (fault.plan.classes & 1u << FAULT_STEP) == 0)
        return 0;
    inside++;
    bool fails = count(FAULT_STEP, call, sql) == FAIL;
    inside--;
    return fails ? codes[fault.plan.seed % 3] : 0;
}

/* Steps by this thread that sqlite3_exec() makes: it believes what the statement says at its end, so that one that was never run
 * would pass for a success. */
static __thread int executing;

int sqlite3_step(struct sqlite3_stmt *statement)
{
    NEXT(sqlite3_step)
    int code = executing > 0 ? 0 : step_fails("sqlite3_step", "");
    return code != 0 ? code : next(statement);
}

int sqlite3_exec(struct sqlite3 *db, const char *sql, int (*callback)(void *, int, char **, char **),
                 void *context, char **error)
{
    NEXT(sqlite3_exec)
    int code = step_fails("sqlite3_exec", sql);
    if (code != 0)
        return code;
    executing++;
    code = next(db, sql, callback, context, error);
    executing--;
    return code;
}

/* This thread's last part of a message has more behind it: libzmq took the message with its first part, and takes the rest. */
static __thread bool within;

int zmq_send(void *socket, const void *data, size_t size, int flags)
{
    NEXT(zmq_send)
    if (!within && send_fails("zmq_send")) {
        errno = EAGAIN;
        return -1;
    }
    int sent = next(socket, data, size, flags);
    within = sent >= 0 && (flags & ZMQ_SNDMORE) != 0;
    return sent;
}

int zmq_msg_send(struct zmq_msg_t *message, void *socket, int flags)
{
    NEXT(zmq_msg_send)
    if (!within && send_fails("zmq_msg_send")) {
        errno = EAGAIN;
        return -1;
    }
    int sent = next(message, socket, flags);
    within = sent >= 0 && (flags & ZMQ_SNDMORE) != 0;
    return sent;
}
