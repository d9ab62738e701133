/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fault_run.h"

#include "digest.h"
#include "farmlog.h"
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A trial takes a tenth of a second; one that takes this long hangs. */
enum { TRIAL_SECONDS = 60, FAILURES_MAX = 10, END_SEEDS = 8, POWER_SEEDS = 4 };
enum { EXIT_FAILED = 99 }; /* of a check */

extern char **environ;
char fault_directory[64];
int fault_dirfd = -1;

/* What is tried of each operation: a class, or all of the disk's, and what happens. */
struct cell {
    const char *name;
    unsigned int classes;
    enum fault_kind kind;
};
static const struct cell cells[] = {
    {"write", 1 << FAULT_WRITE, FAULT_ERROR},
    {"write", 1 << FAULT_WRITE, FAULT_SHORT},
    {"sync", 1 << FAULT_SYNC, FAULT_ERROR},
    {"name", 1 << FAULT_NAME, FAULT_ERROR},
    {"room", 1 << FAULT_WRITE | 1 << FAULT_NAME, FAULT_FULL},
    {"disk", FAULT_DISK, FAULT_KILL},
    {"disk", FAULT_DISK, FAULT_POWER},
    {"alloc", 1 << FAULT_ALLOC, FAULT_ERROR},
    {"step", 1 << FAULT_STEP, FAULT_ERROR},
    {"send", 1 << FAULT_SEND, FAULT_ERROR},
};

struct options {
    const char *program, *operation, *class, *kind;
    uint64_t most, k;
    unsigned int seed;
    bool lie, has_seed;
};

struct runner {
    struct options options;
    struct fault_trial *trial;
    int output; /* what the processes of a trial say; shown if it fails */
    char template[80], attic[80];
    unsigned int failures, trials;
};

/* What libraries set up once in a process is set up before: OpenSSL 3.0 does not outlive a failure there (it takes a lock that it did
 * not get), and a program does it at its start. */
void fault_arm(struct fault_trial *trial)
{
    (void)digest_of(VIEW(""));
    tzset();
    (void)getpwnam("nobody"); /* nor does glibc, looking up users */
    fault_begin(fault_directory, &trial->plan, &trial->report);
}

void fault_ending(struct fault_trial *trial)
{
    if (!atomic_load(&trial->report.hit))
        atomic_store(&trial->ending, true);
}

void fault_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    dprintf(STDERR_FILENO, "%s:%d: ", file, line);
    vdprintf(STDERR_FILENO, format, args);
    dprintf(STDERR_FILENO, "\n");
    va_end(args);
    _exit(EXIT_FAILED);
}

/* ---- the state ---- */

static void run_program(const char *const *argv)
{
    pid_t pid;
    int status = -1;
    if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ) != 0 ||
        waitpid(pid, &status, 0) < 0 || status != 0) {
        fprintf(stderr, "fault: %s %s failed\n", argv[0], argv[2]);
        exit(FARM_EXIT_CANNOT_RUN);
    }
}

static void empty(const char *directory)
{
    const char *const argv[] = {"find", directory, "-mindepth", "1", "-delete", NULL};
    run_program(argv);
}

static void copy(const char *from, const char *to)
{
    CLEANUP_FREE char *contents = mem_format("%s/.", from);
    const char *const argv[] = {"cp", "-a", contents, to, NULL};
    run_program(argv);
}

static void restore(const struct runner *runner)
{
    empty(fault_directory);
    if (access(runner->attic, F_OK) == 0)
        empty(runner->attic);
    copy(runner->template, fault_directory);
}

