/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Join string: what a coordinator prints and a contributor pastes, everything a new worker must know to reach
 * the right farm and no other:
 *
 *     igos-farm:1:<host:port of control>:<CURVE public key, 64 hex>:<SHA-256 of root.json, 64 hex>
 *
 * The last field is 64 zeros when the farm has no trust root yet. It holds no secret: who has it can knock,
 * and is let in only after an operator of the farm admitted its key. There is one spelling for each content,
 * and only that one is accepted.
 */
#ifndef FARM_JOIN_H
#define FARM_JOIN_H

#include "buf.h"
#include "diag.h"
#include "digest.h"

enum {
    JOIN_HOST_MAX = 253,                   /* a DNS name's length (RFC 1035) */
    JOIN_ENDPOINT_MAX = JOIN_HOST_MAX + 8, /* brackets of an IPv6 address, colon, port */
    JOIN_CURVE_SIZE = 32
};

struct join {
    char endpoint[JOIN_ENDPOINT_MAX + 1]; /* "host:port", "[::1]:port" */
    unsigned char curve[JOIN_CURVE_SIZE]; /* the coordinator's CURVE public key */
    struct digest root;                   /* zero: no root yet */
};

/* "host:port": a name or IPv4 address, or an IPv6 address in brackets; port 1 to 65535. */
bool join_endpoint_is_valid(struct view endpoint);
/* Appends the text. The endpoint must be valid. */
void join_write(const struct join *join, struct buf *ret);
/* FARM_E_SYNTAX saying which part is wrong; FARM_E_UNSUPPORTED for another version. */
int join_parse(struct view text, struct join *ret, struct diag *diag) MUST_USE;

#endif
