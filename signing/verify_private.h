/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside signing: what the stages of a verification share. Stages run one after the other, each in its own file; inside a
 * stage packages or jobs are checked in parallel, so findings go through verify_problem (locked). Everything else is written by the
 * stage's own thread, or by the one thread that has the package or job.
 *
 *     verify_trust      root chain, release signatures, directory, expiry, remembered state; and in it
 *     verify_witness    the log's checkpoint, who cosigned it, and what was remembered of it
 *     verify_inputs     policy, lock, base, plan, job specs
 *     verify_log        all entries of the log: roots, leases, answers
 *     verify_receipts   receipts against the log, votes, verdicts, closures
 *     verify_waivers    what release managers let pass
 *     verify_packages   manifests and archives
 *     verify_summaries  summaries/ and keys/
 *     verify_files      nothing else lies there; the archive manifest
 *     verify_extra      --tree and --root
 */
#ifndef FARM_VERIFY_PRIVATE_H
#define FARM_VERIFY_PRIVATE_H

#include "directory.h"
#include "map.h"
#include "receipt.h"
#include "verify.h"

#include <pthread.h>

#define VERIFY_CHECKPOINT RELEASE_LOG "/checkpoint"

/* ---- what the log shows below release.log.size; made by verify_log ---- */

struct logged_answer {
    struct digest sha256;
    uint64_t position;
};
enum logged_end { LOGGED_OPEN, LOGGED_ANSWERED, LOGGED_REFUSED, LOGGED_EXPIRED, LOGGED_WITHDRAWN };

/* One lease of a job of the release. Owned by the run. */
struct logged_lease {
    struct lease_nonce nonce;
    struct digest job;
    uint64_t position;
    int64_t granted_ms; /* whole seconds: when it was logged */
    uint32_t round;
    char *worker, *operator_name;
    enum logged_end end;
    uint64_t end_position;
    struct logged_answer *answers; /* in the log's order */
    size_t nanswers;
    size_t refusals; /* answers that broke a rule on arrival; no evidence */
};
/* An answer, by its digest. */
struct logged_digest {
    struct digest sha256;
    const struct logged_lease *lease;
};
/* The first verdict of a round that settled it (verdict_is_settled): what comes after it is open. */
struct logged_verdict {
    uint32_t round;
    uint64_t position;
};

/* What the log last called a job. */
struct logged_state {
    bool known;
    enum verdict_state state;
    struct digest payload;
    uint64_t position;
};

/* One job spec of the release, and the evidence for it. */
struct verify_job {
    struct spec *spec;
    char *file;                   /* inputs/specs/<key>.json */
    const struct plan_node *node; /* NULL: no such package in the plan (a problem was listed) */
    struct rules rules;
    /* What the receipts hold; the same in each that speaks of it, so it is kept once. */
    const char *receipt; /* the file of the first; NULL: none */
    struct receipt evidence;
    /* What the log shows; empty without one. Sorted by nonce. */
    struct logged_lease **logged;
    size_t nlogged, logged_capacity;
    struct logged_digest *answers; /* of all of them; sorted */
    size_t nanswers;
    struct logged_verdict *verdicts; /* of each round that has one */
    size_t nverdicts;
    struct logged_state before, after; /* the last one up to the release's checkpoint, and behind it */
    /* The outcome, computed here. */
    bool agreed;
    struct digest payload, tar; /* what the operators attested */
    struct verdict verdict;
    char **operators; /* counted behind it; sorted */
    size_t noperators;
    bool used;     /* belongs to the closure of a released package */
    bool released; /* is a released package's own */
    bool
        elsewhere; /* fewer than a quorum derived it from the release's package tree; the others from another */
    /* The agreed jobs that its spec's dependencies came from, in their order; NULL: nobody agreed on such bytes. */
    struct verify_job **dependencies;
    size_t
        closure; /* 1 + the index of the released package whose closure was looked at last, if it belongs to it */
};

