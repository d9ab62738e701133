/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "style.h"

#include <string.h>

/* Beside the sources' own "build" directory, which some have. */
#define BUILD_DIR "igos-build"

enum { DEFAULTS = 6, SPELLINGS = 3 };

/* An option that we give unless the recipe's flags name it in one of its spellings (NULL ends them). */
struct option {
    const char *text;
    const char *spellings[SPELLINGS + 1];
};

struct style {
    const char *command; /* configure's, in front of the options */
    struct option defaults[DEFAULTS + 1];
    const char *build, *check, *install;
};

/* Debian's meson takes a multiarch libdir by itself, cmake's GNUInstallDirs too; InterGenOS has /usr/lib. */
static const struct style styles[] = {
    [BUILD_AUTOTOOLS] = {"./configure",
                         {{"--prefix=/usr", {"--prefix"}},
                          {"--libdir=/usr/lib", {"--libdir"}},
                          {"--sysconfdir=/etc", {"--sysconfdir"}},
                          {"--localstatedir=/var", {"--localstatedir"}}},
                         "make -j\"$IGOS_JOBS\"",
                         "make check",
                         "make DESTDIR=\"$DESTDIR\" install"},
    [BUILD_CMAKE] = {"cmake -S . -B " BUILD_DIR " -G Ninja",
                     {{"-DCMAKE_INSTALL_PREFIX=/usr", {"-DCMAKE_INSTALL_PREFIX"}},
                      {"-DCMAKE_INSTALL_LIBDIR=lib", {"-DCMAKE_INSTALL_LIBDIR"}},
                      {"-DCMAKE_INSTALL_SYSCONFDIR=/etc", {"-DCMAKE_INSTALL_SYSCONFDIR"}},
                      {"-DCMAKE_INSTALL_LOCALSTATEDIR=/var", {"-DCMAKE_INSTALL_LOCALSTATEDIR"}},
                      {"-DCMAKE_BUILD_TYPE=None", {"-DCMAKE_BUILD_TYPE"}}},
                     "ninja -C " BUILD_DIR " -j\"$IGOS_JOBS\"",
                     "ctest --test-dir " BUILD_DIR " --output-on-failure -j \"$IGOS_JOBS\"",
                     "DESTDIR=\"$DESTDIR\" cmake --install " BUILD_DIR},
    [BUILD_MESON] = {"meson setup " BUILD_DIR " .",
                     {{"--prefix=/usr", {"--prefix", "-Dprefix"}},
                      {"--libdir=/usr/lib", {"--libdir", "-Dlibdir"}},
                      {"--sysconfdir=/etc", {"--sysconfdir", "-Dsysconfdir"}},
                      {"--localstatedir=/var", {"--localstatedir", "-Dlocalstatedir"}},
                      {"--buildtype=plain", {"--buildtype", "-Dbuildtype"}},
                      {"--wrap-mode=nodownload", {"--wrap-mode", "-Dwrap_mode"}}},
                     "ninja -C " BUILD_DIR " -j\"$IGOS_JOBS\"",
                     "meson test -C " BUILD_DIR
                     " --no-rebuild --print-errorlogs --num-processes \"$IGOS_JOBS\"",
                     "DESTDIR=\"$DESTDIR\" meson install -C " BUILD_DIR " --no-rebuild"},
    [BUILD_MAKE] = {NULL,
                    {{NULL, {NULL}}},
                    "make -j\"$IGOS_JOBS\" PREFIX=/usr prefix=/usr",
                    "make check",
                    "make DESTDIR=\"$DESTDIR\" PREFIX=/usr prefix=/usr install"},
    [BUILD_CUSTOM] = {NULL, {{NULL, {NULL}}}, NULL, NULL, NULL},
};

static bool names_option(const char *flag, const struct option *option)
{
    for (size_t i = 0; option->spellings[i] != NULL; i++) {
        size_t size = strlen(option->spellings[i]);
        if (strncmp(flag, option->spellings[i], size) == 0 &&
            (flag[size] == '\0' || strchr("= :", flag[size]) != NULL))
            return true;
    }
    return false;
}

static bool given(const struct build_plan *plan, const struct option *option)
{
    for (size_t i = 0; i < plan->nflags; i++)
        if (names_option(plan->flags[i], option))
            return true;
    return false;
}

static void add_flags(const struct build_plan *plan, struct buf *ret)
{
    for (size_t i = 0; i < plan->nflags; i++)
        buf_add_format(ret, " %s", plan->flags[i]);
}

static void add_configure(const struct build_plan *plan, const struct style *style, struct buf *ret)
{
    if (style->command == NULL)
        return;
    buf_add_text(ret, style->command);
    for (const struct option *option = style->defaults; option->text != NULL; option++)
        if (!given(plan, option))
            buf_add_format(ret, " %s", option->text);
    add_flags(plan, ret);
    buf_add_byte(ret, '\n');
}

static void add_command(const struct build_plan *plan, const char *command, struct buf *ret)
{
    if (command == NULL)
        return;
    buf_add_text(ret, command);
    if (plan->system == BUILD_MAKE)
        add_flags(plan, ret); /* there is no configure to take them */
    buf_add_byte(ret, '\n');
}

void style_commands(const struct build_plan *plan, enum build_phase phase, struct buf *ret)
{
    const struct style *style = &styles[plan->system];
    switch (phase) {
    case PHASE_CONFIGURE:
        add_configure(plan, style, ret);
        break;
    case PHASE_BUILD:
        add_command(plan, style->build, ret);
        break;
    case PHASE_CHECK:
        add_command(plan, style->check, ret);
        break;
    case PHASE_INSTALL:
        add_command(plan, style->install, ret);
        break;
    case PHASES:
        break;
    }
}