static void make_state(struct runner *runner, const struct fault_operation *operation)
{
    /* In memory where there is such a place: syncs cost nothing there, and the model does not need them. */
    snprintf(fault_directory, sizeof fault_directory, "%s/farm-fault.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(fault_directory) == NULL) {
        perror("fault: mkdtemp");
        exit(FARM_EXIT_CANNOT_RUN);
    }
    fault_dirfd = open(fault_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    log_set_level(LOG_LEVEL_WARNING); /* the trials' words are shown when they fail */
    operation->prepare();
    log_set_level(LOG_LEVEL_INFO);
    snprintf(runner->template, sizeof runner->template, "%s.template", fault_directory);
    snprintf(runner->attic, sizeof runner->attic, "%s.attic", fault_directory);
    mkdir(runner->template, 0700);
    copy(fault_directory, runner->template);
}

static void remove_state(const struct runner *runner)
{
    close(fault_dirfd);
    (void)!file_remove_tree(AT_FDCWD, fault_directory, NULL);
    (void)!file_remove_tree(AT_FDCWD, runner->template, NULL);
    (void)!file_remove_tree(AT_FDCWD, runner->attic, NULL);
}

/* ---- one trial ---- */

static void child_begin(const struct runner *runner)
{
    alarm(TRIAL_SECONDS);
    dup2(runner->output, STDOUT_FILENO);
    dup2(runner->output, STDERR_FILENO);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static int run_child(const struct runner *runner, const struct fault_operation *operation)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct diag diag = DIAG_INIT;
        child_begin(runner);
        int result = operation->run(runner->trial, &diag);
        fault_end();
        runner->trial->result = result;
        atomic_store(&runner->trial->finished, true);
        if (result < 0)
            dprintf(STDERR_FILENO, "it said: %s\n", diag_text(&diag, result));
        fault_exit(0);
    }
    return wait_for(pid);
}

static int check_child(const struct runner *runner, const struct fault_operation *operation)
{
    pid_t pid = fork();
    if (pid == 0) {
        child_begin(runner);
        operation->check(runner->trial);
        _exit(0);
    }
    return wait_for(pid);
}

/*
 * SQLite goes on when a sync of its checkpoint fails, and is right: the log stays, and the next time every page is written again. It also
 * goes on when its directory cannot be synced. Whether that is true, what the cut at the end leaves says. It alone calls fdatasync().
 */
static bool is_of_sqlite(const struct fault_trial *trial)
{
    return view_starts(view_text(trial->report.call), VIEW("fdatasync "));
}

/* NULL: as it should. */
static const char *judge_end(const struct fault_trial *trial, int status)
{
    const struct fault_plan *plan = &trial->plan;
    bool hit = atomic_load(&trial->report.hit), finished = atomic_load(&trial->finished);
    bool syncing = plan->kind == FAULT_ERROR && plan->classes == 1u << FAULT_SYNC;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return "it hangs";
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
        return hit && plan->classes == 1u << FAULT_ALLOC ? NULL : "it ended by SIGABRT";
    if (WIFSIGNALED(status))
        return "it ended by a signal";
    if (WEXITSTATUS(status) == FAULT_EXIT_KILLED)
        return plan->kind == FAULT_KILL || plan->kind == FAULT_POWER ? NULL : "it ended with status 91";
    if (!hit && (!finished || trial->result < 0))
        return "it failed without a fault";
    if (WEXITSTATUS(status) == 0 && syncing && hit && finished && trial->result >= 0 &&
        !atomic_load(&trial->ending) && !is_of_sqlite(trial))
        return "it went on after a sync had failed";
    if (WEXITSTATUS(status) == 0)
        return NULL;
    if (WEXITSTATUS(status) == FARM_EXIT_CANNOT_RUN)
        return syncing && hit ? NULL : "it ended with status 2";
    /* 255: cmocka's, where a rig plays a program that ends on an error. */
    return WEXITSTATUS(status) == 255 && hit ? NULL : "it ended with a status that says nothing";
}

static void show_output(const struct runner *runner)
{
    char text[4096];
    ssize_t got;
    lseek(runner->output, 0, SEEK_SET);
    while ((got = read(runner->output, text, sizeof text)) > 0)
        fwrite(text, 1, (size_t)got, stdout);
}

static void report(struct runner *runner, const struct fault_operation *operation, const struct cell *cell,
                   const char *what, int status)
{
    const struct fault_trial *trial = runner->trial;
    printf("\nFAILED operation %s, %s %s, k %" PRIu64 " of seed %u (%s): %s (status %#x)\n", operation->name,
           cell->name, fault_kind_names[cell->kind], trial->plan.k, trial->plan.seed,
           atomic_load(&trial->report.hit) ? trial->report.call : "not reached", what, (unsigned int)status);
    show_output(runner);
    printf("again: %s --op %s --class %s --kind %s --k %" PRIu64 " --seed %u\n", runner->options.program,
           operation->name, cell->name, fault_kind_names[cell->kind], trial->plan.k, trial->plan.seed);
    runner->failures++;
}

