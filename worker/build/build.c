/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "build.h"

#include "file.h"
#include "style.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const phase_names[PHASES] = {"configure", "build", "check", "install"};

static void add_quoted(struct buf *ret, const char *text)
{
    buf_add_byte(ret, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            buf_add_text(ret, "'\\''");
        else
            buf_add_byte(ret, *text);
    }
    buf_add_byte(ret, '\'');
}

static int check_text(const char *text, const char *what, struct diag *diag)
{
    if (text == NULL || strchr(text, '/') != NULL || !file_path_is_plain(view_text(text)) ||
        !view_is_token(view_text(text)))
        return diag_set(diag, FARM_E_REFUSED, "recipe: %s \"%.80s\" is not a plain file name", what,
                        text != NULL ? text : "");
    return 0;
}

/* It stands in the script as a command. */
static int check_function(const char *name, struct diag *diag)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (name[0] == '\0' || name[0] == '-' || name[strspn(name, letters)] != '\0')
        return diag_set(diag, FARM_E_REFUSED, "recipe: install_func \"%.80s\" is no function's name", name);
    return 0;
}

static int check_plan(const struct build_plan *plan, struct diag *diag)
{
    int error = check_text(plan->name, "name", diag);
    if (error >= 0)
        error = check_text(plan->tier, "tier", diag);
    if (error >= 0 && plan->install_func != NULL)
        error = check_function(plan->install_func, diag);
    for (size_t i = 0; error >= 0 && i < plan->npatches; i++)
        error = check_text(plan->patches[i], "patch", diag);
    for (size_t i = 0; error >= 0 && i < plan->nflags; i++)
        if (strpbrk(plan->flags[i], "\n\r") != NULL)
            error =
                diag_set(diag, FARM_E_REFUSED, "recipe %s: a configure flag has a line break", plan->name);
    if (error >= 0 && (plan->nvalidations > BUILD_VALIDATIONS_MAX || plan->nflags > BUILD_FLAGS_MAX))
        error = diag_set(diag, FARM_E_LIMIT, "recipe %s: %d validations and %d configure flags are possible",
                         plan->name, BUILD_VALIDATIONS_MAX, BUILD_FLAGS_MAX);
    if (error >= 0 && plan->system == BUILD_CUSTOM && !plan->has_build_sh)
        error = diag_set(diag, FARM_E_REFUSED, "recipe %s: build_style custom needs a build.sh", plan->name);
    return error;
}

static int add_step(struct build_steps *steps, const char *name, struct buf *script, struct diag *diag)
{
    static const char *const bash[] = {"/bin/bash", "-e", "-o", "pipefail", "-c"};
    size_t n = steps->nsteps;
    if (script->size > BUILD_SCRIPT_TEXT_MAX || n == SANDBOX_STEPS_MAX)
        return diag_set(diag, FARM_E_LIMIT,
                        "recipe step %s: %zu bytes in step %zu; %d bytes and %d steps are possible", name,
                        script->size, n, BUILD_SCRIPT_TEXT_MAX, SANDBOX_STEPS_MAX);
    steps->names[n] = mem_string(name);
    steps->scripts[n] = buf_steal(script);
    for (size_t i = 0; i < ARRAY_SIZE(bash); i++)
        steps->argv[n][i] = bash[i];
    steps->argv[n][ARRAY_SIZE(bash)] = steps->scripts[n];
    steps->steps[n] = (struct sandbox_step){steps->names[n], steps->argv[n], steps->cwd};
    steps->nsteps++;
    return 0;
}

static void add_preamble(const struct build_plan *plan, struct buf *ret)
{
    if (plan->has_scripts)
        buf_add_text(ret, "if [ -f " BUILD_SCRIPTS_DIR "/pkg-functions.sh ]; then\n"
                          "    . " BUILD_SCRIPTS_DIR "/pkg-functions.sh\nfi\n");
    if (plan->has_build_sh) {
        buf_add_text(ret, ". ");
        char *path CLEANUP_FREE = mem_format(BUILD_PACKAGES_DIR "/%s/%s/build.sh", plan->tier, plan->name);
        add_quoted(ret, path);
        buf_add_byte(ret, '\n');
    }
}

