/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bench_transfer [--dir DIR] [--bytes N] [--rounds N]: one object from a worker's store into a coordinator's, over CURVE on loopback, as an artifact
 * goes up: sent in chunks, kept durably, unpacked and hashed before it is called stored. Against scp of the same bytes over loopback
 * (OpenSSH's own defaults; a server on a port of its own for as long as this runs), and against scp and a sync of what it wrote, which
 * is as durable and still not hashed. All alternate; the median of each is printed. With a DIR in memory the disk is out of it. Where
 * there is no sshd the ratios are left out, and it says so.
 *
 * Processor time counts both ends: on few processors that is what bounds a transfer, and other work on the machine does not change it. What
 * no way around it costs at least (sealing, opening, hashing) is measured beside it, each alone on the same number of bytes.
 */
#include "bench.h"

#include "bulk.h"
#include "file.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS_MAX = 99, PATIENCE_MS = 120000, CHUNK = 1 << 20 };

struct place {
    char *directory, *endpoint;
    struct store *worker;
    unsigned char server_open[LINK_KEY_SIZE], server_secret[LINK_KEY_SIZE], open[LINK_KEY_SIZE],
        secret[LINK_KEY_SIZE];
    pid_t server, sshd;
    int ssh_port;
};

static void must(int result, const struct diag *diag)
{
    if (result >= 0)
        return;
    fprintf(stderr, "bench_transfer: %s\n", diag_text(diag, result));
    exit(1);
}

/* ---- the coordinator's side, a process of its own ---- */

/* Tells its endpoint through 'out' and serves until it is killed. */
static void serve(const struct place *place, int out)
{
    struct diag diag = DIAG_INIT;
    struct store *store = NULL;
    struct bulk_server *server = NULL;
    CLEANUP_FREE char *path = mem_format("%s/coordinator", place->directory);
    must(store_open(AT_FDCWD, path, 1, &store, &diag), &diag);
    struct link_gate *gate = link_gate_new();
    must(link_gate_admit(gate, place->open, "alder-1", &diag), &diag);
    const struct bulk_server_options options = {
        .link = {.endpoint = "tcp://127.0.0.1:*", .secret_key = place->server_secret, .gate = gate},
        .store = store};
    must(bulk_server_new(&options, &server, &diag), &diag);
    dprintf(out, "%s", bulk_server_endpoint(server));
    close(out);
    for (;;)
        pause();
}

static void start_server(struct place *place)
{
    int pipes[2];
    char endpoint[200] = "";
    if (pipe2(pipes, O_CLOEXEC) < 0 || (place->server = fork()) < 0)
        abort();
    if (place->server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a benchmark that gives up leaves nothing running */
        close(pipes[0]);
        serve(place, pipes[1]);
    }
    close(pipes[1]);
    ssize_t got = read(pipes[0], endpoint, sizeof endpoint - 1);
    close(pipes[0]);
    if (got <= 0)
        must(FARM_E_FAILED, NULL);
    place->endpoint = mem_string(endpoint);
}

/* ---- one transfer each ---- */

/* An object that zstd cannot shorten, so that as many bytes travel as scp moves. */
static struct digest make_object(struct place *place, uint64_t bytes, uint64_t seed)
{
    struct diag diag = DIAG_INIT;
    struct store_writer *writer = NULL;
    CLEANUP_FREE uint64_t *chunk = mem_alloc(CHUNK);
    struct digest name;
    must(store_write_begin(place->worker, bytes, &writer, &diag), &diag);
    for (uint64_t done = 0; done < bytes; done += CHUNK) {
        for (size_t i = 0; i < CHUNK / sizeof *chunk; i++)
            chunk[i] = bench_random(&seed);
        must(store_write(writer, chunk, bytes - done < CHUNK ? (size_t)(bytes - done) : CHUNK, &diag), &diag);
    }
    must(store_write_commit(writer, NULL, false, &name, NULL, &diag), &diag);
    return name;
}

struct spent {
    double wall, cpu; /* seconds; cpu: of both ends together */
};

/* The process and those of its children that it waited for; in steps of 10 ms. */
static double cpu_of(pid_t pid)
{
    unsigned long long used[4] = {0}, sum = 0;
    CLEANUP_FREE char *path = mem_format("/proc/%d/stat", (int)pid);
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    if (pid <= 0)
        return 0;
    must(file_read(AT_FDCWD, path, 4096, &text, &diag), &diag);
    const char *after = strrchr(text.data, ')'); /* the name may have anything in it */
    if (after == NULL || sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu",
                                &used[0], &used[1], &used[2], &used[3]) != 4)
        must(FARM_E_FAILED, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(used); i++)
        sum += used[i];
    return (double)sum / (double)sysconf(_SC_CLK_TCK);
}

