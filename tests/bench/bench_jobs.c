/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The plain loop that bench_jobs.sh measures the farm against: the same overlay, the same bubblewrap with the same options,
 * the same shell with the same commands, and nothing else. No spec, no lease, no process 1 of ours, no watchdog, no log pipe,
 * no hash, no signature, no fsync; what a run leaves is removed after the clock has stopped.
 *
 *   bench_jobs loop --state DIR --base LAYER --recipe RECIPE --name NAME --runs N --parallel P --shells one|each
 *       prints runs per second, and milliseconds of processor time for a run. LAYER and RECIPE are below DIR, a worker's state directory.
 *       one: one shell runs all phases; each: a shell for each phase, as the build contract has it.
 *   bench_jobs start PLAN
 *       asks the coordinator at $FARM_SOCKET to build the plan, and prints the moment just before: seconds since 1970. It ends when the
 *       build has begun or will not: the program that waits for the build's end is not to start while the farm does.
 *   bench_jobs print NAME VALUE UNIT [RATIO REFERENCE]
 *       prints one figure.
 *   bench_jobs spread NAME UNIT <NUMBERS
 *       prints median, 99th percentile and largest of the numbers on standard input as three figures.
 */
#include "bench.h"

#include "build.h"
#include "cli.h"
#include "file.h"
#include "filter.h"
#include "job.h"
#include "json.h"
#include "mask.h"
#include "ops.h"
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SCRATCH "builds/bench-loop"

enum { MIB = 1 << 20, FD_SECCOMP = 5 };

struct loop {
    const char *state, *base, *recipe, *name;
    int runs, parallel;
    bool each;
    int state_fd;
};

static void die(const char *what, const struct diag *diag)
{
    fprintf(stderr, "bench_jobs: %s: %s\n", what, diag != NULL ? diag->text : strerror(errno));
    exit(FARM_EXIT_CANNOT_RUN);
}

/* ---- one run ---- */

/* What a worker lays out for a lease without sources. */
static void make_directories(const struct loop *loop, const char *dir)
{
    static const char *const below[] = {"", "/work", "/work/src", "/sources", "/root"};
    for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
        CLEANUP_FREE char *path = mem_format("%s%s", dir, below[i]);
        if (mkdirat(loop->state_fd, path, 0755) < 0)
            die(path, NULL);
    }
}

static void fill_job(const struct loop *loop, const struct build_steps *steps, struct job *ret)
{
    *ret = (struct job){.hostname = "intergenos", .work = steps->layer_work, .nlayers = 1};
    ret->layers[0] = loop->base;
    ret->limits = (struct sandbox_limits){.cores = 1, .tmp_bytes = 128 * MIB, .shm_bytes = 64 * MIB};
    for (size_t i = 0; i < steps->nbinds; i++) {
        ret->binds[i] = steps->binds[i];
        if (strncmp(steps->binds[i].target, BUILD_PACKAGES_DIR, strlen(BUILD_PACKAGES_DIR)) == 0)
            ret->binds[i].source = loop->recipe;
    }
    ret->nbinds = steps->nbinds;
}

static void add_quoted(struct buf *script, const char *text)
{
    buf_add_byte(script, '\'');
    for (; *text != '\0'; text++)
        buf_add_text(script, *text == '\'' ? "'\\''" : (const char[]){*text, '\0'});
    buf_add_byte(script, '\'');
}

/* The first phase in the shell itself, so that there are no more shells than phases. */
static void write_script(const struct loop *loop, const struct build_steps *steps, struct buf *ret)
{
    buf_add_format(ret, "export DESTDIR=%s/%s/dest PATH=/usr/bin LC_ALL=C HOME=/root\ncd %s\n",
                   BUILD_WORK_DIR, loop->name, steps->cwd);
    for (size_t i = 0; i < steps->nsteps; i++) {
        if (!loop->each || i == 0) {
            buf_add_format(ret, "(\n%s\n)\n", steps->scripts[i]);
            continue;
        }
        buf_add_format(ret, "%s/bin/bash -e -o pipefail -c ", i + 1 == steps->nsteps ? "exec " : "");
        add_quoted(ret, steps->scripts[i]);
        buf_add_byte(ret, '\n');
    }
}

