/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * flooder: hostile peers of one coordinator, for the cases N1 to N8. It attacks for so many seconds, in one way:
 *
 *     flooder WAY SECONDS PORT SERVER-KEY [KEY-FILE]
 *
 * Strangers, who speak TCP:     idle      more connections than the coordinator has descriptors, a third of them with half a greeting;
 *                                         what is closed is opened again
 *                               storm     connects and leaves, as fast as it goes
 *                               junk      greetings with mutated bytes, frames of impossible length, noise
 *                               fat       a greeting and then most of a frame as large as the coordinator takes, by many
 * Strangers, who speak ZMTP:    unknown   CURVE with keys that nobody admitted
 *                               plain     NULL and PLAIN
 * With a worker's key:          endless   a message of 512 MiB in many frames, again and again
 *                               frames    messages of several frames
 *                               oversize  frames over the cap
 *                               spoof     routing ids of its own choice
 *                               mutated   good messages with wrong bytes
 *                               hellos    Hello without end
 *                               deaf      asks over many connections, and never reads
 *
 * SIGTERM ends it before. It says what it did in one line of JSON.
 */
#include "identity.h"
#include "link_private.h"
#include "moment.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IDLE = 1500, FAT = 400, DEAF = 64, BLOCK = WIRE_CONTROL_MAX, ENDLESS_FRAMES = 512 * 16 };

struct attack {
    uint16_t port;
    int64_t end_ms;
    unsigned char server[LINK_KEY_SIZE], open[LINK_KEY_SIZE], secret[LINK_KEY_SIZE];
    void *context;
    uint64_t connections, messages;
    uint32_t random;
};

static char block[BLOCK]; /* outlives libzmq's use of it */

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "flooder: %s\n", what);
    exit(2);
}

static volatile sig_atomic_t told_to_stop;

static void on_term(int number)
{
    told_to_stop = number;
}

static bool goes_on(const struct attack *attack)
{
    return told_to_stop == 0 && moment_steady_ms() < attack->end_ms;
}

/* Enough to mutate bytes with, and the same each time. */
static uint32_t draw(struct attack *attack)
{
    attack->random = attack->random * 1664525 + 1013904223;
    return attack->random >> 8;
}

/* ---- TCP ---- */

/* -1: not now. */
static int dial(struct attack *attack)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons(attack->port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        die("too few descriptors of its own");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    attack->connections++;
    return fd;
}

static void say(struct attack *attack, int fd, const void *data, size_t size)
{
    if (send(fd, data, size, MSG_NOSIGNAL) > 0)
        attack->messages++;
}

