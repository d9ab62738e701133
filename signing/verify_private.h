/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside signing: what the stages of a verification share. Stages run one after the other, each in its own file; inside a
 * stage packages or jobs are checked in parallel, so findings go through verify_problem (locked). Everything else is written by the
 * stage's own thread, or by the one thread that has the package or job.
 *
 *     verify_trust     root chain, release signatures, directory, expiry, remembered state
 *     verify_inputs    policy, lock, base, plan, job specs
 *     verify_receipts  receipts, votes, verdicts, closures
 *     verify_packages  manifests and archives
 *     verify_files     nothing else lies there; the archive manifest
 *     verify_extra     --tree and --root
 */
#ifndef FARM_VERIFY_PRIVATE_H
#define FARM_VERIFY_PRIVATE_H

#include "directory.h"
#include "map.h"
#include "receipt.h"
#include "verify.h"

#include <pthread.h>

/* One job spec of the release, and the evidence for it. */
struct verify_job {
    struct spec *spec;
    char *file;                   /* inputs/specs/<key>.json */
    const struct plan_node *node; /* NULL: no such package in the plan (a problem was listed) */
    struct rules rules;
    /* Sections of the first receipt that speaks of it; borrowed. */
    const char *receipt; /* that receipt's file */
    const struct receipt_lease *leases;
    size_t nleases;
    const struct receipt_envelope *envelopes;
    size_t nenvelopes;
    const struct receipt_verdict *claimed; /* NULL: none */
    /* The outcome, computed here. */
    bool agreed, checked;
    struct digest payload, tar; /* what the operators attested */
    struct verdict verdict;
    char **operators; /* counted behind it; sorted */
    size_t noperators;
    bool used; /* belongs to the closure of a released package */
};

struct verify_run {
    const struct verify_options *options;
    struct verify_result *result;
    pthread_mutex_t lock;  /* for result->problems and notes */
    int64_t now_ms;        /* the highest time known */
    struct root *root;     /* the newest of the chain */
    int64_t root_versions; /* files root/1 ... root/n of the chain */
    struct directory *directory;
    struct release *release;
    struct policy *policy;
    struct plan *plan;
    struct map *nodes;       /* package name -> plan node */
    struct verify_job *jobs; /* sorted by key */
    size_t njobs;
    struct receipt *receipts; /* one per package of the release, in its order */
    bool *receipt_read;
};

/* Adds a problem; 'file' is relative to the release. Thread-safe. */
void verify_problem(struct verify_run *run, const char *file, const char *rule, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Adds a problem from a failed call. */
void verify_failure(struct verify_run *run, const char *file, const char *rule, int error,
                    const struct diag *diag);
void verify_note(struct verify_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Reads a file of the release; a failure becomes a problem ("missing" or "unreadable"). */
bool verify_read(struct verify_run *run, const char *file, size_t limit, struct buf *ret);
/* As verify_read, and the digest must be this one (rule "digest"). */
bool verify_read_digest(struct verify_run *run, const char *file, size_t limit, const struct digest *digest,
                        const char *who, struct buf *ret);
/* The "*.sig" files of a directory of the release, in the order of their names; *ret and its texts are owned. */
void verify_signatures(struct verify_run *run, const char *directory, char ***ret, size_t *ret_count);
struct verify_job *verify_find_job(struct verify_run *run, const struct digest *key);
/* The agreed job of this name and payload, or NULL. */
struct verify_job *verify_find_payload(struct verify_run *run, const char *name,
                                       const struct digest *payload);

/* Each stage lists its problems; false: what follows would have nothing to stand on. A negative value: could not run. */
int verify_trust(struct verify_run *run, struct diag *diag) MUST_USE;
bool verify_inputs(struct verify_run *run);
void verify_receipts(struct verify_run *run);
void verify_packages(struct verify_run *run);
void verify_files(struct verify_run *run);
int verify_extra(struct verify_run *run, struct diag *diag) MUST_USE;

/* One job's votes; called in parallel. */
void verify_job_votes(struct verify_run *run, struct verify_job *job);

#endif