static int filter_file(void)
{
    CLEANUP_BUF struct buf filter = BUF_INIT;
    filter_build(&filter);
    int fd = memfd_create("filter", 0);
    if (fd < 0 || file_write_all(fd, filter.data, filter.size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        die("the seccomp filter", NULL);
    return fd;
}

/* The product's options, with a shell in the place of its process 1. */
static void exec_bwrap(const struct job *job, const char *script)
{
    struct ops ops;
    struct argv argv = {0};
    struct diag diag = DIAG_INIT;
    char *none[] = {NULL};
    static const char *const shell[] = {"/bin/bash", "-e", "-o", "pipefail", "-c"};
    ops_build(job, &ops);
    if (ops_validate(&ops, &diag) < 0)
        die("the sandbox's options", &diag);
    ops_argv(&ops, FARM_BWRAP, job->hostname, FD_SECCOMP, 0, "", &argv);
    size_t fixed = argv.count - 2; /* without farm-init and its argument */
    char **all = mem_zero(fixed + ARRAY_SIZE(shell) + 2, sizeof(char *));
    memcpy(all, argv.items, fixed * sizeof(char *));
    for (size_t i = 0; i < ARRAY_SIZE(shell); i++)
        all[fixed + i] = mem_string(shell[i]);
    all[fixed + ARRAY_SIZE(shell)] = mem_string(script);
    execve(all[0], all, none);
    die(FARM_BWRAP, NULL);
}

static void run_child(const struct loop *loop, const struct build_steps *steps)
{
    CLEANUP_BUF struct buf script = BUF_INIT;
    struct diag diag = DIAG_INIT;
    struct job job;
    int nothing = open("/dev/null", O_RDWR);
    int filter = filter_file();
    if (dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0 || dup2(filter, FD_SECCOMP) < 0)
        die("descriptors", NULL);
    fill_job(loop, steps, &job);
    write_script(loop, steps, &script);
    prctl(PR_SET_DUMPABLE, 1); /* /proc/self must be ours for the id maps */
    if (stage_enter(loop->state_fd, &diag) < 0 || stage_root(&job, &diag) < 0 ||
        mask_write(OPS_MASK, 1, &diag) < 0)
        die("the stage", &diag);
    close_range(FD_SECCOMP + 1, ~0U, 0);
    exec_bwrap(&job, script.data);
}

static void run_once(const struct loop *loop, int lane, int number)
{
    CLEANUP_FREE char *dir = mem_format(SCRATCH "/%d-%d", lane, number);
    struct build_steps *steps;
    struct diag diag = DIAG_INIT;
    const struct build_plan plan = {.name = loop->name,
                                    .tier = "extra",
                                    .system = BUILD_CUSTOM,
                                    .has_build_sh = true,
                                    .tests_enabled = true}; /* as a recipe that does not speak of tests */
    int status;
    make_directories(loop, dir);
    if (build_steps_make(&plan, dir, &steps, &diag) < 0)
        die("the steps", &diag);
    pid_t pid = fork();
    if (pid == 0)
        run_child(loop, steps);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        die("fork", NULL);
    CLEANUP_FREE char *made = mem_format("%s/work/dest/usr/share/%s/made", dir, loop->name);
    if (status != 0 || faccessat(loop->state_fd, made, F_OK, 0) < 0) {
        fprintf(stderr, "bench_jobs: run %d of the loop ended with %#x\n", number, (unsigned)status);
        exit(FARM_EXIT_VIOLATION);
    }
    build_steps_free(steps);
}

/* ---- the loop ---- */

static void run_lane(const struct loop *loop, int lane)
{
    for (int i = lane; i < loop->runs; i += loop->parallel)
        run_once(loop, lane, i);
    exit(FARM_EXIT_OK);
}

static int run_lanes(const struct loop *loop)
{
    int status, failed = 0;
    for (int lane = 0; lane < loop->parallel; lane++) {
        pid_t pid = fork();
        if (pid == 0)
            run_lane(loop, lane);
        if (pid < 0)
            die("fork", NULL);
    }
    while (wait(&status) > 0)
        failed |= status;
    return failed;
}

static int run_loop(struct loop *loop)
{
    struct diag diag = DIAG_INIT;
    loop->state_fd = file_open_dir(AT_FDCWD, loop->state, &diag);
    if (loop->state_fd < 0)
        die(loop->state, &diag);
    if (sandbox_drop_root(NULL, loop->state_fd, &diag) < 0)
        die(loop->state, &diag);
    if (mkdirat(loop->state_fd, SCRATCH, 0755) < 0)
        die(SCRATCH, NULL);
    double start = bench_wall(), cpu = bench_cpu();
    int failed = run_lanes(loop);
    double seconds = bench_wall() - start;
    cpu = bench_cpu() - cpu;
    if (sandbox_remove_tree(loop->state_fd, SCRATCH, &diag) < 0)
        die(SCRATCH, &diag);
    if (failed != 0)
        return FARM_EXIT_VIOLATION;
    printf("%.2f %.2f\n", loop->runs / seconds, 1e3 * cpu / loop->runs);
    return FARM_EXIT_OK;
}

static int loop_main(int argc, char **argv)
{
    static const struct option options[] = {
        {"state", required_argument, NULL, 's'},  {"base", required_argument, NULL, 'b'},
        {"recipe", required_argument, NULL, 'r'}, {"name", required_argument, NULL, 'n'},
        {"runs", required_argument, NULL, 'N'},   {"parallel", required_argument, NULL, 'p'},
        {"shells", required_argument, NULL, 'e'}, {NULL, 0, NULL, 0}};
    struct loop loop = {.runs = 1, .parallel = 1, .state_fd = -1};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 's')
            loop.state = optarg;
        else if (option == 'b')
            loop.base = optarg;
        else if (option == 'r')
            loop.recipe = optarg;
        else if (option == 'n')
            loop.name = optarg;
        else if (option == 'N')
            loop.runs = atoi(optarg);
        else if (option == 'p')
            loop.parallel = atoi(optarg);
        else if (option == 'e')
            loop.each = strcmp(optarg, "each") == 0;
        else
            return FARM_EXIT_CANNOT_RUN;
    }
    if (loop.state == NULL || loop.base == NULL || loop.recipe == NULL || loop.name == NULL ||
        loop.runs < 1 || loop.parallel < 1)
        return FARM_EXIT_CANNOT_RUN;
    return run_loop(&loop);
}