static bool is_closed(int fd)
{
    char data[4096];
    ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static size_t greeting(unsigned char ret[64], const char *mechanism)
{
    memset(ret, 0, 64);
    memcpy(ret, "\xff\0\0\0\0\0\0\0\1\x7f\3\0", 12);
    memcpy(ret + 12, mechanism, strlen(mechanism));
    return 64;
}

static void hold(struct attack *attack, int *fds, size_t count,
                 void (*begin)(struct attack *attack, int fd, size_t i))
{
    for (size_t i = 0; i < count; i++)
        fds[i] = -1;
    while (goes_on(attack)) {
        for (size_t i = 0; i < count; i++) {
            if (fds[i] >= 0 && is_closed(fds[i]))
                mem_close_p(&fds[i]);
            if (fds[i] < 0 && (fds[i] = dial(attack)) < 0)
                break;
            if (begin != NULL)
                begin(attack, fds[i], i);
        }
        usleep(50 * 1000);
    }
}

static void half_greet(struct attack *attack, int fd, size_t i)
{
    unsigned char data[64];
    if (i % 3 == 0) /* again each time: it trickles */
        say(attack, fd, data, greeting(data, "CURVE") / 64);
}

static void idle(struct attack *attack)
{
    int fds[IDLE];
    hold(attack, fds, IDLE, half_greet);
}

/* The greeting once, then a long frame's head and as much of it as goes. */
static void feed(struct attack *attack, int fd, size_t i)
{
    static bool begun[FAT * 4];
    unsigned char data[64 + 9];
    uint32_t size = WIRE_BULK_MAX;
    if (!begun[fd % (FAT * 4)]) {
        size_t n = greeting(data, "CURVE");
        data[n] = 6; /* a long command */
        memset(data + n + 1, 0, 4);
        data[n + 5] = (unsigned char)(size >> 24);
        data[n + 6] = (unsigned char)(size >> 16);
        data[n + 7] = (unsigned char)(size >> 8);
        data[n + 8] = (unsigned char)size;
        say(attack, fd, data, sizeof data);
        begun[fd % (FAT * 4)] = true;
    }
    if (i < FAT)
        say(attack, fd, block, sizeof block);
}

static void fat(struct attack *attack)
{
    int fds[FAT];
    hold(attack, fds, FAT, feed);
}

static void storm(struct attack *attack)
{
    while (goes_on(attack)) {
        int fd = dial(attack);
        if (fd < 0)
            usleep(1000);
        else
            close(fd);
    }
}

static void junk(struct attack *attack)
{
    while (goes_on(attack)) {
        unsigned char data[256];
        int fd = dial(attack);
        if (fd < 0)
            continue;
        size_t size = greeting(data, draw(attack) % 2 == 0 ? "CURVE" : "NULL");
        for (; size < sizeof data; size++)
            data[size] = (unsigned char)draw(attack);
        for (uint32_t i = draw(attack) % 4; i > 0; i--)
            data[draw(attack) % 64] = (unsigned char)draw(attack);
        usleep(500); /* connected by now, on this machine */
        say(attack, fd, data, draw(attack) % sizeof data + 1);
        if (draw(attack) % 2 == 0)
            shutdown(fd, SHUT_WR);
        usleep(500);
        close(fd);
    }
}

/* ---- ZMTP ---- */

static void *peer_new(struct attack *attack, const unsigned char *open, const unsigned char *secret,
                      const char *route)
{
    char endpoint[64];
    int zero = 0, retry = 100;
    void *socket = zmq_socket(attack->context, ZMQ_DEALER);
    if (socket == NULL)
        die("too many sockets");
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", attack->port);
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &retry, sizeof retry);
    if (secret != NULL) {
        zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, attack->server, LINK_KEY_SIZE);
        zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, open, LINK_KEY_SIZE);
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, LINK_KEY_SIZE);
    }
    if (route != NULL)
        zmq_setsockopt(socket, ZMQ_ROUTING_ID, route, strlen(route));
    zmq_connect(socket, endpoint);
    attack->connections++;
    return socket;
}

static void *admitted(struct attack *attack)
{
    return peer_new(attack, attack->open, attack->secret, NULL);
}

static bool tell(struct attack *attack, void *socket, const void *data, size_t size, int flags)
{
    if (zmq_send(socket, data, size, flags | ZMQ_DONTWAIT) < 0)
        return false;
    attack->messages++;
    return true;
}

static void unknown(struct attack *attack)
{
    while (goes_on(attack)) {
        unsigned char open[LINK_KEY_SIZE], secret[LINK_KEY_SIZE];
        if (link_keypair(open, secret, NULL) < 0)
            die("no key");
        void *socket = peer_new(attack, open, secret, NULL);
        tell(attack, socket, "x", 1, 0);
        usleep(5 * 1000);
        zmq_close(socket);
    }
}

