/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The sandbox with real builds in it: what it gives, what it denies (W15), what it stops (W16), and that it ends when
 * it must. Started as root, the whole suite runs after sandbox_drop_root(), with a state directory below one
 * that the build user cannot traverse.
 */
#include "sandbox.h"

#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MIB = 1 << 20, STEPS = 3 };

/* One job and what it needs to stay alive. */
struct trial {
    struct sandbox_job job;
    struct sandbox_step steps[STEPS];
    const char *argv[STEPS][4];
    struct sandbox_bind binds[2];
    char work[64], files[64];
};

static int state_fd = -1;
static char state_path[512];
static int serial;

static void trial_step(struct trial *trial, const char *attack, const char *argument)
{
    size_t n = trial->job.nsteps++;
    trial->argv[n][0] = "/bin/hostile";
    trial->argv[n][1] = attack;
    trial->argv[n][2] = argument;
    trial->steps[n] = (struct sandbox_step){attack, trial->argv[n], "/tmp"};
}

static void trial_init(struct trial *trial, const char *attack, const char *argument)
{
    static const char *const layers[] = {"layers/root"};
    static const char *const env[] = {"A=1"};
    memset(trial, 0, sizeof *trial);
    snprintf(trial->work, sizeof trial->work, "builds/%d", ++serial);
    snprintf(trial->files, sizeof trial->files, "files/%d", serial);
    assert_int_equal(file_make_dirs(state_fd, trial->work, 0700, NULL), 0);
    assert_int_equal(file_make_dirs(state_fd, trial->files, 0700, NULL), 0);
    int log_fd = openat(state_fd, "log", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    assert_true(log_fd >= 0);
    trial->binds[0] = (struct sandbox_bind){trial->files, "/work", false};
    trial->binds[1] = (struct sandbox_bind){"layers", "/sources", true};
    trial->job = (struct sandbox_job){.state_dirfd = state_fd,
                                      .layers = layers,
                                      .nlayers = 1,
                                      .work = trial->work,
                                      .binds = trial->binds,
                                      .nbinds = 2,
                                      .env = env,
                                      .nenv = 1,
                                      .steps = trial->steps,
                                      .log_fd = log_fd,
                                      .limits = {.cores = 1,
                                                 .memory_bytes = 128 * MIB,
                                                 .processes = 40,
                                                 .disk_bytes = 64 * MIB,
                                                 .file_bytes = 256 * MIB,
                                                 .wall_seconds = 20,
                                                 .log_bytes = MIB,
                                                 .tmp_bytes = 8 * MIB,
                                                 .shm_bytes = 4 * MIB}};
    trial_step(trial, attack, argument);
}

static void trial_done(struct trial *trial)
{
    struct diag diag = DIAG_INIT;
    if (sandbox_remove_tree(state_fd, trial->work, &diag) < 0 ||
        sandbox_remove_tree(state_fd, trial->files, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_int_equal(faccessat(state_fd, trial->work, F_OK, 0), -1);
    close(trial->job.log_fd);
}

static void print_log(void)
{
    struct buf log CLEANUP_BUF = BUF_INIT;
    if (file_read(state_fd, "log", 2 * MIB, &log, NULL) >= 0)
        print_message("%.*s\n", (int)(log.size > 2000 ? 2000 : log.size), log.data);
}

static struct sandbox_result trial_run(struct trial *trial)
{
    struct diag diag = DIAG_INIT;
    struct sandbox *sandbox = NULL;
    struct sandbox_result result = {.nsteps = 0};
    if (sandbox_start(&trial->job, &sandbox, &diag) < 0 || sandbox_wait(sandbox, &result, &diag) < 0)
        fail_msg("%s", diag.text);
    sandbox_free(sandbox);
    trial_done(trial);
    return result;
}

static void expect(const struct sandbox_result *result, enum sandbox_outcome outcome, const char *text)
{
    if (result->outcome == outcome && strstr(result->text, text) != NULL)
        return;
    print_log();
    fail_msg("outcome %s (%s), expected %s (%s)", sandbox_outcome_name(result->outcome), result->text,
             sandbox_outcome_name(outcome), text);
}

static void attack(const char *name, const char *argument, enum sandbox_outcome outcome, const char *text)
{
    struct trial trial;
    trial_init(&trial, name, argument);
    struct sandbox_result result = trial_run(&trial);
    expect(&result, outcome, text);
}

static void test_probe(void **state)
{
    struct diag diag = DIAG_INIT;
    (void)state;
    if (sandbox_probe(state_fd, &diag) < 0)
        fail_msg("%s", diag.text);
}

static void w15_the_host_is_not_seen(void **state)
{
    char pid[16];
    (void)state;
    snprintf(pid, sizeof pid, "%d", getpid());
    signal(SIGPIPE, SIG_IGN); /* as a worker with sockets does */
    signal(SIGHUP, SIG_IGN);
    attack("view", pid, SANDBOX_OK, "");
}

static void w15_files_of_the_host_are_out_of_reach(void **state)
{
    (void)state;
    attack("files", "/sources", SANDBOX_OK, "");
}

static void w15_the_kernel_is_kept_shut(void **state)
{
    (void)state;
    attack("kernel", NULL, SANDBOX_OK, "");
}

static void w15_keys_are_out_of_reach(void **state)
{
    char *secret CLEANUP_FREE = mem_format("%s/secret", state_path);
    (void)state;
    assert_int_equal(file_write(state_fd, "secret", VIEW("key"), 0600, NULL), 0);
    attack("keys", secret, SANDBOX_OK, "");
}

static void w15_there_is_no_network(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un abstract = {.sun_family = AF_UNIX};
    socklen_t size = sizeof address;
    char port[16];
    (void)state;
    int tcp CLEANUP_CLOSE = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(tcp, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(tcp, 1), 0);
    assert_int_equal(getsockname(tcp, (struct sockaddr *)&address, &size), 0);
    snprintf(port, sizeof port, "%u", ntohs(address.sin_port));
    int local CLEANUP_CLOSE = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int length = snprintf(abstract.sun_path + 1, sizeof abstract.sun_path - 1, "farm-test-%s", port);
    size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    assert_int_equal(bind(local, (struct sockaddr *)&abstract, size), 0);
    assert_int_equal(listen(local, 1), 0);
    attack("network", port, SANDBOX_OK, "");
    struct pollfd fds[2] = {{tcp, POLLIN, 0}, {local, POLLIN, 0}};
    assert_int_equal(poll(fds, 2, 0), 0);
}

static void w16_forks_without_end_stop(void **state)
{
    (void)state;
    attack("forks", NULL, SANDBOX_BUILD, "processes and threads");
}

static void w16_memory_without_end_stops(void **state)
{
    static const char *const kinds[] = {"private", "shared", "many", "sysv"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        attack("memory", kinds[i], SANDBOX_OUT_OF_MEMORY, "MiB of memory");
}

static void w16_a_full_disk_stops_that_build(void **state)
{
    static const char *const kinds[] = {"root", "bind", "deleted", "one"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        attack("disk", kinds[i], SANDBOX_BUILD, "to disk");
    attack("disk", "tmp", SANDBOX_BUILD, "status 28");
    attack("disk", "shm", SANDBOX_BUILD, "status 28");
}

static void w16_a_file_without_end_stops(void **state)
{
    struct trial trial;
    (void)state;
    trial_init(&trial, "disk", "one");
    trial.job.limits.file_bytes = 4 * MIB;
    struct sandbox_result result = trial_run(&trial);
    expect(&result, SANDBOX_BUILD, "a file grew beyond");
    assert_int_equal(result.signal, SIGXFSZ);
}

static void test_reserve(void **state)
{
    struct trial trial;
    (void)state;
    trial_init(&trial, "time", NULL);
    trial.job.limits.disk_reserve_bytes = UINT64_MAX;
    struct sandbox_result result = trial_run(&trial);
    expect(&result, SANDBOX_INFRASTRUCTURE, "are to stay free");
    /* and a step that fails before anybody looked is not blamed for it either: with so much room nobody looks for a quarter of a second */
    trial_init(&trial, "exit", "1");
    trial.job.limits.disk_reserve_bytes = UINT64_MAX;
    trial.job.limits.memory_bytes = trial.job.limits.disk_bytes = UINT64_C(4) << 30;
    result = trial_run(&trial);
    expect(&result, SANDBOX_INFRASTRUCTURE, "a step failed while");
}

static void w16_time_without_end_stops(void **state)
{
    struct trial trial;
    (void)state;
    trial_init(&trial, "time", NULL);
    trial.job.limits.wall_seconds = 1;
    struct sandbox_result result = trial_run(&trial);
    expect(&result, SANDBOX_TIMEOUT, "1 seconds");
    assert_int_equal(result.failed_step, 0);
    assert_in_range(result.total.wall_us, 1000000, 3000000);
}

static void w16_a_log_without_end_stops(void **state)
{
    struct trial trial;
    struct stat st;
    (void)state;
    trial_init(&trial, "log", NULL);
    struct sandbox_result result = trial_run(&trial);
    expect(&result, SANDBOX_BUILD, "the log is longer");
    assert_int_equal(result.log_bytes, MIB);
    assert_int_equal(fstatat(state_fd, "log", &st, 0), 0);
    assert_int_equal(st.st_size, MIB);
}

static void test_steps(void **state)
{
    struct trial trial;
    (void)state;
    trial_init(&trial, "exit", "0");
    trial_step(&trial, "exit", "7");
    trial_step(&trial, "exit", "0");
    struct sandbox_result result = trial_run(&trial);
    expect(&result, SANDBOX_BUILD, "status 7");
    assert_int_equal(result.failed_step, 1);
    assert_int_equal(result.exit_status, 7);
    assert_int_equal(result.nsteps, 2);
    assert_true(result.steps[1].wall_us > 0 && result.steps[1].peak_bytes > 0);
    attack("crash", "11", SANDBOX_BUILD, "signal 11");
}

/* A daemon of one step is gone before the next begins. */
static void test_daemon(void **state)
{
    struct trial trial;
    (void)state;
    trial_init(&trial, "daemon", "/work/lock");
    trial_step(&trial, "view", "999999");
    struct sandbox_result result = trial_run(&trial);
    expect(&result, SANDBOX_OK, "");
}

static void test_mess(void **state)
{
    (void)state;
    attack("mess", NULL, SANDBOX_OK, ""); /* trial_done() removes it */
}

static void test_missing(void **state)
{
    struct trial trial;
    (void)state;
    trial_init(&trial, "exit", "0");
    trial.argv[0][0] = "/bin/nothing";
    struct sandbox_result result = trial_run(&trial);
    expect(&result, SANDBOX_BUILD, "status 127");
    trial_init(&trial, "exit", "0");
    trial.binds[1].source = "nowhere";
    result = trial_run(&trial);
    expect(&result, SANDBOX_INFRASTRUCTURE, "bind source nowhere");
    trial_init(&trial, "exit", "0");
    trial.job.limits.cores = 4096;
    result = trial_run(&trial);
    expect(&result, SANDBOX_INFRASTRUCTURE, "the job wants 4096 CPUs");
}

/* What an earlier build left must not redirect a later bind. */
static void test_symlink(void **state)
{
    struct trial trial;
    (void)state;
    if (symlinkat("/etc", state_fd, "files/trap") < 0)
        assert_int_equal(errno, EEXIST);
    trial_init(&trial, "exit", "0");
    trial.binds[0].source = "files/trap";
    struct sandbox_result result = trial_run(&trial);
    expect(&result, SANDBOX_INFRASTRUCTURE, "without symbolic links");
}

static void refuse(void (*change)(struct trial *trial), const char *text)
{
    struct diag diag = DIAG_INIT;
    struct sandbox *sandbox = NULL;
    struct trial trial;
    trial_init(&trial, "exit", "0");
    change(&trial);
    assert_true(sandbox_start(&trial.job, &sandbox, &diag) < 0);
    assert_null(sandbox);
    assert_non_null(strstr(diag.text, text));
    trial_done(&trial);
}

static void change_target(struct trial *trial)
{
    trial->binds[0].target = "/proc/1";
}
static void change_source(struct trial *trial)
{
    trial->binds[0].source = "../x";
}
static void change_limit(struct trial *trial)
{
    trial->job.limits.tmp_bytes = 0;
}
static void change_cwd(struct trial *trial)
{
    trial->steps[0].cwd = "tmp";
}
static void change_layer(struct trial *trial)
{
    static const char *const layers[] = {"a:b"};
    trial->job.layers = layers;
}
static void change_env(struct trial *trial)
{
    static const char *const env[] = {"=x"};
    trial->job.env = env;
}

static void test_refused(void **state)
{
    (void)state;
    refuse(change_target, "is the sandbox's own");
    refuse(change_source, "must be a plain path");
    refuse(change_limit, "tmp_bytes is 0");
    refuse(change_cwd, "must be an absolute path");
    refuse(change_layer, "must be a plain path");
    refuse(change_env, "not KEY=VALUE");
}

static bool wait_lock(const char *path, int seconds)
{
    int fd CLEANUP_CLOSE = openat(state_fd, path, O_RDWR | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < seconds * 100; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        usleep(10000);
    }
    return false;
}

static void wait_held(const char *path)
{
    for (int i = 0; i < 500; i++) {
        int fd CLEANUP_CLOSE = openat(state_fd, path, O_RDWR | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
            return;
        usleep(10000);
    }
    fail_msg("the build never took its lock");
}

static struct sandbox *start_held(struct trial *trial, char **ret_lock)
{
    struct sandbox *sandbox = NULL;
    trial_init(trial, "hold", "/work/lock");
    assert_int_equal(sandbox_start(&trial->job, &sandbox, NULL), 0);
    *ret_lock = mem_format("%s/lock", trial->files);
    wait_held(*ret_lock);
    return sandbox;
}

static void test_cancel(void **state)
{
    struct trial trial;
    struct sandbox_result result = {.nsteps = 0};
    char *lock CLEANUP_FREE = NULL;
    int step;
    uint64_t memory;
    (void)state;
    struct sandbox *sandbox = start_held(&trial, &lock);
    struct pollfd poll_fd = {sandbox_fd(sandbox), POLLIN, 0};
    assert_int_equal(poll(&poll_fd, 1, 0), 0);
    sandbox_progress(sandbox, &step, &memory);
    assert_int_equal(step, 0);
    sandbox_kill(sandbox);
    assert_int_equal(poll(&poll_fd, 1, 5000), 1);
    assert_true(wait_lock(lock, 0 + 1));
    assert_int_equal(sandbox_wait(sandbox, &result, NULL), 0);
    expect(&result, SANDBOX_CANCELLED, "");
    sandbox_free(sandbox);
    trial_done(&trial);
}

/*
 * At every moment of the set-up. bubblewrap's child waits for its parent once, and a parent killed just then once left it
 * waiting for ever.
 */
static void test_cancel_early(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        struct trial trial;
        struct sandbox *sandbox = NULL;
        trial_init(&trial, "time", NULL);
        assert_int_equal(sandbox_start(&trial.job, &sandbox, NULL), 0);
        usleep(250 * i);
        sandbox_kill(sandbox);
        struct pollfd poll_fd = {sandbox_fd(sandbox), POLLIN, 0};
        assert_int_equal(poll(&poll_fd, 1, 10000), 1);
        struct sandbox_result result = {.nsteps = 0};
        assert_int_equal(sandbox_wait(sandbox, &result, NULL), 0);
        expect(&result, SANDBOX_CANCELLED, "");
        sandbox_free(sandbox);
        trial_done(&trial);
    }
}

/* The launcher's process id, from the descriptor. */
static pid_t launcher_pid(const struct sandbox *sandbox)
{
    char path[64];
    struct buf text CLEANUP_BUF = BUF_INIT;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", sandbox_fd(sandbox));
    assert_int_equal(file_read(AT_FDCWD, path, 4096, &text, NULL), 0);
    return (pid_t)atoi(strstr(text.data, "Pid:") + 4);
}

static void test_launcher_killed(void **state)
{
    struct trial trial;
    struct sandbox_result result = {.nsteps = 0};
    char *lock CLEANUP_FREE = NULL;
    (void)state;
    struct sandbox *sandbox = start_held(&trial, &lock);
    kill(launcher_pid(sandbox), SIGKILL);
    assert_true(wait_lock(lock, 5));
    assert_int_equal(sandbox_wait(sandbox, &result, NULL), 0);
    expect(&result, SANDBOX_INFRASTRUCTURE, "launcher died");
    sandbox_free(sandbox);
    trial_done(&trial);
}

/* Processes of the session that the launcher leads. */
static int session_size(pid_t session)
{
    int count = 0;
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    for (const struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        struct buf text CLEANUP_BUF = BUF_INIT;
        char path[300];
        int found;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
            file_read(AT_FDCWD, path, 4096, &text, NULL) < 0)
            continue;
        const char *end = strrchr(text.data, ')');
        char mark;
        if (end != NULL && sscanf(end, ") %c %*d %*d %d", &mark, &found) == 2)
            count += found == session && mark != 'Z';
    }
    closedir(proc);
    return count;
}

/* At any moment of its life, also while bubblewrap is half set up and follows nobody yet. */
static void test_launcher_killed_early(void **state)
{
    enum { TIMES = 60, STEP_US = 250, PATIENCE = 100 };
    struct trial trial;
    (void)state;
    trial_init(&trial, "hold", "/work/lock");
    for (int i = 0; i < TIMES; i++) {
        struct sandbox *sandbox = NULL;
        struct diag diag = DIAG_INIT;
        struct sandbox_result result;
        assert_int_equal(sandbox_start(&trial.job, &sandbox, &diag), 0);
        pid_t launcher = launcher_pid(sandbox);
        usleep((useconds_t)(i * STEP_US));
        kill(launcher, SIGKILL);
        assert_int_equal(sandbox_wait(sandbox, &result, NULL), 0);
        assert_int_equal(result.outcome, SANDBOX_INFRASTRUCTURE);
        sandbox_free(sandbox);
        int left = 1;
        for (int k = 0; k < PATIENCE && (left = session_size(launcher)) > 0; k++)
            usleep(20000);
        if (left > 0)
            fail_msg("%d processes are left of the launcher that was killed after %d us", left, i * STEP_US);
    }
    trial_done(&trial);
}

static void test_worker_killed(void **state)
{
    struct trial trial;
    (void)state;
    trial_init(&trial, "hold", "/work/lock");
    char *lock CLEANUP_FREE = mem_format("%s/lock", trial.files);
    pid_t worker = fork();
    if (worker == 0) {
        struct sandbox *sandbox = NULL;
        if (sandbox_start(&trial.job, &sandbox, NULL) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    wait_held(lock);
    kill(worker, SIGKILL);
    assert_int_equal(waitpid(worker, NULL, 0), worker);
    assert_true(wait_lock(lock, 5));
    usleep(50000); /* the launcher removes nothing, but its working directory is in the way of no test */
    trial_done(&trial);
}

static void *start_in_thread(void *arg)
{
    void **pair = arg;
    struct trial *trial = pair[0];
    return sandbox_start(&trial->job, (struct sandbox **)&pair[1], NULL) < 0 ? arg : NULL;
}

/* bubblewrap's --die-with-parent follows the thread that made it; ours must not be the worker's. */
static void test_thread(void **state)
{
    struct trial trial;
    struct sandbox_result result = {.nsteps = 0};
    void *pair[2] = {&trial, NULL};
    void *failed = NULL;
    pthread_t thread;
    (void)state;
    trial_init(&trial, "sleep", "300");
    assert_int_equal(pthread_create(&thread, NULL, start_in_thread, pair), 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    assert_int_equal(sandbox_wait(pair[1], &result, NULL), 0);
    expect(&result, SANDBOX_OK, "");
    sandbox_free(pair[1]);
    trial_done(&trial);
}

static void test_drop(void **state)
{
    struct diag diag = DIAG_INIT;
    (void)state;
    assert_int_not_equal(geteuid(), 0);
    assert_int_equal(setuid(0), -1);
    assert_int_equal(sandbox_drop_root(NULL, state_fd, &diag), 0);
    assert_int_equal(fchmod(state_fd, 0755), 0);
    assert_true(sandbox_drop_root(NULL, state_fd, &diag) < 0);
    assert_non_null(strstr(diag.text, "open to others"));
    assert_int_equal(fchmod(state_fd, 0700), 0);
}

static int run_suite(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probe),
        cmocka_unit_test(w15_the_host_is_not_seen),
        cmocka_unit_test(w15_files_of_the_host_are_out_of_reach),
        cmocka_unit_test(w15_the_kernel_is_kept_shut),
        cmocka_unit_test(w15_keys_are_out_of_reach),
        cmocka_unit_test(w15_there_is_no_network),
        cmocka_unit_test(w16_forks_without_end_stop),
        cmocka_unit_test(w16_memory_without_end_stops),
        cmocka_unit_test(w16_a_full_disk_stops_that_build),
        cmocka_unit_test(w16_a_file_without_end_stops),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(w16_time_without_end_stops),
        cmocka_unit_test(w16_a_log_without_end_stops),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_daemon),
        cmocka_unit_test(test_mess),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_symlink),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_launcher_killed),
        cmocka_unit_test(test_launcher_killed_early),
        cmocka_unit_test(test_cancel_early),
        cmocka_unit_test(test_worker_killed),
        cmocka_unit_test(test_thread),
        cmocka_unit_test(test_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

static int copy_program(int dirfd, const char *name, struct diag *diag)
{
    struct buf bytes CLEANUP_BUF = BUF_INIT;
    int error = file_read(AT_FDCWD, HOSTILE_FILE, 64 * MIB, &bytes, diag);
    return error < 0 ? error : file_write(dirfd, name, buf_view(&bytes), 0755, diag);
}

static int make_state(int outer, struct diag *diag)
{
    unsigned uid, gid;
    int error = sandbox_build_ids(NULL, &uid, &gid, diag);
    if (error >= 0 && mkdirat(outer, "state", 0700) < 0)
        error = diag_errno(diag, "state");
    state_fd = error < 0 ? -1 : openat(outer, "state", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state_fd < 0 || (geteuid() == 0 && fchown(state_fd, uid, gid) < 0))
        return diag_errno(diag, "state");
    return sandbox_drop_root(NULL, state_fd, diag);
}

static int child_main(int outer)
{
    struct diag diag = DIAG_INIT;
    int error = make_state(outer, &diag);
    if (error >= 0)
        error = file_make_dirs(state_fd, "layers/root/bin", 0755, &diag);
    if (error >= 0)
        error = copy_program(state_fd, "layers/root/bin/hostile", &diag);
    if (error >= 0)
        error = sandbox_probe(state_fd, &diag);
    if (error < 0) {
        printf("skipped: %s\n", diag_text(&diag, error));
        return error == FARM_E_UNAVAILABLE ? 77 : 1;
    }
    return run_suite() != 0;
}

/* The parent keeps its rights, so that it can remove what the dropped child may not. */
int main(void)
{
    char outer[] = "/tmp/farm-test-sandbox.XXXXXX";
    int status = 1;
    if (mkdtemp(outer) == NULL)
        return 1;
    snprintf(state_path, sizeof state_path, "%s/state", outer);
    int outer_fd CLEANUP_CLOSE = open(outer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        exit(child_main(outer_fd));
    if (child > 0)
        waitpid(child, &status, 0);
    if (sandbox_remove_tree(AT_FDCWD, outer, NULL) < 0)
        fprintf(stderr, "%s is left behind\n", outer);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
