/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Wire: the message catalogue (farm.proto) as pure encoding and decoding, with limits. No sockets, no clock.
 *
 * A frame is one envelope with exactly one body: a field number (the type), a length, the body, and nothing else. A
 * decoder is told from which direction the frame came, and refuses types that do not travel there. After
 * protobuf-c has unpacked a body (with an allocator that has a budget, because one MiB of hostile input can become
 * twenty MiB of heap), every field is checked against the tables in wire_rules.c: digests have 32 bytes,
 * names are tokens, texts are UTF-8 without control characters, lists and numbers are bounded, enums known. So callers
 * find in a decoded message only what the catalogue allows. The same check runs before encoding.
 *
 *     Wire__Heartbeat beat = WIRE__HEARTBEAT__INIT;
 *     beat.free_slots = 2;
 *     r = wire_encode(WIRE_HEARTBEAT, &beat.base, &frame, diag);
 *
 *     r = wire_decode(WIRE_FROM_WORKER, frame, &message, diag);
 *     switch ((enum wire_from_worker)message->type) {
 *     case WIRE_HELLO: return on_hello(session, message->hello); ...
 *     }
 *     message = wire_free(message);
 */
#ifndef FARM_WIRE_H
#define FARM_WIRE_H

#include "buf.h"
#include "diag.h"
#include "digest.h"

#include "farm.pb-c.h"

/* Spoken by this program; a peer with another one is told so in Refused. */
enum { WIRE_PROTOCOL_VERSION = 1 };

enum wire_direction {
    WIRE_FROM_WORKER,
    WIRE_TO_WORKER,
    WIRE_BULK_REQUEST,
    WIRE_BULK_REPLY,
    WIRE_FROM_CTL,
    WIRE_TO_CTL
};

/* The types, one enum per direction: values are the envelopes' field numbers and never collide. */
enum wire_from_worker {
    WIRE_HELLO = 1,
    WIRE_HEARTBEAT = 2,
    WIRE_LEASE_REFUSE = 3,
    WIRE_PROGRESS = 4,
    WIRE_RESULT = 5,
    WIRE_STATUS = 6,
    WIRE_GOODBYE = 7,
    WIRE_LOG_ASK = 8,
    WIRE_COSIGN = 9,
    WIRE_TRUST_ASK = 10
};
enum wire_to_worker {
    WIRE_WELCOME = 16,
    WIRE_LEASE = 17,
    WIRE_LEASE_CANCEL = 18,
    WIRE_RESULT_ACK = 19,
    WIRE_ORDER = 20,
    WIRE_REFUSED = 21,
    WIRE_LOG_ANSWER = 22,
    WIRE_TRUST_ANSWER = 23
};
enum wire_bulk_request {
    WIRE_GET = 32,
    WIRE_HAVE = 33,
    WIRE_PUT = 34,
    WIRE_PUT_DATA = 35,
    WIRE_PUT_DONE = 36
};
enum wire_bulk_reply {
    WIRE_CHUNK = 48,
    WIRE_MISSING = 49,
    WIRE_PUT_READY = 50,
    WIRE_STORED = 51,
    WIRE_BULK_ERROR = 52
};
enum wire_ctl { WIRE_CTL_REQUEST = 64, WIRE_CTL_REPLY = 80 };