static void plain(struct attack *attack)
{
    for (bool null = false; goes_on(attack); null = !null) {
        void *socket = zmq_socket(attack->context, ZMQ_DEALER);
        char endpoint[64];
        int zero = 0;
        snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", attack->port);
        zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
        if (!null) {
            zmq_setsockopt(socket, ZMQ_PLAIN_USERNAME, "alder-1", 7);
            zmq_setsockopt(socket, ZMQ_PLAIN_PASSWORD, "x", 1);
        }
        zmq_connect(socket, endpoint);
        attack->connections++;
        tell(attack, socket, "x", 1, 0);
        usleep(5 * 1000);
        zmq_close(socket);
    }
}

/* A libzmq that sends gives a message to its I/O thread when it is whole; so one block stands for all of its frames. */
static void endless(struct attack *attack)
{
    while (goes_on(attack)) {
        void *socket = admitted(attack);
        for (int i = 0; i < ENDLESS_FRAMES; i++) {
            zmq_msg_t part;
            zmq_msg_init_data(&part, block, sizeof block, NULL, NULL);
            if (zmq_msg_send(&part, socket, i + 1 < ENDLESS_FRAMES ? ZMQ_SNDMORE : 0) >= 0)
                attack->messages++;
        }
        usleep(700 * 1000);
        zmq_close(socket);
    }
}

static void frames(struct attack *attack)
{
    void *socket = admitted(attack);
    while (goes_on(attack)) {
        for (uint32_t i = draw(attack) % 20 + 1; i > 0; i--)
            tell(attack, socket, "part", 4, ZMQ_SNDMORE);
        if (!tell(attack, socket, "end", 3, 0))
            usleep(1000);
    }
    zmq_close(socket);
}

static void oversize(struct attack *attack)
{
    size_t size = WIRE_BULK_MAX + 1;
    char *big = mem_zero(1, size);
    while (goes_on(attack)) {
        void *socket = admitted(attack);
        tell(attack, socket, big, size, 0);
        usleep(20 * 1000);
        zmq_close(socket);
    }
    free(big);
}

static void spoof(struct attack *attack)
{
    static const char *const routes[] = {"alder-1", "birch-1", "x"};
    for (size_t i = 0; goes_on(attack); i++) {
        void *socket = peer_new(attack, attack->open, attack->secret, routes[i % ARRAY_SIZE(routes)]);
        for (int k = 0; k < 20; k++)
            tell(attack, socket, "i am somebody else", 18, 0);
        usleep(20 * 1000);
        zmq_close(socket);
    }
}

/* ---- messages of the catalogue ---- */

static void hello(struct buf *ret)
{
    Wire__Facts facts = WIRE__FACTS__INIT;
    Wire__Hello message = WIRE__HELLO__INIT;
    facts.cpu_vendor = wire_text("GenuineFlood");
    facts.cpu_level = wire_text("x86-64-v3");
    facts.kernel = wire_text("6.1");
    facts.cores = 1;
    facts.memory_bytes = facts.disk_bytes = (uint64_t)1 << 30;
    message.protocol_version = WIRE_PROTOCOL_VERSION;
    message.software = wire_text("flooder");
    message.operator_name = wire_text("mallow");
    message.worker = wire_text("mallow-1");
    message.facts = &facts;
    message.slots = 0; /* it wants no leases: those would wait for it */
    if (wire_encode(WIRE_HELLO, &message.base, ret, NULL) < 0)
        die("Hello does not encode");
}

static void hellos(struct attack *attack)
{
    CLEANUP_BUF struct buf frame = BUF_INIT;
    void *socket = admitted(attack);
    hello(&frame);
    while (goes_on(attack)) {
        char answer[64];
        if (!tell(attack, socket, frame.data, frame.size, 0))
            usleep(1000);
        while (zmq_recv(socket, answer, sizeof answer, ZMQ_DONTWAIT) >= 0)
            ;
    }
    zmq_close(socket);
}

