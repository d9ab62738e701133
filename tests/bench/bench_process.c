/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The coordinator as a process: started, told to build, measured from outside, stopped. */
#include "bench.h"
#include "bench_farm.h"
#include "file.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool bench_raise_descriptors(size_t count)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return false;
    if (limit.rlim_cur >= count)
        return true;
    limit.rlim_cur = count;
    if (limit.rlim_max < count)
        limit.rlim_max = count;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* ---- running ---- */

static void read_join(struct bench_farm *farm, int fd)
{
    char line[512];
    struct diag diag = DIAG_INIT;
    FILE *out = fdopen(fd, "r");
    assert(out != NULL);
    if (fgets(line, sizeof line, out) == NULL)
        bench_must(diag_set(&diag, FARM_E_UNAVAILABLE,
                            "the coordinator did not start: see %s/coordinator.log", farm->path),
                   &diag);
    line[strcspn(line, "\n")] = '\0';
    bench_must(join_parse(view_text(line), &farm->join, &diag), &diag);
    fclose(out); /* it writes no more than this line */
}

static void run_coordinator(const struct bench_farm *farm, int out)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a benchmark that gives up leaves nothing running */
    CLEANUP_FREE char *conf = mem_format("%s/farm.conf", farm->path);
    CLEANUP_FREE char *log = mem_format("%s/coordinator.log", farm->path);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(fd, STDERR_FILENO) >= 0)
        execl(FARM_BINARY_DIR "/bin/farm-coordinator", "farm-coordinator", "--config", conf, (char *)NULL);
    _exit(FARM_EXIT_CANNOT_RUN);
}

void bench_farm_start(struct bench_farm *farm)
{
    struct diag diag = DIAG_INIT;
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0 || (farm->pid = fork()) < 0)
        bench_must(diag_errno(&diag, "coordinator"), &diag);
    if (farm->pid == 0)
        run_coordinator(farm, pipes[1]);
    close(pipes[1]);
    read_join(farm, pipes[0]);
}

static void wait_for(pid_t pid, const char *what)
{
    struct diag diag = DIAG_INIT;
    int status;
    if (waitpid(pid, &status, 0) < 0)
        bench_must(diag_errno(&diag, "%s", what), &diag);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        bench_must(diag_set(&diag, FARM_E_FAILED, "%s ended with status %d", what, status), &diag);
}

void bench_farm_stop(struct bench_farm *farm)
{
    kill(farm->pid, SIGTERM);
    wait_for(farm->pid, "farm-coordinator");
    farm->pid = 0;
}

void bench_farm_build(const struct bench_farm *farm)
{
    CLEANUP_FREE char *control = mem_format("%s/control.sock", farm->path);
    struct digest_hex plan = digest_hex(&farm->plan);
    struct diag diag = DIAG_INIT;
    pid_t pid = fork();
    if (pid < 0)
        bench_must(diag_errno(&diag, "farmctl"), &diag);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        if (null >= 0 && dup2(null, STDOUT_FILENO) >= 0)
            execl(FARM_BINARY_DIR "/bin/farmctl", "farmctl", "--socket", control, "build", plan.text,
                  (char *)NULL);
        _exit(FARM_EXIT_CANNOT_RUN);
    }
    wait_for(pid, "farmctl build");
}

/* ---- measuring ---- */

static char *read_text(const char *path)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    bench_must(file_read(AT_FDCWD, path, 64 * 1024, &text, &diag), &diag);
    return view_string(buf_view(&text));
}

/* The scheduler's own count, in nanoseconds; the one in "stat" has steps of 10 ms. */
double bench_farm_cpu(const struct bench_farm *farm)
{
    CLEANUP_FREE char *tasks = mem_format("/proc/%d/task", (int)farm->pid);
    struct diag diag = DIAG_INIT;
    DIR *dir = opendir(tasks);
    double sum = 0;
    if (dir == NULL)
        bench_must(diag_errno(&diag, "%s", tasks), &diag);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        CLEANUP_FREE char *path = mem_format("%s/%s/schedstat", tasks, entry->d_name);
        CLEANUP_FREE char *text = read_text(path);
        sum += strtod(text, NULL) / 1e9;
    }
    closedir(dir);
    return sum;
}

static uint64_t status_of(const struct bench_farm *farm, const char *key)
{
    CLEANUP_FREE char *path = mem_format("/proc/%d/status", (int)farm->pid);
    CLEANUP_FREE char *text = read_text(path);
    const char *found = strstr(text, key);
    return found != NULL ? strtoull(found + strlen(key), NULL, 10) * 1024 : 0;
}

uint64_t bench_farm_resident(const struct bench_farm *farm)
{
    return status_of(farm, "\nVmRSS:");
}

uint64_t bench_farm_resident_peak(const struct bench_farm *farm)
{
    return status_of(farm, "\nVmHWM:");
}

void bench_farm_settle(const struct bench_farm *farm, double limit_s)
{
    enum { LOOK_MS = 200, QUIET_LOOKS = 3 };
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    const double quiet =
        0.1 * LOOK_MS / 1000; /* a tenth of a processor: keeping connections alive costs that */
    double until = bench_wall() + limit_s;
    for (int looks = 0; looks < QUIET_LOOKS && bench_wall() < until;) {
        double before = bench_farm_cpu(farm);
        nanosleep(&pause, NULL);
        looks = bench_farm_cpu(farm) - before < quiet ? looks + 1 : 0;
    }
}
