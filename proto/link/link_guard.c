/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The guard: bounds what peers can make libzmq hold, connection by connection.
 *
 * High-water marks count messages, and a message counts when its last frame has come. So who sends one message of endlessly many
 * frames passes them (libzmq 4.3), strangers may send a whole frame each before their handshake fails, and whoever makes many
 * connections has a queue in each. libzmq says nothing of all this, but the kernel does: how many bytes came over a connection, how many
 * the other side has taken. The server counts what it took and gave (link_guard_heard, link_guard_sent); the difference waits in
 * this process.
 *
 * A thread looks at the process's memory and its free descriptors ten times a second, which costs microseconds. Only when those have
 * changed for the worse does it look at the server's connections, and ends
 *
 *   one on which more came since its last message than full queues hold: that is no whole message;
 *   one on which no message came yet, and more than a handshake and a first message need;
 *   when all together have more waiting than the budget: first those that never said anything, then the connections of
 *   the user who has most;
 *   when three quarters of the descriptors are used (a flood of idle connections; database and store need some, too): those that
 *   never said anything, the oldest first. The honest speak at once.
 *
 * Against connections that say nothing at all there is the kernel: it keeps them to itself until the first byte comes (TCP_DEFER_ACCEPT),
 * and ZMTP's clients speak first.
 *
 * And when the process has grown it gives back to the kernel what malloc keeps: reading a plan of 100,000 packages, or the handshakes of
 * 10,000 workers, leave hundreds of megabytes in holes.
 *
 * An honest peer that is cut comes back by itself and goes on where it was. Ending is shutdown(2): libzmq sees a connection that its
 * peer closed. Descriptors are libzmq's and may be closed and given to others at any time; so each is looked at through a duplicate,
 * and known by its socket's cookie, which the kernel never uses twice.
 */
#include "link_private.h"

#include "farmlog.h"
#include "lograte.h"
#include "moment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOOK_MS = 100,
    GROWTH = 4 * 1024 * 1024, /* memory that makes it look; less is noise */
    STATE_LISTEN =
        10, /* TCP_LISTEN, which <netinet/tcp.h> has; <linux/tcp.h> with the longer tcp_info excludes that */
    HOLES_GROWTH = 16 * 1024 * 1024, /* memory that makes it look for holes; */
    HOLES_MS = 3000,                 /* at most so often: it takes milliseconds, and locks malloc's arenas */
    SPEAK_S = 30,                    /* a connection without a byte stays in the kernel for so long */
    LEISURE = 10, /* rests so many times as long as a look took: with 10,000 connections that is 20 ms */
    /* A handshake takes less than one KiB, and everybody begins with a request and waits for its answer; the longest is an answer's three
     * small objects with their Puts, 192 KiB. As much again for good measure. */
    FIRST_MAX = 384 * 1024,
    SLACK = 64 * 1024 /* handshake, heartbeats and the decoder's buffer */
};

/* By descriptor: what the server's thread knows of the connection. */
struct known {
    uint64_t session, cookie; /* cookie 0: unknown */
    uint64_t heard;           /* messages */
    uint64_t taken, given;    /* bytes on the wire */
    char user[LINK_USER_MAX + 1];
};

/* By descriptor: what the guard saw last. */
struct seen {
    uint64_t cookie, heard, base; /* base: bytes that had come when something was heard last */
    int64_t since_ms;             /* steady clock: when it was seen first */
};

/* One connection, in one look. */
struct look {
    int fd;
    uint64_t cookie, waiting;
    int64_t since_ms;
    bool ours; /* somebody was heard on it */
    char user[LINK_USER_MAX + 1];
};

struct link_guard {
    pthread_t thread;
    int stop_fd, spare_fd, memory_fd; /* spare: -1 for a while after take() gave one up */
    DIR *descriptors;
    in_port_t port;
    uint64_t limit, budget;
    pthread_mutex_t mutex; /* of known */
    struct known *known;
    size_t nknown;
    struct seen *seen; /* from here on: the thread's own */
    size_t nseen;
    struct look *looks;
    size_t nlooks, looks_capacity;
    size_t ndescriptors; /* of the process, in the last look */
    uint64_t calm;       /* bytes of memory when it looked last */
    bool trim;           /* something was cut: give memory back */
    uint64_t filled;     /* bytes of memory after holes were looked for last, or less since */
    int64_t holes_due_ms;
    struct lograte noise;
    atomic_uint_fast64_t cut;
    atomic_bool crowded;
};

