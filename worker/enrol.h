/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Enrol: makes a worker: its state directory, keys and worker.conf, and the request that the farm's operator
 * admits.
 *
 *     request.json
 * {"curve":"<hex>","ed25519":"<hex>","facts":{"cpu_vendor":"...","kernel":"...","site":"..."},
 *                     "operator":"alice","worker":"attic"}       "site" only if it was given
 *
 *     code          "igos-request:1:" and the base64 of request.json, without its last line end: one line, to be pasted
 *                     anywhere; farm-sign takes it in place of the file
 *
 * The trust root is pinned by the join string; if that names none, by the root.json that the owner gives (--root). worker.conf is written last: where it is, the worker is whole. Doing it again with the same values changes
 * nothing and says so; with other values it is refused, and nothing is overwritten.
 */
#ifndef FARM_ENROL_H
#define FARM_ENROL_H

#include "facts.h"
#include "identity.h"
#include "worker_conf.h"

#include <stdio.h>

#define ENROL_CODE "igos-request:1:"

struct enrol {
    const char *state;       /* path of the state directory */
    struct worker_wish wish; /* .name NULL: made from operator and host name */
    const char *root_file;   /* the farm's root.json; NULL: not given */
    const char *site;        /* where the machine is, for rules that want distance; NULL: not said */
};

/* Appends request.json; pure. */
void enrol_write_request(const struct identity *identity, const char *operator_name,
                         const struct facts *facts, const char *site, struct buf *ret);
/* Appends the code of a request. */
void enrol_write_code(struct view request, struct buf *ret);
/* A worker's name from operator and host name; always valid. Owned. */
char *enrol_default_name(const char *operator_name, const char *hostname);
/* Does it all, and tells the owner on 'out' what to do next. */
int enrol_run(const struct enrol *enrol, FILE *out, struct diag *diag) MUST_USE;

#endif
