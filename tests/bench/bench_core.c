/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bench_core: what an event costs the coordinator's core, and how well it orders work.
 *
 *   events    1,000 workers and 10,000 jobs, then ten times both: nanoseconds per event of each kind; the ratio is to the
 *             smaller farm in the same run (aim: at most 1.3). The smaller farm fits the processor's caches and the larger
 *             does not, which alone makes a factor of two; "_cold" empties them before each event, as a real loop's other
 *             work does, and so compares the work alone. Memory per node and per worker.
 *   makespan  the ROCm graph (FARM_SHARED_DIR/data/rocm/rocm-dag.tsv, all eight GPU families), quorum 2, on 4 to 32
 *             simulated machines of 16 cores: the ratio is to max(critical path, 2 x work / cores) (aim: 1.10). That bound
 *             cannot be reached where one component is in everybody's way (amd-llvm): while it is built, most machines
 *             have nothing to do. "_tight" is the ratio to the best bound of the form: the earliest end of a component,
 *             plus the work of all that needs it.
 *
 * JSON lines (bench.h). Without the data file the makespan is skipped, by name.
 */
#include "bench.h"
#include "core.h"
#include "map.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

static void core_random(void *context, void *ret, size_t size)
{
    for (unsigned char *at = ret; size > 0;) {
        uint64_t word = bench_random(context);
        size_t n = size < sizeof word ? size : sizeof word;
        memcpy(at, &word, n);
        at += n;
        size -= n;
    }
}

/* --- a driver: what both measurements share --- */

struct live {
    struct core_nonce nonce;
    struct digest key;
    char worker[24];
    size_t node;
};

enum { KINDS = CORE_OPERATOR_FLAG + 1 };

struct farm {
    struct core *core;
    uint64_t random;
    int64_t now_ms;
    struct digest plan;
    struct live *live;
    size_t nlive, live_capacity;
    struct core_effect *derive; /* copies of CORE_DERIVE, payloads owned */
    size_t nderive, derive_capacity;
    double spent[KINDS];
    size_t events[KINDS];
    enum plan_state state;
    uint64_t envelopes;
    void (*granted)(struct farm *farm, const struct live *live);
};

static void farm_open(struct farm *farm)
{
    struct core_config config = {
        .session_timeout_ms = INT64_MAX / 4,
        .lease_grace_ms = 60000,
        .lease_margin_ms = 600000,
        .outvoted_limit = 3,
        .refusals_limit = 3,
        .rest_ms = 60000,
        .random = core_random,
        .random_context = &farm->random,
    };
    farm->random = 1;
    farm->now_ms = 1000;
    farm->plan = digest_of(VIEW("plan"));
    farm->core = core_new(&config);
}

static void farm_close(struct farm *farm)
{
    for (size_t i = 0; i < farm->nderive; i++)
        free(farm->derive[i].payloads);
    core_free(farm->core);
    free(farm->live);
    free(farm->derive);
}

static void take(struct farm *farm, struct core_effect *effect)
{
    if (effect->type == CORE_LEASE_GRANTED) {
        farm->live = mem_reserve(farm->live, &farm->live_capacity, farm->nlive + 1, sizeof *farm->live);
        struct live *live = &farm->live[farm->nlive++];
        live->nonce = effect->lease.nonce;
        live->key = effect->lease.key;
        live->node = effect->lease.node;
        snprintf(live->worker, sizeof live->worker, "%s", effect->lease.worker);
        if (farm->granted != NULL)
            farm->granted(farm, live);
    } else if (effect->type == CORE_DERIVE) {
        farm->derive =
            mem_reserve(farm->derive, &farm->derive_capacity, farm->nderive + 1, sizeof *farm->derive);
        farm->derive[farm->nderive++] = *effect;
        effect->payloads = NULL;
    } else if (effect->type == CORE_PLAN_STATE) {
        farm->state = effect->plan_state;
    }
}

static void step(struct farm *farm, const struct core_event *event)
{
    static struct core_effects effects = CORE_EFFECTS_INIT;
    struct diag diag = DIAG_INIT;
    double start = 1e9 * bench_wall();
    int r = core_step(farm->core, farm->now_ms, event, &effects, &diag);
    farm->spent[event->type] += 1e9 * bench_wall() - start;
    farm->events[event->type]++;
    if (r < 0) {
        fprintf(stderr, "bench_core: event %d: %s\n", (int)event->type, diag_text(&diag, r));
        exit(1);
    }
    for (size_t i = 0; i < effects.count; i++)
        take(farm, &effects.items[i]);
    core_effects_clear(&effects);
}

