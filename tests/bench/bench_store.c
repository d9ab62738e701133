/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bench_store [--bytes N] [--rounds N]: a staging directory becomes a payload, as at the end of every build: scanned, each file hashed,
 * the canonical tar written, hashed and compressed into the store, manifest and tar synced. Once with many files (25 KB each), once with
 * few. Against "bsdtar | zstd -1 -T2" with "openssl dgst -sha256" over the same stream, and a sync of what came out: the same durable
 * bytes, without the hash of each file. Both read a warm page cache and alternate; the median of each is printed.
 */
#include "bench.h"

#include "file.h"
#include "payload.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROUNDS_MAX = 99, MANY = 25000, FEW = 100000000 };

static void must(int result, const struct diag *diag)
{
    if (result >= 0)
        return;
    fprintf(stderr, "bench_store: %s\n", diag_text(diag, result));
    exit(1);
}

/* As compressible as programs and their data are, to about 45 %: runs of noise between runs of words. */
static void fill(char *data, size_t size, uint64_t *random)
{
    static const char words[] = "the quick brown fox 0123456789 return static const struct int size_t ";
    for (size_t at = 0; at < size;) {
        uint64_t drawn = bench_random(random);
        size_t run = 16 + (drawn >> 8) % 112;
        if (run > size - at)
            run = size - at;
        for (size_t i = 0; i < run; i++)
            data[at + i] =
                drawn % 5 < 2 ? (char)(bench_random(random) >> 24) : words[(drawn + i) % (sizeof words - 1)];
        at += run;
    }
}

static void make_files(const char *directory, uint64_t bytes, uint64_t each)
{
    struct diag diag = DIAG_INIT;
    uint64_t random = 1, count = (bytes + each - 1) / each;
    size_t size = (size_t)(each < bytes ? each : bytes);
    CLEANUP_FREE char *data = mem_alloc(size);
    for (uint64_t i = 0; i < count; i++) {
        CLEANUP_FREE char *folder = mem_format("%s/usr/share/%03d", directory, (int)(i / 200));
        CLEANUP_FREE char *path = mem_format("%s/%llu", folder, (unsigned long long)i);
        fill(data, size, &random);
        must(file_make_dirs(AT_FDCWD, folder, 0755, &diag), &diag);
        CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 || file_write_all(fd, data, size) < 0)
            must(FARM_E_FAILED, NULL);
    }
}

static double ours(const char *room, const char *files)
{
    struct diag diag = DIAG_INIT;
    struct store *store = NULL;
    struct payload payload;
    CLEANUP_FREE char *path = mem_format("%s/store", room);
    must(store_open(AT_FDCWD, path, 1, &store, &diag), &diag);
    CLEANUP_CLOSE int fd = file_open_dir(AT_FDCWD, files, &diag);
    must(fd, &diag);
    double started = bench_wall();
    must(payload_pack(store, fd, NULL, NULL, 1, &payload, &diag), &diag);
    double spent = bench_wall() - started;
    store_close(store);
    must(file_remove_tree(AT_FDCWD, path, &diag), &diag);
    return spent;
}

static double theirs(const char *room, const char *files)
{
    CLEANUP_FREE char *command = mem_format(
        "cd '%s' && bash -o pipefail -c \"bsdtar -cf - -C '%s' . | tee >(openssl dgst -sha256 >digest) | "
        "zstd -q -1 -T2 -f -o packed && sync packed && rm packed\"",
        room, files);
    double started = bench_wall();
    if (system(command) != 0) /* NOLINT(cert-env33-c): a program of figures; the shell is what it measures */
        must(FARM_E_MISSING, NULL);
    return bench_wall() - started;
}

static void measure(const char *room, const char *name, uint64_t bytes, uint64_t each, int rounds)
{
    double our[ROUNDS_MAX], their[ROUNDS_MAX];
    CLEANUP_FREE char *files = mem_format("%s/files", room);
    make_files(files, bytes, each);
    for (int i = 0; i < rounds; i++) {
        their[i] = theirs(room, files);
        our[i] = ours(room, files);
    }
    double megabytes = (double)bytes / 1e6, rate = megabytes / bench_percentile(our, rounds, 50);
    double reference = megabytes / bench_percentile(their, rounds, 50);
    CLEANUP_FREE char *figure = mem_format("pack_%s_files", name);
    bench_print(figure, rate, "MB/s", rate / reference, "bsdtar | zstd -1 -T2, openssl dgst -sha256, sync");
    must(file_remove_tree(AT_FDCWD, files, NULL), NULL);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"bytes", 1, NULL, 'b'}, {"rounds", 1, NULL, 'r'}, {NULL, 0, NULL, 0}};
    uint64_t bytes = 500000000, rounds = 5;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (option == '?' || !view_decimal(view_text(optarg), option == 'b' ? &bytes : &rounds))
            return 2;
    if (rounds < 1 || rounds > ROUNDS_MAX || bytes < 1)
        return 2;
    char template[] = "/var/tmp/farm-bench-store.XXXXXX";
    const char *room = mkdtemp(template);
    must(room != NULL ? 0 : FARM_E_FAILED, NULL);
    measure(room, "many", bytes, MANY, (int)rounds);
    measure(room, "few", bytes, FEW, (int)rounds);
    must(file_remove_tree(AT_FDCWD, room, NULL), NULL);
    return 0;
}