/* ---- what the kernel says ---- */

static uint64_t cookie_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

/* Bytes that libzmq has read, and bytes that it wrote and the peer took or the kernel holds. */
static bool traffic_of(int fd, uint64_t *ret_in, uint64_t *ret_out)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    int in = 0, out = 0;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 || info.tcpi_state == STATE_LISTEN)
        return false;
    if (ioctl(fd, SIOCINQ, &in) < 0 || ioctl(fd, SIOCOUTQ, &out) < 0)
        return false;
    *ret_in = info.tcpi_bytes_received > (uint64_t)in ? info.tcpi_bytes_received - (uint64_t)in : 0;
    *ret_out = info.tcpi_bytes_acked + (uint64_t)out;
    return true;
}

static bool has_port(int fd, in_port_t port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } address = {0};
    socklen_t size = sizeof address;
    if (getsockname(fd, &address.any, &size) < 0)
        return false;
    return (address.any.sa_family == AF_INET && address.four.sin_port == port) ||
           (address.any.sa_family == AF_INET6 && address.six.sin6_port == port);
}

static uint64_t memory_of(int fd)
{
    char text[64] = "";
    unsigned long long pages = 0;
    if (pread(fd, text, sizeof text - 1, 0) <= 0 || sscanf(text, "%*u %llu", &pages) != 1)
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Our listening socket is libzmq's, and found as the connections are. */
static int defer_accept(struct link_guard *guard, struct diag *diag)
{
    int seconds = SPEAK_S, found = 0;
    for (struct dirent *entry; (entry = readdir(guard->descriptors)) != NULL;) {
        int fd = atoi(entry->d_name), listens = 0;
        socklen_t size = sizeof listens;
        if (entry->d_name[0] == '.' || !has_port(fd, guard->port) ||
            getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || listens == 0)
            continue;
        found++;
        if (setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds) < 0)
            return diag_errno(diag, "TCP_DEFER_ACCEPT");
    }
    return found > 0 ? 0 : diag_set(diag, FARM_E_STATE, "libzmq's listening socket is not to be found");
}

/* ---- what the server says ---- */

static struct known *known_of(struct link_guard *guard, int fd)
{
    enum { STEP = 256 };
    if ((size_t)fd >= guard->nknown) {
        size_t more = (size_t)fd + STEP;
        guard->known = mem_grow(guard->known, more, sizeof *guard->known);
        memset(guard->known + guard->nknown, 0, (more - guard->nknown) * sizeof *guard->known);
        guard->nknown = more;
    }
    return &guard->known[fd];
}

void link_guard_heard(struct link_guard *guard, const struct link_peer *peer, size_t size)
{
    if (peer->fd < 0)
        return;
    pthread_mutex_lock(&guard->mutex);
    struct known *known = known_of(guard, peer->fd);
    if (known->session != peer->session) {
        *known = (struct known){.session = peer->session, .cookie = cookie_of(peer->fd)};
        memcpy(known->user, peer->user, sizeof known->user);
    }
    known->heard++;
    known->taken += link_wire_size(size);
    pthread_mutex_unlock(&guard->mutex);
}

void link_guard_sent(struct link_guard *guard, const struct link_peer *peer, size_t size)
{
    if (peer->fd < 0)
        return;
    pthread_mutex_lock(&guard->mutex);
    struct known *known = known_of(guard, peer->fd);
    if (known->session == peer->session)
        known->given += link_wire_size(size);
    pthread_mutex_unlock(&guard->mutex);
}

bool link_guard_must_wait(struct link_guard *guard, const struct link_peer *peer, size_t size)
{
    uint64_t in, out;
    if (peer->fd < 0 || !atomic_load(&guard->crowded))
        return false;
    pthread_mutex_lock(&guard->mutex);
    const struct known *known = known_of(guard, peer->fd);
    bool must = known->session == peer->session && cookie_of(peer->fd) == known->cookie &&
                traffic_of(peer->fd, &in, &out) && known->given > out + size;
    pthread_mutex_unlock(&guard->mutex);
    return must;
}