static void key_one(struct farm *farm, size_t index)
{
    struct core_effect effect = farm->derive[index];
    farm->derive[index] = farm->derive[--farm->nderive];
    struct hasher *hasher = hasher_new();
    hasher_add(hasher, &effect.node, sizeof effect.node);
    hasher_add(hasher, effect.payloads, effect.npayloads * sizeof *effect.payloads);
    struct core_event event = {
        .type = CORE_NODE_KEYED, .plan = farm->plan, .node = effect.node, .key = hasher_finish(hasher)};
    hasher_free(hasher);
    free(effect.payloads);
    step(farm, &event);
}

static void key_all(struct farm *farm)
{
    while (farm->nderive > 0)
        key_one(farm, farm->nderive - 1);
}

static void answer(struct farm *farm, size_t index)
{
    struct live live = farm->live[index];
    farm->live[index] = farm->live[--farm->nlive];
    struct core_event event = {.type = CORE_ANSWER, .name = live.worker};
    event.answer.nonce = live.nonce;
    event.answer.payload = live.key; /* everybody agrees */
    farm->envelopes++;
    event.answer.envelope = digest_of(view_of(&farm->envelopes, sizeof farm->envelopes));
    step(farm, &event);
}

static void admit(struct farm *farm, const char *name, const char *operator_name, bool anchor,
                  struct core_capacity capacity)
{
    struct core_event event = {
        .type = CORE_WORKER_ADMITTED,
        .worker = {.name = name, .operator_name = operator_name, .anchor = anchor, .cpu_vendor = "amd"},
    };
    step(farm, &event);
    event = (struct core_event){.type = CORE_WORKER_ONLINE, .name = name, .capacity = capacity};
    step(farm, &event);
}

/* --- the cost of events --- */

struct cost {
    double heard, online, keyed, busy_answer, idle_answer, cold_answer, node_bytes, worker_bytes;
};

/* Chains of eight with a cross edge: wide enough to keep every machine busy, and everything has dependents. */
static void start_chains(struct farm *farm, size_t jobs)
{
    struct core_node *nodes = mem_zero(jobs, sizeof *nodes);
    size_t(*edges)[2] = mem_zero(jobs, sizeof *edges);
    char(*ids)[40] = mem_zero(jobs, sizeof *ids);
    size_t width = jobs / 8;
    for (size_t i = 0; i < jobs; i++) {
        snprintf(ids[i], sizeof ids[i], "tier/package-%zu", i);
        nodes[i].id = ids[i];
        nodes[i].rules = (struct rules){.quorum = 2, .anchors = 1, .max_attempts = 3};
        nodes[i].needs = (struct core_needs){.cores = 1 + (uint32_t)i % 4,
                                             .memory_bytes = (uint64_t)(1 + i % 2) << 30,
                                             .wall_seconds = 3600,
                                             .estimate_seconds = (uint32_t)(i * 7919 % 1000)};
        if (i < width)
            continue;
        edges[i][0] = i - width;
        edges[i][1] = i - width > 0 ? i - width - 1 : 1;
        nodes[i].dependencies = nodes[i].closure = edges[i];
        nodes[i].ndependencies = nodes[i].nclosure = 2;
    }
    struct core_event event = {.type = CORE_PLAN_START, .plan = farm->plan, .nodes = nodes, .nnodes = jobs};
    step(farm, &event);
    free(nodes);
    free(edges);
    free(ids);
}

static void admit_many(struct farm *farm, size_t workers)
{
    char name[24], operator_name[24];
    for (size_t i = 0; i < workers; i++) {
        snprintf(name, sizeof name, "w%zu", i);
        snprintf(operator_name, sizeof operator_name, "op%zu", i / 10);
        admit(farm, name, operator_name, i / 10 % 2 == 0,
              (struct core_capacity){.slots = 1, .cores = 8, .memory_bytes = (uint64_t)16 << 30});
    }
}

static double mean(const struct farm *farm, enum core_event_type type)
{
    return farm->spent[type] / (double)farm->events[type];
}

static void forget(struct farm *farm)
{
    memset(farm->spent, 0, sizeof farm->spent);
    memset(farm->events, 0, sizeof farm->events);
}

static void hear(struct farm *farm, size_t workers, size_t times)
{
    char name[24];
    for (size_t i = 0; i < times; i++) {
        snprintf(name, sizeof name, "w%zu", (size_t)(bench_random(&farm->random) % workers));
        struct core_event event = {.type = CORE_WORKER_HEARD, .name = name};
        step(farm, &event);
    }
}

