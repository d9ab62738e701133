/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Figure 1: signed results that a coordinator accepts in a second: verified, durable, logged, with verdicts; 100 simulated workers
 * over CURVE on loopback, statements of 2 KB, quorum 2. The outputs are in the farm already; then, at quorum 1, with three
 * new objects for each result, which are sent first.
 *
 * References, in the same run: Ed25519 verifications of messages of 2 KB on one processor, and files that are created durably one
 * after the other in the same file system. The verifications are measured before the results and after them, since the processor's
 * clock changes with what the machine did just now; the figure is of both together.
 */
#include "bench.h"
#include "bench_crowd.h"
#include "file.h"

#include <fcntl.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORKERS = 100, OPERATORS = 20, SLOTS = 4, RESULTS = 20000, UPLOADS = 2000, STATEMENT_BYTES = 2048 };

struct scenario {
    const char *dir;
    size_t workers, results, uploads;
    uint32_t slots;
};

/* ---- references ---- */

enum { VERIFICATIONS = 5000 }; /* each time */

/* Processor time: what others do on the machine does not make it slower. */
static double verifications_s(void)
{
    unsigned char message[STATEMENT_BYTES] = {0}, signature[crypto_sign_BYTES];
    unsigned char public_key[crypto_sign_PUBLICKEYBYTES], secret_key[crypto_sign_SECRETKEYBYTES];
    crypto_sign_keypair(public_key, secret_key);
    crypto_sign_detached(signature, NULL, message, sizeof message, secret_key);
    double start = bench_cpu();
    for (int i = 0; i < VERIFICATIONS; i++)
        if (crypto_sign_verify_detached(signature, message, sizeof message, public_key) < 0)
            abort();
    return bench_cpu() - start;
}

/* They stay until the end: an ext4 without a journal walks past each inode that was freed in the last minutes. */
static double durable_files_per_s(const struct bench_farm *farm)
{
    enum { COUNT = 300 };
    static const char content[1024];
    struct diag diag = DIAG_INIT;
    bench_must(file_make_dirs(farm->dirfd, "files", 0755, &diag), &diag);
    double start = bench_wall();
    for (int i = 0; i < COUNT; i++) {
        CLEANUP_FREE char *path = mem_format("files/%d", i);
        bench_must(file_create(farm->dirfd, path, view_of(content, sizeof content), 0444, &diag), &diag);
    }
    return COUNT / (bench_wall() - start);
}

/* ---- one run ---- */

struct run {
    double wall_s, coordinator_s, generator_s; /* of 'results' */
    size_t results, others;
    double p50_ms, p99_ms;
    uint64_t statement_bytes;
    double verifications, files; /* references, beside it */
};

/* *ret_farm has ended; freeing it removes its files. */
static struct run run(const struct scenario *scenario, size_t results, bool uploads,
                      struct bench_farm **ret_farm)
{
    uint32_t quorum = uploads ? 1 : 2;
    struct bench_farm_options options = {.dir = scenario->dir,
                                         .workers = scenario->workers,
                                         .operators = OPERATORS,
                                         .jobs = results / quorum,
                                         .quorum = quorum,
                                         .uploads = uploads};
    struct bench_crowd_options crowd_options = {.slots = scenario->slots, .statement_bytes = STATEMENT_BYTES};
    struct bench_farm *farm = bench_farm_new(&options);
    struct run ret = {.results = options.jobs * quorum};
    double verifications = 0;
    ret.files = durable_files_per_s(farm);
    bench_farm_start(farm);
    struct bench_crowd *crowd = bench_crowd_new(farm, &crowd_options);
    size_t places = scenario->workers * scenario->slots,
           waiting = places < ret.results ? places : ret.results;
    bench_crowd_join(crowd, scenario->workers);
    bench_farm_build(farm);
    bench_crowd_until_leased(crowd, waiting);
    bench_farm_settle(farm, 10);
    verifications += verifications_s();
    double start = bench_wall(), coordinator = bench_farm_cpu(farm), generator = bench_cpu();
    bench_crowd_set_working(crowd, true);
    bench_crowd_until_accepted(crowd, ret.results);
    ret.wall_s = bench_wall() - start;
    ret.coordinator_s = bench_farm_cpu(farm) - coordinator;
    ret.generator_s = bench_cpu() - generator;
    verifications += verifications_s();
    ret.verifications = 2 * VERIFICATIONS / verifications;
    struct bench_crowd_counts counts = bench_crowd_counts(crowd);
    CLEANUP_FREE double *latencies = mem_alloc(counts.nlatencies * sizeof *latencies);
    memcpy(latencies, counts.latencies, counts.nlatencies * sizeof *latencies);
    ret.p50_ms = 1e3 * bench_percentile(latencies, (int)counts.nlatencies, 50);
    ret.p99_ms = 1e3 * bench_percentile(latencies, (int)counts.nlatencies, 99);
    ret.others = counts.others;
    ret.statement_bytes = counts.statement_bytes;
    bench_crowd_free(crowd);
    bench_farm_stop(farm);
    *ret_farm = farm;
    return ret;
}