static struct spent transfer(struct place *place, const struct digest *object)
{
    struct diag diag = DIAG_INIT;
    struct bulk_client *client = NULL;
    const struct bulk_client_options options = {.endpoint = place->endpoint,
                                                .server_key = place->server_open,
                                                .secret_key = place->secret,
                                                .timeout_ms = PATIENCE_MS};
    must(bulk_client_new(&options, &client, &diag), &diag);
    double started = bench_wall(), cpu = bench_cpu() + cpu_of(place->server);
    must(bulk_put(client, place->worker, object, &diag), &diag);
    struct spent spent = {bench_wall() - started, bench_cpu() + cpu_of(place->server) - cpu};
    bulk_client_free(client);
    return spent;
}

static struct spent copy(const struct place *place, double *ret_durable)
{
    CLEANUP_FREE char *command =
        mem_format("cd '%s/ssh' && scp -q -F client.conf -P %d sent 127.0.0.1:'%s/ssh/got'", place->directory,
                   place->ssh_port, place->directory);
    CLEANUP_FREE char *sync = mem_format("sync '%s/ssh/got'", place->directory);
    double started = bench_wall(), cpu = bench_cpu() + cpu_of(place->sshd);
    if (system(command) != 0) /* NOLINT(cert-env33-c): a program of figures; the shell is what it measures */
        must(FARM_E_FAILED, NULL);
    struct spent spent = {.wall = bench_wall() - started};
    if (system(sync) != 0) /* NOLINT(cert-env33-c) */
        must(FARM_E_FAILED, NULL);
    *ret_durable = bench_wall() - started;
    spent.cpu = bench_cpu() + cpu_of(place->sshd) - cpu;
    CLEANUP_FREE char *got = mem_format("%s/ssh/got", place->directory);
    if (unlink(got) < 0)
        must(FARM_E_FAILED, NULL);
    return spent;
}

/* ---- scp's side ---- */

static bool ssh_prepare(struct place *place, uint64_t bytes)
{
    place->ssh_port = 20000 + (int)getpid() % 20000;
    CLEANUP_FREE char *script = mem_format(
        "set -e; command -v sshd >/dev/null || test -x /usr/sbin/sshd; mkdir -p /run/sshd '%s/ssh'; cd "
        "'%s/ssh';"
        "ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f me; cp me.pub allowed;"
        "printf 'Port %d\\nListenAddress 127.0.0.1\\nHostKey %%s/host\\nAuthorizedKeysFile "
        "%%s/allowed\\nStrictModes no\\n"
        "UsePAM no\\nPidFile none\\nSubsystem sftp internal-sftp\\n' \"$PWD\" \"$PWD\" >server.conf;"
        "printf 'IdentityFile %%s/me\\nUserKnownHostsFile /dev/null\\nStrictHostKeyChecking no\\nLogLevel "
        "ERROR\\n' \"$PWD\" "
        ">client.conf; head -c %llu /dev/urandom >sent",
        place->directory, place->directory, place->ssh_port, (unsigned long long)bytes);
    if (system(script) != 0) /* NOLINT(cert-env33-c) */
        return false;
    place->sshd = fork();
    if (place->sshd == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        CLEANUP_FREE char *conf = mem_format("%s/ssh/server.conf", place->directory);
        execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-q", "-D", "-f", conf, (char *)NULL);
        _exit(127);
    }
    CLEANUP_FREE char *probe = mem_format("for i in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/%d) "
                                          "2>/dev/null && exit 0; sleep 0.05; done; exit 1",
                                          place->ssh_port);
    CLEANUP_FREE char *waiting = mem_format("bash -c '%s'", probe);
    return system(waiting) == 0; /* NOLINT(cert-env33-c) */
}