/* True: what it should be. Leaves the trial to be looked at. */
static bool run_trial(struct runner *runner, const struct fault_operation *operation, const struct cell *cell,
                      const struct fault_plan *plan, bool quiet)
{
    memset(runner->trial, 0, sizeof *runner->trial);
    runner->trial->plan = *plan;
    (void)!ftruncate(runner->output, 0);
    lseek(runner->output, 0, SEEK_SET);
    restore(runner);
    runner->trials++;
    int status = run_child(runner, operation);
    const char *wrong = judge_end(runner->trial, status);
    if (wrong == NULL && plan->kind != FAULT_NONE) {
        status = check_child(runner, operation);
        wrong = status == 0 ? NULL : "the check afterwards failed";
    }
    if (wrong != NULL && !quiet)
        report(runner, operation, cell, wrong, status);
    return wrong == NULL;
}

/* ---- all of them ---- */

static uint64_t count_calls(struct runner *runner, const struct fault_operation *operation,
                            const struct cell *cell)
{
    struct fault_plan plan = {.classes = cell->classes, .kind = FAULT_NONE};
    return run_trial(runner, operation, cell, &plan, false) ? atomic_load(&runner->trial->report.counted) : 0;
}

/* The i-th of 'most' out of 'calls': evenly spread, moved a little by the seed; the first and the last always. */
static uint64_t draw(uint64_t i, uint64_t most, uint64_t calls, unsigned int seed)
{
    if (i == 0 || i + 1 == most)
        return i == 0 ? 1 : calls;
    uint64_t step = calls / most;
    uint64_t place = 1 + i * (calls - 1) / (most - 1);
    uint64_t moved = place + (step > 1 ? (i * 2654435761u + seed) % step : 0);
    return moved < calls ? moved : calls;
}

static unsigned int trial_seed(const struct runner *runner, uint64_t k)
{
    return runner->options.has_seed ? runner->options.seed : (unsigned int)(k * 7 + runner->options.seed);
}

static bool try_call(struct runner *runner, const struct fault_operation *operation, const struct cell *cell,
                     uint64_t k, unsigned int seed)
{
    struct fault_plan plan = {.classes = cell->classes, .kind = cell->kind, .k = k, .seed = seed};
    return run_trial(runner, operation, cell, &plan, false) || runner->failures < FAILURES_MAX;
}

