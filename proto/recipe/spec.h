/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Spec: everything that can reach the bytes of one job, and nothing else; the job key is the SHA-256 of its
 * text. Derived by coordinator, worker and verifier from the pinned tree; only the dependency payloads and
 * the base come from outside. JSON, compact, sorted keys; the fields are listed in docs/FORMATS.md.
 */
#ifndef FARM_SPEC_H
#define FARM_SPEC_H

#include "json.h"
#include "tree.h"

enum {
    SPEC_SIZE_MAX = 1024 * 1024, /* bytes; a closure of 5,000 payloads fits */
    SPEC_CONTRACT = 1            /* version of the build contract: steps, environment, paths */
};
/* Where builds happen, in every sandbox: <SPEC_WORK>/<name> holds "src" (sources) and "dest" ($DESTDIR). */
#define SPEC_WORK    "/mnt/intergenos/build/work/"
#define SPEC_SOURCES "/sources"
#define SPEC_PATCHES "/mnt/intergenos/patches"
#define SPEC_CPU     "x86-64-v2"

/*
 * The members, by name ('?': may be absent):
 *
 *     v 1, kind "package", contract
 *     name version release tier description license depends[]
 *         for .PKGINFO
 *     recipe scripts
 *         tree digests of the recipe's directory and of scripts/ (zeros: there is none)
 *     patches[{file, sha256?}]
 *         in order; without sha256 the file lies beside the recipe
 *     sources[{kind "archive", sha256, filename, into?} | {kind "git", commit, tree_sha256, into}]
 *         in order
 *     bundled_deps[{name, dest}]
 *     dependencies[{name, payload}]
 *         in the order in which they are laid into the root
 *     base
 *         manifest digest
 *     environment["KEY=VALUE"]
 *         the whole of it, sorted
 *     jobs cpu_level gpu_targets[] epoch build_path
 *     build_style build_sh configure_flags[] install_func? direct_install supersedes[]
 *     tests{enabled, failure_policy?}
 *     validation[{type, description?, script?, expect_contains?, fatal}] verify_paths[]
 *         assertions
 */

/* The order of 'payloads' is tree_closure's. */
struct spec_inputs {
    const struct tree *tree;
    size_t package;
    struct digest base;            /* manifest digest of the base */
    const struct digest *payloads; /* payload digests of the closure */
    size_t npayloads;
    int64_t epoch; /* of the newest member of source[0], where the tree gives no epoch; 0: not known */
};
/*
 * Appends the spec's text and gives the job key. FARM_E_MISSING if no epoch is known ("epoch-missing"),
 * FARM_E_REFUSED if the number of payloads is not that of the closure, or if the package belongs to the base.
 */
int spec_write(const struct spec_inputs *inputs, struct buf *ret, struct digest *ret_key,
               struct diag *diag) MUST_USE;

/* A spec read back, by those who run or check one. Strings and arrays owned. */
struct spec_source {
    enum pin_kind kind;
    struct digest digest;
    char commit[65];
    char *filename; /* archives; NULL for git */
    char *into;     /* NULL: only in /sources */
};
struct spec_patch {
    char *file;
    struct digest sha256;
    bool has_sha256; /* else the file lies beside the recipe */
};
struct spec_bundle {
    char *name, *dest;
};
struct spec_dependency {
    char *name;
    struct digest payload;
};
struct spec_validation {
    char *type, *description;
    char *script, *expect_contains; /* either may be NULL */
    bool fatal;
};
struct spec {
    char *kind, *name, *version, *release, *tier;
    char *description, *license; /* for .PKGINFO */
    struct text_list depends;    /* for .PKGINFO: runtime dependencies */
    struct digest recipe, scripts, base;
    struct spec_source *sources;
    size_t nsources;
    struct spec_patch *patches;
    size_t npatches;
    struct spec_bundle *bundles;
    size_t nbundles;
    struct spec_dependency *dependencies;
    size_t ndependencies;
    struct spec_validation *validations;
    size_t nvalidations;
    enum build_style style;
    bool build_sh; /* the recipe has a build.sh: it builds, whatever the style says */
    bool direct_install;
    bool tests_enabled;
    char *tests_failure_policy; /* NULL unless given */
    char *install_func;         /* a function of build.sh; NULL: do_install, else install */
    struct text_list configure_flags, supersedes, gpu_targets;
    struct text_list environment; /* KEY=VALUE, sorted */
    struct text_list verify_paths;
    uint32_t jobs;
    int64_t epoch;
    char *build_path;  /* SPEC_WORK <name> */
    struct digest key; /* SHA-256 of the text that was parsed */
};
/* Accepts what spec_write writes, and checks each name, path and number again: the text came from outside. */
int spec_parse(struct view text, struct spec **ret, struct diag *diag) MUST_USE;
struct spec *spec_free(struct spec *spec);

/*
 * .PKGINFO: a pure function of spec, manifest and epoch; "key=value" lines, as the tree's own tools write and
 * read them. 'size' and 'filecount' are counted from the manifest by the caller.
 */
void spec_pkginfo(const struct spec *spec, uint64_t installed_size, uint64_t file_count, struct buf *ret);

#endif
