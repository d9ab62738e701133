/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The parts of the sandbox that are data: jobs on their way to the launcher, operations and arguments, masks, the
 * watchdog's judgement, the walk. No namespace is made here.
 */
#include "filter.h"
#include "job.h"
#include "mask.h"
#include "ops.h"
#include "packet.h"
#include "walk.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const layers[] = {"roots/base/root", "roots/closure"};
static const struct sandbox_bind binds[] = {{"builds/1/work", "/mnt/intergenos/build/work/x", false},
                                            {"trees/t/scripts", "/mnt/intergenos/scripts", true}};
static const char *const env[] = {"A=1", "B="};
static const char *const argv_true[] = {"/bin/true", "", NULL};
static const struct sandbox_step steps[] = {{"configure", argv_true, "/tmp"}, {"build", argv_true, "/tmp"}};

static struct sandbox_job sample(void)
{
    return (struct sandbox_job){.layers = layers,
                                .nlayers = 2,
                                .work = "builds/1/root",
                                .binds = binds,
                                .nbinds = 2,
                                .env = env,
                                .nenv = 2,
                                .steps = steps,
                                .nsteps = 2,
                                .limits = {.cores = 2,
                                           .first_cpu = 3,
                                           .memory_bytes = UINT64_C(1) << 40,
                                           .processes = 5,
                                           .disk_bytes = 6,
                                           .disk_reserve_bytes = 7,
                                           .file_bytes = 8,
                                           .wall_seconds = 9,
                                           .log_bytes = 10,
                                           .tmp_bytes = 11,
                                           .shm_bytes = 12}};
}

static void test_round_trip(void **state)
{
    struct buf bytes CLEANUP_BUF = BUF_INIT;
    const struct sandbox_job from = sample();
    struct job to;
    (void)state;
    assert_int_equal(job_check(&from, NULL), 0);
    job_encode(&from, &bytes);
    assert_int_equal(job_decode(bytes.data, bytes.size, &to), 0);
    assert_string_equal(to.hostname, "intergenos");
    assert_string_equal(to.work, from.work);
    assert_string_equal(to.layers[1], layers[1]);
    assert_string_equal(to.binds[0].target, binds[0].target);
    assert_true(to.binds[1].readonly && !to.binds[0].readonly);
    assert_memory_equal(&to.limits, &from.limits, sizeof to.limits);
    assert_int_equal(to.nsteps, 2);
}

/* Every shorter text is refused, and so is every longer one; a changed one is at worst another job. */
static void test_strict(void **state)
{
    struct buf bytes CLEANUP_BUF = BUF_INIT;
    const struct sandbox_job from = sample();
    struct job to;
    (void)state;
    job_encode(&from, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        char *copy CLEANUP_FREE = mem_copy(bytes.data, size);
        assert_int_equal(job_decode(copy, size, &to), FARM_E_SYNTAX);
    }
    for (size_t i = 0; i < bytes.size; i++)
        for (int bit = 0; bit < 8; bit++) {
            char *copy CLEANUP_FREE = mem_copy(bytes.data, bytes.size);
            copy[i] ^= (char)(1 << bit);
            int got = job_decode(copy, bytes.size, &to);
            assert_true(got == 0 || got == FARM_E_SYNTAX);
        }
    buf_add_byte(&bytes, 0);
    assert_int_equal(job_decode(bytes.data, bytes.size, &to), FARM_E_SYNTAX);
}

