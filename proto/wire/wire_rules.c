/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The catalogue as tables, and the one function that holds a message against them.
 */
#include "wire_rules.h"

#include <limits.h>

enum {
    /* 1 TiB-class machines with thousands of cores exist; beyond this a number is a mistake or a lie. */
    CORES_MAX = 65536,
    SLOTS_MAX = WIRE_RUNNING_MAX,
    HEARTBEAT_MS_MAX = 3600 * 1000,
    CODE_MAX = 65535,
    EXIT_MAX = 255
};
#define SIZE_LIMIT     ((uint64_t)1 << 56)           /* bytes of memory, disk or an object */
#define MS_LIMIT       ((uint64_t)30 * 86400 * 1000) /* a lease of a month */
#define POSITION_LIMIT ((uint64_t)1 << 53)           /* entries of a log; exact in JSON too */
#define CLOCK_LIMIT    ((uint64_t)1 << 53)           /* milliseconds since 1970, exact in JSON too */

static const struct wire_rule facts[] = {
    {"cpu_vendor", WIRE_TOKEN_OPTIONAL, WIRE_NAME_MAX, 0},
    {"cpu_level", WIRE_TOKEN_OPTIONAL, WIRE_NAME_MAX, 0},
    {"kernel", WIRE_TOKEN_OPTIONAL, WIRE_NAME_MAX, 0},
    {"cores", WIRE_NUMBER, CORES_MAX, 0},
    {"memory_bytes", WIRE_NUMBER, SIZE_LIMIT, 0},
    {"disk_bytes", WIRE_NUMBER, SIZE_LIMIT, 0},
};
static const struct wire_rule running[] = {
    {"nonce", WIRE_DIGEST, 0, 0},
    {"job_key", WIRE_DIGEST, 0, 0},
};
static const struct wire_rule hello[] = {
    {"protocol_version", WIRE_NUMBER, UINT32_MAX, 0},
    {"software", WIRE_TEXT, WIRE_NAME_MAX, 0},
    {"operator_name", WIRE_TOKEN, WIRE_NAME_MAX, 0},
    {"worker", WIRE_TOKEN, WIRE_NAME_MAX, 0},
    {"facts", WIRE_MESSAGE, 0, 0},
    {"slots", WIRE_NUMBER, SLOTS_MAX, 0},
    {"running", WIRE_MESSAGE, 0, WIRE_RUNNING_MAX},
    {"clock_ms", WIRE_NUMBER, CLOCK_LIMIT, 0},
};
static const struct wire_rule heartbeat[] = {
    {"free_slots", WIRE_NUMBER, SLOTS_MAX, 0},
    {"load_percent", WIRE_NUMBER, UINT32_MAX, 0},
};
static const struct wire_rule lease_refuse[] = {
    {"nonce", WIRE_DIGEST, 0, 0},
    {"reason", WIRE_ENUM, 0, 0},
    {"text", WIRE_TEXT, WIRE_TEXT_MAX, 0},
};
static const struct wire_rule progress[] = {
    {"nonce", WIRE_DIGEST, 0, 0},
    {"phase", WIRE_ENUM, 0, 0},
    {"log_offset", WIRE_NUMBER, SIZE_LIMIT, 0},
    {"log_tail", WIRE_BYTES, WIRE_LOG_TAIL_MAX, 0},
};
static const struct wire_rule result[] = {
    {"nonce", WIRE_DIGEST, 0, 0},
    {"job_key", WIRE_DIGEST, 0, 0},
    {"envelope", WIRE_BYTES, WIRE_ENVELOPE_MAX, 0},
    {"manifest", WIRE_DIGEST_OPTIONAL, 0, 0},
    {"tar", WIRE_DIGEST_OPTIONAL, 0, 0},
    {"log", WIRE_DIGEST_OPTIONAL, 0, 0},
};
static const struct wire_rule status[] = {
    {"paused", WIRE_FLAG, 0, 0},
    {"draining", WIRE_FLAG, 0, 0},
    {"text", WIRE_TEXT, WIRE_TEXT_MAX, 0},
};
static const struct wire_rule goodbye[] = {{"reason", WIRE_TEXT, WIRE_TEXT_MAX, 0}};