/* ---- looking ---- */

static struct seen *seen_of(struct link_guard *guard, int fd)
{
    enum { STEP = 256 };
    if ((size_t)fd >= guard->nseen) {
        size_t more = (size_t)fd + STEP;
        guard->seen = mem_grow(guard->seen, more, sizeof *guard->seen);
        memset(guard->seen + guard->nseen, 0, (more - guard->nseen) * sizeof *guard->seen);
        guard->nseen = more;
    }
    return &guard->seen[fd];
}

/* What the server knows of this very connection; nothing if it has not heard from it. */
static struct known ask(struct link_guard *guard, int fd, uint64_t cookie)
{
    struct known known = {0};
    pthread_mutex_lock(&guard->mutex);
    if ((size_t)fd < guard->nknown && guard->known[fd].cookie == cookie)
        known = guard->known[fd];
    pthread_mutex_unlock(&guard->mutex);
    return known;
}

/* Bytes that came and were not taken, counted from the last message on. */
static uint64_t waiting_in(struct link_guard *guard, int fd, uint64_t cookie, const struct known *known,
                           uint64_t in)
{
    struct seen *seen = seen_of(guard, fd);
    if (seen->cookie != cookie) {
        uint64_t taken = in < known->taken ? in : known->taken;
        *seen = (struct seen){cookie, known->heard, taken, moment_steady_ms()};
    }
    if (seen->heard != known->heard) {
        seen->heard = known->heard;
        seen->base = in;
    }
    return in - seen->base;
}

static void add_look(struct link_guard *guard, const struct look *look)
{
    guard->looks = mem_reserve(guard->looks, &guard->looks_capacity, guard->nlooks + 1, sizeof *guard->looks);
    guard->looks[guard->nlooks++] = *look;
}