/* The catalogue's enums under plain names; decoded values are always one of these. */
enum wire_refuse_reason {
    WIRE_REFUSE_UNSPECIFIED,
    WIRE_REFUSE_SPEC,
    WIRE_REFUSE_BASE,
    WIRE_REFUSE_TREE,
    WIRE_REFUSE_RESOURCES,
    WIRE_REFUSE_BUSY,
    WIRE_REFUSE_PAUSED,
    WIRE_REFUSE_INPUT,
    WIRE_REFUSE_UNSUPPORTED
};
enum wire_phase {
    WIRE_PHASE_UNSPECIFIED,
    WIRE_PHASE_PREPARE,
    WIRE_PHASE_UNPACK,
    WIRE_PHASE_CONFIGURE,
    WIRE_PHASE_BUILD,
    WIRE_PHASE_CHECK,
    WIRE_PHASE_INSTALL,
    WIRE_PHASE_COLLECT,
    WIRE_PHASE_REPORT
};
enum wire_ack {
    WIRE_ACK_UNSPECIFIED,
    WIRE_ACK_ACCEPTED,
    WIRE_ACK_EVIDENCE,
    WIRE_ACK_REFUSED,
    WIRE_ACK_AGAIN
};
enum wire_order {
    WIRE_ORDER_UNSPECIFIED,
    WIRE_ORDER_PAUSE,
    WIRE_ORDER_RESUME,
    WIRE_ORDER_DRAIN,
    WIRE_ORDER_STOP
};
enum wire_ctl_kind { WIRE_CTL_UNSPECIFIED, WIRE_CTL_PROGRESS, WIRE_CTL_ITEM, WIRE_CTL_FINAL };

/* Limits that callers share with the tables. Sizes in bytes. */
enum {
    /* Control: a result with its envelope, or a lease with 850 payloads, fits; a worker cannot make us hold more. */
    WIRE_CONTROL_MAX = 64 * 1024,
    /* One MiB keeps CURVE near its top speed (a DESIGN.md measurement) and is the unit of credit. */
    WIRE_CHUNK_MAX = 1024 * 1024,
    WIRE_BULK_MAX = WIRE_CHUNK_MAX + 4096,
    /* What is smaller goes with its Put, which saves two round trips: manifest, archive and log of a small package. */
    WIRE_WHOLE_MAX = 64 * 1024,
    /* Most chunks that one Get may ask for, and that an uploader may have under way. */
    WIRE_CREDIT_MAX = 8,
    /* A Have or Missing list: 1024 digests are 34 KiB. */
    WIRE_DIGESTS_MAX = 1024,
    /* farmctl: requests carry options and small files; replies carry listings of 100,000 jobs. */
    WIRE_CTL_REQUEST_MAX = 1024 * 1024,
    WIRE_CTL_REPLY_MAX = 16 * 1024 * 1024,
    WIRE_CTL_PREFIX = 4, /* u32, big endian, in front of each farmctl frame */

    WIRE_NAME_MAX = 128, /* workers, operators, sessions, facts: tokens */
    WIRE_NODE_MAX = 256, /* "tier/name" */
    WIRE_URL_MAX = 2048,
    WIRE_TEXT_MAX = 2048, /* sentences for people */
    WIRE_LOG_TAIL_MAX = 16 * 1024,
    WIRE_ENVELOPE_MAX = 48 * 1024,
    WIRE_RUNNING_MAX = 256,  /* leases of one worker */
    WIRE_PAYLOADS_MAX = 900, /* 813 recipes are the whole distribution */
    WIRE_SOURCES_MAX = 128,
    WIRE_LOG_POSITIONS_MAX =
        8, /* with entries of 4 KiB and paths of 64 hashes an answer fits into one frame */
    WIRE_LOG_ENTRY_MAX = 4096,
    WIRE_NOTE_MAX = 8 * 1024, /* a checkpoint with its log's signature alone */
    WIRE_ROOT_MAX = 32 * 1024,
    WIRE_SIGNATURES_MAX = 64,
    WIRE_SIGNATURE_MAX = 1024 /* armored; a token's is the longest, under 500 */
};

struct wire_message {
    int type;                      /* an enumerator of the direction that was asked for */
    ProtobufCBinaryData *borrowed; /* the body's field that is the frame's (wire_decode_over); NULL: none */
    union {
        ProtobufCMessage *body;
        Wire__Hello *hello;
        Wire__Heartbeat *heartbeat;
        Wire__LeaseRefuse *lease_refuse;
        Wire__Progress *progress;
        Wire__Result *result;
        Wire__Status *status;
        Wire__Goodbye *goodbye;
        Wire__LogAsk *log_ask;
        Wire__Cosign *cosign;
        Wire__TrustAsk *trust_ask;
        Wire__Welcome *welcome;
        Wire__Lease *lease;
        Wire__LeaseCancel *lease_cancel;
        Wire__ResultAck *result_ack;
        Wire__Order *order;
        Wire__Refused *refused;
        Wire__LogAnswer *log_answer;
        Wire__TrustAnswer *trust_answer;
        Wire__Get *get;
        Wire__Have *have;
        Wire__Put *put;
        Wire__PutData *put_data;
        Wire__PutDone *put_done;
        Wire__Chunk *chunk;
        Wire__Missing *missing;
        Wire__PutReady *put_ready;
        Wire__Stored *stored;
        Wire__BulkError *bulk_error;
        Wire__CtlRequest *ctl_request;
        Wire__CtlReply *ctl_reply;
    };
};