static const struct wire_rule log_ask[] = {
    {"known_size", WIRE_NUMBER, POSITION_LIMIT, 0},
    {"positions", WIRE_NUMBER, POSITION_LIMIT, WIRE_LOG_POSITIONS_MAX},
    {"checkpoint", WIRE_BYTES, WIRE_NOTE_MAX, 0},
};
static const struct wire_rule cosign[] = {
    {"size", WIRE_NUMBER, POSITION_LIMIT, 0},
    {"root", WIRE_DIGEST, 0, 0},
    {"time_s", WIRE_NUMBER, CLOCK_LIMIT, 0},
    {"signature", WIRE_BYTES, 64, 0},
};
static const struct wire_rule trust_ask[] = {{"root_version", WIRE_NUMBER, UINT32_MAX, 0}};

static const struct wire_rule welcome[] = {
    {"protocol_version", WIRE_NUMBER, UINT32_MAX, 0},   {"session", WIRE_TOKEN, WIRE_NAME_MAX, 0},
    {"heartbeat_ms", WIRE_NUMBER, HEARTBEAT_MS_MAX, 0}, {"server_time_ms", WIRE_NUMBER, CLOCK_LIMIT, 0},
    {"bulk_endpoint", WIRE_TOKEN, WIRE_NAME_MAX, 0},    {"software", WIRE_TEXT, WIRE_NAME_MAX, 0},
};
static const struct wire_rule tree[] = {
    {"url", WIRE_TOKEN, WIRE_URL_MAX, 0},
    {"commit", WIRE_COMMIT, 0, 0},
    {"tree_sha256", WIRE_DIGEST, 0, 0},
    {"pack", WIRE_DIGEST_OPTIONAL, 0, 0},
};
static const struct wire_rule payload[] = {
    {"manifest", WIRE_DIGEST, 0, 0},
    {"tar", WIRE_DIGEST, 0, 0},
};
static const struct wire_rule source[] = {
    {"pin", WIRE_DIGEST, 0, 0},
    {"object", WIRE_DIGEST, 0, 0},
};
static const struct wire_rule resources[] = {
    {"cores", WIRE_NUMBER, CORES_MAX, 0},
    {"memory_bytes", WIRE_NUMBER, SIZE_LIMIT, 0},
    {"disk_bytes", WIRE_NUMBER, SIZE_LIMIT, 0},
    {"wall_ms", WIRE_NUMBER, MS_LIMIT, 0},
};
static const struct wire_rule lease[] = {
    {"nonce", WIRE_DIGEST, 0, 0},
    {"job_key", WIRE_DIGEST, 0, 0},
    {"node", WIRE_TOKEN, WIRE_NODE_MAX, 0},
    {"tree", WIRE_MESSAGE, 0, 0},
    {"base_image", WIRE_MESSAGE, 0, 0},
    {"payloads", WIRE_MESSAGE, 0, WIRE_PAYLOADS_MAX},
    {"sources", WIRE_MESSAGE, 0, WIRE_SOURCES_MAX},
    {"deadline_ms", WIRE_NUMBER, MS_LIMIT, 0},
    {"resources", WIRE_MESSAGE, 0, 0},
    {"log_live", WIRE_FLAG, 0, 0},
    {"round", WIRE_NUMBER, UINT32_MAX, 0},
};
static const struct wire_rule lease_cancel[] = {
    {"nonce", WIRE_DIGEST, 0, 0},
    {"reason", WIRE_TEXT, WIRE_TEXT_MAX, 0},
};
static const struct wire_rule result_ack[] = {
    {"nonce", WIRE_DIGEST, 0, 0},
    {"code", WIRE_ENUM, 0, 0},
    {"text", WIRE_TEXT, WIRE_TEXT_MAX, 0},
    {"log_entry", WIRE_NUMBER, POSITION_LIMIT, 0},
};
static const struct wire_rule log_inclusion[] = {
    {"position", WIRE_NUMBER, POSITION_LIMIT, 0},
    {"entry", WIRE_BYTES, WIRE_LOG_ENTRY_MAX, 0},
    {"path", WIRE_DIGEST, 0, 64},
};
static const struct wire_rule log_answer[] = {
    {"checkpoint", WIRE_BYTES, WIRE_NOTE_MAX, 0},
    {"consistency", WIRE_DIGEST, 0, 128},
    {"inclusions", WIRE_MESSAGE, 0, WIRE_LOG_POSITIONS_MAX},
};
static const struct wire_rule trust_answer[] = {
    {"newest_root", WIRE_NUMBER, UINT32_MAX, 0},
    {"root_version", WIRE_NUMBER, UINT32_MAX, 0},
    {"root", WIRE_BYTES, WIRE_ROOT_MAX, 0},
    {"signatures", WIRE_BYTES, WIRE_SIGNATURE_MAX, WIRE_SIGNATURES_MAX},
    {"directory_version", WIRE_NUMBER, POSITION_LIMIT, 0},
    {"directory", WIRE_DIGEST_OPTIONAL, 0, 0},
};
static const struct wire_rule order[] = {
    {"code", WIRE_ENUM, 0, 0},
    {"text", WIRE_TEXT, WIRE_TEXT_MAX, 0},
};
static const struct wire_rule refused[] = {
    {"code", WIRE_NUMBER, CODE_MAX, 0},
    {"text", WIRE_TEXT, WIRE_TEXT_MAX, 0},
};