/* Answers in random order, keys at once; each event timed under its own kind. */
static void work(struct farm *farm, size_t answers)
{
    for (size_t i = 0; i < answers && farm->nlive > 0; i++) {
        farm->now_ms++;
        answer(farm, bench_random(&farm->random) % farm->nlive);
        key_all(farm);
    }
}

/* More than any cache of the machines at hand: between two events a loop verifies, writes and sends. */
enum { EVICT_BYTES = 64 << 20, COLD_ANSWERS = 200 };

static void evict(void)
{
    static unsigned char *other;
    static unsigned int sum;
    if (other == NULL)
        other = mem_zero(1, EVICT_BYTES);
    for (size_t i = 0; i < EVICT_BYTES; i += 64)
        sum += other[i]++;
}

static void work_cold(struct farm *farm)
{
    for (size_t i = 0; i < COLD_ANSWERS && farm->nlive > 0; i++) {
        farm->now_ms++;
        evict();
        answer(farm, bench_random(&farm->random) % farm->nlive);
        key_all(farm);
    }
}

static double heap_bytes(void)
{
    return (double)mallinfo2().uordblks + (double)mallinfo2().hblkhd;
}

static struct cost measure(size_t workers, size_t jobs, size_t answers)
{
    struct farm farm = {0};
    struct cost cost;
    farm_open(&farm);
    double before = heap_bytes();
    admit_many(&farm, workers);
    cost.worker_bytes = (heap_bytes() - before) / (double)workers;
    cost.online = mean(&farm, CORE_WORKER_ONLINE);
    before = heap_bytes();
    start_chains(&farm, jobs);
    double derivations = (double)farm.derive_capacity * sizeof *farm.derive;
    key_all(&farm);
    /* All leaves are keyed and leases are out; the driver's own list of derivations is not the core's. */
    double leases = (double)farm.live_capacity * sizeof *farm.live;
    cost.node_bytes = (heap_bytes() - before - derivations - leases) / (double)jobs;
    forget(&farm);
    work(&farm, answers);
    cost.busy_answer = mean(&farm, CORE_ANSWER);
    cost.keyed = mean(&farm, CORE_NODE_KEYED);
    forget(&farm);
    work_cold(&farm);
    cost.cold_answer = mean(&farm, CORE_ANSWER);
    hear(&farm, workers, answers);
    cost.heard = mean(&farm, CORE_WORKER_HEARD);
    while (farm.nlive > workers / 4) /* to the end of the plan: more workers than jobs */
        work(&farm, 1);
    forget(&farm);
    work(&farm, workers / 8);
    cost.idle_answer = mean(&farm, CORE_ANSWER);
    farm_close(&farm);
    return cost;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* The least of three runs: the machine is shared, and noise only ever adds. */
static struct cost measure_best(size_t workers, size_t jobs, size_t answers)
{
    struct cost best = measure(workers, jobs, answers);
    for (int i = 0; i < 2; i++) {
        struct cost again = measure(workers, jobs, answers);
        best.heard = least(best.heard, again.heard);
        best.online = least(best.online, again.online);
        best.keyed = least(best.keyed, again.keyed);
        best.busy_answer = least(best.busy_answer, again.busy_answer);
        best.cold_answer = least(best.cold_answer, again.cold_answer);
        best.idle_answer = least(best.idle_answer, again.idle_answer);
    }
    return best;
}

static void bench_events(void)
{
    struct cost small = measure_best(1000, 10000, 4000), large = measure_best(10000, 100000, 40000);
    bench_print("core_event_heard", large.heard, "ns", large.heard / small.heard,
                "a tenth of workers and jobs");
    bench_print("core_event_online", large.online, "ns", large.online / small.online,
                "a tenth of workers and jobs");
    bench_print("core_event_keyed", large.keyed, "ns", large.keyed / small.keyed,
                "a tenth of workers and jobs");
    bench_print("core_event_answer_saturated", large.busy_answer, "ns", large.busy_answer / small.busy_answer,
                "a tenth of workers and jobs");
    bench_print("core_event_answer_saturated_cold", large.cold_answer, "ns",
                large.cold_answer / small.cold_answer, "a tenth of workers and jobs");
    bench_print("core_event_answer_idle", large.idle_answer, "ns", large.idle_answer / small.idle_answer,
                "a tenth of workers and jobs");
    bench_print("core_node_memory", large.node_bytes, "bytes", large.node_bytes / small.node_bytes,
                "a tenth of workers and jobs");
    bench_print("core_worker_memory", large.worker_bytes, "bytes", large.worker_bytes / small.worker_bytes,
                "a tenth of workers and jobs");
}

/* --- the makespan of the ROCm graph --- */

enum { ROWS_MAX = 128, FAMILIES = 8, MACHINE_CORES = 16 };

struct row {
    char name[40], needs[12][40];
    size_t nneeds;
    bool per_family;
    double cpu_hours;
    uint32_t cores;
};
struct graph {
    struct core_node *nodes;
    char (*ids)[64];
    size_t (*edges)[24];
    uint64_t *seconds;
    size_t n;
};

static size_t read_rows(const char *path, struct row *rows)
{
    char line[1024], scope, needs[512];
    size_t n = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL && n < ROWS_MAX) {
        struct row *row = &rows[n];
        char hours[32];
        if (sscanf(line, "%39s %511s %c %31s %u", row->name, needs, &scope, hours, &row->cores) != 5 ||
            strcmp(row->name, "comp") == 0)
            continue;
        row->per_family = scope == 'A';
        row->cpu_hours = strtod(hours, NULL);
        row->nneeds = 0;
        char *rest = NULL;
        for (char *need = strtok_r(needs, ",", &rest); need != NULL; need = strtok_r(NULL, ",", &rest))
            if (strcmp(need, "-") != 0)
                snprintf(row->needs[row->nneeds++], sizeof row->needs[0], "%s", need);
        n++;
    }
    fclose(file);
    return n;
}

