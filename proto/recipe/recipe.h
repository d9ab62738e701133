/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Recipe: one package.yml. YAML 1.1 read by libyaml's event parser; every scalar is text ("version: 1.10"
 * stays 1.10); anchors, aliases, tags, duplicate keys and several documents are refused. Unknown top-level
 * keys are refused too, as the tree's own parser does; unknown keys inside source[] are ignored, as it does.
 * All problems of a file are reported at once.
 *
 * A source whose url begins "file://" is an archive that nobody can download: the tree's maintainers put it
 * into the sources directory by hand. Here it is pinned by its sha256 like any other, and its bytes must have
 * been given to the farm ("farmctl source add FILE"). Nothing ever opens the local path that the url seems to
 * name.
 */
#ifndef FARM_RECIPE_H
#define FARM_RECIPE_H

#include "buf.h"
#include "digest.h"
#include "problems.h"
#include "textlist.h"

enum {
    RECIPE_FILE_MAX = 1024 * 1024, /* bytes; the largest of the 813 real ones has 10 KiB */
    RECIPE_NODES_MAX = 50000,      /* values in one file; the largest real one has some hundred */
    RECIPE_TEXT_MAX = 64 * 1024,   /* bytes of one text; reasons and validation scripts run to pages */
    RECIPE_LIST_MAX = 4096,        /* items of one list */
    RECIPE_DEPTH_MAX = 16
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
/* "name -> dest": the source whose url or file name contains 'name' is unpacked at 'dest', relative to
 * source[0]. */
struct recipe_bundle {
    char *name, *dest; /* variables expanded */
    int line;
};
/* A check that the tree wants to see passed after the install step. */
struct recipe_validation {
    char *type, *description;
    char *script, *expect_contains; /* either may be NULL */
    bool fatal;
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
    struct recipe_validation *validations;
    size_t nvalidations;
    struct text_list configure_flags, supersedes, verify_paths, ships_as, gpu_targets;
    bool direct_install, skip_tracking, tests_enabled;
    char *tests_failure_policy; /* NULL unless given */
    char *target_triple;        /* NULL unless given */
    char *install_func;         /* NULL unless given: do_install, else install */
    char *path;                 /* "packages/<tier>/<name>", relative to the tree */
    char *file;                 /* path + "/package.yml", for messages */
    bool has_build_sh; /* set by tree_load, but for base packages: build.sh builds, whatever the style says */
    int line_name, line_version, line_tier;
};

/* 'path': the recipe's directory relative to the tree, for messages and struct recipe. Reports all problems
 * of the file; returns FARM_E_REFUSED if there was any. *ret is owned. */
int recipe_parse(struct view text, const char *path, struct recipe **ret, struct problems *problems) MUST_USE;
struct recipe *recipe_free(struct recipe *recipe);
const char *build_style_name(enum build_style style);
bool build_style_parse(struct view text, enum build_style *ret);
/* What a url ends in: the part behind the last '/'. */
struct view url_basename(struct view url);

#endif
