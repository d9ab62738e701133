/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One frame of each type, filled by the catalogue's own tables, with every optional field and list present. */
#include "seeds.h"

#include "digest.h"
#include "wire_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static ProtobufCMessage *make(const struct wire_body *body);

/* Everything that a message points to lives as long as the program. */
static void *keep(size_t size)
{
    static void **kept;
    static size_t count, capacity;
    kept = mem_reserve(kept, &capacity, count + 1, sizeof *kept);
    return kept[count++] = mem_zero(1, size);
}

static ProtobufCBinaryData bytes_of(const struct wire_rule *rule)
{
    static const struct digest digest = {{0xd1, 0x9e, 0x57}};
    if (rule->kind == WIRE_BYTES)
        return wire_bytes(VIEW("{\"a\":1}"));
    return wire_digest(&digest);
}

static char *text_of(const struct wire_rule *rule)
{
    return wire_text(rule->kind == WIRE_COMMIT ? "dbc2f403d7a212fab737a3f7e1775bd9608d5496" : "e");
}

/* protobuf-c's enums, numbers and flags all begin with their value. */
static void put_value(void *at, const ProtobufCFieldDescriptor *field, const struct wire_rule *rule)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        *(ProtobufCMessage **)at = make(wire_nested(field->descriptor));
    else if (field->type == PROTOBUF_C_TYPE_BYTES)
        *(ProtobufCBinaryData *)at = bytes_of(rule);
    else if (field->type == PROTOBUF_C_TYPE_STRING)
        *(char **)at = text_of(rule);
    else if (field->type == PROTOBUF_C_TYPE_UINT64 || field->type == PROTOBUF_C_TYPE_INT64)
        *(uint64_t *)at = 1;
    else if (field->type == PROTOBUF_C_TYPE_UINT32 || field->type == PROTOBUF_C_TYPE_INT32 ||
             field->type == PROTOBUF_C_TYPE_ENUM)
        *(uint32_t *)at = 1;
    else if (field->type == PROTOBUF_C_TYPE_BOOL)
        *(protobuf_c_boolean *)at = 1;
    else
        fail_msg("%s: a type that seeds do not know", field->name);
}

static void put_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                      const struct wire_rule *rule)
{
    char *start = (char *)message;
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        put_value(start + field->offset, field, rule);
        return;
    }
    void *list = keep(sizeof(uint64_t) * 2);
    put_value(list, field, rule);
    *(void **)(start + field->offset) = list;
    *(size_t *)(start + field->quantifier_offset) = 1;
}

static ProtobufCMessage *make(const struct wire_body *body)
{
    ProtobufCMessage *message = keep(body->descriptor->sizeof_message);
    body->descriptor->message_init(message);
    for (unsigned int i = 0; i < body->descriptor->n_fields; i++)
        put_field(message, &body->descriptor->fields[i], &body->rules[i]);
    return message;
}

static void put_frame(const struct wire_entry *entry)
{
    CLEANUP_BUF struct buf seed = BUF_INIT;
    struct diag diag = DIAG_INIT;
    buf_add_byte(&seed, (char)entry->direction);
    if (wire_encode(entry->type, make(&entry->body), &seed, &diag) < 0)
        fail_msg("%s", diag.text);
    seed_put("wire", wire_type_name(entry->type), buf_view(&seed));
}

static void add_request(struct buf *stream, const char *verb, struct view body)
{
    Wire__CtlRequest message = WIRE__CTL_REQUEST__INIT;
    struct diag diag = DIAG_INIT;
    message.verb = wire_text(verb);
    message.body = wire_bytes(body);
    if (wire_encode_prefixed(WIRE_CTL_REQUEST, &message.base, stream, &diag) < 0)
        fail_msg("%s", diag.text);
}

static void put_stream(const char *name, char piece, size_t requests)
{
    static const char *const verbs[] = {"e", "keep", "fail", "echo", "none", "keep"};
    CLEANUP_BUF struct buf stream = BUF_INIT;
    buf_add_byte(&stream, piece);
    for (size_t i = 0; i < requests; i++)
        add_request(&stream, verbs[i % ARRAY_SIZE(verbs)],
                    i % 2 == 0 ? VIEW("{\"a\":\"b\"}") : VIEW("{\"a\":true}"));
    seed_put("ctl", name, buf_view(&stream));
}

void seeds_wire(void)
{
    size_t count;
    const struct wire_entry *entries = wire_entries(&count);
    for (size_t i = 0; i < count; i++)
        put_frame(&entries[i]);
    put_stream("one", 0, 1);
    put_stream("some", 1, 6);
    put_stream("more", 3, 40);
}
