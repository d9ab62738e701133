/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Build: from a recipe to the steps of a sandbox job (INTERGENOS.md, "The build contract").
 *
 * Pure: takes a plan, gives texts. Layout on the host, below the job's directory, made by the caller before the
 * sandbox starts, and where each is inside:
 *
 *   work/src     source[0] unpacked without its first component, bundled_deps below it
 *   work/dest    $DESTDIR; what is collected as payload afterwards
 *   work         /mnt/intergenos/build/work/NAME            writable
 *   sources      /sources                                   read only: every source by its file name
 *   recipe       /mnt/intergenos/packages/TIER/NAME         read only
 *   scripts      /mnt/intergenos/scripts                    read only, if the tree has helper scripts
 *   patches      /mnt/intergenos/patches                    read only, if the recipe has patches
 *   root         upper and work directories of the overlay
 *
 * The work directory is a bind of its own, not part of the overlay: what lands in work/dest is plain files without an overlay's
 * white-outs, and builds run at the file system's own speed.
 *
 * Each phase is a bash of its own (-e, pipefail) that reads scripts/pkg-functions.sh if there is one, then build.sh,
 * and then calls its function if that is defined. Variables do not survive between phases. A recipe without build.sh
 * gets its build style's usual commands; its configure_flags are shell words, as in the tree's own builder
 * ("--build=$(build-aux/config.guess)"), and come after ours.
 *
 * What a recipe says is trusted no less than its build.sh: flags and validation scripts are the shell's to interpret,
 * inside the sandbox, where build.sh could do the same. Names (package, tier, function, patch) are not: they are refused or
 * quoted, since they also stand in paths on this side.
 */
#ifndef FARM_BUILD_H
#define FARM_BUILD_H

#include "sandbox.h"

#include <stddef.h>

#define BUILD_ROOT_DIR     "/mnt/intergenos"
#define BUILD_WORK_DIR     BUILD_ROOT_DIR "/build/work"
#define BUILD_SOURCES_DIR  "/sources"
#define BUILD_SCRIPTS_DIR  BUILD_ROOT_DIR "/scripts"
#define BUILD_PATCHES_DIR  BUILD_ROOT_DIR "/patches"
#define BUILD_PACKAGES_DIR BUILD_ROOT_DIR "/packages"

/* Below the job's directory on the host. */
#define BUILD_HOST_WORK    "work"
#define BUILD_HOST_SRC     "work/src"
#define BUILD_HOST_DEST    "work/dest"
#define BUILD_HOST_SOURCES "sources"
#define BUILD_HOST_RECIPE  "recipe"
#define BUILD_HOST_SCRIPTS "scripts"
#define BUILD_HOST_PATCHES "patches"
#define BUILD_HOST_ROOT    "root"

enum build_system { BUILD_AUTOTOOLS, BUILD_CMAKE, BUILD_MESON, BUILD_MAKE, BUILD_CUSTOM };

enum {
    BUILD_VALIDATIONS_MAX = 16,
    BUILD_BINDS_MAX = 5,
    BUILD_FLAGS_MAX = 512,          /* configure_flags; the longest real list has 40 */
    BUILD_SCRIPT_TEXT_MAX = 120000, /* bytes of one step's script: one argument of exec is 128 KiB at most */
};

struct build_validation {
    const char *description, *script;
    const char *expect; /* must occur in the output; NULL: only the exit status counts */
    bool fatal;         /* otherwise a failure is said in the log and ignored */
};

/* All borrowed. */
struct build_plan {
    const char *name, *tier;
    enum build_system system;
    bool has_build_sh;
    bool has_scripts;         /* the tree has scripts/ */
    const char *const *flags; /* configure_flags */
    size_t nflags;
    const char *const *patches; /* file names, in order */
    size_t npatches;
    const char *install_func; /* NULL: do_install, else install */
    bool tests_enabled;
    bool tests_may_fail; /* failure_policy known_failures: a failing check is said in the log and ignored */
    const struct build_validation *validations;
    size_t nvalidations;
};

/* What goes into a sandbox_job. Owned; the arrays point into each other, so it does not move. */
struct build_steps {
    struct sandbox_step steps[SANDBOX_STEPS_MAX];
    size_t nsteps;
    struct sandbox_bind binds[BUILD_BINDS_MAX];
    size_t nbinds;
    char *layer_work; /* the job's "work": job_dir/root */
    /* owned texts behind the above */
    char *names[SANDBOX_STEPS_MAX], *scripts[SANDBOX_STEPS_MAX];
    const char *argv[SANDBOX_STEPS_MAX][8];
    char *sources[BUILD_BINDS_MAX], *targets[BUILD_BINDS_MAX];
    char *cwd;
};

/*
 * 'job_dir' is the job's directory, relative to the state directory. FARM_E_REFUSED if the recipe cannot be built (a
 * custom one without build.sh, a name that is no path component), FARM_E_LIMIT.
 */
int build_steps_make(const struct build_plan *plan, const char *job_dir, struct build_steps **ret,
                     struct diag *diag) MUST_USE;
struct build_steps *build_steps_free(struct build_steps *steps);

#endif