static void add_edge(struct graph *graph, const char *name, int family)
{
    char id[64];
    struct core_node *node = &graph->nodes[graph->n];
    snprintf(id, sizeof id, "rocm/%s-%d", name, family);
    for (size_t i = 0; i < graph->n; i++)
        if (strcmp(graph->ids[i], id) == 0)
            graph->edges[graph->n][node->ndependencies++] = i;
}

static void add_node(struct graph *graph, const struct row *row, int family, double multiplier)
{
    struct core_node *node = &graph->nodes[graph->n];
    snprintf(graph->ids[graph->n], sizeof graph->ids[0], "rocm/%.39s-%d", row->name, family);
    for (size_t k = 0; k < row->nneeds; k++) {
        add_edge(graph, row->needs[k], 0);
        for (int f = 1; f <= FAMILIES; f++) /* an overall component needs every family's */
            if (f == family || (family == 0 && row->needs[k][0] != '\0'))
                add_edge(graph, row->needs[k], f);
    }
    for (size_t k = 0; k < 3 && row->per_family; k++)
        add_edge(graph, (const char *const[]){"amd-llvm", "hip-clr", "rocm-cmake"}[k], 0);
    uint32_t cores = row->cores < MACHINE_CORES ? row->cores : MACHINE_CORES;
    uint64_t seconds = (uint64_t)(row->cpu_hours * multiplier * 3600 / cores) + 1;
    node->id = graph->ids[graph->n];
    node->dependencies = node->closure = graph->edges[graph->n];
    node->nclosure = node->ndependencies;
    node->rules = (struct rules){.quorum = 2, .max_attempts = 3};
    node->needs =
        (struct core_needs){.cores = cores, .wall_seconds = 86400 * 7, .estimate_seconds = (uint32_t)seconds};
    graph->seconds[graph->n++] = seconds;
}

static struct graph make_graph(const struct row *rows, size_t nrows)
{
    static const double multipliers[FAMILIES] = {1.0, 0.8, 0.7, 0.3, 0.25, 0.2, 0.15, 0.12};
    size_t most = nrows * (FAMILIES + 1);
    struct graph graph = {.nodes = mem_zero(most, sizeof *graph.nodes),
                          .ids = mem_zero(most, sizeof *graph.ids),
                          .edges = mem_zero(most, sizeof *graph.edges),
                          .seconds = mem_zero(most, sizeof *graph.seconds)};
    for (size_t i = 0; i < nrows; i++)
        for (int f = rows[i].per_family ? 1 : 0; f <= (rows[i].per_family ? FAMILIES : 0); f++)
            add_node(&graph, &rows[i], f, f > 0 ? multipliers[f - 1] : 1);
    return graph;
}

static double lower_bound(const struct graph *graph, size_t workers)
{
    CLEANUP_FREE double *end = mem_zero(graph->n, sizeof *end);
    double longest = 0, work_done = 0;
    for (size_t i = 0; i < graph->n; i++) {
        for (size_t k = 0; k < graph->nodes[i].ndependencies; k++)
            end[i] = end[i] > end[graph->edges[i][k]] ? end[i] : end[graph->edges[i][k]];
        end[i] += (double)graph->seconds[i];
        longest = longest > end[i] ? longest : end[i];
        work_done += 2 * (double)graph->seconds[i] * graph->nodes[i].needs.cores;
    }
    double shared = work_done / (double)(workers * MACHINE_CORES);
    return longest > shared ? longest : shared;
}

