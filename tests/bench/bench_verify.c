/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bench_verify: what farm-verify's library costs, against unpacking and hashing the same archives with other tools.
 *
 *   A release is made first, valid in everything: --packages packages of --bytes bytes together (unpacked, cut from this machine's
 *   libraries, so that they compress as libraries do), eight layers of them, each built with one or two packages of the layer below; two signed
 *   statements for each, receipts with the evidence of every closure, a log with every lease and answer, cosignatures, summaries.
 *   verify      seconds of verify_release() on all cores, in a process of its own; the ratio is to
 *   reference   "gzip -dc FILE... | openssl dgst -sha256", as many at once as there are cores, a few files at a time (so that starting
 *               processes is not what is measured). Both read files that are in the page cache; the better of two runs each.
 *   _cpu        the same in processor time, which says more on a machine that is busy with other things
 *   memory      the verifying process's peak, MiB
 *
 *     bench_verify [--packages N] [--bytes N] [--at DIR] [--jobs N]
 *
 * --at keeps the release in DIR and takes it from there the next time. JSON lines (bench.h).
 */
#include "release_fixture.h"

#include "bench.h"
#include "file.h"

#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUNS = 2, FILES_AT_ONCE = 10 };
#define CORPUS_MAX ((size_t)256 << 20)

struct arguments {
    size_t packages;
    uint64_t bytes;
    unsigned int jobs;
    const char *at;
    const char *verify; /* internal: only verify what lies in this directory */
};

static int fail(const char *what)
{
    fprintf(stderr, "bench_verify: %s\n", what);
    return 2;
}

/* --- what files are cut from --- */

static struct buf corpus; /* nftw() has no context */

static int take_file(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)where;
    if (type == FTW_F && S_ISREG(status->st_mode) && status->st_size > 4096 &&
        corpus.size + (size_t)status->st_size <= CORPUS_MAX)
        (void)!file_read(AT_FDCWD, path, CORPUS_MAX, &corpus, NULL); /* what cannot be read is not needed */
    return 0;
}

static void load_corpus(void)
{
    static const char *const places[] = {"/usr/lib/x86_64-linux-gnu", "/usr/lib", "/usr/bin"};
    enum { DESCRIPTORS = 16, ENOUGH = 64 << 20 };
    for (size_t i = 0; i < ARRAY_SIZE(places) && corpus.size < ENOUGH; i++)
        nftw(places[i], take_file, DESCRIPTORS, FTW_PHYS);
    while (corpus.size < ENOUGH) /* a bare machine: words */
        buf_add_format(&corpus, "%zx symbol_%zu ", corpus.size * 2654435761u, corpus.size % 1009);
}

/* --- the release --- */

static bool is_made(const char *directory)
{
    CLEANUP_FREE char *done = mem_format("%s/made", directory);
    return access(done, F_OK) == 0;
}

static void make(const struct arguments *arguments, const char *directory)
{
    double started = bench_wall();
    load_corpus();
    struct release_fixture *fixture =
        release_fixture_make(&(struct fixture_shape){.directory = directory,
                                                     .packages = arguments->packages,
                                                     .bytes = arguments->bytes,
                                                     .corpus = buf_view(&corpus)});
    release_fixture_write(fixture);
    release_fixture_free(fixture);
    buf_done(&corpus);
    CLEANUP_FREE char *done = mem_format("%s/made", directory);
    (void)!file_write(AT_FDCWD, done, VIEW(""), 0644, NULL);
    fprintf(stderr, "made in %.0f s\n", bench_wall() - started);
}

/* --- what is measured --- */

static int verify(const struct arguments *arguments)
{
    CLEANUP_FREE char *trust = mem_format("%s/trust.json", arguments->verify);
    CLEANUP_FREE char *release = mem_format("%s/release", arguments->verify);
    CLEANUP_CLOSE int dirfd = file_open_dir(AT_FDCWD, release, NULL);
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    struct diag diag = DIAG_INIT;
    struct verify_options options = {
        .dirfd = dirfd, .trust = trust, .now_ms = FIXTURE_NOW + 3600 * 1000, .threads = arguments->jobs};
    if (verify_release(&options, &result, &diag) == 0)
        return 0;
    problems_print(&result.problems, stderr);
    return fail(diag.text);
}

struct cost {
    double wall, cpu; /* seconds; of all processes together */
    long kib;         /* peak of the largest */
};