static bool is_socket(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

/*
 * Makes the spare a duplicate of a socket. Closing any duplicate of a file gives up the locks that the process has on that file (fcntl(2)),
 * and the database lives by those; so nothing else is duplicated. A number may become a file's between the look and the duplication: such a
 * duplicate is never closed, which costs a descriptor, once in a blue moon.
 */
static bool take(struct link_guard *guard, int fd)
{
    if (guard->spare_fd < 0 && (guard->spare_fd = fcntl(guard->stop_fd, F_DUPFD_CLOEXEC, 0)) < 0)
        return false;
    if (fd == guard->spare_fd || !is_socket(fd) || dup3(fd, guard->spare_fd, O_CLOEXEC) < 0)
        return false;
    if (is_socket(guard->spare_fd))
        return true;
    guard->spare_fd = -1;
    return false;
}

/* Through the duplicate, which cannot become another connection meanwhile. True if it ended one. */
static bool look_at(struct link_guard *guard, int fd)
{
    uint64_t in, out;
    if (!take(guard, fd))
        return false;
    if (!has_port(guard->spare_fd, guard->port) || !traffic_of(guard->spare_fd, &in, &out))
        return false;
    struct look look = {.fd = fd, .cookie = cookie_of(guard->spare_fd)};
    struct known known = ask(guard, fd, look.cookie);
    uint64_t waits = waiting_in(guard, fd, look.cookie, &known, in);
    if (waits > (known.cookie != 0 || guard->limit < FIRST_MAX ? guard->limit : FIRST_MAX))
        return shutdown(guard->spare_fd, SHUT_RDWR) == 0;
    look.waiting = waits + (known.given > out ? known.given - out : 0);
    look.ours = known.cookie != 0;
    memcpy(look.user, known.user, sizeof look.user);
    look.since_ms = seen_of(guard, fd)->since_ms;
    add_look(guard, &look);
    return false;
}

static unsigned int look_at_all(struct link_guard *guard)
{
    unsigned int cut = 0;
    guard->nlooks = guard->ndescriptors = 0;
    rewinddir(guard->descriptors);
    for (struct dirent *entry; (entry = readdir(guard->descriptors)) != NULL;)
        if (entry->d_name[0] != '.') {
            guard->ndescriptors++;
            cut += look_at(guard, atoi(entry->d_name));
        }
    return cut;
}

/* ---- over the budget ---- */

static int by_user(const void *a, const void *b)
{
    const struct look *one = a, *other = b;
    return strcmp(one->user, other->user);
}

/* The connections of whoever has most: a run of the sorted list. A silent connection stands for itself. */
static void largest(const struct link_guard *guard, bool ours, size_t *ret_first, size_t *ret_end,
                    uint64_t *ret_waiting)
{
    *ret_waiting = 0;
    for (size_t i = 0, end; i < guard->nlooks; i = end) {
        uint64_t waiting = 0;
        for (end = i;
             end < guard->nlooks &&
             (end == i || (guard->looks[i].ours && by_user(&guard->looks[i], &guard->looks[end]) == 0));
             end++)
            waiting += guard->looks[end].waiting;
        if (guard->looks[i].ours != ours || waiting <= *ret_waiting)
            continue;
        *ret_first = i;
        *ret_end = end;
        *ret_waiting = waiting;
    }
}

static unsigned int end_run(struct link_guard *guard, size_t first, size_t end)
{
    unsigned int cut = 0;
    for (size_t i = first; i < end; i++) {
        struct look *look = &guard->looks[i];
        look->waiting = 0;
        if (take(guard, look->fd) && cookie_of(guard->spare_fd) == look->cookie)
            cut += shutdown(guard->spare_fd, SHUT_RDWR) == 0;
    }
    return cut;
}

static uint64_t sum(const struct link_guard *guard)
{
    uint64_t waiting = 0;
    for (size_t i = 0; i < guard->nlooks; i++)
        waiting += guard->looks[i].waiting;
    return waiting;
}

static unsigned int keep_budget(struct link_guard *guard)
{
    unsigned int cut = 0;
    uint64_t total = sum(guard), of_one = 0;
    atomic_store(&guard->crowded, total > guard->budget / 2);
    if (total <= guard->budget)
        return 0;
    qsort(guard->looks, guard->nlooks, sizeof *guard->looks, by_user);
    for (int ours = 0; ours < 2; ours++)
        do {
            size_t first = 0, end = 0;
            largest(guard, ours == 1, &first, &end, &of_one);
            cut += end_run(guard, first, end);
            total -= of_one;
        } while (of_one > 0 && total > guard->budget);
    return cut;
}

/* ---- short of descriptors ---- */

/* How many may be in use. */
static size_t descriptors_max(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX
                                                                                   : limit.rlim_cur / 4 * 3;
}

/* The kernel gives the lowest free number, so a high one says that many are used. */
static bool is_short_of_descriptors(const struct link_guard *guard)
{
    size_t most = descriptors_max();
    int lowest = fcntl(guard->stop_fd, F_DUPFD_CLOEXEC, 0);
    if (lowest >= 0)
        close(lowest);
    return lowest < 0 || (size_t)lowest > most;
}

static int silent_oldest_first(const void *a, const void *b)
{
    const struct look *one = a, *other = b;
    if (one->ours != other->ours)
        return one->ours ? 1 : -1;
    return (one->since_ms > other->since_ms) - (one->since_ms < other->since_ms);
}

static unsigned int keep_descriptors(struct link_guard *guard)
{
    size_t most = descriptors_max(), silent = 0;
    if (guard->ndescriptors <= most)
        return 0;
    qsort(guard->looks, guard->nlooks, sizeof *guard->looks, silent_oldest_first);
    /* A third of them more than must be: else it would be as short at the next look. */
    size_t excess = guard->ndescriptors - most + most / 3;
    while (silent < guard->nlooks && silent < excess && !guard->looks[silent].ours)
        silent++;
    return end_run(guard, 0, silent);
}

/* ---- the thread ---- */

static void tell(struct link_guard *guard, unsigned int cut)
{
    uint64_t held;
    atomic_fetch_add(&guard->cut, cut);
    guard->trim = true;
    if (!lograte_pass(&guard->noise, moment_steady_ms(), &held))
        return;
    log_warning("port %u: ended %u connections: too much waits in here for them, or they say nothing while "
                "descriptors run short",
                ntohs(guard->port), cut);
    if (held > 0)
        log_warning("port %u: %llu more such lines were not written", ntohs(guard->port),
                    (unsigned long long)held);
}

static void look(struct link_guard *guard)
{
    unsigned int cut = look_at_all(guard);
    cut += keep_budget(guard);
    cut += keep_descriptors(guard);
    if (guard->spare_fd >= 0)
        (void)dup3(guard->stop_fd, guard->spare_fd, O_CLOEXEC); /* let the last one go */
    if (cut > 0)
        tell(guard, cut);
    else if (guard->trim)
        guard->trim = malloc_trim(0) < 0; /* what was cut has been freed by now */
    guard->calm = memory_of(guard->memory_fd);
}

static bool has_reason(struct link_guard *guard)
{
    uint64_t memory = memory_of(guard->memory_fd);
    if (memory < guard->calm)
        guard->calm = memory;
    return guard->trim || atomic_load(&guard->crowded) || memory > guard->calm + GROWTH ||
           is_short_of_descriptors(guard);
}

static void give_back_holes(struct link_guard *guard)
{
    uint64_t memory = memory_of(guard->memory_fd);
    int64_t now_ms = moment_steady_ms();
    if (memory < guard->filled)
        guard->filled = memory;
    if (memory < guard->filled + HOLES_GROWTH || now_ms < guard->holes_due_ms)
        return;
    (void)malloc_trim(0);
    guard->filled = memory_of(guard->memory_fd);
    guard->holes_due_ms = now_ms + HOLES_MS;
}

static void *run(void *argument)
{
    struct link_guard *guard = argument;
    int wait = LOOK_MS;
    for (;;) {
        struct pollfd stop = {guard->stop_fd, POLLIN, 0};
        if (poll(&stop, 1, wait) > 0)
            return NULL;
        wait = LOOK_MS;
        give_back_holes(guard);
        if (!has_reason(guard))
            continue;
        int64_t start = moment_steady_ms();
        look(guard);
        int64_t rest = (moment_steady_ms() - start) * LEISURE;
        wait = rest > LOOK_MS ? (int)rest : LOOK_MS;
    }
}

/* ---- life ---- */

static int open_files(struct link_guard *guard, struct diag *diag)
{
    guard->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    guard->spare_fd = fcntl(guard->stop_fd, F_DUPFD_CLOEXEC, 0);
    guard->memory_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    guard->descriptors = opendir("/proc/self/fd");
    if (guard->stop_fd < 0 || guard->spare_fd < 0 || guard->memory_fd < 0 || guard->descriptors == NULL)
        return diag_errno(diag, "/proc/self: what is needed to bound the memory of connections");
    guard->calm = guard->filled = memory_of(guard->memory_fd);
    return 0;
}

static struct link_guard *discard(struct link_guard *guard)
{
    mem_close_p(&guard->stop_fd);
    mem_close_p(&guard->spare_fd);
    mem_close_p(&guard->memory_fd);
    if (guard->descriptors != NULL)
        closedir(guard->descriptors);
    pthread_mutex_destroy(&guard->mutex);
    free(guard->known);
    free(guard->seen);
    free(guard->looks);
    free(guard);
    return NULL;
}

int link_guard_new(const char *endpoint, size_t frame_max, int queue, uint64_t budget,
                   struct link_guard **ret, struct diag *diag)
{
    struct link_guard *guard = mem_zero(1, sizeof *guard);
    guard->stop_fd = guard->spare_fd = guard->memory_fd = -1;
    guard->port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1));
    /* A full queue, and the message that comes when it is full. */
    guard->limit = ((uint64_t)queue + 1) * link_wire_size(frame_max) + SLACK;
    guard->budget = budget;
    pthread_mutex_init(&guard->mutex, NULL);
    int r = open_files(guard, diag);
    if (r >= 0)
        r = defer_accept(guard, diag);
    if (r >= 0 && (r = -pthread_create(&guard->thread, NULL, run, guard)) < 0)
        diag_set(diag, r, "cannot start a thread: %s", strerror(-r));
    if (r < 0) {
        discard(guard);
        return r;
    }
    *ret = guard;
    return 0;
}

struct link_guard *link_guard_free(struct link_guard *guard)
{
    if (guard == NULL)
        return NULL;
    (void)!eventfd_write(guard->stop_fd, 1);
    pthread_join(guard->thread, NULL);
    return discard(guard);
}

uint64_t link_guard_count(struct link_guard *guard)
{
    return atomic_load(&guard->cut);
}
