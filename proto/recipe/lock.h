/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lock, policy and resources: the farm's sidecar files in a package tree, farm/farm.lock, farm/policy.yml and
 * farm/resources.yml. Same strict YAML as recipes; unknown keys are refused with file and line.
 */
#ifndef FARM_LOCK_H
#define FARM_LOCK_H

#include "json.h"
#include "recipe.h"
#include "rules.h"

enum pin_kind { PIN_GIT, PIN_ARCHIVE };

/*
 * One pinned source. Strings owned.
 *
 * A lock entry lists all sources of its package, in order; entry i stands for source[i] of the recipe. An
 * archive has url, sha256 and size; a git pin has git, commit, tree_sha256 and epoch. An archive that a forge
 * made from a tag may carry git, commit and tree_sha256 too: a second witness, whose tree is compared with
 * the archive's.
 */
struct pin {
    enum pin_kind kind;
    char *url;            /* of the repository or the archive */
    char *filename;       /* archives: name in /sources; NULL for git */
    char *ref;            /* git: information only; may be NULL */
    char commit[65];      /* git: 40 (or 64) hex digits; "" for an archive without witness */
    struct digest digest; /* git: tree_sha256; archive: sha256 */
    uint64_t size;        /* archives: bytes; 0 if the pin came from a recipe, which has no size */
    int64_t epoch;        /* SOURCE_DATE_EPOCH in seconds; -1 if not given */
    char *into; /* "." or a plain relative path; NULL: only put into /sources, build.sh unpacks it */
    struct text_list absent;    /* git: submodule paths declared absent */
    char *witness_git;          /* archives: repository of the second witness, or NULL */
    struct digest witness_tree; /* archives: its tree_sha256 */
    int line;                   /* in the lock; 0 if the pin came from the recipe */
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

enum {
    LOCK_FILE_MAX = 16 * 1024 * 1024, /* bytes: 50,000 pins of 300 bytes */
    LOCK_PINS_MAX = 256,              /* of one package */
    POLICY_FILE_MAX = 1024 * 1024,
    RESOURCES_FILE_MAX = 1024 * 1024
};

int lock_parse(struct view text, const char *file, struct lock **ret, struct problems *problems) MUST_USE;
struct lock *lock_free(struct lock *lock);
const struct lock_entry *lock_find(const struct lock *lock, const char *package);
void pin_copy(struct pin *ret, const struct pin *from);
void pin_done(struct pin *pin);

/*
 *     version: 1
 *     defaults:
 *       quorum: 2
 *       anchors: 1
 *       distinct: [operator]              and cpu_vendor, kernel, site
 *       dissent: {margin: 0}
 *       max_attempts: 3
 *       open_votes: none                  or count
 *       evidence: none                    or hardware
 *       setuid: none                      or allowed
 *       hold: [package, ...]
 *     rules:
 *       - match: {tier: ai, package: [a, b], kind: root}
 *         set: {quorum: 3, hold: true}
 *
 * All keys of a match must match; each is a name or a list of names.
 */
struct policy;
int policy_parse(struct view text, const char *file, struct policy **ret, struct problems *problems) MUST_USE;
struct policy *policy_free(struct policy *policy);
/* Every package that the policy names: a misspelt one would silently escape its rule. Borrowed. */
const struct text_list *policy_packages(const struct policy *policy);
/* quorum 2, anchors 1, operators only, margin 0, three attempts: where there is no policy at all. */
struct rules policy_builtin(void);
/* What holds for one package: defaults, then every matching rule. 'kind': "package", "shard", "root"... */
struct rules policy_rules(const struct policy *policy, const char *tier, const char *package,
                          const char *kind);
/* Reads rules as they stand in a plan; exactly these keys. */
int rules_from_json(const json_t *value, const char *name, struct rules *ret, struct diag *diag) MUST_USE;

/* What a job needs and how it is built. 'jobs' reaches the bytes (it is in the spec); the others do not. */
struct resources {
    uint32_t jobs;  /* parallel jobs inside the build; IGOS_JOBS */
    uint32_t cores; /* that the job keeps busy; only the scheduler looks at it */
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    uint32_t wall_seconds;
    int32_t priority; /* higher first among equals */
};
/*
 *     version: 1
 *     tiers: [...]  base_tiers: [...]
 *     defaults: {jobs: 2, cores: 2, memory: 2GiB, disk: 8GiB, wall: 1h, priority: 0, split: none}
 *     rules:
 *       - match: {tier: ai, package: llvm}
 *         set: {memory: 16GiB}
 */
struct resource_table;
int resources_parse(struct view text, const char *file, struct resource_table **ret,
                    struct problems *problems) MUST_USE;
struct resource_table *resources_default(void); /* an empty file's */
struct resource_table *resources_free(struct resource_table *table);
/* Reads them as they stand in a plan; exactly these keys. */
int resources_from_json(const json_t *value, const char *name, struct resources *ret,
                        struct diag *diag) MUST_USE;
const struct text_list *resources_packages(const struct resource_table *table);
/* The base's tiers, and all tiers in the order of their phases: the tree's own or the defaults. Borrowed. */
const struct text_list *resources_base_tiers(const struct resource_table *table);
const struct text_list *resources_tiers(const struct resource_table *table);
/* Built-in defaults (jobs 2, cores 2, 2 GiB, 8 GiB, 3600 s, 0) where the file says nothing. */
struct resources resources_for(const struct resource_table *table, const char *tier, const char *package);

#endif