/*
 * A function runs as a plain command, never as a condition: bash drops -e for whatever it runs in one. The body of
 * an "if" is none.
 */
static void add_call(const char *function, struct buf *ret)
{
    buf_add_format(ret, "if declare -F %s >/dev/null; then\n    %s\n", function, function);
}

static void add_install_call(const struct build_plan *plan, struct buf *ret)
{
    if (plan->install_func != NULL) {
        add_call(plan->install_func, ret);
        buf_add_text(ret, "el");
    }
    add_call("do_install", ret);
    buf_add_text(ret, "el");
    add_call("install", ret);
    buf_add_text(
        ret, "else\n    echo 'farm: build.sh defines neither do_install nor install' >&2\n    exit 1\nfi\n");
}

static void add_commands(const struct build_plan *plan, enum build_phase phase, struct buf *ret)
{
    if (!plan->has_build_sh) {
        style_commands(plan, phase, ret);
    } else if (phase == PHASE_INSTALL) {
        add_install_call(plan, ret);
    } else {
        add_call(phase_names[phase], ret);
        buf_add_text(ret, "fi\n");
    }
}

/* The recipe lists known failures: the result is said, and the build goes on. The subshell keeps -e. */
static void add_tolerant(const struct build_plan *plan, struct buf *ret)
{
    buf_add_text(ret, "set +e\n(\nset -e\n");
    add_commands(plan, PHASE_CHECK, ret);
    buf_add_text(
        ret, ")\nstatus=$?\nset -e\nif [ $status -ne 0 ]; then\n"
             "    echo \"farm: check failed with status $status; the recipe allows known failures\"\nfi\n");
}

static int add_phase(const struct build_plan *plan, enum build_phase phase, struct build_steps *steps,
                     struct diag *diag)
{
    struct buf script CLEANUP_BUF = BUF_INIT;
    add_preamble(plan, &script);
    size_t before = script.size;
    if (phase == PHASE_INSTALL)
        buf_add_text(&script, "mkdir -p \"$DESTDIR\"\n");
    if (phase == PHASE_CHECK && plan->tests_may_fail)
        add_tolerant(plan, &script);
    else
        add_commands(plan, phase, &script);
    return script.size == before ? 0 : add_step(steps, phase_names[phase], &script, diag);
}

/* What patch(1) reads: the file, or what its packer makes of it (libpng's APNG patch comes as .gz). */
static void add_patch(const char *file, struct buf *script)
{
    static const struct {
        const char *ending, *unpack;
    } packers[] = {{".gz", "gzip"}, {".bz2", "bzip2"}, {".xz", "xz"}, {".zst", "zstd"}};
    char *path CLEANUP_FREE = mem_format(BUILD_PATCHES_DIR "/%s", file);
    const char *unpack = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(packers); i++)
        if (view_ends(view_text(file), view_text(packers[i].ending)))
            unpack = packers[i].unpack;
    if (unpack != NULL)
        buf_add_format(script, "%s -dc ", unpack);
    else
        buf_add_text(script, "patch -Np1 -i ");
    add_quoted(script, path);
    buf_add_text(script, unpack != NULL ? " | patch -Np1\n" : "\n");
}

static int add_patches(const struct build_plan *plan, struct build_steps *steps, struct diag *diag)
{
    struct buf script CLEANUP_BUF = BUF_INIT;
    for (size_t i = 0; i < plan->npatches; i++)
        add_patch(plan->patches[i], &script);
    return plan->npatches > 0 ? add_step(steps, "patch", &script, diag) : 0;
}