/*
 * Appends one frame. 'body' must be of the type's message (asserted). A body that breaks the catalogue's limits is
 * refused like one from outside, so that a mistake shows at its origin: FARM_E_LIMIT, FARM_E_SYNTAX.
 */
int wire_encode(int type, const ProtobufCMessage *body, struct buf *ret, struct diag *diag) MUST_USE;

/*
 * The same for what carries a piece of an object (Put, PutData, Chunk), without having the piece at hand: 'body' has no data, and the
 * frame ends with room for 'size' bytes of it, *ret_data, which the caller fills.
 */
int wire_encode_room(int type, const ProtobufCMessage *body, size_t size, struct buf *ret, char **ret_data,
                     struct diag *diag) MUST_USE;

/*
 * *ret is owned. Errors, each saying which field of which message: FARM_E_SYNTAX (malformed, trailing bytes, wrong
 * content), FARM_E_LIMIT (frame, field, list or heap too large), FARM_E_UNSUPPORTED (a type that does not travel in
 * this direction, or an unknown one).
 */
int wire_decode(enum wire_direction direction, struct view frame, struct wire_message **ret,
                struct diag *diag) MUST_USE;
/* As wire_decode; but the data of Put, PutData and Chunk is not copied, and is there as long as the frame. */
int wire_decode_over(enum wire_direction direction, struct view frame, struct wire_message **ret,
                     struct diag *diag) MUST_USE;
struct wire_message *wire_free(struct wire_message *message); /* accepts NULL, returns NULL */

/* Longest frame of a direction: what sockets are told. */
size_t wire_frame_max(enum wire_direction direction);
/* "Hello"; "unknown" for a number that is no type. Static. */
const char *wire_type_name(int type);

/*
 * farmctl's stream: wire_encode_prefixed puts the length in front; wire_take_prefixed looks for a whole frame at the
 * start of 'stream': 1 and the frame (borrowed; WIRE_CTL_PREFIX + its size bytes are used up), 0 if more bytes are
 * needed, FARM_E_LIMIT if the announced length is over the direction's.
 */
int wire_encode_prefixed(int type, const ProtobufCMessage *body, struct buf *ret, struct diag *diag) MUST_USE;
int wire_take_prefixed(enum wire_direction direction, struct view stream, struct view *ret_frame,
                       struct diag *diag) MUST_USE;

/* Values in and out of the generated structures. The bytes stay the caller's. */
static inline ProtobufCBinaryData wire_digest(const struct digest *digest)
{
    return (ProtobufCBinaryData){DIGEST_SIZE, (uint8_t *)digest->bytes};
}
static inline ProtobufCBinaryData wire_bytes(struct view bytes)
{
    return (ProtobufCBinaryData){bytes.size, (uint8_t *)bytes.data};
}
/* protobuf-c's strings are not const; it does not write to them. */
static inline char *wire_text(const char *text)
{
    return (char *)text;
}
static inline struct view wire_view(const ProtobufCBinaryData *bytes)
{
    return view_of(bytes->data, bytes->len);
}
/* A checked digest field; all zeros if an optional one is absent. */
static inline struct digest wire_get_digest(const ProtobufCBinaryData *bytes)
{
    struct digest digest = {{0}};
    if (bytes->len == DIGEST_SIZE)
        memcpy(digest.bytes, bytes->data, DIGEST_SIZE);
    return digest;
}

#endif