static const struct wire_rule get[] = {
    {"digest", WIRE_DIGEST, 0, 0},
    {"offset", WIRE_NUMBER, SIZE_LIMIT, 0},
    {"credit", WIRE_NUMBER, WIRE_CREDIT_MAX, 0},
};
static const struct wire_rule digests[] = {{"digests", WIRE_DIGEST, 0, WIRE_DIGESTS_MAX}};
static const struct wire_rule put[] = {
    {"digest", WIRE_DIGEST, 0, 0},
    {"stored_size", WIRE_NUMBER, SIZE_LIMIT, 0},
    {"data", WIRE_BYTES, WIRE_WHOLE_MAX, 0},
};
static const struct wire_rule put_data[] = {
    {"digest", WIRE_DIGEST, 0, 0},
    {"offset", WIRE_NUMBER, SIZE_LIMIT, 0},
    {"data", WIRE_BYTES, WIRE_CHUNK_MAX, 0},
};
static const struct wire_rule one_digest[] = {{"digest", WIRE_DIGEST, 0, 0}};
static const struct wire_rule chunk[] = {
    {"digest", WIRE_DIGEST, 0, 0},
    {"offset", WIRE_NUMBER, SIZE_LIMIT, 0},
    {"stored_size", WIRE_NUMBER, SIZE_LIMIT, 0},
    {"data", WIRE_BYTES, WIRE_CHUNK_MAX, 0},
    {"last", WIRE_FLAG, 0, 0},
};
static const struct wire_rule put_ready[] = {
    {"digest", WIRE_DIGEST, 0, 0},
    {"offset", WIRE_NUMBER, SIZE_LIMIT, 0},
    {"credit", WIRE_NUMBER, WIRE_CREDIT_MAX, 0},
};
static const struct wire_rule bulk_error[] = {
    {"digest", WIRE_DIGEST_OPTIONAL, 0, 0},
    {"code", WIRE_NUMBER, CODE_MAX, 0},
    {"text", WIRE_TEXT, WIRE_TEXT_MAX, 0},
};

static const struct wire_rule ctl_request[] = {
    {"verb", WIRE_TOKEN, WIRE_NAME_MAX, 0},
    {"body", WIRE_BYTES, WIRE_CTL_REQUEST_MAX, 0},
};
static const struct wire_rule ctl_reply[] = {
    {"status", WIRE_NUMBER, EXIT_MAX, 0},
    {"kind", WIRE_ENUM, 0, 0},
    {"body", WIRE_BYTES, WIRE_CTL_REPLY_MAX, 0},
    {"error", WIRE_TEXT, WIRE_TEXT_MAX, 0},
};

#define BODY(message, table)                                                                                 \
    {                                                                                                        \
        &wire__##message##__descriptor, table, ARRAY_SIZE(table)                                             \
    }

static const struct wire_body nested[] = {
    BODY(facts, facts),
    BODY(running, running),
    BODY(tree, tree),
    BODY(payload, payload),
    BODY(source, source),
    BODY(resources, resources),
    BODY(log_inclusion, log_inclusion),
};

