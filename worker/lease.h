/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lease: one attempt at one job, from the coordinator's message to the signed answer, as steps that a slot's
 * thread calls in order:
 *
 *     lease_new        takes what the message says
 *     lease_prepare    derives the spec itself and compares; fetches; makes root, sources and limits
 *     lease_build      runs the steps in the sandbox
 *     lease_collect    asserts what the recipe promised, packs what came out, stores the log
 *     lease_sign       the statement, and its entry for the spool
 *     lease_deliver    uploads the objects that the answer names
 *     lease_free       and nothing of it is left in builds/
 *
 * Nothing in the message is believed but what the worker can check: the tree by both digests, the job key by
 * deriving it, every object by its name, the base by the owner's list and the trust root. builds/<nonce>/
 * holds:
 *
 *     log          what the build wrote, with our own lines beginning "farm: "
 *     and what build.h names: work/src, work/dest ($DESTDIR), sources, root (the overlay's upper layer)
 */
#ifndef FARM_LEASE_H
#define FARM_LEASE_H

#include "bulk.h"
#include "sandbox.h"
#include "spool.h"
#include "wire.h"
#include "workshop.h"

enum {
    LEASE_LOG_MAX = 64 << 20,      /* bytes; an LLVM build writes 15 MiB */
    LEASE_PROGRESS_MS = 500,       /* between two messages about one lease, when somebody follows it */
    LEASE_PROGRESS_QUIET_MS = 2000 /* when nobody does */
};

/* Who wants to know, and may interfere. Called on the thread that works on the lease. All may be NULL. */
struct lease_watch {
    bool (*cancelled)(void *context);
    /* 'tail': what the log grew by, from 'offset'; may be empty. */
    void (*progress)(void *context, enum wire_phase phase, uint64_t offset, struct view tail);
    void *context;
    int wake_fd; /* readable when 'cancelled' may have changed; -1: none */
};

/* How a step ended. */
enum lease_fate {
    LEASE_GOES_ON,  /* the next step is due */
    LEASE_ENDED,    /* an answer is due: lease->failure says which; lease_collect comes next */
    LEASE_RETURNED, /* goes back unanswered: lease->reason, and the text in the diag */
    LEASE_ABANDONED /* cancelled */
};

struct lease_source {
    struct digest pin, object;
};

struct lease {
    /* From the message. */
    struct lease_nonce nonce;
    struct digest key;
    char *node; /* "tier/name" */
    struct tree_pin tree_pin;
    struct digest tree_pack; /* zero: none offered */
    struct payload base;
    struct payload *payloads;
    size_t npayloads;
    struct lease_source *sources;
    size_t nsources;
    bool log_live;

    /* From lease_prepare. */
    char *dir; /* "builds/<nonce>" */
    int log_fd;
    struct fetch fetch;
    struct trees_use tree;
    const struct package *package; /* borrowed from the tree */
    struct spec *spec;
    struct ledger_share share;
    bool has_share;
    struct roots_use base_root, closure_root;
    unsigned first_cpu; /* while it is built: its place (places.h) */
    enum wire_refuse_reason reason;

    /* From lease_build and lease_collect. */
    enum failure_kind failure;
    struct sandbox_result result;
    struct payload payload; /* when failure is FAILURE_NONE */
    struct digest log;
    int64_t started_ms, finished_ms; /* wall clock, for people */
    int64_t began_ms;                /* steady clock */
};

/* 'lease' was decoded by wire.h. */
struct lease *lease_new(const Wire__Lease *message);
/* Accepts NULL, returns NULL. */
struct lease *lease_free(struct lease *lease, struct workshop *shop);

enum lease_fate lease_prepare(struct lease *lease, struct workshop *shop, struct bulk_client *bulk,
                              const struct lease_watch *watch, struct diag *diag) MUST_USE;
/* Its parts, in order: the owner's rules; the tree, and the spec derived from it; limits, roots and sources.
 */
enum lease_fate lease_check_allowed(struct lease *lease, const struct workshop *shop,
                                    struct diag *diag) MUST_USE;
enum lease_fate lease_derive(struct lease *lease, struct workshop *shop, const struct lease_watch *watch,
                             struct diag *diag) MUST_USE;
enum lease_fate lease_furnish(struct lease *lease, struct workshop *shop, const struct lease_watch *watch,
                              struct diag *diag) MUST_USE;

/* LEASE_ENDED or LEASE_ABANDONED. */
enum lease_fate lease_build(struct lease *lease, struct workshop *shop, const struct lease_watch *watch,
                            struct diag *diag) MUST_USE;
/* 0, also when an assertion fails: lease->failure says so. Errors: the answer cannot be stored here. */
int lease_collect(struct lease *lease, struct workshop *shop, struct diag *diag) MUST_USE;
/* *ret is owned (spool_entry_free); it is not in the spool yet. */
int lease_sign(const struct lease *lease, const struct workshop *shop, struct spool_entry **ret,
               struct diag *diag) MUST_USE;
/* Uploads what the coordinator lacks. */
int lease_deliver(const struct spool_entry *entry, struct bulk_client *bulk, struct store *store,
                  struct diag *diag) MUST_USE;

/* A line of ours in the build's log. */
void lease_note(const struct lease *lease, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool lease_is_cancelled(const struct lease_watch *watch)
{
    return watch->cancelled != NULL && watch->cancelled(watch->context);
}

#endif
