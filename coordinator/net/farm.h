/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Farm: the coordinator's state, owned by the loop's thread. Nothing in here is touched by pool threads or by
 * the bulk server, but for what is marked.
 *
 * One turn of the loop: receive a bounded number of messages, feed the core, write what it decided into one
 * transaction, commit, and only then send what stands in the outbox. See docs/ARCHITECTURE.md.
 */
#ifndef FARM_FARM_H
#define FARM_FARM_H

#include "access.h"
#include "bulk.h"
#include "config.h"
#include "core.h"
#include "db.h"
#include "directory.h"
#include "disk.h"
#include "identity.h"
#include "link.h"
#include "map.h"
#include "moment.h"
#include "plan.h"
#include "pool.h"
#include "restored.h"
#include "root.h"
#include "stats.h"
#include "store.h"
#include "wire.h"

/* A checked-out, loaded package tree; shared by its plans. */
struct farm_tree {
    struct tree *tree;
    struct digest sha256, pack;
    char *commit, *url;
};

/* The tar of an agreed payload, as some answer named it. */
struct payload_tar {
    struct digest payload, tar;
};

/* A known plan. Text and tree are loaded when the plan is first needed, and leave again; see plans_memory.c. */
struct farm_plan {
    struct digest id;
    size_t nnodes;     /* 0: its text was lost, and nobody read it since */
    char commit[65];   /* of its tree */
    struct plan *plan; /* NULL: not in memory; plans_recall() brings it */
    struct farm_tree *tree;
    struct digest base_tar;
    struct payload_tar *tars; /* per node, when it was first an input */
    bool active;              /* in the core */
    bool forgotten;           /* it ended, and the core has it no more; see plans_memory.c */
    uint32_t holders;         /* who needs it and its tree for more than a turn */
    int64_t used_ms;          /* core clock: when it was made, ended, or somebody named it */
};

/* What a live lease shows of itself; in memory only. */
struct live_lease {
    struct digest nonce;
    char node[WIRE_NODE_MAX + 1];
    char worker[WIRE_NAME_MAX + 1];
    enum wire_phase phase;
    int64_t granted_ms;     /* wall */
    uint64_t log_offset;    /* of the first byte kept */
    struct buf log;         /* the last LIVE_LOG_MAX bytes */
    struct digest *objects; /* what it names; its worker may fetch them while it lives */
    size_t nobjects, objects_capacity;
};
enum { LIVE_LOG_MAX = 256 * 1024 };

/* A frame for a worker, sent after the commit. */
struct outgoing {
    char *user;
    struct buf frame;
    struct digest lease; /* its nonce, if it is a lease; else zero */
    int error;           /* why it was not sent */
};

struct ctl;
struct scrub;
struct missing;
struct journal;
struct web;
struct outputs;
struct specs;

struct farm {
    struct coordinator_config config;
    int state_dirfd, lock_fd;
    char *state_path;
    struct identity *identity;
    struct db *db;
    struct store *store;
    struct core *core;
    struct core_effects effects;
    struct link_gate *gate;
    struct link_server *control;
    struct bulk_server *bulk;
    struct pool *pool;
    struct ctl *ctl;
    struct web *web; /* NULL: [web] listen is empty */
    struct farm_stats stats;
    struct journal *journal;     /* the transparency log */
    struct root *root;           /* NULL until one is installed */
    struct directory *directory; /* of the admitted workers */
    struct entry_table *entries; /* sessions.c: the directory by name */
    struct map *trees;           /* tree_sha256 -> struct farm_tree */
    struct map *plans;           /* id -> struct farm_plan */
    struct map *live;            /* nonce -> struct live_lease */
    struct map *hellos;          /* worker -> json_t with what its Hello said */
    struct map *held_back; /* workers that the farm's operator paused; their owners cannot resume them */
    struct access *access; /* what workers may fetch */
    struct outgoing *outbox;
    size_t noutbox, outbox_capacity;
    struct outgoing *unsent; /* leases that could not be sent; given back to the core in the next turn */
    size_t nunsent, unsent_capacity;
    struct map *noise;           /* worker -> struct lograte: lines of our log that what it sends may fill */
    struct map *log_tails;       /* log object -> json_t with its last lines, for the status */
    struct map *checked_nonces;  /* of answers that are being checked */
    struct map *checked_workers; /* worker -> how many of its answers are being checked */
    struct outputs *outputs;     /* found to be canonical */
    struct specs *specs;         /* which answers are checked against */
    const struct intake *answering; /* the answer that is being fed to the core, see intake.c */
    bool writing;                   /* a transaction is open */
    struct disk disk;
    struct restored restored;
    struct scrub *scrub;
    struct missing *missing; /* objects that the store lost */
    bool backing_up;         /* one at a time */
    bool handing_over;       /* one at a time: gate.state is read, and written by what was read */
    bool leaving;            /* told to stop: nothing new begins, what was begun ends */
    bool log_flushed;        /* and the log's files show every entry */
    int64_t leave_by_ms;     /* steady; then it stops as it is */
    bool stopping;
    int64_t forget_due_ms; /* core clock; plans_forget_turn() looks then */
    int64_t expiry_due_ms; /* steady; sessions_expire() looks then */
    int64_t started_ms;    /* wall */
};