static const struct wire_entry entries[] = {
    {WIRE_HELLO, WIRE_FROM_WORKER, BODY(hello, hello)},
    {WIRE_HEARTBEAT, WIRE_FROM_WORKER, BODY(heartbeat, heartbeat)},
    {WIRE_LEASE_REFUSE, WIRE_FROM_WORKER, BODY(lease_refuse, lease_refuse)},
    {WIRE_PROGRESS, WIRE_FROM_WORKER, BODY(progress, progress)},
    {WIRE_RESULT, WIRE_FROM_WORKER, BODY(result, result)},
    {WIRE_STATUS, WIRE_FROM_WORKER, BODY(status, status)},
    {WIRE_GOODBYE, WIRE_FROM_WORKER, BODY(goodbye, goodbye)},
    {WIRE_LOG_ASK, WIRE_FROM_WORKER, BODY(log_ask, log_ask)},
    {WIRE_COSIGN, WIRE_FROM_WORKER, BODY(cosign, cosign)},
    {WIRE_TRUST_ASK, WIRE_FROM_WORKER, BODY(trust_ask, trust_ask)},
    {WIRE_WELCOME, WIRE_TO_WORKER, BODY(welcome, welcome)},
    {WIRE_LEASE, WIRE_TO_WORKER, BODY(lease, lease)},
    {WIRE_LEASE_CANCEL, WIRE_TO_WORKER, BODY(lease_cancel, lease_cancel)},
    {WIRE_RESULT_ACK, WIRE_TO_WORKER, BODY(result_ack, result_ack)},
    {WIRE_ORDER, WIRE_TO_WORKER, BODY(order, order)},
    {WIRE_REFUSED, WIRE_TO_WORKER, BODY(refused, refused)},
    {WIRE_LOG_ANSWER, WIRE_TO_WORKER, BODY(log_answer, log_answer)},
    {WIRE_TRUST_ANSWER, WIRE_TO_WORKER, BODY(trust_answer, trust_answer)},
    {WIRE_GET, WIRE_BULK_REQUEST, BODY(get, get)},
    {WIRE_HAVE, WIRE_BULK_REQUEST, BODY(have, digests)},
    {WIRE_PUT, WIRE_BULK_REQUEST, BODY(put, put)},
    {WIRE_PUT_DATA, WIRE_BULK_REQUEST, BODY(put_data, put_data)},
    {WIRE_PUT_DONE, WIRE_BULK_REQUEST, BODY(put_done, one_digest)},
    {WIRE_CHUNK, WIRE_BULK_REPLY, BODY(chunk, chunk)},
    {WIRE_MISSING, WIRE_BULK_REPLY, BODY(missing, digests)},
    {WIRE_PUT_READY, WIRE_BULK_REPLY, BODY(put_ready, put_ready)},
    {WIRE_STORED, WIRE_BULK_REPLY, BODY(stored, one_digest)},
    {WIRE_BULK_ERROR, WIRE_BULK_REPLY, BODY(bulk_error, bulk_error)},
    {WIRE_CTL_REQUEST, WIRE_FROM_CTL, BODY(ctl_request, ctl_request)},
    {WIRE_CTL_REPLY, WIRE_TO_CTL, BODY(ctl_reply, ctl_reply)},
};

const struct wire_entry *wire_entry(int type)
{
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        if (entries[i].type == type)
            return &entries[i];
    return NULL;
}

const struct wire_entry *wire_entries(size_t *ret_count)
{
    *ret_count = ARRAY_SIZE(entries);
    return entries;
}

const struct wire_body *wire_nested(const ProtobufCMessageDescriptor *descriptor)
{
    for (size_t i = 0; i < ARRAY_SIZE(nested); i++)
        if (nested[i].descriptor == descriptor)
            return &nested[i];
    return NULL;
}

/* ---- checking ---- */

/* What is being looked at, for messages: "Lease.payloads". */
struct place {
    const char *message, *field;
    struct diag *diag;
};

static int wrong(const struct place *at, const char *what)
{
    return diag_set(at->diag, FARM_E_SYNTAX, "%s.%s: %s", at->message, at->field, what);
}

static int too_much(const struct place *at, uint64_t value, uint64_t max, const char *unit)
{
    return diag_set(at->diag, FARM_E_LIMIT, "%s.%s: %llu%s is over the limit of %llu", at->message, at->field,
                    (unsigned long long)value, unit, (unsigned long long)max);
}

