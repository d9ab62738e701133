/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A coordinator in this process, on a state directory of its own: the real one, opened by farm_open(), with a trust root that has a
 * log, four workers of four operators (the first two are anchors and witnesses), a base and a plan of two packages, which the root allows, "liba", and "appb" which is
 * built with it. Nobody is connected: what the coordinator sends is taken out of its outbox, what a worker says is put into
 * sessions_receive(), and the tests decide when a turn of the loop is over.
 */
#ifndef FARM_RIG_H
#define FARM_RIG_H

#include "farm.h"
#include "farm_fixture.h"
#include "journal.h"
#include "payload.h"
#include "statement.h"

enum { RIG_PACKAGES = 2, RIG_LIBA = 0, RIG_APPB = 1 };
enum { RIG_ALPHA, RIG_BETA, RIG_GAMMA, RIG_DELTA };

struct rig_package {
    struct digest job;
    struct spec *spec;
    struct payload payload;
};

struct rig_message {
    char user[WIRE_NAME_MAX + 1];
    struct wire_message *message;
};

struct rig {
    char path[64]; /* state directory and all else; removed at the end */
    int dirfd;
    struct farm_fixture *keys;
    struct tree_pin pin;
    struct digest base, plan;
    struct payload base_payload;
    struct rig_package packages[RIG_PACKAGES];
    struct farm *farm; /* NULL while it does not run */
    struct rig_message *inbox;
    size_t ninbox, capacity;
    char *origin; /* log_origin; NULL: the default */
};

/* With root, workers and plan; the coordinator runs, the plan has not been started. */
struct rig *rig_new(void);
struct rig *rig_free(struct rig *rig);
/* farm_open() on the state directory. */
int rig_start(struct rig *rig, struct diag *diag) MUST_USE;
void rig_stop(struct rig *rig);
/* Stops and starts; fails the test if it does not. */
void rig_restart(struct rig *rig);

/* One turn of the loop, and those that its pool work needs. */
void rig_turn(struct rig *rig);
/* Turns until everything that is logged is shown. */
void rig_publish(struct rig *rig);

/* A message of a worker, over a session of its own. */
void rig_say(struct rig *rig, size_t worker, int type, const ProtobufCMessage *body);
void rig_hello(struct rig *rig, size_t worker);
/* What was sent to the worker, oldest first; NULL: nothing of this type. The caller's (wire_free). */
struct wire_message *rig_heard(struct rig *rig, size_t worker, int type);

/* The worker signs the newest checkpoint, and says so. */
void rig_cosign(struct rig *rig, size_t worker);

/* Starts the plan and brings these workers online. */
void rig_build(struct rig *rig, const size_t *workers, size_t count);
/* The lease that the worker got, not yet answered: its nonce. Fails the test if there is none. */
struct digest rig_lease(struct rig *rig, size_t worker);

/* An answer to a lease for a package: what is said and signed. Zero: the honest answer of that worker. */
struct rig_answer {
    size_t package;
    struct digest nonce;
    const size_t *signer;               /* another worker's key */
    const char *worker, *operator_name; /* other names */
    const struct digest *job;           /* another one */
    const struct digest *payload;       /* another one, which must be in the store */
    enum failure_kind failure;
    int64_t finished_ms; /* makes two answers with the same content differ */
};
void rig_sign(struct rig *rig, size_t worker, const struct rig_answer *answer, struct buf *ret);
/* Signs, sends, and waits until it is acknowledged; the acknowledgement is the caller's (wire_free). */
struct wire_message *rig_answer(struct rig *rig, size_t worker, const struct rig_answer *answer);
/* Both workers get a lease for the package and answer it alike. */
void rig_agree(struct rig *rig, size_t package, size_t first, size_t second);

/* SQL on the database of a coordinator that does not run. */
void rig_sql(struct rig *rig, const char *sql);

#endif