static int add_validation(const struct build_plan *plan, size_t index, struct build_steps *steps,
                          struct diag *diag)
{
    const struct build_validation *validation = &plan->validations[index];
    struct buf script CLEANUP_BUF = BUF_INIT;
    char name[32];
    snprintf(name, sizeof name, "validate-%zu", index + 1);
    add_preamble(plan, &script);
    buf_add_text(&script, "echo ");
    add_quoted(&script, validation->description != NULL ? validation->description : name);
    buf_add_text(&script, "\nset +e\noutput=$(set -e\n");
    buf_add_text(&script, validation->script);
    buf_add_text(&script, "\n)\nstatus=$?\nset -e\nprintf '%s\\n' \"$output\"\n");
    if (validation->expect != NULL) {
        buf_add_text(&script, "case $output in *");
        add_quoted(&script, validation->expect);
        buf_add_text(&script,
                     "*) ;; *) echo 'farm: the expected text is not in the output'; status=1 ;; esac\n");
    }
    buf_add_text(&script, validation->fatal
                              ? "exit $status\n"
                              : "[ $status -eq 0 ] || echo 'farm: validation failed; the recipe says it is "
                                "not fatal'\n");
    return add_step(steps, name, &script, diag);
}

static void add_bind(struct build_steps *steps, const char *job_dir, const char *host, char *target,
                     bool readonly)
{
    size_t n = steps->nbinds++;
    steps->sources[n] = mem_format("%s/%s", job_dir, host);
    steps->targets[n] = target;
    steps->binds[n] = (struct sandbox_bind){steps->sources[n], steps->targets[n], readonly};
}

static void add_binds(const struct build_plan *plan, const char *job_dir, struct build_steps *steps)
{
    add_bind(steps, job_dir, BUILD_HOST_WORK, mem_format(BUILD_WORK_DIR "/%s", plan->name), false);
    add_bind(steps, job_dir, BUILD_HOST_SOURCES, mem_string(BUILD_SOURCES_DIR), true);
    add_bind(steps, job_dir, BUILD_HOST_RECIPE,
             mem_format(BUILD_PACKAGES_DIR "/%s/%s", plan->tier, plan->name), true);
    if (plan->has_scripts)
        add_bind(steps, job_dir, BUILD_HOST_SCRIPTS, mem_string(BUILD_SCRIPTS_DIR), true);
    if (plan->npatches > 0)
        add_bind(steps, job_dir, BUILD_HOST_PATCHES, mem_string(BUILD_PATCHES_DIR), true);
}

int build_steps_make(const struct build_plan *plan, const char *job_dir, struct build_steps **ret,
                     struct diag *diag)
{
    int error = check_plan(plan, diag);
    if (error < 0)
        return error;
    struct build_steps *steps = mem_zero(1, sizeof *steps);
    steps->cwd = mem_format(BUILD_WORK_DIR "/%s/src", plan->name);
    steps->layer_work = mem_format("%s/" BUILD_HOST_ROOT, job_dir);
    add_binds(plan, job_dir, steps);
    error = add_patches(plan, steps, diag);
    for (enum build_phase phase = PHASE_CONFIGURE; error >= 0 && phase < PHASES; phase++)
        if (phase != PHASE_CHECK || plan->tests_enabled)
            error = add_phase(plan, phase, steps, diag);
    for (size_t i = 0; error >= 0 && i < plan->nvalidations; i++)
        error = add_validation(plan, i, steps, diag);
    if (error < 0) {
        build_steps_free(steps);
        return error;
    }
    *ret = steps;
    return 0;
}

struct build_steps *build_steps_free(struct build_steps *steps)
{
    if (steps == NULL)
        return NULL;
    for (size_t i = 0; i < steps->nsteps; i++) {
        free(steps->names[i]);
        free(steps->scripts[i]);
    }
    for (size_t i = 0; i < steps->nbinds; i++) {
        free(steps->sources[i]);
        free(steps->targets[i]);
    }
    free(steps->layer_work);
    free(steps->cwd);
    free(steps);
    return NULL;
}