static bool keep_nothing(void *context, const struct digest *name)
{
    (void)context;
    (void)name;
    return false;
}

/*
 * In a virtual machine memory that nobody has used lately costs far more to write into than memory that somebody has: its host gives it
 * out anew. Each side begins with as much that has just been used, so that neither pays for the other.
 */
static void warm(const struct place *place, uint64_t bytes)
{
    CLEANUP_FREE char *command = mem_format("head -c %llu /dev/zero >'%s/warm' && rm '%s/warm'",
                                            (unsigned long long)bytes, place->directory, place->directory);
    if (system(command) != 0) /* NOLINT(cert-env33-c) */
        must(FARM_E_FAILED, NULL);
}

/* What a round left goes before the next, as scp's file does. */
static void tidy(const struct place *place)
{
    struct diag diag = DIAG_INIT;
    struct store *other = NULL;
    size_t removed;
    uint64_t bytes;
    CLEANUP_FREE char *path = mem_format("%s/coordinator", place->directory);
    must(store_open(AT_FDCWD, path, 1, &other, &diag), &diag);
    must(store_collect(other, keep_nothing, NULL, 0, &removed, &bytes, &diag), &diag);
    must(store_collect(place->worker, keep_nothing, NULL, 0, &removed, &bytes, &diag), &diag);
    store_close(other);
}

/* ---- what it takes at least ---- */

/* Seconds of processor time to seal, open or hash so many bytes, in pieces as they travel. */
static double seal(unsigned char *sealed, unsigned char *plain, uint64_t bytes)
{
    static const unsigned char nonce[crypto_box_NONCEBYTES], key[crypto_box_BEFORENMBYTES];
    double cpu = bench_cpu();
    for (uint64_t done = 0; done < bytes; done += CHUNK)
        if (crypto_box_easy_afternm(sealed, plain, CHUNK, nonce, key) != 0)
            abort();
    return bench_cpu() - cpu;
}

static double unseal(unsigned char *plain, const unsigned char *sealed, uint64_t bytes)
{
    static const unsigned char nonce[crypto_box_NONCEBYTES], key[crypto_box_BEFORENMBYTES];
    double cpu = bench_cpu();
    for (uint64_t done = 0; done < bytes; done += CHUNK)
        if (crypto_box_open_easy_afternm(plain, sealed, CHUNK + crypto_box_MACBYTES, nonce, key) != 0)
            abort();
    return bench_cpu() - cpu;
}

static double hash(const unsigned char *plain, uint64_t bytes)
{
    double cpu = bench_cpu();
    struct hasher *hasher = hasher_new();
    for (uint64_t done = 0; done < bytes; done += CHUNK)
        hasher_add(hasher, plain, CHUNK);
    (void)hasher_finish(hasher);
    hasher_free(hasher);
    return bench_cpu() - cpu;
}

static void measure_parts(uint64_t bytes, double reference)
{
    CLEANUP_FREE unsigned char *plain = mem_zero(1, CHUNK), *sealed = mem_alloc(CHUNK + crypto_box_MACBYTES);
    double gigabytes = (double)bytes / 1e9;
    double parts[] = {seal(sealed, plain, bytes), unseal(plain, sealed, bytes), hash(plain, bytes)};
    double least = (parts[0] + parts[1] + parts[2]) / gigabytes;
    bench_print("transfer_seal_cpu", parts[0] / gigabytes, "s/GB", 0, NULL);
    bench_print("transfer_open_cpu", parts[1] / gigabytes, "s/GB", 0, NULL);
    bench_print("transfer_hash_cpu", parts[2] / gigabytes, "s/GB", 0, NULL);
    bench_print("transfer_least_cpu", least, "s/GB", least / reference,
                reference > 0 ? "processor time of scp, both ends" : NULL);
}

