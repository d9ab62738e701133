/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Figure 4: what a coordinator costs with 10,000 connected workers and a plan of 100,000 jobs: its resident memory, and the
 * processor time of one event (a Hello with its handshake, a heartbeat, a job at the plan's start, a lease with its result), against
 * the same at a tenth of the size.
 *
 * Workers are real CURVE connections, and the state lies in memory where there is such a place (/dev/shm): it is processor time and
 * memory that is measured, and not the disk.
 */
#include "bench.h"
#include "bench_crowds.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    WORKERS = 10000,
    OPERATORS = 20,
    JOBS = 100000,
    RESULTS = 16000,
    QUORUM = 2,
    HEARTBEATS = 20,
    TENTH = 10
};
enum {
    SETTLE_S = 60,
    CROWD_MAX = 5000, /* workers in a process, each with two descriptors */
    DESCRIPTORS_A_WORKER = 2,
    DESCRIPTORS_MORE = 1024
};

struct scenario {
    const char *dir;
    size_t workers, jobs, results, heartbeats;
};

/* Processor time of the coordinator for one event of each kind, in microseconds; memory in MiB. */
enum { HELLO, HEARTBEAT, START, RESULT, EVENTS };
static const char *const event_names[EVENTS] = {"hello", "heartbeat", "plan_start", "result"};

struct costs {
    double us[EVENTS];
    double connected_mib, working_mib, peak_mib;
};

static double since(const struct bench_farm *farm, double *mark, size_t events)
{
    bench_farm_settle(farm, SETTLE_S);
    double before = *mark;
    *mark = bench_farm_cpu(farm);
    return 1e6 * (*mark - before) / (double)events;
}

static struct costs measure(const struct scenario *scenario)
{
    struct bench_farm_options options = {.dir = scenario->dir,
                                         .workers = scenario->workers,
                                         .operators = OPERATORS,
                                         .jobs = scenario->jobs,
                                         .quorum = QUORUM,
                                         .chained = true};
    struct bench_crowd_options crowd_options = {.slots = 1};
    struct costs costs;
    struct bench_farm *farm = bench_farm_new(&options);
    bench_farm_start(farm);
    bench_farm_settle(farm, SETTLE_S);
    size_t processes = (scenario->workers + CROWD_MAX - 1) / CROWD_MAX;
    struct bench_crowds *crowds = bench_crowds_new(farm, &crowd_options, processes);
    double mark = bench_farm_cpu(farm);
    bench_crowds_join(crowds);
    costs.us[HELLO] = since(farm, &mark, scenario->workers);
    costs.connected_mib = (double)bench_farm_resident(farm) / (1 << 20);
    bench_crowds_heartbeats(crowds, scenario->heartbeats);
    costs.us[HEARTBEAT] = since(farm, &mark, scenario->workers * scenario->heartbeats);
    bench_farm_build(farm);
    size_t waiting = scenario->workers < scenario->jobs ? scenario->workers : scenario->jobs;
    bench_crowds_until_leased(crowds, waiting);
    costs.us[START] = since(farm, &mark, scenario->jobs);
    bench_crowds_set_working(crowds, true);
    bench_crowds_until_accepted(crowds, scenario->results);
    bench_crowds_set_working(crowds, false);
    costs.us[RESULT] = since(farm, &mark, scenario->results);
    costs.working_mib = (double)bench_farm_resident(farm) / (1 << 20);
    costs.peak_mib = (double)bench_farm_resident_peak(farm) / (1 << 20);
    if (bench_crowds_others(crowds) > 0)
        fprintf(stderr, "bench_scale: %zu messages that nobody expects\n", bench_crowds_others(crowds));
    bench_crowds_free(crowds);
    bench_farm_free(farm);
    return costs;
}

static void print(const struct scenario *scenario, const struct costs *small, const struct costs *large)
{
    bench_print("scale_workers", (double)scenario->workers, "connections", 0, NULL);
    bench_print("scale_jobs", (double)scenario->jobs, "jobs", 0, NULL);
    for (size_t i = 0; i < EVENTS; i++) {
        CLEANUP_FREE char *name = mem_format("scale_%s", event_names[i]);
        bench_print(name, large->us[i], "us", large->us[i] / small->us[i], "a tenth of workers and jobs");
    }
    bench_print("scale_resident_connected", large->connected_mib, "MiB",
                large->connected_mib / small->connected_mib, "a tenth of workers and jobs");
    bench_print("scale_resident_working", large->working_mib, "MiB", large->working_mib / small->working_mib,
                "a tenth of workers and jobs");
    bench_print("scale_resident_peak", large->peak_mib, "MiB", large->peak_mib / small->peak_mib,
                "a tenth of workers and jobs");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'},        {"workers", required_argument, NULL, 'w'},
        {"jobs", required_argument, NULL, 'j'},       {"results", required_argument, NULL, 'r'},
        {"heartbeats", required_argument, NULL, 'b'}, {NULL, 0, NULL, 0}};
    struct scenario scenario = {.dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NULL,
                                .workers = WORKERS,
                                .jobs = JOBS,
                                .results = RESULTS,
                                .heartbeats = HEARTBEATS};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'd')
            scenario.dir = optarg;
        else if (option == 'w')
            scenario.workers = strtoul(optarg, NULL, 10);
        else if (option == 'j')
            scenario.jobs = strtoul(optarg, NULL, 10);
        else if (option == 'r')
            scenario.results = strtoul(optarg, NULL, 10);
        else if (option == 'b')
            scenario.heartbeats = strtoul(optarg, NULL, 10);
        else
            return FARM_EXIT_CANNOT_RUN;
    }
    struct scenario tenth = scenario;
    tenth.workers /= TENTH;
    tenth.jobs /= TENTH;
    tenth.results /= TENTH; /* as many for each worker: what its first answer costs more is on both sides */
    if (tenth.workers < OPERATORS || tenth.jobs * QUORUM < tenth.results || tenth.results < tenth.workers ||
        sodium_init() < 0) {
        fputs("bench_scale: a tenth of the workers is at least 20, and results are between workers and "
              "twice the jobs\n",
              stderr);
        return FARM_EXIT_CANNOT_RUN;
    }
    size_t crowd = scenario.workers < CROWD_MAX ? scenario.workers : CROWD_MAX;
    size_t most =
        scenario.workers > DESCRIPTORS_A_WORKER * crowd ? scenario.workers : DESCRIPTORS_A_WORKER * crowd;
    if (!bench_raise_descriptors(most + DESCRIPTORS_MORE)) { /* the coordinator has one for each worker */
        fputs("bench_scale: skipped: not allowed to open as many sockets\n", stderr);
        return 77;
    }
    struct costs small = measure(&tenth), large = measure(&scenario);
    print(&scenario, &small, &large);
    return FARM_EXIT_OK;
}
