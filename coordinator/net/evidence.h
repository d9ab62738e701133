/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Evidence: what is known about the jobs of a plan below one size of the log, and what a release says of them.
 *
 *     evidence_collect()   on the loop's thread: the rows, copied
 *     evidence_read_log()  in the pool: what the log says of them: a lease's end, when a round was settled
 *     evidence_judge()     in the pool: outcomes, open votes and verdicts
 *
 * All of it is a function of the log's first 'size' entries, what they name, and one directory, by the rules that farm-verify
 * applies: so the release, written once, and its receipts, written at each export, say the same whatever came later. An answer counts if
 * its worker stands in the directory, was admitted when it got the lease, and is not compromised from before the answer; it is open
 * if it stands behind the round's first verdict that was agreed or failed.
 */
#ifndef FARM_EVIDENCE_H
#define FARM_EVIDENCE_H

#include "farm.h"
#include "receipt.h"
#include "release.h"

/* No entry of that kind below the size. */
#define EVIDENCE_NOWHERE UINT64_MAX

struct evidence_lease {
    struct lease_nonce nonce;
    char *worker, *operator_name;
    uint32_t round;
    int64_t granted_ms; /* as the log says, once it was read */
    uint64_t answered;  /* its first envelope */
    uint64_t refused;   /* its first answer that broke a rule */
    uint64_t ended;     /* its lease-end; ended_as is that entry's state */
    enum lease_state ended_as;
};
struct evidence_answer {
    struct lease_nonce nonce;
    struct digest digest, payload, tar;
    enum failure_kind failure;
    uint64_t position;
    struct buf envelope;
};
struct evidence_round {
    uint32_t round;
    uint64_t settled; /* position of its first verdict that was agreed or failed */
};

/* One node of the plan. */
struct evidence_job {
    char *id, *name, *version, *release, *tier;
    size_t *closure;
    size_t nclosure;
    struct rules rules;
    enum node_state state; /* as the core saw it when the rows were copied; for messages */
    bool keyed;
    struct digest key;
    struct evidence_lease *leases;
    size_t nleases, leases_capacity;
    struct evidence_answer *answers;
    size_t nanswers, answers_capacity;
    struct evidence_round *rounds;
    size_t nrounds, rounds_capacity;
    /* Judged. The last round that agreed; false also if another round contradicts it. */
    bool agreed;
    enum verdict_state verdict;
    struct digest payload, tar;
    char **operators; /* whose votes count behind it; sorted */
    size_t noperators;
    uint32_t support, dissent; /* operators for and against */
};

struct evidence {
    uint64_t size;             /* of the log */
    struct evidence_job *jobs; /* by node of the plan */
    size_t njobs;
};
#define EVIDENCE_INIT                                                                                        \
    {                                                                                                        \
        0                                                                                                    \
    }
void evidence_done(struct evidence *evidence);

/*
 * The jobs are those that the core has for the plan's nodes now; for an existing release (else NULL) those that it names: it stays what it
 * was when verdicts are reopened later.
 */
int evidence_collect(struct farm *farm, const struct farm_plan *plan, const struct release *release,
                     uint64_t size, struct evidence *ret, struct diag *diag) MUST_USE;
/* From the tile directory below the state directory. */
int evidence_read_log(struct evidence *evidence, int state_dirfd, struct diag *diag) MUST_USE;
/* One entry of the log; evidence_read_log() calls it for each. Entries must come in order. */
struct evidence_index;
struct evidence_index *evidence_index_new(struct evidence *evidence);
struct evidence_index *evidence_index_free(struct evidence_index *index); /* accepts NULL, returns NULL */
int evidence_take_entry(struct evidence_index *index, uint64_t position, struct view entry,
                        struct diag *diag) MUST_USE;
void evidence_judge(struct evidence *evidence, const struct directory *directory, const struct root *root);

enum lease_outcome evidence_outcome(const struct evidence_lease *lease);
/* Whether an answer that stands there came after its round had been settled; no for EVIDENCE_NOWHERE. */
bool evidence_is_open(const struct evidence_job *job, uint32_t round, uint64_t position);
/* The receipt of a package: its own job and its closure's. Appends. */
int evidence_receipt(const struct evidence *evidence, size_t node, struct buf *ret,
                     struct diag *diag) MUST_USE;
/* Fills all but the archive's digest and size, of an agreed job. */
void evidence_package(const struct evidence_job *job, struct release_package *ret);
/* SHA-256 of each of its envelopes, sorted; owned, free(). */
struct digest *evidence_envelopes(const struct evidence_job *job, size_t *ret_count);

struct evidence_lease *evidence_find_lease(const struct evidence_job *job, const struct lease_nonce *nonce);

#endif