static double seconds(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static struct cost run(char *const *command)
{
    double started = bench_wall();
    pid_t child = fork();
    if (child == 0) {
        execvp(command[0], command);
        _exit(127);
    }
    int status = 0;
    struct rusage usage = {0};
    if (child < 0 || wait4(child, &status, 0, &usage) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        exit(fail("a measured command failed"));
    return (struct cost){bench_wall() - started, seconds(&usage.ru_utime) + seconds(&usage.ru_stime),
                         usage.ru_maxrss};
}

static struct cost run_verify(const struct arguments *arguments, const char *directory)
{
    CLEANUP_FREE char *jobs = mem_format("%u", arguments->jobs);
    char *const command[] = {
        (char *)"/proc/self/exe", (char *)"--verify", (char *)directory, (char *)"--jobs", jobs, NULL};
    return run(command);
}

static struct cost run_reference(const char *directory)
{
    CLEANUP_FREE char *script =
        mem_format("set -e; cd '%s/release/artifacts'; ls | xargs -P \"$(nproc)\" -n %d sh -c "
                   "'gzip -dc \"$@\" | openssl dgst -sha256 >/dev/null' sh",
                   directory, FILES_AT_ONCE);
    char *const command[] = {(char *)"sh", (char *)"-c", script, NULL};
    return run(command);
}

static struct cost least(struct cost a, struct cost b)
{
    return (struct cost){a.wall < b.wall ? a.wall : b.wall, a.cpu < b.cpu ? a.cpu : b.cpu,
                         a.kib > b.kib ? a.kib : b.kib};
}

static uint64_t size_below(const char *directory, const char *name)
{
    CLEANUP_FREE char *path = mem_format("%s/release/%s", directory, name);
    CLEANUP_FREE char *script = mem_format("find '%s' -type f -printf '%%s\\n'", path);
    FILE *pipe = popen(script, "r");
    unsigned long long size, sum = 0;
    while (pipe != NULL && fscanf(pipe, "%llu", &size) == 1)
        sum += size;
    if (pipe != NULL)
        pclose(pipe);
    return sum;
}

static void measure(const struct arguments *arguments, const char *directory)
{
    struct cost reference = run_reference(directory), verified = run_verify(arguments, directory);
    for (int i = 1; i < RUNS; i++) {
        reference = least(reference, run_reference(directory));
        verified = least(verified, run_verify(arguments, directory));
    }
    bench_print("verify_archives", (double)size_below(directory, "artifacts") / 1e6, "MB", 0, NULL);
    bench_print("verify_receipts", (double)size_below(directory, "receipts") / 1e6, "MB", 0, NULL);
    bench_print("verify_log", (double)size_below(directory, "log") / 1e6, "MB", 0, NULL);
    bench_print("verify_reference", reference.wall, "s", 0, NULL);
    bench_print("verify", verified.wall, "s", verified.wall / reference.wall,
                "gzip -dc and openssl dgst on all cores");
    bench_print("verify_reference_cpu", reference.cpu, "s", 0, NULL);
    bench_print("verify_cpu", verified.cpu, "s", verified.cpu / reference.cpu, "gzip -dc and openssl dgst");
    bench_print("verify_memory", (double)verified.kib / 1024, "MiB", 0, NULL);
}

/* --- */

static int parse(int argc, char **argv, struct arguments *ret)
{
    static const struct option options[] = {
        {"packages", required_argument, NULL, 'p'}, {"bytes", required_argument, NULL, 'b'},
        {"at", required_argument, NULL, 'a'},       {"jobs", required_argument, NULL, 'j'},
        {"verify", required_argument, NULL, 'v'},   {0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'p')
            ret->packages = strtoull(optarg, NULL, 10);
        else if (option == 'b')
            ret->bytes = strtoull(optarg, NULL, 10);
        else if (option == 'j')
            ret->jobs = (unsigned int)strtoul(optarg, NULL, 10);
        else if (option == 'a')
            ret->at = optarg;
        else if (option == 'v')
            ret->verify = optarg;
        else
            return fail("bench_verify [--packages N] [--bytes N] [--at DIR] [--jobs N]");
    }
    return ret->packages > 0 ? 0 : fail("--packages: at least 1");
}

int main(int argc, char **argv)
{
    /* Unpacked; the archives then have some 2 GB. */
    struct arguments arguments = {.packages = 1000, .bytes = UINT64_C(6000000000)};
    int status = parse(argc, argv, &arguments);
    if (status != 0)
        return status;
    if (arguments.verify != NULL)
        return verify(&arguments);
    const char *temporary = getenv("TMPDIR");
    CLEANUP_FREE char *directory =
        arguments.at != NULL
            ? mem_string(arguments.at)
            : mem_format("%s/farm-bench-verify.XXXXXX", temporary != NULL ? temporary : "/var/tmp");
    if (arguments.at == NULL && mkdtemp(directory) == NULL)
        return fail("no temporary directory");
    if (!is_made(directory))
        make(&arguments, directory);
    measure(&arguments, directory);
    if (arguments.at == NULL)
        (void)!file_remove_tree(AT_FDCWD, directory, NULL);
    return 0;
}
