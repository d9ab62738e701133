/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tree: a package tree read from a checked-out directory: all recipes, lock, policy and resources, with every
 * problem of the whole tree found in one pass. Read by coordinator, worker and verifier alike, so that the three derive the
 * same specs from the same pinned bytes.
 */
#ifndef FARM_TREE_H
#define FARM_TREE_H

#include "lock.h"

/* The pinned identity of a tree. */
struct tree_pin {
    char *url;            /* where it came from; in no spec */
    char commit[65];      /* hex */
    struct digest sha256; /* tree_sha256 */
};

struct package {
    struct recipe *recipe;
    struct pin *pins; /* from the lock, else from url + sha256; borrowed from the tree */
    size_t npins;
    struct digest recipe_digest;  /* tree digest of packages/<tier>/<name> */
    struct resources resources;
    struct rules rules;
    bool in_base;                 /* its tier is part of the base image: never built by the farm */
    size_t *build_deps;           /* build + host edges, as indexes into packages; sorted by name */
    size_t nbuild_deps;
    size_t *runtime_deps;
    size_t nruntime_deps;
};
struct alias_used {
    char *wanted, *resolved, *package; /* dependency name, recipe it resolved to, who asked */
};

struct tree {
    struct package *packages; /* sorted by name */
    size_t npackages;
    struct alias_used *aliases;
    size_t naliases;
    struct digest lock_digest, policy_digest; /* SHA-256 of the files' bytes */
    struct digest scripts_digest;             /* tree digest of scripts/; zero if there is none */
    struct policy *policy;
    struct lock *lock;
    struct resource_table *resources;
};

/*
 * Loads and checks everything: malformed files, unknown keys, names that do not match their directory, duplicate
 * names, unknown dependencies, cycles (each shown as a path), missing or partial pins. Every problem is listed; any
 * makes it fail with FARM_E_REFUSED. Dependencies on packages of base tiers are satisfied by the base.
 * Tiers: "toolchain", "core" and "base" form the base unless farm/resources.yml names others (base_tiers).
 */
int tree_load(int dirfd, struct tree **ret, struct problems *problems, struct diag *diag) MUST_USE;
struct tree *tree_free(struct tree *tree);
/* Accepts "name" or "tier/name"; NULL if unknown. */
const struct package *tree_find(const struct tree *tree, struct view name);
static inline size_t tree_index(const struct tree *tree, const struct package *package)
{
    return (size_t)(package - tree->packages);
}
/*
 * The build root of a package: build + host edges transitively, plus the runtime edges of each (transitively), without
 * base packages; indexes sorted by (depth order, name) such that every package stands behind what it depends on. This
 * order is the order in which payloads are laid into the root and listed in the spec. *ret is owned.
 */
void tree_closure(const struct tree *tree, size_t package, size_t **ret, size_t *ret_count);

#endif
