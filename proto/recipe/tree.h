/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tree: a package tree read from a checked-out directory: all recipes, lock, policy and resources, with every
 * problem of the whole tree found in one pass. Read by coordinator, worker and verifier alike, so that the
 * three derive the same specs from the same pinned bytes.
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
    struct pin *pins; /* from the lock, else from url + sha256; owned by the tree */
    size_t npins;
    int64_t epoch; /* SOURCE_DATE_EPOCH: of pins[0]; TREE_EPOCH_NOTHING without sources; -1 if unknown */
    struct digest recipe_digest; /* tree digest of packages/<tier>/<name>; zero for base packages */
    struct resources resources;
    struct rules rules;
    bool in_base;       /* its tier is part of the base image: never built by the farm */
    size_t *build_deps; /* build + host edges, as indexes into packages; sorted by name, each once */
    size_t nbuild_deps;
    size_t *runtime_deps;
    size_t nruntime_deps;
    uint32_t depth; /* packages in the longest chain of edges below it that the farm builds */
    uint32_t rank;  /* place in the order by (depth, name) */
};
struct alias_used {
    char *wanted, *resolved, *package; /* dependency name, recipe it resolved to, who asked */
};

struct tree {
    struct package *packages; /* sorted by name */
    size_t npackages;
    struct alias_used *aliases; /* sorted by package and wanted name */
    size_t naliases;
    bool has_lock, has_policy;
    struct digest lock_digest, policy_digest; /* SHA-256 of the files' bytes; zero if there is no file */
    struct digest scripts_digest;             /* tree digest of scripts/; zero if there is none */
    struct policy *policy;                    /* NULL if there is none */
    struct lock *lock;                        /* NULL if there is none */
    struct resource_table *resources;         /* never NULL */
};

enum {
    TREE_PACKAGES_MAX = 200000, /* a hundred times the largest tree known */
    /* A package without sources has nothing to take a date from: 1980-01-01, the first that zip can store. */
    TREE_EPOCH_NOTHING = 315532800
};

/*
 * Loads and checks everything: malformed files, unknown keys, names that do not match their directory,
 * duplicate names, unknown dependencies, cycles (each shown as a path), missing or partial pins. Every
 * problem is listed; any makes it fail with FARM_E_REFUSED. Dependencies on packages of base tiers are
 * satisfied by the base, whose own pins are not asked for. No symbolic link is followed.
 *
 * Tiers: "toolchain", "core" and "base" form the base unless farm/resources.yml names others (base_tiers).
 *
 * A dependency that is no recipe's name is resolved, in this order, by the one recipe whose ships_as
 * names it; by the recipe "<name>-core"; and, for packages of base tiers alone (whose edges decide nothing
 * here), by the one recipe that is called so with a number behind ("gnupg" by "gnupg2"). Each use is listed
 * in 'aliases'.
 *
 * An archive that no lock entry dates has an unknown epoch: that is no problem of the tree (a recipe with url
 * and sha256 is pinned), but its spec needs to be told (spec_inputs.epoch); plan_check lists such packages.
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
 * The build root of a package: what its build + host edges reach, going on over build, host and runtime edges
 * alike (a tool that is needed to build must also run, with the libraries that it was linked to), without
 * base packages and what lies behind them. Its own runtime edges are not needed to build it. Indexes sorted
 * by (depth, name), so that every package stands behind what it depends on. This order is the order in which
 * payloads are laid into the root and listed in the spec. *ret is owned.
 */
void tree_closure(const struct tree *tree, size_t package, size_t **ret, size_t *ret_count);
/* As tree_closure, for packages that belong to the result themselves, with their runtime edges too. */
void tree_reach(const struct tree *tree, const size_t *packages, size_t count, size_t **ret,
                size_t *ret_count);
/* The recipe that a dependency's name means, aliases included; SIZE_MAX if there is none. */
size_t tree_resolve(const struct tree *tree, struct view name, bool for_base, bool *ret_alias);

#endif
