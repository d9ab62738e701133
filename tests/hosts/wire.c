/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * wire: a long, bad cable between two network namespaces, for kernels without sch_netem. It makes a TUN device in each, carries IP
 * packets between the two, and keeps each for a while or loses it.
 *
 *     wire PID-A DEVICE-A PID-B DEVICE-B DELAY-MS LOSS-PERCENT
 *
 * The namespaces are those of the processes PID-A and PID-B. It says "ready" when both devices exist; addresses and routes
 * are the caller's. SIGUSR1 cuts the cable, SIGUSR2 mends it; what is on its way when it is cut is lost. The loss is drawn
 * from a fixed seed, so that two runs lose alike.
 */
#include "buf.h"
#include "mem.h"
#include "moment.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    PACKET_MAX = 2048,
    QUEUE = 4096
}; /* QUEUE: packets on their way in one direction; more are lost, as a router would */

struct packet {
    int64_t due_ms;
    size_t size;
    char data[PACKET_MAX];
};

/* One direction: a ring, ordered by time because the delay is the same for all. */
struct way {
    int from, to;
    struct packet *packets;
    size_t first, count;
};

static volatile sig_atomic_t is_cut;

static void on_signal(int number)
{
    is_cut = number == SIGUSR1;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int tun_in(const char *pid, const char *device)
{
    CLEANUP_FREE char *path = mem_format("/proc/%s/ns/net", pid);
    CLEANUP_CLOSE int space = open(path, O_RDONLY | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    if (space < 0 || setns(space, CLONE_NEWNET) < 0)
        die(path);
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
        die("/dev/net/tun");
    return fd;
}

static bool is_lost(uint32_t *random, unsigned int percent)
{
    *random = *random * 1664525 + 1013904223;
    return (*random >> 8) % 100 < percent;
}

static void take(struct way *way, int64_t due_ms, uint32_t *random, unsigned int percent)
{
    for (;;) {
        struct packet *packet = &way->packets[(way->first + way->count) % QUEUE];
        char spill[PACKET_MAX];
        bool full = way->count == QUEUE;
        ssize_t size = read(way->from, full ? spill : packet->data, PACKET_MAX);
        if (size <= 0)
            return;
        if (full || is_cut != 0 || is_lost(random, percent))
            continue;
        packet->due_ms = due_ms;
        packet->size = (size_t)size;
        way->count++;
    }
}

/* Milliseconds until the next packet is due; -1: there is none. */
static int deliver(struct way *way, int64_t now_ms)
{
    for (; way->count > 0; way->first = (way->first + 1) % QUEUE, way->count--) {
        const struct packet *packet = &way->packets[way->first];
        if (is_cut == 0 && packet->due_ms > now_ms)
            return (int)(packet->due_ms - now_ms);
        if (is_cut == 0)
            (void)!write(way->to, packet->data, packet->size);
    }
    return -1;
}

static int sooner(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

int main(int argc, char **argv)
{
    uint32_t random = 1;
    if (argc != 7) {
        fputs("wire: PID-A DEVICE-A PID-B DEVICE-B DELAY-MS LOSS-PERCENT\n", stderr);
        return 2;
    }
    int delay = atoi(argv[5]);
    unsigned int percent = (unsigned int)atoi(argv[6]);
    int a = tun_in(argv[1], argv[2]), b = tun_in(argv[3], argv[4]);
    struct way ways[] = {{.from = a, .to = b}, {.from = b, .to = a}};
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
        ways[i].packets = mem_zero(QUEUE, sizeof *ways[i].packets);
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
    puts("ready");
    fflush(stdout);
    for (int wait = -1;;) {
        struct pollfd fds[] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
        if (poll(fds, ARRAY_SIZE(fds), wait) < 0 && errno != EINTR)
            die("poll");
        int64_t now = moment_steady_ms();
        wait = -1;
        for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
            take(&ways[i], now + delay, &random, percent);
            wait = sooner(wait, deliver(&ways[i], now));
        }
    }
}