/* farm.c: the parts' life. 'config' is taken over. */
int farm_open(struct coordinator_config *config, struct farm **ret, struct diag *diag) MUST_USE;
struct farm *farm_close(struct farm *farm);
/* The string that a contributor pastes. Appends. */
void farm_join_string(const struct farm *farm, struct buf *ret);
/* Opens the transaction of this turn if it is not open yet; returns the database. */
struct db *farm_write(struct farm *farm);
/* Commits and sends. A failure is fatal to the process: memory has run ahead of the disk. */
int farm_flush(struct farm *farm, struct diag *diag) MUST_USE;
void farm_post(struct farm *farm, const char *user, int type, const ProtobufCMessage *body);
void farm_post_lease(struct farm *farm, const char *user, const struct digest *nonce,
                     const Wire__Lease *lease);
/* Leases that did not get out go to somebody else: their workers do not know of them, and would be waited for. */
void farm_take_back(struct farm *farm);

/* loop.c */
/* Before any thread exists: the signals that stop the loop must not reach another one. Also ignores SIGPIPE. */
void farm_block_signals(void);
int farm_run(struct farm *farm, struct diag *diag) MUST_USE;

/* sessions.c: what workers say. */
/* One more line that a worker's message causes, unless it has caused too many (lograte.h); says how many were left out before it. */
bool sessions_may_log(struct farm *farm, const char *worker);
/* Such a warning: the message and at least one field besides the worker. */
#define sessions_warn(farm, worker, message, ...)                                                            \
    do {                                                                                                     \
        if (sessions_may_log(farm, worker))                                                                  \
            log_event(LOG_LEVEL_WARNING, message, log_text(FIELD_WORKER, worker), __VA_ARGS__);              \
    } while (0)

void sessions_receive(struct farm *farm, const struct link_peer *peer, struct view frame);
/* Tells the core and the gate about a directory entry. */
int sessions_admit(struct farm *farm, const struct directory_entry *entry, const char *state,
                   struct diag *diag) MUST_USE;
void sessions_revoke(struct farm *farm, const char *worker);
/* Ends its session until it is admitted again; what it said counts as before. */
void sessions_suspend(struct farm *farm, const char *worker);
/*
 * The worker's directory entry, or NULL: the same as directory_find(), by a table that follows the directory's versions.
 */
const struct directory_entry *sessions_entry(const struct farm *farm, const char *worker);
/* There is one, it has not run out, and its keys are not compromised. */
bool sessions_entry_is_valid(const struct directory_entry *entry);
struct entry_table *sessions_entries_new(void);
struct entry_table *sessions_entries_free(struct entry_table *table); /* accepts NULL, returns NULL */
/* Suspends whose entries ran out; looks once a minute. */
void sessions_expire(struct farm *farm);
/* Paused by the farm's operator, whatever the worker's owner says. */
void sessions_hold_back(struct farm *farm, const char *worker, bool paused);

/* effects.c: one event into the core, and its effects into rows, messages and further events. */
int farm_feed(struct farm *farm, const struct core_event *event, struct diag *diag);
void live_free_all(struct map *live);
/* After a restart: a worker presents a live lease again; it is shown, and its inputs may be fetched, as before. */
void effects_resume_lease(struct farm *farm, const struct core_nonce *nonce);
/* The core's clock. */
int64_t farm_core_now(void);
int64_t farm_wall_of_core(int64_t core_ms);
int64_t farm_core_of_wall(int64_t wall_ms);

/* intake.c: checks an answer in the pool, then feeds it. */
struct intake;
void intake_result(struct farm *farm, const char *worker, const Wire__Result *result);
/* Writes the attestation of the answer that is being fed, and what it names; returns where the log shows it. */
uint64_t intake_record(struct farm *farm, const struct core_answer *answer, const char *fate);
/* 1 + the position at which the log shows this answer, taken or refused; 0: it does not. */
uint64_t intake_known(struct farm *farm, const struct digest *envelope);