static void test_ops(void **state)
{
    struct buf bytes CLEANUP_BUF = BUF_INIT;
    const struct sandbox_job from = sample();
    struct ops ops = {.count = 0};
    struct argv argv = {0};
    struct buf text CLEANUP_BUF = BUF_INIT;
    struct job job;
    (void)state;
    job_encode(&from, &bytes);
    assert_int_equal(job_decode(bytes.data, bytes.size, &job), 0);
    ops_build(&job, &ops);
    assert_int_equal(ops_validate(&ops, NULL), 0);
    ops_argv(&ops, "/usr/bin/bwrap", job.hostname, 5, 6, "4,0", &argv);
    for (size_t i = 0; i < argv.count; i++)
        buf_add_format(&text, "%s ", argv.items[i]);
    assert_string_equal(text.data, "/usr/bin/bwrap --unshare-pid --unshare-ipc --unshare-uts --unshare-net "
                                   "--unshare-cgroup --die-with-parent "
                                   "--as-pid-1 --clearenv --cap-drop ALL --cap-add CAP_CHOWN --cap-add "
                                   "CAP_DAC_OVERRIDE --cap-add CAP_FOWNER --cap-add "
                                   "CAP_FSETID --cap-add CAP_SETUID --cap-add CAP_SETGID --cap-add CAP_KILL "
                                   "--hostname intergenos --bind /tmp/root / "
                                   "--proc /proc --ro-bind /tmp/mask/cpuinfo /proc/cpuinfo --dev /dev "
                                   "--remount-ro /dev --perms 1777 --size 12 --tmpfs "
                                   "/dev/shm --perms 1777 --size 11 --tmpfs /tmp --ro-bind /tmp/mask/sys "
                                   "/sys --bind /tmp/state/builds/1/work "
                                   "/mnt/intergenos/build/work/x --ro-bind /tmp/state/trees/t/scripts "
                                   "/mnt/intergenos/scripts --chdir / --seccomp 5 "
                                   "-- /proc/self/fd/6 4,0 ");
    assert_null(argv.items[argv.count]);
    argv_done(&argv);
    ops_done(&ops);
}

static void refuse_op(struct op op, const char *text)
{
    struct diag diag = DIAG_INIT;
    struct ops ops = {.items = {{OP_BIND, (char[]){"/tmp/root"}, (char[]){"/"}, 0, 0},
                                {OP_PROC, NULL, (char[]){"/a/b"}, 0, 0},
                                op},
                      .count = 3};
    assert_int_equal(ops_validate(&ops, &diag), FARM_E_REFUSED);
    assert_non_null(strstr(diag.text, text));
}

static void test_ops_refused(void **state)
{
    (void)state;
    refuse_op((struct op){OP_BIND, (char[]){"/etc"}, (char[]){"/c"}, 0, 0}, "not below the stage");
    refuse_op((struct op){OP_BIND, (char[]){"/tmp/state/../../etc"}, (char[]){"/c"}, 0, 0},
              "not below the stage");
    refuse_op((struct op){OP_BIND, (char[]){"/tmp/state/x"}, (char[]){"/a"}, 0, 0}, "would hide /a/b");
    refuse_op((struct op){OP_BIND, (char[]){"/tmp/state/x"}, (char[]){"/c/../d"}, 0, 0},
              "not a plain absolute path");
    refuse_op((struct op){OP_TMPFS, NULL, (char[]){"/c"}, 0, 01777}, "size");
    refuse_op((struct op){OP_PROC, (char[]){"/tmp/state/x"}, (char[]){"/c"}, 0, 0}, "belongs to binds alone");
    struct ops none = {.count = 0};
    assert_int_equal(ops_validate(&none, NULL), FARM_E_REFUSED);
}

static void test_masks(void **state)
{
    struct buf text CLEANUP_BUF = BUF_INIT;
    (void)state;
    mask_cpu_list(1, &text);
    mask_cpu_list(16, &text);
    assert_string_equal(text.data, "0\n0-15\n");
    buf_clear(&text);
    mask_cpuinfo(3, &text);
    int count = 0;
    for (const char *at = text.data; (at = strstr(at, "processor\t: ")) != NULL; at++)
        count++;
    assert_int_equal(count, 3);
    assert_null(strstr(text.data, "avx")); /* more than the build contract's level */
    buf_clear(&text);
    assert_int_equal(mask_choose(100000, 0, &text, NULL), FARM_E_UNAVAILABLE);
    assert_int_equal(mask_choose(1, 12345, &text, NULL), 0);
    assert_null(strchr(text.data, ','));
}