/* The power goes when all is done and said. */
static bool try_end(struct runner *runner, const struct fault_operation *operation, const struct cell *cell)
{
    bool go_on = true;
    uint64_t most =
        runner->options.most > 0 && runner->options.most < END_SEEDS ? runner->options.most : END_SEEDS;
    for (unsigned int seed = 0; go_on && seed < most; seed++)
        go_on = try_call(runner, operation, cell, UINT64_MAX, seed);
    return go_on;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void try_cell(struct runner *runner, const struct fault_operation *operation, const struct cell *cell)
{
    bool every = runner->options.most == 0, power = cell->kind == FAULT_POWER;
    double began = seconds();
    uint64_t calls = count_calls(runner, operation, cell), tried = 0, hit = 0;
    if (calls == 0) {
        printf("FAILED operation %s: it makes no %s call, so no fault was planned\n", operation->name,
               cell->name);
        runner->failures++;
        return;
    }
    if ((cell->classes & operation->varying) != 0)
        calls -= calls / 4;
    uint64_t most = every || calls < runner->options.most ? calls : runner->options.most;
    bool go_on = true;
    for (uint64_t i = 0; go_on && i < most; i++) {
        uint64_t k = most == calls ? i + 1 : draw(i, most, calls, runner->options.seed);
        for (unsigned int s = 0; go_on && s < (every && power ? POWER_SEEDS : 1); s++, tried++) {
            go_on = try_call(runner, operation, cell, k,
                             every && power ? s + 4 * (unsigned int)k : trial_seed(runner, k));
            hit += atomic_load(&runner->trial->report.hit);
        }
    }
    /* Threads and clocks make a few calls more or less. */
    if (go_on && hit * 10 < tried * 8) {
        printf("FAILED operation %s, %s %s: only %" PRIu64 " of %" PRIu64 " faults were reached\n",
               operation->name, cell->name, fault_kind_names[cell->kind], hit, tried);
        runner->failures++;
    }
    if (go_on && power)
        go_on = try_end(runner, operation, cell);
    printf("%-16s %-6s %-6s %7" PRIu64 " calls %6" PRIu64 " tried %7.1f s\n", operation->name, cell->name,
           fault_kind_names[cell->kind], calls, tried, seconds() - began);
    fflush(stdout);
}

static bool is_chosen(const struct options *options, const struct cell *cell)
{
    return (options->class == NULL || strcmp(options->class, cell->name) == 0) &&
           (options->kind == NULL || strcmp(options->kind, fault_kind_names[cell->kind]) == 0);
}

static void try_operation(struct runner *runner, const struct fault_operation *operation)
{
    for (size_t i = 0; i < ARRAY_SIZE(cells); i++) {
        if (!is_chosen(&runner->options, &cells[i]) || runner->failures >= FAILURES_MAX)
            continue;
        if ((cells[i].classes & operation->classes) == 0)
            continue;
        if (runner->options.k > 0)
            try_call(runner, operation, &cells[i], runner->options.k, runner->options.seed);
        else
            try_cell(runner, operation, &cells[i]);
    }
}

/* A disk that lies, and a power cut at the end: who looks closely enough finds something missing. */
static void try_lie(struct runner *runner, const struct fault_operation *operation)
{
    static const struct cell cell = {"disk", FAULT_DISK, FAULT_POWER};
    bool found = false;
    unsigned int seed = 0;
    for (; !found && seed < END_SEEDS; seed++) {
        struct fault_plan plan = {
            .classes = FAULT_DISK, .kind = FAULT_POWER, .k = UINT64_MAX, .seed = seed, .lie = true};
        found = !run_trial(runner, operation, &cell, &plan, true);
    }
    printf("%-16s a disk that lies: %s after %u trials\n", operation->name, found ? "found" : "NOT FOUND",
           seed);
    runner->failures += !found;
}

static void take_options(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"most", required_argument, NULL, 'm'}, {"seed", required_argument, NULL, 's'},
        {"op", required_argument, NULL, 'o'},   {"class", required_argument, NULL, 'c'},
        {"kind", required_argument, NULL, 'f'}, {"k", required_argument, NULL, 'k'},
        {"lie", no_argument, NULL, 'l'},        {NULL, 0, NULL, 0}};
    options->program = argv[0];
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (option == 'm')
            options->most = strtoull(optarg, NULL, 10);
        else if (option == 's') {
            options->seed = (unsigned int)strtoul(optarg, NULL, 10);
            options->has_seed = true;
        } else if (option == 'o')
            options->operation = optarg;
        else if (option == 'c')
            options->class = optarg;
        else if (option == 'f')
            options->kind = optarg;
        else if (option == 'k')
            options->k = strtoull(optarg, NULL, 10);
        else if (option == 'l')
            options->lie = true;
        else
            exit(FARM_EXIT_CANNOT_RUN);
    }
}

static void open_runner(struct runner *runner)
{
    runner->output = memfd_create("output", MFD_CLOEXEC);
    runner->trial =
        mmap(NULL, sizeof *runner->trial, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (runner->output < 0 || runner->trial == MAP_FAILED) {
        perror("fault");
        exit(FARM_EXIT_CANNOT_RUN);
    }
}

/* Leaks: each process ends where it stands. Null: what the sanitizer itself is asked for. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0:allocator_may_return_null=1";
}

int fault_main(int argc, char **argv, const struct fault_operation *operations, size_t count)
{
    struct runner runner = {.failures = 0};
    size_t chosen = 0;
    take_options(&runner.options, argc, argv);
    open_runner(&runner);
    for (size_t i = 0; i < count; i++) {
        if (runner.options.operation != NULL && strcmp(runner.options.operation, operations[i].name) != 0)
            continue;
        chosen++;
        make_state(&runner, &operations[i]);
        runner.options.lie ? try_lie(&runner, &operations[i]) : try_operation(&runner, &operations[i]);
        remove_state(&runner);
    }
    printf("%u trials, %u failures\n", runner.trials, runner.failures);
    return chosen > 0 && runner.trials > 0 && runner.failures == 0 ? FARM_EXIT_OK : FARM_EXIT_VIOLATION;
}
