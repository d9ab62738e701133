/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "buildenv.h"

#include "names.h"
#include "spec.h"

#include <stdlib.h>

/* The tree's own triple, for recipes that do not name another. */
static const char default_target[] = "x86_64-igos-linux-gnu";

/*
 * Baseline of the distribution: 2009's processors. Without it a compiler may take the host's instructions,
 * which end in SIGILL on older machines.
 */
static const char compiler_flags[] = "-march=x86-64-v2 -mtune=generic -O2 -pipe";

static const char *const fixed[][2] = {
    {"GI_TYPELIB_PATH", "/usr/lib/girepository-1.0"},
    {"HOME", "/root"},
    {"IGOS", "/"},
    {"IGOS_PATCHES", SPEC_PATCHES},
    {"IGOS_SOURCES", SPEC_SOURCES},
    {"IGOS_SOURCES_DIR", SPEC_SOURCES},
    {"LC_ALL", "POSIX"},
    {"PATH", "/usr/bin:/usr/sbin"},
    /* Replaces pkg-config's own search path. The last one is where a Debian base keeps its libraries. */
    {"PKG_CONFIG_LIBDIR",
     "/usr/lib/pkgconfig:/usr/lib64/pkgconfig:/usr/share/pkgconfig:/usr/lib/x86_64-linux-gnu/pkgconfig"},
    {"TERM", "dumb"},
    {"TZ", "UTC"},
    {"XML_CATALOG_FILES", "/etc/xml/catalog"},
};

static void set(struct text_list *list, const char *key, const char *value)
{
    CLEANUP_FREE char *entry = mem_format("%s=%s", key, value);
    text_list_add(list, view_text(entry), 0);
}

static void set_number(struct text_list *list, const char *key, const char *prefix, int64_t number)
{
    CLEANUP_FREE char *value = mem_format("%s%lld", prefix, (long long)number);
    set(list, key, value);
}

/* Separated by semicolons, as CMake's GPU_TARGETS has them. Recipes without targets do not see the variable.
 */
static void set_gpu_targets(struct text_list *list, const struct text_list *targets)
{
    CLEANUP_BUF struct buf value = BUF_INIT;
    for (size_t i = 0; i < targets->count; i++)
        buf_add_format(&value, "%s%s", i > 0 ? ";" : "", targets->items[i].text);
    if (targets->count > 0)
        set(list, "IGOS_GPU_TARGETS", value.data);
}

void buildenv_make(const struct recipe *recipe, uint32_t jobs, int64_t epoch, struct text_list *ret)
{
    CLEANUP_FREE char *dest = mem_format(SPEC_WORK "%s/dest", recipe->name);
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        set(ret, fixed[i][0], fixed[i][1]);
    set(ret, "CFLAGS", compiler_flags);
    set(ret, "CXXFLAGS", compiler_flags);
    set(ret, "IGOS_TARGET", recipe->target_triple != NULL ? recipe->target_triple : default_target);
    set(ret, "PKG_NAME", recipe->name);
    set(ret, "PKG_VERSION", recipe->version);
    set(ret, "name", recipe->name);
    set(ret, "version", recipe->version);
    set_number(ret, "IGOS_JOBS", "", jobs);
    set_number(ret, "MAKEFLAGS", "-j", jobs);
    set_number(ret, "SOURCE_DATE_EPOCH", "", epoch);
    set_gpu_targets(ret, &recipe->gpu_targets);
    if (!recipe->direct_install) /* unset, not empty: some build systems tell the two apart */
        set(ret, "DESTDIR", dest);
    text_list_sort(ret);
}

bool buildenv_is_entry(struct view text)
{
    const char *equals = text.size > 0 ? memchr(text.data, '=', text.size) : NULL;
    return equals != NULL && function_is_plain(view_of(text.data, (size_t)(equals - text.data))) &&
           line_is_plain(text);
}