static int check_bytes(const struct place *at, const struct wire_rule *rule, const ProtobufCBinaryData *bytes)
{
    if (rule->kind == WIRE_BYTES)
        return bytes->len > rule->max ? too_much(at, bytes->len, rule->max, " bytes") : 0;
    if (bytes->len == DIGEST_SIZE || (bytes->len == 0 && rule->kind == WIRE_DIGEST_OPTIONAL))
        return 0;
    return wrong(at, "a digest has exactly 32 bytes");
}

static bool is_plain_text(struct view text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            return false;
    }
    return view_is_utf8(text);
}

static bool is_commit(struct view text)
{
    unsigned char bytes[DIGEST_SIZE];
    return hex_decode(text, bytes, 20) || hex_decode(text, bytes, DIGEST_SIZE);
}

static int check_string(const struct place *at, const struct wire_rule *rule, const char *string)
{
    struct view text = view_text(string);
    if (rule->kind == WIRE_COMMIT)
        return is_commit(text) ? 0 : wrong(at, "a commit id has 40 or 64 lower-case hex digits");
    if (text.size > rule->max)
        return too_much(at, text.size, rule->max, " bytes");
    if (rule->kind == WIRE_TEXT)
        return is_plain_text(text) ? 0 : wrong(at, "not UTF-8 text without control characters");
    if (text.size == 0)
        return rule->kind == WIRE_TOKEN_OPTIONAL ? 0 : wrong(at, "must not be empty");
    return view_is_token(text) ? 0 : wrong(at, "only printable characters without spaces are allowed");
}

static int check_nested(const struct place *at, const struct wire_rule *rule, const ProtobufCMessage *message)
{
    if (message == NULL)
        return rule->kind == WIRE_MESSAGE_OPTIONAL ? 0 : wrong(at, "missing");
    const struct wire_body *body = wire_nested(message->descriptor);
    return body != NULL ? wire_check(body, message, at->diag) : wrong(at, "no rules for this message");
}

static int check_number(const struct place *at, const struct wire_rule *rule, uint64_t number)
{
    return number > rule->max ? too_much(at, number, rule->max, "") : 0;
}

/* One value of a field: the element of a list, or the member itself. */
static int check_value(const struct place *at, const struct wire_rule *rule,
                       const ProtobufCFieldDescriptor *field, const void *value)
{
    switch (rule->kind) {
    case WIRE_DIGEST:
    case WIRE_DIGEST_OPTIONAL:
    case WIRE_BYTES:
        return check_bytes(at, rule, value);
    case WIRE_TOKEN:
    case WIRE_TOKEN_OPTIONAL:
    case WIRE_TEXT:
    case WIRE_COMMIT:
        return check_string(at, rule, *(const char *const *)value);
    case WIRE_NUMBER:
        return check_number(at, rule,
                            field->type == PROTOBUF_C_TYPE_UINT32 ? *(const uint32_t *)value
                                                                  : *(const uint64_t *)value);
    case WIRE_FLAG:
        return 0;
    case WIRE_ENUM:
        if (protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)value) == NULL)
            return wrong(at, "a value that this version does not know");
        return 0;
    case WIRE_MESSAGE:
    case WIRE_MESSAGE_OPTIONAL:
        return check_nested(at, rule, *(const ProtobufCMessage *const *)value);
    }
    return wrong(at, "no rule");
}

static size_t element_size(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
}

static int check_list(const struct place *at, const struct wire_rule *rule,
                      const ProtobufCFieldDescriptor *field, const void *message)
{
    size_t count = *(const size_t *)((const char *)message + field->quantifier_offset);
    const char *list = *(const char *const *)((const char *)message + field->offset);
    if (count > rule->count)
        return too_much(at, count, rule->count, " elements");
    for (size_t i = 0; i < count; i++) {
        int r = check_value(at, rule, field, list + i * element_size(field));
        if (r < 0)
            return r;
    }
    return 0;
}

int wire_check(const struct wire_body *body, const ProtobufCMessage *message, struct diag *diag)
{
    for (size_t i = 0; i < body->nrules; i++) {
        const ProtobufCFieldDescriptor *field = &body->descriptor->fields[i];
        struct place at = {body->descriptor->short_name, field->name, diag};
        int r = field->label == PROTOBUF_C_LABEL_REPEATED
                    ? check_list(&at, &body->rules[i], field, message)
                    : check_value(&at, &body->rules[i], field, (const char *)message + field->offset);
        if (r < 0)
            return r;
    }
    return 0;
}