/* ---- the whole ---- */

static void end(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void measure(struct place *place, uint64_t bytes, int rounds)
{
    double ours[ROUNDS_MAX], theirs[ROUNDS_MAX], durable[ROUNDS_MAX], our_cpu[ROUNDS_MAX],
        their_cpu[ROUNDS_MAX];
    bool has_scp = ssh_prepare(place, bytes);
    for (int i = 0; i < rounds; i++) {
        struct digest object = make_object(place, bytes, (uint64_t)i + 1);
        if (has_scp) {
            warm(place, bytes);
            struct spent spent = copy(place, &durable[i]);
            theirs[i] = spent.wall;
            their_cpu[i] = spent.cpu;
        }
        warm(place, bytes);
        struct spent spent = transfer(place, &object);
        ours[i] = spent.wall;
        our_cpu[i] = spent.cpu;
        tidy(place);
    }
    double megabytes = (double)bytes / 1e6, rate = megabytes / bench_percentile(ours, rounds, 50);
    double cpu = 1e3 * bench_percentile(our_cpu, rounds, 50) / megabytes;
    if (!has_scp) {
        bench_print("transfer_up", rate, "MB/s", 0, NULL);
        bench_print("transfer_up_cpu", cpu, "s/GB", 0, NULL);
        measure_parts(bytes, 0);
        fprintf(stderr, "bench_transfer: no ratio: there is no sshd here, or it did not start\n");
        return;
    }
    double plain = megabytes / bench_percentile(theirs, rounds, 50);
    double synced = megabytes / bench_percentile(durable, rounds, 50);
    double scp_cpu = 1e3 * bench_percentile(their_cpu, rounds, 50) / megabytes;
    bench_print("transfer_up", rate, "MB/s", rate / plain, "scp over loopback");
    bench_print("transfer_up", rate, "MB/s", rate / synced, "scp over loopback, and sync");
    bench_print("transfer_scp", plain, "MB/s", 0, NULL);
    bench_print("transfer_up_cpu", cpu, "s/GB", cpu / scp_cpu, "processor time of scp, both ends");
    bench_print("transfer_scp_cpu", scp_cpu, "s/GB", 0, NULL);
    measure_parts(bytes, scp_cpu);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", 1, NULL, 'd'}, {"bytes", 1, NULL, 'b'}, {"rounds", 1, NULL, 'r'}, {NULL, 0, NULL, 0}};
    const char *where = "/var/tmp";
    uint64_t bytes = 1000000000, rounds = 5;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (option == 'd')
            where = optarg;
        else if (option == '?' || !view_decimal(view_text(optarg), option == 'b' ? &bytes : &rounds))
            return 2;
    if (rounds < 1 || rounds > ROUNDS_MAX || bytes < 1)
        return 2;
    CLEANUP_FREE char *template = mem_format("%s/farm-bench-transfer.XXXXXX", where);
    struct diag diag = DIAG_INIT;
    struct place place = {.directory = mkdtemp(template)};
    must(place.directory != NULL ? 0 : FARM_E_FAILED, NULL);
    CLEANUP_FREE char *path = mem_format("%s/worker", place.directory);
    must(store_open(AT_FDCWD, path, 1, &place.worker, &diag), &diag);
    must(link_keypair(place.server_open, place.server_secret, &diag), &diag);
    must(link_keypair(place.open, place.secret, &diag), &diag);
    link_tune_memory(); /* as coordinator and worker do */
    start_server(&place);
    measure(&place, bytes, (int)rounds);
    end(place.server);
    end(place.sshd);
    store_close(place.worker);
    free(place.endpoint);
    must(file_remove_tree(AT_FDCWD, place.directory, &diag), &diag);
    return 0;
}
