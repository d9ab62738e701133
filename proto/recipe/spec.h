/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Spec: everything that can reach the bytes of one job, and nothing else; the job key is the SHA-256 of its text.
 * Derived by coordinator, worker and verifier from the pinned tree; only the dependency payloads and the base come from
 * outside. JSON, compact, sorted keys; the fields are listed in docs/FORMATS.md.
 */
#ifndef FARM_SPEC_H
#define FARM_SPEC_H

#include "json.h"
#include "tree.h"

enum { SPEC_SIZE_MAX = 1024 * 1024 };

/* The order of 'payloads' is tree_closure's. */
struct spec_inputs {
    const struct tree *tree;
    size_t package;
    struct digest base;            /* manifest digest of the base */
    const struct digest *payloads; /* payload digests of the closure */
    size_t npayloads;
};
/* Appends the spec's text and gives the job key. */
void spec_write(const struct spec_inputs *inputs, struct buf *ret, struct digest *ret_key);

/* A spec read back, by those who run or check one. Strings and arrays owned. */
struct spec_source {
    enum pin_kind kind;
    struct digest digest;
    char commit[65];
    char *filename, *into;
};
struct spec_dependency {
    char *name;
    struct digest payload;
};
struct spec {
    char *kind, *name, *version, *release, *tier;
    char *description, *license;     /* for .PKGINFO */
    struct text_list depends;        /* for .PKGINFO: runtime dependencies */
    struct digest recipe, scripts, base;
    struct spec_source *sources;
    size_t nsources;
    struct spec_dependency *dependencies;
    size_t ndependencies;
    struct text_list environment;    /* KEY=VALUE, sorted */
    struct text_list verify_paths;
    uint32_t jobs;
    int64_t epoch;
    char *build_path;                /* /mnt/intergenos/build/work/<name> */
    struct digest key;               /* SHA-256 of the text that was parsed */
};
int spec_parse(struct view text, struct spec **ret, struct diag *diag) MUST_USE;
struct spec *spec_free(struct spec *spec);

/* .PKGINFO: a pure function of spec, manifest and epoch. 'size' and 'filecount' are counted from the manifest by the caller. */
void spec_pkginfo(const struct spec *spec, uint64_t installed_size, uint64_t file_count, struct buf *ret);

#endif
