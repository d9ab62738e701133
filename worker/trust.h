/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Trust: which trust root and worker directory this worker has seen, and what follows from what it is shown next (K4).
 *
 *     trust.json   {"directory":null | {"compromised_from":-1,"digest":"<hex>","entry_expires":"<time>","expires":"<time>","listed":true,
 *                                       "root":2,"version":5},
 *                   "format":"intergenos-worker-trust/1","pinned":"<hex>","root":"<text of root.json>" | null,"seen":"<time>"}
 *
 * It starts from the digest that the join string pinned (worker.conf): the root with that digest comes from the owner (root.json) or from
 * the coordinator, and is believed for its digest. From there one version at a time, each signed by the thresholds of both. The
 * directory is fetched by its digest and checked against the newest root. Never backwards: a lower version, or other bytes under the
 * same one, is an alarm. What is merely expired, not signed, or not there is no alarm; the worker takes no leases and says why.
 * "Now" is the highest time that was ever seen here, so that a clock that was set back revives nothing (C2).
 *
 * Nothing pinned (zeros): the farm had no root when this worker joined, and nothing here is asked or refused.
 *
 * One thread decides (the agent's main thread); trust_check_base may be asked by any.
 */
#ifndef FARM_TRUST_H
#define FARM_TRUST_H

#include "alarm.h"
#include "directory.h"
#include "root.h"

enum { TRUST_FILE_MAX = 256 * 1024 };

/* Who this worker is, as the directory has to say it. Borrowed. */
struct trust_self {
    const char *worker, *operator_name;
    struct public_key ed25519;
    const unsigned char *curve; /* DIRECTORY_CURVE_SIZE bytes */
    struct digest pinned;
};

struct trust;
/* Reads trust.json, and root.json if the owner gave it. Damaged files are refused, and so is another pin than before. */
int trust_open(int state_dirfd, const struct trust_self *self, struct trust **ret,
               struct diag *diag) MUST_USE;
struct trust *trust_close(struct trust *trust); /* accepts NULL, returns NULL */
/* Durable. */
int trust_save(struct trust *trust, int state_dirfd, struct diag *diag) MUST_USE;

bool trust_is_pinned(const struct trust *trust);
/* The newest; NULL: none yet. Borrowed until the next decision. */
const struct root *trust_root(const struct trust *trust);
/* K7. Any thread. FARM_E_REFUSED: the newest root does not allow this base, or there is none yet. */
int trust_check_base(struct trust *trust, const struct digest *base, struct diag *diag) MUST_USE;
/* May this worker take leases? FARM_E_STATE: not yet, something is still to be fetched; FARM_E_STALE: expired; FARM_E_REFUSED. */
int trust_may_work(const struct trust *trust, int64_t now_ms, struct diag *diag) MUST_USE;
/* One line for people. */
void trust_describe(const struct trust *trust, struct buf *ret);

/* ---- decisions; 'now_ms' is the wall clock ---- */

enum trust_move {
    TRUST_SETTLED, /* nothing newer */
    TRUST_ASK,     /* ask again at once: there are more roots */
    TRUST_FETCH,   /* fetch the directory .directory, read it, and give it to trust_on_listing */
    TRUST_REFUSED, /* .why; ask again later */
    TRUST_ALARM    /* .alarm; its time is the caller's to set */
};
struct trust_finding {
    enum trust_move move;
    struct digest directory;
    struct diag why;
    struct alarm alarm; /* owned */
    bool root_changed;  /* tell the witness */
    bool changed;       /* save */
};
#define TRUST_FINDING_INIT                                                                                   \
    {                                                                                                        \
        .move = TRUST_SETTLED                                                                                \
    }
void trust_finding_done(struct trust_finding *finding);

/* What TrustAsk says: the version known; the coordinator shows the one behind it. */
uint64_t trust_asks(const struct trust *trust);

/* TrustAnswer; everything borrowed. */
struct trust_answer {
    uint64_t newest;  /* 0: the farm has no root */
    uint64_t version; /* of 'root'; 0: none is shown */
    struct view root;
    const struct view *signatures;
    size_t nsignatures;
    uint64_t directory_version;
    struct digest directory;
};
void trust_on_answer(struct trust *trust, const struct trust_answer *answer, int64_t now_ms,
                     struct trust_finding *ret);

/* What a worker has to know of a directory. */
struct trust_listing {
    int64_t version, expires_ms, root_version; /* of the root it was checked against */
    struct digest digest, previous;
    bool listed;    /* this worker's name is in it */
    bool same_keys; /* with its operator and keys; true if it is not listed */
    int64_t entry_expires_ms, compromised_from;
};
/* Parses and checks every signature: for a thread that may take its time. Pure. */
int trust_read_directory(struct view text, const struct root *root, const struct trust_self *self,
                         struct trust_listing *ret, struct diag *diag) MUST_USE;
void trust_on_listing(struct trust *trust, const struct trust_listing *listing, int64_t now_ms,
                      struct trust_finding *ret);

#endif
