/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lock, policy and resources: the farm's sidecar files in a package tree, farm/farm.lock, farm/policy.yml and
 * farm/resources.yml. Same strict YAML as recipes; unknown keys are refused with file and line.
 */
#ifndef FARM_LOCK_H
#define FARM_LOCK_H

#include "recipe.h"
#include "rules.h"

enum pin_kind { PIN_GIT, PIN_ARCHIVE };

/* One pinned source. Strings owned. */
struct pin {
    enum pin_kind kind;
    char *url;                    /* of the repository or the archive */
    char *filename;               /* archives: name in /sources */
    char *ref;                    /* git: information only; may be NULL */
    char commit[65];              /* git: 40 (or 64) hex digits */
    struct digest digest;         /* git: tree_sha256; archive: sha256 */
    uint64_t size;                /* archives: bytes; 0 if not given */
    int64_t epoch;                /* SOURCE_DATE_EPOCH in seconds; -1 if not given */
    char *into;                   /* "." or a plain relative path */
    struct text_list absent;      /* git: submodule paths declared absent */
    int line;
};
struct lock_entry {
    char *package;
    struct pin *pins;
    size_t npins;
    int line;
};
struct lock {
    struct lock_entry *entries; /* sorted by package */
    size_t count;
};

int lock_parse(struct view text, const char *file, struct lock **ret, struct problems *problems) MUST_USE;
struct lock *lock_free(struct lock *lock);
const struct lock_entry *lock_find(const struct lock *lock, const char *package);
void pin_done(struct pin *pin);

struct policy;
int policy_parse(struct view text, const char *file, struct policy **ret, struct problems *problems) MUST_USE;
struct policy *policy_free(struct policy *policy);
/* What holds for one package: the defaults, then every matching rule in order. 'kind': "package", "shard", "root"... */
struct rules policy_rules(const struct policy *policy, const char *tier, const char *package, const char *kind);

/* What a job needs and how it is built. 'jobs' reaches the bytes (it is in the spec); the others do not. */
struct resources {
    uint32_t jobs;          /* parallel jobs inside the build; IGOS_JOBS */
    uint32_t cores;         /* that the job keeps busy; only the scheduler looks at it */
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    uint32_t wall_seconds;
    int32_t priority;       /* higher first among equals */
};
struct resource_table;
int resources_parse(struct view text, const char *file, struct resource_table **ret, struct problems *problems) MUST_USE;
struct resource_table *resources_free(struct resource_table *table);
/* Built-in defaults (jobs 2, 2 GiB, 8 GiB, 3600 s, 0) where the file says nothing; table may be NULL. */
struct resources resources_for(const struct resource_table *table, const char *tier, const char *package);

#endif
