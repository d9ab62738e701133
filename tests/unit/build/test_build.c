/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The steps of recipes: their order and text, and what bash makes of them (the scripts run with the machine's bash,
 * their paths moved to a scratch directory).
 */
#include "build.h"

#include "buf.h"
#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct build_steps *make(const struct build_plan *plan)
{
    struct build_steps *steps = NULL;
    struct diag diag = DIAG_INIT;
    if (build_steps_make(plan, "builds/1", &steps, &diag) < 0)
        fail_msg("%s", diag.text);
    return steps;
}

static const char *script_of(const struct build_steps *steps, const char *name)
{
    for (size_t i = 0; i < steps->nsteps; i++)
        if (strcmp(steps->steps[i].name, name) == 0)
            return steps->steps[i].argv[5];
    fail_msg("no step %s", name);
    return "";
}

static void expect_names(const struct build_steps *steps, const char *names)
{
    struct buf text CLEANUP_BUF = BUF_INIT;
    for (size_t i = 0; i < steps->nsteps; i++)
        buf_add_format(&text, "%s%s", i > 0 ? " " : "", steps->steps[i].name);
    assert_string_equal(text.data, names);
}

static void test_styles(void **state)
{
    static const char *const flags[] = {"--disable-static", "--prefix=/opt/x", "-D docdir=/usr/share/doc/x"};
    static const struct {
        enum build_system system;
        const char *names, *configure;
    } cases[] = {
        {BUILD_AUTOTOOLS, "configure build check install",
         "./configure --libdir=/usr/lib --sysconfdir=/etc --localstatedir=/var --disable-static "
         "--prefix=/opt/x"},
        {BUILD_MESON, "configure build check install",
         "meson setup igos-build . --libdir=/usr/lib --sysconfdir=/etc --localstatedir=/var "
         "--buildtype=plain "
         "--wrap-mode=nodownload --disable-static --prefix=/opt/x"},
        {BUILD_CMAKE, "configure build check install",
         "cmake -S . -B igos-build -G Ninja -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_INSTALL_LIBDIR=lib "},
        {BUILD_MAKE, "build check install", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct build_plan plan = {.name = "x",
                                        .tier = "extra",
                                        .system = cases[i].system,
                                        .flags = flags,
                                        .nflags = ARRAY_SIZE(flags),
                                        .tests_enabled = true};
        struct build_steps *steps = make(&plan);
        expect_names(steps, cases[i].names);
        if (cases[i].configure != NULL)
            assert_non_null(strstr(script_of(steps, "configure"), cases[i].configure));
        assert_non_null(strstr(script_of(steps, "install"), "$DESTDIR"));
        build_steps_free(steps);
    }
}

static void test_layout(void **state)
{
    static const char *const patches[] = {"a-1.patch", "b's.patch"};
    const struct build_plan plan = {.name = "zlib",
                                    .tier = "extra",
                                    .system = BUILD_CUSTOM,
                                    .has_build_sh = true,
                                    .has_scripts = true,
                                    .patches = patches,
                                    .npatches = 2};
    (void)state;
    struct build_steps *steps = make(&plan);
    expect_names(steps, "patch configure build install");
    assert_string_equal(script_of(steps, "patch"), "patch -Np1 -i '/mnt/intergenos/patches/a-1.patch'\n"
                                                   "patch -Np1 -i '/mnt/intergenos/patches/b'\\''s.patch'\n");
    assert_int_equal(steps->nbinds, 5);
    assert_string_equal(steps->binds[0].source, "builds/1/work");
    assert_string_equal(steps->binds[0].target, "/mnt/intergenos/build/work/zlib");
    assert_false(steps->binds[0].readonly);
    for (size_t i = 1; i < steps->nbinds; i++)
        assert_true(steps->binds[i].readonly);
    assert_string_equal(steps->steps[0].cwd, "/mnt/intergenos/build/work/zlib/src");
    assert_string_equal(steps->layer_work, "builds/1/root");
    build_steps_free(steps);
}

static void test_packed_patches(void **state)
{
    static const char *const patches[] = {"a.patch.gz", "b.diff.xz", "c.bz2", "d.gz.patch"};
    const struct build_plan plan = {.name = "x", .tier = "extra", .patches = patches, .npatches = 4};
    struct build_steps *steps = NULL;
    struct diag diag = DIAG_INIT;
    (void)state;
    assert_int_equal(build_steps_make(&plan, "builds/1", &steps, &diag), 0);
    assert_string_equal(script_of(steps, "patch"),
                        "gzip -dc '/mnt/intergenos/patches/a.patch.gz' | patch -Np1\n"
                        "xz -dc '/mnt/intergenos/patches/b.diff.xz' | patch -Np1\n"
                        "bzip2 -dc '/mnt/intergenos/patches/c.bz2' | patch -Np1\n"
                        "patch -Np1 -i '/mnt/intergenos/patches/d.gz.patch'\n");
    build_steps_free(steps);
}

static void refuse(const struct build_plan *plan, const char *text)
{
    struct build_steps *steps = NULL;
    struct diag diag = DIAG_INIT;
    assert_true(build_steps_make(plan, "builds/1", &steps, &diag) < 0);
    assert_null(steps);
    assert_non_null(strstr(diag.text, text));
}

static void test_refused(void **state)
{
    static const char *const up[] = {"../x.patch"};
    static const char *const lines[] = {"--a\nrm -rf /"};
    (void)state;
    refuse(&(struct build_plan){.name = "x", .tier = "extra", .system = BUILD_CUSTOM}, "needs a build.sh");
    refuse(&(struct build_plan){.name = "a/b", .tier = "extra"}, "not a plain file name");
    refuse(&(struct build_plan){.name = "..", .tier = "extra"}, "not a plain file name");
    refuse(&(struct build_plan){.name = "x", .tier = "extra", .patches = up, .npatches = 1},
           "not a plain file name");
    refuse(&(struct build_plan){.name = "x", .tier = "extra", .flags = lines, .nflags = 1}, "line break");
    refuse(&(struct build_plan){.name = "x", .tier = "extra", .install_func = "a b"}, "no function's name");
    refuse(&(struct build_plan){.name = "x", .tier = "extra", .install_func = "install;id"},
           "no function's name");
    refuse(&(struct build_plan){.name = "x", .tier = "extra", .install_func = ""}, "no function's name");
}

/* ---- what bash makes of it ---------------------------------------------------------------------------------- */

static char scratch[] = "/tmp/farm-test-build.XXXXXX";

static char *moved(const char *script)
{
    struct buf text CLEANUP_BUF = BUF_INIT;
    const char *at;
    while ((at = strstr(script, "/mnt/intergenos")) != NULL) {
        buf_add(&text, script, (size_t)(at - script));
        buf_add_text(&text, scratch);
        script = at + strlen("/mnt/intergenos");
    }
    buf_add_text(&text, script);
    return buf_steal(&text);
}

static int run(const struct build_steps *steps, const char *name, struct buf *ret)
{
    char *script CLEANUP_FREE = moved(script_of(steps, name));
    int out[2];
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char *destdir = mem_format("DESTDIR=%s/dest", scratch);
        char *environment[] = {destdir, (char[]){"PATH=/usr/bin:/bin"}, (char[]){"IGOS_JOBS=1"}, NULL};
        dup2(out[1], 1);
        dup2(out[1], 2);
        if (chdir(scratch) == 0)
            execle("/bin/bash", "/bin/bash", "-e", "-o", "pipefail", "-c", script, NULL, environment);
        _exit(126);
    }
    int status = 0;
    close(out[1]);
    assert_true(file_read_fd(out[0], "output", 1 << 20, ret, NULL) >= 0);
    close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void write_build_sh(const char *text)
{
    assert_int_equal(file_make_dirs(AT_FDCWD, scratch, 0700, NULL), 0);
    char *dir CLEANUP_FREE = mem_format("%s/packages/extra/x", scratch);
    char *file CLEANUP_FREE = mem_format("%s/build.sh", dir);
    char *scripts CLEANUP_FREE = mem_format("%s/scripts", scratch);
    char *functions CLEANUP_FREE = mem_format("%s/pkg-functions.sh", scripts);
    assert_true(file_make_dirs(AT_FDCWD, dir, 0700, NULL) >= 0);
    assert_true(file_make_dirs(AT_FDCWD, scripts, 0700, NULL) >= 0);
    assert_int_equal(file_write(AT_FDCWD, file, view_text(text), 0644, NULL), 0);
    assert_int_equal(file_write(AT_FDCWD, functions, VIEW("helper() { echo \"helper $1\"; }\n"), 0644, NULL),
                     0);
}

static void expect_run(const struct build_plan *plan, const char *build_sh, const char *step, int status,
                       const char *output)
{
    struct buf out CLEANUP_BUF = BUF_INIT;
    struct build_steps *steps = make(plan);
    write_build_sh(build_sh);
    int got = run(steps, step, &out);
    build_steps_free(steps);
    if (got != status || strstr(out.data, output) == NULL)
        fail_msg("step %s: status %d, expected %d with \"%s\"; output: %s", step, got, status, output,
                 out.data);
}

static void test_phases(void **state)
{
    struct build_plan plan = {
        .name = "x", .tier = "extra", .has_build_sh = true, .has_scripts = true, .tests_enabled = true};
    (void)state;
    expect_run(&plan, "configure() { helper one; }", "configure", 0, "helper one");
    expect_run(&plan, "configure() { false; echo not reached; }", "configure", 1, "");
    expect_run(&plan, "configure() { false | cat; }", "configure", 1, "");
    expect_run(&plan, "# nothing", "configure", 0, "");
    expect_run(&plan, "build() { return 3; }", "build", 3, "");
    expect_run(&plan, "check() { false; true; }", "check", 1, "");
    expect_run(&plan, "do_install() { touch $DESTDIR/a; echo did; }\ninstall() { echo wrong; }", "install", 0,
               "did");
    expect_run(&plan, "install() { echo did; }", "install", 0, "did");
    expect_run(&plan, "build() { :; }", "install", 1, "neither do_install nor install");
    plan.install_func = "my_install";
    expect_run(&plan, "my_install() { echo mine; }\ndo_install() { echo wrong; }", "install", 0, "mine");
    plan.tests_may_fail = true;
    expect_run(&plan, "check() { false; echo not reached; }", "check", 0, "check failed with status 1");
}

static void test_validations(void **state)
{
    struct build_validation validation = {"it's there", "helper two\n", "helper two", true};
    const struct build_plan plan = {.name = "x",
                                    .tier = "extra",
                                    .has_build_sh = true,
                                    .has_scripts = true,
                                    .validations = &validation,
                                    .nvalidations = 1};
    (void)state;
    expect_run(&plan, "", "validate-1", 0, "it's there\nhelper two");
    validation.expect = "* three";
    expect_run(&plan, "", "validate-1", 1, "expected text is not");
    validation.fatal = false;
    expect_run(&plan, "", "validate-1", 0, "not fatal");
    validation = (struct build_validation){NULL, "false; true", NULL, true};
    expect_run(&plan, "", "validate-1", 1, "validate-1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_styles),  cmocka_unit_test(test_layout), cmocka_unit_test(test_packed_patches),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_phases), cmocka_unit_test(test_validations),
    };
    if (mkdtemp(scratch) == NULL)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (sandbox_remove_tree(AT_FDCWD, scratch, NULL) < 0)
        fprintf(stderr, "%s is left behind\n", scratch);
    return failed != 0;
}