static void test_judge(void **state)
{
    const struct sandbox_limits limits = {
        .memory_bytes = 100, .processes = 10, .disk_bytes = 100, .disk_reserve_bytes = 50};
    const struct watch_sample fine = {.memory_bytes = 100, .tasks = 9, .disk_bytes = 100, .free_bytes = 50};
    struct watch_sample sample = fine;
    (void)state;
    assert_int_equal(watch_judge(&limits, &sample), WATCH_NONE);
    sample.memory_bytes++;
    assert_int_equal(watch_judge(&limits, &sample), WATCH_MEMORY);
    sample = fine;
    sample.tasks++;
    assert_int_equal(watch_judge(&limits, &sample), WATCH_PROCESSES);
    sample = fine;
    sample.disk_bytes++;
    assert_int_equal(watch_judge(&limits, &sample), WATCH_DISK);
    sample = fine;
    sample.free_bytes--;
    assert_int_equal(watch_judge(&limits, &sample), WATCH_RESERVE);
}

static void test_interval(void **state)
{
    const struct sandbox_limits limits = {.memory_bytes = UINT64_C(16) << 30,
                                          .disk_bytes = UINT64_C(64) << 30};
    (void)state;
    assert_int_equal(watch_interval(&limits, &(struct watch_sample){0}), 250);
    assert_int_equal(watch_interval(&limits, &(struct watch_sample){.memory_bytes = UINT64_C(16) << 30}), 10);
    assert_int_equal(watch_interval(&limits, &(struct watch_sample){.memory_bytes = UINT64_C(20) << 30}), 10);
    assert_in_range(watch_interval(&limits, &(struct watch_sample){.disk_bytes = UINT64_C(63) << 30}), 200,
                    250);
    assert_in_range(watch_interval(&limits, &(struct watch_sample){.memory_bytes = (UINT64_C(16) << 30) -
                                                                                   (UINT64_C(400) << 20)}),
                    90, 110);
}

/* Each jump stays inside the program, and it ends with an answer: what the kernel checks, without asking it. */
static void test_filter(void **state)
{
    struct buf bytes CLEANUP_BUF = BUF_INIT;
    (void)state;
    filter_build(&bytes);
    const struct sock_filter *program = (const struct sock_filter *)(void *)bytes.data;
    size_t count = bytes.size / sizeof *program;
    assert_int_equal(bytes.size % sizeof *program, 0);
    assert_in_range(count, 50, BPF_MAXINSNS);
    for (size_t i = 0; i < count; i++)
        if (BPF_CLASS(program[i].code) == BPF_JMP)
            assert_true(i + 1 + program[i].jt < count && i + 1 + program[i].jf < count);
    assert_int_equal(BPF_CLASS(program[count - 1].code), BPF_RET);
}

static int count_entry(int dirfd, const char *name, const struct stat *st, void *arg)
{
    (void)dirfd;
    (void)st;
    if (strcmp(name, "file") == 0)
        ++*(int *)arg;
    return 0;
}

static void test_walk(void **state)
{
    char top[] = "/tmp/farm-test-walk.XXXXXX";
    int files = 0;
    (void)state;
    assert_non_null(mkdtemp(top));
    int dirfd CLEANUP_CLOSE = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(dirfd, "a", 0700) | mkdirat(dirfd, "a/b", 0700) | mkdirat(dirfd, "a/c", 0700),
                     0);
    close(openat(dirfd, "a/b/file", O_CREAT | O_WRONLY, 0600));
    close(openat(dirfd, "file", O_CREAT | O_WRONLY, 0600));
    assert_int_equal(symlinkat("..", dirfd, "a/c/up"), 0);
    const struct walk walk = {.entry = count_entry, .arg = &files};
    assert_int_equal(walk_tree(dirfd, ".", &walk), 0);
    assert_int_equal(files, 2);
    assert_int_equal(walk_tree(dirfd, "nowhere", &walk), -ENOENT);
    assert_int_equal(sandbox_remove_tree(AT_FDCWD, top, NULL), 0);
    assert_int_equal(access(top, F_OK), -1);
    assert_int_equal(sandbox_remove_tree(AT_FDCWD, top, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_strict), cmocka_unit_test(test_ops),
        cmocka_unit_test(test_ops_refused), cmocka_unit_test(test_masks),  cmocka_unit_test(test_judge),
        cmocka_unit_test(test_interval),    cmocka_unit_test(test_filter), cmocka_unit_test(test_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