/* plans.c: trees and plans. */
struct farm_plan *plans_get(struct farm *farm, const struct digest *id);
/* A unique prefix of a plan id (at least 6 hex digits), or the full id; NULL and a diag otherwise. Recalls it. */
struct farm_plan *plans_find(struct farm *farm, const char *text, struct diag *diag);
/* Registers a plan read back from its text; takes it over. 'tree' may be NULL until plans_load_tree. */
struct farm_plan *plans_add(struct farm *farm, struct plan *plan, const struct digest *base_tar);
/* One whose text the store lost: known by its row, as a plan that left memory, until somebody brings the text. */
struct farm_plan *plans_add_lost(struct farm *farm, const struct digest *id, const char *commit,
                                 const struct digest *base_tar);
/* Checks the tree out if need be, and loads it; the plan's text before. */
int plans_load_tree(struct farm *farm, struct farm_plan *plan, struct diag *diag) MUST_USE;
struct farm_tree *plans_add_tree(struct farm *farm, struct tree *tree, const struct tree_pin *pin,
                                 const struct digest *pack);
/* Gives it to the core. 'since_wall_ms': when somebody asked for it from scratch, milliseconds since 1970; 0: now,
 * so that also what began in this millisecond is repeated. */
int plans_start(struct farm *farm, struct farm_plan *plan, bool from_scratch, int64_t since_wall_ms,
                struct diag *diag) MUST_USE;
/* Answers CORE_DERIVE: spec, history, key. */
void plans_derive(struct farm *farm, const struct core_effect *effect);
/* The node that has this job now, in the core; SIZE_MAX: none of the plan's. */
size_t plans_node_of(struct farm *farm, const struct farm_plan *plan, const struct digest *job);
/* The spec of such a node, once more. FARM_E_STATE: not yet, since what it was made of is not agreed on at present. */
int plans_derive_again(struct farm *farm, struct farm_plan *plan, size_t node, const struct digest *key,
                       struct diag *diag) MUST_USE;
/* The node that a person means: "name", "tier/name", "PLAN/name" or a job key prefix; in the newest plan that
 * has it. Recalls it. A job key finds nodes of plans in memory alone. */
int plans_find_node(struct farm *farm, const char *text, struct farm_plan **ret_plan, size_t *ret_node,
                    struct diag *diag) MUST_USE;
char *plans_tree_path(const struct digest *tree_sha256); /* "trees/<hex>", owned */

/* plans_memory.c: what of it stays in memory. */
/* Forgets a bounded number of plans that ended long enough ago. */
void plans_forget_turn(struct farm *farm);
/* Its text is in memory; whether the core has it is another matter. */
int plans_load_text(struct farm *farm, struct farm_plan *plan, struct diag *diag) MUST_USE;
/* The same, and it is in the core again if it was forgotten. */
int plans_recall(struct farm *farm, struct farm_plan *plan, struct diag *diag) MUST_USE;
/* Somebody asked for it: its time begins anew. */
void plans_use(struct farm_plan *plan);
/* Between these it is not forgotten, and its text and tree stay. */
void plans_hold(struct farm_plan *plan);
void plans_release(struct farm_plan *plan);
/* It ended, or was made and never started, so long ago that a restart need not give it to the core. */
bool plans_is_old(const struct farm *farm, const struct db_plan *row);
void plans_free_tree(struct farm_tree *tree);

/* plans_drop.c: what leaves the store when it has been kept long enough. */
/* Drops a bounded number of plans, and commits that. */
int plans_drop_old(struct farm *farm, size_t *ret_dropped, struct diag *diag) MUST_USE;
/* A plan has the job: should what was agreed for it have been dropped, it has to stay again, and is missing if it is gone already. */
int plans_regain(struct farm *farm, const struct digest *job, struct diag *diag) MUST_USE;

/* plans_history.c: what the database knows of a job. */
/* Tells the core what the database knows of a job; no event if the core knows it. */
int plans_feed_history(struct farm *farm, const struct digest *key, struct diag *diag) MUST_USE;

/* startup.c: reads the database back, and believes nothing in it. */
int startup_restore(struct farm *farm, struct diag *diag) MUST_USE;

/* admission.c: workers, by the trust root. */
/* A signed entry, also a newer one of a known worker. */
int admission_admit(struct farm *farm, const struct directory_entry *entry, struct diag *diag) MUST_USE;
/* Before another root is installed: takes out whom it does not admit, until their entries are signed anew. First, so that
 * a crash in between leaves a directory that fits the root. */