static void print_costs(const char *prefix, const struct run *run)
{
    const char *reference = "one Ed25519 verification";
    double per_result = 1e6 / (double)run->results, verify_us = 1e6 / run->verifications;
    CLEANUP_FREE char *coordinator = mem_format("%s_coordinator_cpu", prefix);
    CLEANUP_FREE char *generator = mem_format("%s_generator_cpu", prefix);
    CLEANUP_FREE char *p50 = mem_format("%s_ack_p50", prefix), *p99 = mem_format("%s_ack_p99", prefix);
    bench_print(coordinator, run->coordinator_s * per_result, "us/result",
                run->coordinator_s * per_result / verify_us, reference);
    bench_print(generator, run->generator_s * per_result, "us/result",
                run->generator_s * per_result / verify_us, reference);
    bench_print(p50, run->p50_ms, "ms", 0, NULL);
    bench_print(p99, run->p99_ms, "ms", 0, NULL);
    if (run->others > 0)
        fprintf(stderr, "bench_results: %zu messages that nobody expects\n", run->others);
}

static void report_here(const struct scenario *scenario, struct bench_farm **ret_farm)
{
    struct run here = run(scenario, scenario->results, false, ret_farm);
    double rate = (double)here.results / here.wall_s;
    bench_print("results_reference_verify", here.verifications, "1/s", 0, NULL);
    bench_print("results_reference_files", here.files, "1/s", 0, NULL);
    bench_print("results_statement", (double)here.statement_bytes, "bytes", 0, NULL);
    bench_print("results_accepted", rate, "1/s", rate / here.verifications,
                "Ed25519 verifications on one processor");
    print_costs("results", &here);
}

static void report_sent(const struct scenario *scenario, struct bench_farm **ret_farm)
{
    struct run sent = run(scenario, scenario->uploads, true, ret_farm);
    double rate = (double)sent.results / sent.wall_s;
    bench_print("results_sent_accepted", rate, "1/s", BENCH_OBJECTS * rate / sent.files,
                "objects against durable files created one after the other");
    print_costs("results_sent", &sent);
}

static void measure(const struct scenario *scenario)
{
    struct bench_farm *first, *second;
    report_here(scenario, &first);
    if (scenario->uploads > 0) {
        report_sent(scenario, &second);
        bench_farm_free(second);
    }
    bench_farm_free(first);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'},     {"workers", required_argument, NULL, 'w'},
        {"slots", required_argument, NULL, 's'},   {"results", required_argument, NULL, 'r'},
        {"uploads", required_argument, NULL, 'u'}, {NULL, 0, NULL, 0}};
    struct scenario scenario = {.workers = WORKERS, .results = RESULTS, .uploads = UPLOADS, .slots = SLOTS};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'd')
            scenario.dir = optarg;
        else if (option == 'w')
            scenario.workers = strtoul(optarg, NULL, 10);
        else if (option == 's')
            scenario.slots = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 'r')
            scenario.results = strtoul(optarg, NULL, 10);
        else if (option == 'u')
            scenario.uploads = strtoul(optarg, NULL, 10);
        else
            return FARM_EXIT_CANNOT_RUN;
    }
    if (scenario.workers < OPERATORS || scenario.results < 2 || sodium_init() < 0 ||
        !bench_raise_descriptors(4096))
        return FARM_EXIT_CANNOT_RUN;
    measure(&scenario);
    return FARM_EXIT_OK;
}