/* ---- one request ---- */

static int start_main(int argc, char **argv)
{
    enum {
        REST_US = 250 * 1000
    }; /* several times what a start takes; loading another program takes 10 ms of a processor */
    struct cli cli = {.socket = getenv("FARM_SOCKET")};
    CLEANUP_JSON json_t *body = NULL;
    struct timespec now;
    if (argc != 2)
        return FARM_EXIT_CANNOT_RUN;
    const struct cli_request request = {
        .verb = "build",
        .params = json_pack("{s:s, s:b, s:b}", "plan", argv[1], "wait", 0, "from_scratch", 0),
        .fd = -1};
    clock_gettime(CLOCK_REALTIME, &now);
    int status = cli_ask(&cli, &request, &body);
    if (status == FARM_EXIT_OK)
        printf("%lld.%06ld\n", (long long)now.tv_sec, now.tv_nsec / 1000);
    usleep(REST_US);
    return status;
}

/* ---- figures ---- */

static int print_main(int argc, char **argv)
{
    if (argc != 4 && argc != 6)
        return FARM_EXIT_CANNOT_RUN;
    bench_print(argv[1], atof(argv[2]), argv[3], argc == 6 ? atof(argv[4]) : 0, argc == 6 ? argv[5] : NULL);
    return FARM_EXIT_OK;
}

static int spread_main(int argc, char **argv)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = {{"median", 50}, {"p99", 99}, {"max", 100}};
    double value, *values = NULL;
    size_t count = 0, capacity = 0;
    if (argc != 3)
        return FARM_EXIT_CANNOT_RUN;
    for (; scanf("%lf", &value) == 1; values[count++] = value)
        values = mem_reserve(values, &capacity, count + 1, sizeof *values);
    if (count == 0)
        return FARM_EXIT_VIOLATION;
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        CLEANUP_FREE char *name = mem_format("%s_%s", argv[1], points[i].name);
        bench_print(name, bench_percentile(values, (int)count, points[i].percent), argv[2], 0, NULL);
    }
    free(values);
    return FARM_EXIT_OK;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        {"loop", loop_main}, {"start", start_main}, {"print", print_main}, {"spread", spread_main}};
    int status = FARM_EXIT_CANNOT_RUN;
    for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            status = commands[i].run(argc - 1, argv + 1);
    if (status == FARM_EXIT_CANNOT_RUN)
        fputs("usage: bench_jobs loop|start|print|spread ...; see the head of bench_jobs.c\n", stderr);
    return status;
}
