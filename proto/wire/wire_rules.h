/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The catalogue as tables: which message each type is, where it travels, and what each field may hold. Private to wire.
 */
#ifndef FARM_WIRE_RULES_H
#define FARM_WIRE_RULES_H

#include "wire.h"

enum wire_kind {
    WIRE_DIGEST,          /* exactly 32 bytes */
    WIRE_DIGEST_OPTIONAL, /* 32 bytes or none */
    WIRE_BYTES,           /* at most max */
    WIRE_TOKEN,           /* 1..max printable characters without space */
    WIRE_TOKEN_OPTIONAL,  /* 0..max */
    WIRE_TEXT,            /* 0..max bytes of UTF-8; of the control characters only tab and newline */
    WIRE_COMMIT,          /* 40 or 64 lower-case hex digits */
    WIRE_NUMBER,          /* 0..max */
    WIRE_FLAG,
    WIRE_ENUM,    /* a listed value */
    WIRE_MESSAGE, /* must be there */
    WIRE_MESSAGE_OPTIONAL
};

/* One field. The tables follow the order of the field numbers, and a test compares the names. */
struct wire_rule {
    const char *field;
    enum wire_kind kind;
    uint64_t max;
    size_t count; /* of a repeated field: most elements */
};

struct wire_body {
    const ProtobufCMessageDescriptor *descriptor;
    const struct wire_rule *rules;
    size_t nrules;
};

struct wire_entry {
    int type;
    enum wire_direction direction;
    struct wire_body body;
};

/* NULL if there is no such type. */
const struct wire_entry *wire_entry(int type);
/* All of them, for the tests. */
const struct wire_entry *wire_entries(size_t *ret_count);
/* Rules of a message that is a field of another one; NULL if unknown (a mistake in the tables). */
const struct wire_body *wire_nested(const ProtobufCMessageDescriptor *descriptor);
int wire_check(const struct wire_body *body, const ProtobufCMessage *message, struct diag *diag) MUST_USE;

#endif
