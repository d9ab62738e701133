/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Release: release.json and the layout of a release directory (docs/FORMATS.md). Pure: text in, struct out, and back.
 *
 * People sign the file's bytes as SSHSIG in the namespace release@intergenos; one file each below release.json.sig.d/.
 * "log" is the checkpoint up to which evidence was gathered ({"origin","root","size"}; null if the root names no log): receipts hold
 * exactly what the log shows below it. What this version does not know yet must be visibly absent: "evidence" is empty.
 */
#ifndef FARM_RELEASE_H
#define FARM_RELEASE_H

#include "plan.h"
#include "root.h"
#include "waiver.h"

#define RELEASE_FORMAT           "intergenos-release/1"
#define RELEASE_FILE             "release.json"
#define RELEASE_SIGNATURES       "release.json.sig.d"
#define RELEASE_ROOT_FORMAT      "root/%lld.root.json" /* version; signatures in the same name + ".sig.d" */
#define RELEASE_WORKERS          "root/workers.json"
#define RELEASE_POLICY           "inputs/policy.yml"
#define RELEASE_LOCK             "inputs/farm.lock"
#define RELEASE_PLAN             "inputs/plan.json"
#define RELEASE_BASE             "inputs/base.mtree"
#define RELEASE_SPECS            "inputs/specs" /* <job key>.json */
#define RELEASE_ARTIFACTS        "artifacts"    /* <name>-<version>.igos.tar.gz */
#define RELEASE_MANIFESTS        "manifests"    /* <name>-<version>.mtree */
#define RELEASE_RECEIPTS         "receipts"     /* <name>-<version>.intoto.jsonl */
#define RELEASE_ARCHIVE_MANIFEST "intergenos-archive-manifest.txt"
#define RELEASE_LOG                                                                                          \
    "log" /* a tile directory (tiledir.h): entry bundles from the first on, and a checkpoint of
                               * release.log.size or later, with cosignatures; absent if "log" is null */
#define RELEASE_HANDOFF        "handoff.json" /* in a hand-off: which phase it was checked for; optional */
#define RELEASE_HANDOFF_FORMAT "intergenos-handoff/1"

enum {
    RELEASE_SIZE_MAX = 64 * 1024 * 1024,
    RELEASE_PACKAGES_MAX = PLAN_NODES_MAX,
    RELEASE_OPERATORS_MAX = 64
};

struct release_package {
    char *name, *version, *release, *tier, *phase;
    struct digest job, payload, tar;
    char *archive; /* file name: <name>-<version>.igos.tar.gz */
    uint64_t archive_size;
    struct digest archive_sha256;
    char **operators; /* whose votes count behind the payload; sorted */
    size_t noperators;
    uint32_t dissent;
    char *gpu; /* "none": has no GPU path; "not-validated": no evidence from hardware */
};
struct release_held {
    char *name, *reason;
};

/* Everything owned. */
struct release {
    char *name;
    int64_t sequence;
    int64_t created_ms, expires_ms;
    struct digest previous; /* of the release.json before; zero for the first */
    struct tree_pin tree;
    struct digest plan, policy, base;
    bool base_verified;          /* the base itself was built by quorum */
    struct digest root, workers; /* of the newest root.json, and of workers.json */
    bool has_log;
    struct checkpoint log;
    struct waiver *waivers; /* sorted by package, then rule */
    size_t nwaivers;
    struct release_package *packages; /* sorted by tier/name */
    size_t npackages;
    struct release_held *held; /* sorted by name */
    size_t nheld;
    uint64_t planned;     /* nodes of the plan; counts are written from here and from the two lists */
    struct digest digest; /* of the bytes that were parsed */
};

struct release *release_new(void);
struct release *release_free(struct release *release); /* accepts NULL, returns NULL */
/* Sorts packages and held, then appends the canonical text. */
void release_write(struct release *release, struct buf *ret);
/* Closed, like statement_parse: unknown, missing or doubled members are refused. */
int release_parse(struct view text, const char *name, struct release **ret, struct diag *diag) MUST_USE;

/* intergenos-archive-manifest.txt: a pure function of the release and the digest of its bytes. Appends. */
void release_archive_manifest(const struct release *release, const struct digest *digest, struct buf *ret);
/* "<directory>/<name>-<version><suffix>"; owned. */
char *release_path(const char *directory, const struct release_package *package, const char *suffix);

void release_free_p(struct release **release);
#define CLEANUP_RELEASE __attribute__((cleanup(release_free_p)))

#endif