int admission_drop(struct farm *farm, const struct root *root, struct diag *diag) MUST_USE;
/* After it: anchors may have changed, so the core is told about each worker again. */
int admission_renew(struct farm *farm, struct diag *diag) MUST_USE;
/* The directory and the table "worker", after a restart. */
int admission_restore(struct farm *farm, struct diag *diag) MUST_USE;

/* trust.c: the installed root and the worker directory. */
int trust_load(struct farm *farm, struct diag *diag) MUST_USE;
/* A root with the signatures that it came with. Everything owned. */
struct trust_link {
    struct buf text;
    struct root *root; /* parsed from it */
    char **signatures;
    size_t nsignatures;
};
/*
 * Installs the last of these, if it follows the installed root by the rules; 1 if that changed anything. Those before it are its
 * predecessors, in order; what the chain lacks of them is kept. The links' signatures are pruned, and the last root may be taken over.
 */
int trust_install(struct farm *farm, struct trust_link *links, size_t count, struct diag *diag) MUST_USE;
/* A root is installed and has not expired; says what to do otherwise. */
int trust_check_root(const struct farm *farm, struct diag *diag) MUST_USE;
/* Writes workers.json with the next version. */
int trust_publish_directory(struct farm *farm, struct diag *diag) MUST_USE;
/* The same if it has lived half of its time: under an expired one workers take no leases, and nobody accepts a release. */
int trust_refresh_directory(struct farm *farm, struct diag *diag) MUST_USE;
/* The bytes of the directory as published. Appends. */
int trust_directory_text(const struct farm *farm, struct buf *ret, struct diag *diag) MUST_USE;
/*
 * trust_chain.c: every root that was ever installed, roots/<version>.json: {"root":"<text>","signatures":["<armored>",...]}.
 * Written before root.json, so the chain is never behind it.
 */
int trust_chain_add(struct farm *farm, const struct root *root, struct view text,
                    const struct view *signatures, size_t nsignatures, struct diag *diag) MUST_USE;
/* FARM_E_MISSING for a version that was never installed here. The texts are owned. */
int trust_chain_get(struct farm *farm, int64_t version, struct buf *ret_text, char ***ret_signatures,
                    size_t *ret_nsignatures, struct diag *diag) MUST_USE;
int trust_chain_read(struct farm *farm, int64_t version, struct trust_link *ret, struct diag *diag) MUST_USE;
/* At start: takes over the root of a farm that had no chain yet, and checks each link against the one before (D5). */
int trust_chain_check(struct farm *farm, const struct trust_link *installed, struct diag *diag) MUST_USE;
/* Does it follow 'old' (NULL: is it signed by its own threshold)? */
int trust_link_check(const struct root *old, const struct trust_link *link, struct diag *diag) MUST_USE;
/* Drops signatures that count for neither. */
void trust_link_prune(const struct root *old, struct trust_link *link);
/* From an array of strings, as many as are looked at. */
void trust_take_signatures(struct trust_link *link, const json_t *array);
void trust_link_done(struct trust_link *link);

/* trust_talk.c: answers TrustAsk. */
void trust_on_ask(struct farm *farm, const char *worker, const Wire__TrustAsk *ask);

/*
 * revocation.c: whose answers count no longer. Ends the worker's session for good, voids its recorded answers at log positions from
 * 'from' on (0: all), feeds the core, which judges their jobs anew, and logs it. The directory says the same already (trust.c), so that a
 * crash in between is mended by the next start. Returns how many answers were voided; again, it finds nothing to do.
 */
int revocation_void(struct farm *farm, const char *worker, uint64_t from, const char *reason,
                    struct diag *diag) MUST_USE;
/* The lowest position from which on the log says that the worker's answers count no longer; UINT64_MAX: it says nothing. */
int revocation_from(struct farm *farm, const char *worker, uint64_t *ret, struct diag *diag) MUST_USE;
/* At start, after the directory and before the plans: what a crash left undone. */
int revocation_restore(struct farm *farm, struct diag *diag) MUST_USE;

/* startup_audit.c: what the rows claim, against what workers signed. */
int startup_audit(struct farm *farm, struct diag *diag) MUST_USE;
/* startup_log.c: the database against the log: every lease and answer that the log shows is a row, and the other way round. */
int startup_check_log(struct farm *farm, struct diag *diag) MUST_USE;

/* Takes the worker's entry out, if there is one; publishes nothing. */
void trust_remove_entry(struct directory *directory, const char *worker);

#endif
