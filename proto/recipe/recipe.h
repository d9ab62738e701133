/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Recipe: one package.yml. YAML 1.1 read by libyaml's event parser; every scalar is text ("version: 1.10" stays
 * 1.10); anchors, aliases, tags, duplicate keys and several documents are refused. Unknown top-level keys are
 * refused too, as the tree's own parser does; unknown keys inside source[] are ignored, as it does.
 */
#ifndef FARM_RECIPE_H
#define FARM_RECIPE_H

#include "buf.h"
#include "digest.h"
#include "problems.h"

enum {
    RECIPE_FILE_MAX = 1024 * 1024, /* bytes; the largest of the 813 real ones has 10 KiB */
    RECIPE_LIST_MAX = 4096,        /* items of one list */
    RECIPE_DEPTH_MAX = 16
};

/* A text and the line it stands on. */
struct located {
    char *text;
    int line;
};
struct text_list {
    struct located *items;
    size_t count, capacity;
};

enum build_style { STYLE_AUTOTOOLS, STYLE_CMAKE, STYLE_MESON, STYLE_MAKE, STYLE_CUSTOM };

struct recipe_source {
    char *url;      /* variables expanded */
    char *filename; /* last component of the url unless given; variables expanded */
    struct digest sha256;
    bool has_sha256;
    int line;
};
struct recipe_patch {
    char *file;
    struct digest sha256;
    bool has_sha256;
    int line;
};
struct recipe_bundle {
    char *name, *dest;
    int line;
};

struct recipe {
    char *name, *version, *release, *description, *license, *tier, *homepage;
    enum build_style style;
    struct text_list build, host, runtime; /* dependencies */
    struct recipe_source *sources;
    size_t nsources;
    struct recipe_patch *patches;
    size_t npatches;
    struct recipe_bundle *bundles; /* bundled_deps */
    size_t nbundles;
    struct text_list configure_flags, supersedes, verify_paths, ships_as;
    bool direct_install, skip_tracking, tests_enabled;
    char *tests_failure_policy; /* NULL unless given */
    char *path;          /* "packages/<tier>/<name>", relative to the tree */
    bool has_build_sh;
    int line_name, line_version, line_tier;
};

/* 'path': the recipe's directory relative to the tree, for messages and struct recipe. Reports all problems of the file;
 * returns FARM_E_REFUSED if there was any. *ret is owned. */
int recipe_parse(struct view text, const char *path, struct recipe **ret, struct problems *problems) MUST_USE;
struct recipe *recipe_free(struct recipe *recipe);
const char *build_style_name(enum build_style style);

#endif