/* For each component: it cannot end before its longest way, and what needs it is all still to be done. */
static double tight_bound(const struct graph *graph, size_t workers)
{
    CLEANUP_FREE double *end = mem_zero(graph->n, sizeof *end);
    CLEANUP_FREE bool *above = mem_zero(graph->n, sizeof *above);
    double best = lower_bound(graph, workers);
    for (size_t i = 0; i < graph->n; i++) {
        for (size_t k = 0; k < graph->nodes[i].ndependencies; k++)
            end[i] = end[i] > end[graph->edges[i][k]] ? end[i] : end[graph->edges[i][k]];
        end[i] += (double)graph->seconds[i];
        memset(above, 0, graph->n);
        above[i] = true;
        double work_above = 0;
        for (size_t j = i + 1; j < graph->n; j++) {
            for (size_t k = 0; k < graph->nodes[j].ndependencies; k++)
                above[j] |= above[graph->edges[j][k]];
            if (above[j])
                work_above += 2 * (double)graph->seconds[j] * graph->nodes[j].needs.cores;
        }
        double bound = end[i] + work_above / (double)(workers * MACHINE_CORES);
        best = bound > best ? bound : best;
    }
    return best;
}

/* Ends of running leases, by nonce; few at a time. */
struct end {
    struct core_nonce nonce;
    int64_t at_ms;
};
static struct end ends[4096];
static size_t nends;
static const struct graph *running;

static void note_end(struct farm *farm, const struct live *live)
{
    ends[nends].nonce = live->nonce;
    ends[nends++].at_ms = farm->now_ms + (int64_t)running->seconds[live->node] * 1000;
}

static void finish_next(struct farm *farm)
{
    size_t first = 0, index = 0;
    for (size_t i = 1; i < nends; i++)
        if (ends[i].at_ms < ends[first].at_ms)
            first = i;
    struct end end = ends[first];
    ends[first] = ends[--nends];
    farm->now_ms = end.at_ms > farm->now_ms ? end.at_ms : farm->now_ms;
    while (memcmp(&farm->live[index].nonce, &end.nonce, sizeof end.nonce) != 0)
        index++;
    answer(farm, index);
    key_all(farm);
}

static double makespan(const struct graph *graph, size_t workers)
{
    struct farm farm = {.granted = note_end};
    char name[24];
    running = graph;
    nends = 0;
    farm_open(&farm);
    for (size_t i = 0; i < workers; i++) {
        snprintf(name, sizeof name, "w%zu", i);
        admit(&farm, name, name, false,
              (struct core_capacity){.slots = MACHINE_CORES, .cores = MACHINE_CORES});
    }
    int64_t start = farm.now_ms;
    struct core_event event = {
        .type = CORE_PLAN_START, .plan = farm.plan, .nodes = graph->nodes, .nnodes = graph->n};
    step(&farm, &event);
    key_all(&farm);
    while (nends > 0)
        finish_next(&farm);
    double seconds = (double)(farm.now_ms - start) / 1000;
    if (farm.state != PLAN_DONE) {
        fprintf(stderr, "bench_core: the plan ended %s\n", plan_state_name(farm.state));
        exit(1);
    }
    farm_close(&farm);
    return seconds;
}

static void bench_makespan(void)
{
    static struct row rows[ROWS_MAX];
    static const size_t workers[] = {4, 8, 16, 32};
    char name[64];
    size_t n = read_rows(FARM_SHARED_DIR "/data/rocm/rocm-dag.tsv", rows);
    if (n == 0) {
        printf("{\"name\": \"core_makespan_rocm\", \"skipped\": \"no " FARM_SHARED_DIR
               "/data/rocm/rocm-dag.tsv\"}\n");
        return;
    }
    struct graph graph = make_graph(rows, n);
    for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
        double seconds = makespan(&graph, workers[i]);
        snprintf(name, sizeof name, "core_makespan_rocm_%zu_workers", workers[i]);
        bench_print(name, seconds / 3600, "h", seconds / lower_bound(&graph, workers[i]),
                    "max(critical path, 2 x work / cores)");
        snprintf(name, sizeof name, "core_makespan_rocm_%zu_workers_tight", workers[i]);
        bench_print(name, seconds / 3600, "h", seconds / tight_bound(&graph, workers[i]),
                    "the best bound of that form");
    }
    free(graph.nodes);
    free(graph.ids);
    free(graph.edges);
    free(graph.seconds);
}

int main(void)
{
    bench_makespan();
    bench_events();
    return 0;
}