/* One listed witness. */
struct verify_witness {
    uint64_t size; /* the largest tree it cosigned; 0: none that reaches the release's */
    struct digest root;
    uint64_t time_s; /* its newest cosignature's */
};
/* A tree that the entries must give: signed, remembered, or cosigned. */
struct verify_point {
    uint64_t size;
    struct digest root;
    const char *file, *rule; /* of the problem if they do not */
    const char *who;         /* says so: "release.json", "the checkpoint" */
};
/* A log that a version of the root named, and where it says that the one before ended. */
struct verify_origin {
    char origin[NOTE_NAME_MAX + 1];
    struct checkpoint previous; /* size 0: none */
};

struct verify_run {
    const struct verify_options *options;
    struct verify_result *result;
    pthread_mutex_t lock; /* for result->problems and notes */
    size_t notes_dropped;
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
    struct map *signers;  /* keyid -> entry of the directory */
    struct map *payloads; /* payload digest and name -> agreed job */

    bool has_log;                  /* root and release name the same one */
    struct verify_origin *origins; /* each log of the chain once, in the order of the roots */
    size_t norigins;
    struct checkpoint checkpoint;     /* of the export; size 0: none that is this log's */
    struct verify_witness *witnesses; /* as in root->log.witnesses */
    struct verify_point *points;
    size_t npoints;
    struct map *leases;    /* nonce -> struct logged_lease: of the release's jobs */
    struct map *key_files; /* keys/<name>.pem -> the key that it must be */
    bool *waived;          /* which of release->waivers hold */
    bool replayed;         /* the log was read to its end, and said the same twice */
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
bool verify_exists(const struct verify_run *run, const char *file);
/* The "*.sig" files of a directory of the release, in the order of their names; *ret and its texts are owned. */
void verify_signatures(struct verify_run *run, const char *directory, char ***ret, size_t *ret_count);
struct verify_job *verify_find_job(struct verify_run *run, const struct digest *key);
/* The agreed job of this name and payload, or NULL; known once verify_receipts has judged all jobs. */
struct verify_job *verify_find_payload(struct verify_run *run, const char *name,
                                       const struct digest *payload);

/* Each stage lists its problems; false: what follows would have nothing to stand on. A negative value: could not run. */
int verify_trust(struct verify_run *run, struct diag *diag) MUST_USE;
bool verify_inputs(struct verify_run *run);
int verify_witness(struct verify_run *run, struct diag *diag) MUST_USE; /* a part of verify_trust */
void verify_log(struct verify_run *run);
void verify_receipts(struct verify_run *run);
void verify_waivers(struct verify_run *run);
void verify_packages(struct verify_run *run);
void verify_summaries(struct verify_run *run);
void verify_files(struct verify_run *run);
int verify_extra(struct verify_run *run, struct diag *diag) MUST_USE;

/* Witness: how many entries the export carries: up to its checkpoint, or where that is of no use, to the release's. */
uint64_t verify_log_size(const struct verify_run *run);

/* Account: one job's receipt against the log. Called in parallel; needs run->replayed. */
void verify_account(struct verify_run *run, struct verify_job *job);
/* Counts what became of the leases, and says what the log holds beside the evidence; once all jobs are judged. */
void verify_account_notes(struct verify_run *run);
/* What the log shows of one lease of the job, or NULL. */
struct logged_lease *verify_logged_lease(const struct verify_job *job, const struct lease_nonce *nonce);
/* The lease that this answer was logged for, or NULL. */
const struct logged_lease *verify_logged_answer(const struct verify_job *job, const struct digest *envelope);
/* The position of this answer to this lease; UINT64_MAX: the log does not show it. */
uint64_t verify_answer_position(const struct logged_lease *lease, const struct digest *envelope);
/* Whether the round was settled, and so its answer no secret any more, when an answer came at this position. */
bool verify_came_open(const struct verify_job *job, uint32_t round, uint64_t position);

/* One job's votes. Called in parallel. */
void verify_job_votes(struct verify_run *run, struct verify_job *job);

/* Waivers: whether a good one lets this package pass in spite of the rule. */
bool verify_is_waived(const struct verify_run *run, const struct release_package *package,
                      enum waiver_rule rule);

#endif