static void mutated(struct attack *attack)
{
    CLEANUP_BUF struct buf good = BUF_INIT;
    void *socket = admitted(attack);
    hello(&good);
    while (goes_on(attack)) {
        char frame[1024];
        size_t size = draw(attack) % (good.size + 1);
        memcpy(frame, good.data, good.size);
        for (uint32_t i = draw(attack) % 4; i > 0; i--)
            frame[draw(attack) % good.size] = (char)draw(attack);
        if (!tell(attack, socket, frame, draw(attack) % 2 == 0 ? size : good.size, 0))
            usleep(1000);
    }
    zmq_close(socket);
}

/* Each question has an answer, and nobody takes it. */
static void deaf(struct attack *attack)
{
    CLEANUP_BUF struct buf first = BUF_INIT, question = BUF_INIT;
    Wire__TrustAsk ask = WIRE__TRUST_ASK__INIT;
    void *sockets[DEAF];
    int one = 1;
    hello(&first);
    if (wire_encode(WIRE_TRUST_ASK, &ask.base, &question, NULL) < 0)
        die("TrustAsk does not encode");
    for (size_t i = 0; i < DEAF; i++)
        sockets[i] = NULL;
    for (size_t i = 0; goes_on(attack); i = (i + 1) % DEAF) {
        if (sockets[i] == NULL) {
            sockets[i] = admitted(attack);
            zmq_setsockopt(sockets[i], ZMQ_RCVHWM, &one, sizeof one);
            tell(attack, sockets[i], first.data, first.size, 0);
        }
        for (int k = 0; k < 100 && tell(attack, sockets[i], question.data, question.size, 0); k++)
            ;
        usleep(2000);
    }
    for (size_t i = 0; i < DEAF; i++)
        if (sockets[i] != NULL)
            zmq_close(sockets[i]);
}

/* ---- main ---- */

static void read_hex(const char *text, unsigned char ret[LINK_KEY_SIZE])
{
    for (size_t i = 0; i < LINK_KEY_SIZE; i++)
        if (sscanf(text + 2 * i, "%2hhx", &ret[i]) != 1)
            die("the server's key is 64 hex digits");
}

static void read_key(struct attack *attack, const char *path)
{
    struct identity *identity = NULL;
    struct diag diag = DIAG_INIT;
    if (identity_read(AT_FDCWD, path, &identity, &diag) < 0)
        die(diag.text);
    memcpy(attack->open, identity_curve_public(identity), LINK_KEY_SIZE);
    memcpy(attack->secret, identity_curve_secret(identity), LINK_KEY_SIZE);
    identity_free(identity);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct attack *attack);
        bool keyed;
    } ways[] = {{"idle", idle, false},      {"storm", storm, false},     {"junk", junk, false},
                {"fat", fat, false},        {"unknown", unknown, false}, {"plain", plain, false},
                {"endless", endless, true}, {"frames", frames, true},    {"oversize", oversize, true},
                {"spoof", spoof, true},     {"mutated", mutated, true},  {"hellos", hellos, true},
                {"deaf", deaf, true}};
    struct attack attack = {.context = zmq_ctx_new(), .random = 1};
    struct rlimit limit;
    if (argc < 5)
        die("WAY SECONDS PORT SERVER-KEY [KEY-FILE]");
    signal(SIGTERM, on_term);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    attack.end_ms = moment_steady_ms() + (int64_t)(atof(argv[2]) * 1000);
    attack.port = (uint16_t)atoi(argv[3]);
    read_hex(argv[4], attack.server);
    memset(block, 0x5a, sizeof block);
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        if (strcmp(argv[1], ways[i].name) != 0)
            continue;
        if (ways[i].keyed && argc < 6)
            die("this way needs a worker's key");
        if (ways[i].keyed)
            read_key(&attack, argv[5]);
        ways[i].run(&attack);
        zmq_ctx_term(attack.context);
        printf("{\"way\":\"%s\",\"connections\":%llu,\"messages\":%llu}\n", argv[1],
               (unsigned long long)attack.connections, (unsigned long long)attack.messages);
        return 0;
    }
    die("no such way");
}
