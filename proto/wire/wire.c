/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Encoding and decoding of frames. The envelope is written and read here by hand, and only its body is given to
 * protobuf-c: "exactly one body and nothing behind it" then holds by construction, and a frame that repeats or
 * mixes bodies (which proto3 would merge) does not exist.
 */
#include "wire.h"
#include "wire_rules.h"

#include <assert.h>
#include <stdlib.h>

/* The catalogue's enums and ours are the same numbers. */
_Static_assert((int)WIRE_REFUSE_UNSUPPORTED == (int)WIRE__REFUSE_REASON__REFUSE_UNSUPPORTED,
               "refuse reasons");
_Static_assert((int)WIRE_PHASE_REPORT == (int)WIRE__PHASE__PHASE_REPORT, "phases");
_Static_assert((int)WIRE_ACK_AGAIN == (int)WIRE__ACK_CODE__ACK_AGAIN, "acknowledgements");
_Static_assert((int)WIRE_ORDER_STOP == (int)WIRE__ORDER_CODE__ORDER_STOP, "orders");
_Static_assert((int)WIRE_CTL_FINAL == (int)WIRE__CTL_KIND__CTL_FINAL, "reply kinds");

enum {
    /* proto3's length-delimited wire type. */
    LENGTH_DELIMITED = 2,
    /*
     * Heap that a body of n bytes may cost: BUDGET_FACTOR * n + BUDGET_BASE. A list of payloads, the densest thing in the
     * catalogue, needs less than 8 n; hostile input (runs of empty fields) would need more than 20 n.
     */
    BUDGET_FACTOR = 16,
    BUDGET_BASE = 64 * 1024
};

size_t wire_frame_max(enum wire_direction direction)
{
    switch (direction) {
    case WIRE_FROM_WORKER:
    case WIRE_TO_WORKER:
        return WIRE_CONTROL_MAX;
    case WIRE_BULK_REQUEST:
    case WIRE_BULK_REPLY:
        return WIRE_BULK_MAX;
    case WIRE_FROM_CTL:
        return WIRE_CTL_REQUEST_MAX;
    case WIRE_TO_CTL:
        return WIRE_CTL_REPLY_MAX;
    }
    return 0;
}

const char *wire_type_name(int type)
{
    const struct wire_entry *entry = wire_entry(type);
    return entry != NULL ? entry->body.descriptor->short_name : "unknown";
}

/* ---- the budget ---- */

/* Counts what protobuf-c holds at a time; says no when it is too much. */
struct budget {
    size_t left;
    bool exceeded;
};

/* In front of each block; as large as malloc's own alignment. */
union block {
    size_t size;
    max_align_t align;
};

static void *budget_alloc(void *context, size_t size)
{
    struct budget *budget = context;
    if (size > budget->left || budget->left - size < sizeof(union block)) {
        budget->exceeded = true;
        return NULL;
    }
    union block *block = mem_alloc(sizeof(*block) + size);
    block->size = size;
    budget->left -= size + sizeof(*block);
    return block + 1;
}

static void budget_free(void *context, void *pointer)
{
    struct budget *budget = context;
    if (pointer == NULL)
        return;
    union block *block = (union block *)pointer - 1;
    budget->left += block->size + sizeof(*block);
    free(block);
}

static ProtobufCAllocator budget_allocator(struct budget *budget)
{
    return (ProtobufCAllocator){budget_alloc, budget_free, budget};
}

/* ---- the envelope ---- */

/* A varint of at most 32 bits: tags and lengths need no more. */
static bool take_varint(struct view *rest, uint32_t *ret)
{
    uint64_t value = 0;
    for (unsigned int i = 0; i < 5 && i < rest->size; i++) {
        unsigned char byte = (unsigned char)rest->data[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        if (value > UINT32_MAX)
            return false;
        *ret = (uint32_t)value;
        *rest = view_of(rest->data + i + 1, rest->size - i - 1);
        return true;
    }
    return false;
}

static void add_varint(struct buf *buf, uint32_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_add_byte(buf, (char)(value | 0x80));
    buf_add_byte(buf, (char)value);
}

static int take_envelope(struct view frame, int *ret_type, struct view *ret_body, struct diag *diag)
{
    uint32_t tag = 0, length = 0;
    if (!take_varint(&frame, &tag) || (tag & 7) != LENGTH_DELIMITED || tag >> 3 > INT16_MAX)
        return diag_set(diag, FARM_E_SYNTAX, "a frame that does not begin with a message of the catalogue");
    if (!take_varint(&frame, &length) || length != frame.size)
        return diag_set(diag, FARM_E_SYNTAX,
                        "%s: the body has another length than the frame says (truncated, "
                        "or bytes behind it)",
                        wire_type_name((int)(tag >> 3)));
    *ret_type = (int)(tag >> 3);
    *ret_body = frame;
    return 0;
}

/* The field with a piece of an object; NULL: this type carries none. */
static const ProtobufCFieldDescriptor *piece_field(const struct wire_entry *entry)
{
    if (entry->type != WIRE_PUT && entry->type != WIRE_PUT_DATA && entry->type != WIRE_CHUNK)
        return NULL;
    return protobuf_c_message_descriptor_get_field_by_name(entry->body.descriptor, "data");
}

static ProtobufCBinaryData *piece_of(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *body)
{
    return (ProtobufCBinaryData *)((char *)body + field->offset);
}

/* ---- encoding ---- */

/* The frame up to its body, 'size' bytes, for which there is room then. */
static int encode_envelope(const struct wire_entry *entry, size_t size, struct buf *ret, struct diag *diag)
{
    size_t max = wire_frame_max(entry->direction);
    if (size > max || size + 8 > max) /* 8: more than tag and length need */
        return diag_set(diag, FARM_E_LIMIT, "%s: %zu bytes are over the limit of %zu for a frame",
                        wire_type_name(entry->type), size, max);
    buf_room(ret, size + 8);
    add_varint(ret, (uint32_t)entry->type << 3 | LENGTH_DELIMITED);
    add_varint(ret, (uint32_t)size);
    return 0;
}

static void encode_body(const ProtobufCMessage *body, size_t size, struct buf *ret)
{
    ret->size += protobuf_c_message_pack(body, (uint8_t *)buf_room(ret, size));
    ret->data[ret->size] = '\0';
}

int wire_encode(int type, const ProtobufCMessage *body, struct buf *ret, struct diag *diag)
{
    const struct wire_entry *entry = wire_entry(type);
    assert(entry != NULL && body->descriptor == entry->body.descriptor);
    int r = wire_check(&entry->body, body, diag);
    if (r < 0)
        return r;
    size_t size = protobuf_c_message_get_packed_size(body);
    if ((r = encode_envelope(entry, size, ret, diag)) < 0)
        return r;
    encode_body(body, size, ret);
    return 0;
}

int wire_encode_room(int type, const ProtobufCMessage *body, size_t size, struct buf *ret, char **ret_data,
                     struct diag *diag)
{
    const struct wire_entry *entry = wire_entry(type);
    assert(entry != NULL && body->descriptor == entry->body.descriptor);
    const ProtobufCFieldDescriptor *field = piece_field(entry);
    assert(field != NULL && piece_of(field, body)->len == 0);
    const struct wire_rule *rule = &entry->body.rules[field - entry->body.descriptor->fields];
    if (size > rule->max)
        return diag_set(diag, FARM_E_LIMIT, "%s.%s: %zu bytes are over the limit of %llu",
                        wire_type_name(type), field->name, size, (unsigned long long)rule->max);
    int r = wire_check(&entry->body, body, diag);
    if (r < 0)
        return r;
    CLEANUP_BUF struct buf head = BUF_INIT; /* the piece's tag and length; fields may come in any order */
    add_varint(&head, field->id << 3 | LENGTH_DELIMITED);
    add_varint(&head, (uint32_t)size);
    size_t others = protobuf_c_message_get_packed_size(body);
    if ((r = encode_envelope(entry, others + head.size + size, ret, diag)) < 0)
        return r;
    encode_body(body, others, ret);
    buf_add_view(ret, buf_view(&head));
    *ret_data = buf_room(ret, size);
    ret->size += size;
    ret->data[ret->size] = '\0';
    return 0;
}

int wire_encode_prefixed(int type, const ProtobufCMessage *body, struct buf *ret, struct diag *diag)
{
    static const char room[WIRE_CTL_PREFIX] = {0};
    size_t start = ret->size;
    buf_add(ret, room, sizeof(room));
    int r = wire_encode(type, body, ret, diag);
    if (r < 0) {
        ret->size = start;
        ret->data[start] = '\0';
        return r;
    }
    size_t size = ret->size - start - WIRE_CTL_PREFIX;
    for (int i = 0; i < WIRE_CTL_PREFIX; i++)
        ret->data[start + (size_t)i] = (char)(size >> (8 * (WIRE_CTL_PREFIX - 1 - i)));
    return 0;
}

/* ---- decoding ---- */

static void drop_unknown(ProtobufCMessage *message, ProtobufCAllocator *allocator);

static void drop_unknown_in(const ProtobufCFieldDescriptor *field, ProtobufCMessage *message,
                            ProtobufCAllocator *allocator)
{
    char *member = (char *)message + field->offset;
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return;
    bool is_list = field->label == PROTOBUF_C_LABEL_REPEATED;
    size_t count = is_list ? *(size_t *)((char *)message + field->quantifier_offset) : 1;
    ProtobufCMessage **values = is_list ? *(ProtobufCMessage ***)member : (ProtobufCMessage **)member;
    for (size_t i = 0; i < count; i++)
        if (values[i] != NULL)
            drop_unknown(values[i], allocator);
}

/* Fields of a newer program are ignored, not kept: protobuf-c would pack them again, malformed ones too. */
static void drop_unknown(ProtobufCMessage *message, ProtobufCAllocator *allocator)
{
    for (unsigned int i = 0; i < message->n_unknown_fields; i++)
        allocator->free(allocator->allocator_data, message->unknown_fields[i].data);
    allocator->free(allocator->allocator_data, message->unknown_fields);
    message->n_unknown_fields = 0;
    message->unknown_fields = NULL;
    for (unsigned int i = 0; i < message->descriptor->n_fields; i++)
        drop_unknown_in(&message->descriptor->fields[i], message, allocator);
}

static bool skip_varint(struct view *rest)
{
    enum { LONGEST = 10 }; /* 64 bits */
    for (size_t i = 0; i < LONGEST && i < rest->size; i++)
        if ((rest->data[i] & 0x80) == 0) {
            *rest = view_of(rest->data + i + 1, rest->size - i - 1);
            return true;
        }
    return false;
}

/* One field off the front; *ret_value is set if it is bytes. False for what is malformed, or of a kind that the catalogue has not. */
static bool take_field(struct view *rest, uint32_t *ret_tag, struct view *ret_value)
{
    enum { VARINT = 0 };
    uint32_t length;
    if (!take_varint(rest, ret_tag))
        return false;
    if ((*ret_tag & 7) == VARINT)
        return skip_varint(rest);
    if ((*ret_tag & 7) != LENGTH_DELIMITED || !take_varint(rest, &length) || length > rest->size)
        return false;
    *ret_value = view_of(rest->data, length);
    *rest = view_of(rest->data + length, rest->size - length);
    return true;
}

/*
 * A body with exactly one piece, taken apart: the piece where it lies, and all other fields. False for every other body: that is given
 * to protobuf-c as it is, which says what it means.
 */
static bool cut_piece(struct view body, uint32_t number, struct view *ret_piece, struct buf *ret_others)
{
    size_t found = 0;
    for (struct view rest = body; rest.size > 0;) {
        const char *start = rest.data;
        uint32_t tag;
        struct view value = VIEW_NONE;
        if (!take_field(&rest, &tag, &value))
            return false;
        if (tag == (number << 3 | LENGTH_DELIMITED)) {
            *ret_piece = value;
            found++;
        } else {
            buf_add(ret_others, start, (size_t)(rest.data - start));
        }
    }
    return found == 1;
}

/* 'size': of the whole body, of which 'body' may lack a piece. */
static int unpack(const struct wire_entry *entry, struct view body, size_t size, ProtobufCMessage **ret,
                  struct diag *diag)
{
    struct budget budget = {BUDGET_FACTOR * size + BUDGET_BASE, false};
    ProtobufCAllocator allocator = budget_allocator(&budget);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(entry->body.descriptor, &allocator, body.size, (const uint8_t *)body.data);
    if (message == NULL && budget.exceeded)
        return diag_set(diag, FARM_E_LIMIT,
                        "%s: %zu bytes would take more memory than a message of that size may",
                        wire_type_name(entry->type), size);
    if (message == NULL)
        return diag_set(diag, FARM_E_SYNTAX, "%s: malformed", wire_type_name(entry->type));
    drop_unknown(message, &allocator);
    *ret = message;
    return 0;
}

/* 'borrow': a piece is left where it is. */
static int unpack_message(const struct wire_entry *entry, struct view body, bool borrow,
                          struct wire_message *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf others = BUF_INIT;
    struct view piece = VIEW_NONE;
    const ProtobufCFieldDescriptor *field = borrow ? piece_field(entry) : NULL;
    bool cut = field != NULL && cut_piece(body, field->id, &piece, &others);
    int r = unpack(entry, cut ? buf_view(&others) : body, body.size, &ret->body, diag);
    if (r < 0 || !cut)
        return r;
    ret->borrowed = piece_of(field, ret->body);
    *ret->borrowed = wire_bytes(piece);
    return 0;
}

static int decode(enum wire_direction direction, struct view frame, bool borrow, struct wire_message **ret,
                  struct diag *diag)
{
    struct view body = VIEW_NONE;
    int type = 0, r;
    if (frame.size > wire_frame_max(direction))
        return diag_set(diag, FARM_E_LIMIT, "a frame of %zu bytes is over the limit of %zu", frame.size,
                        wire_frame_max(direction));
    if ((r = take_envelope(frame, &type, &body, diag)) < 0)
        return r;
    const struct wire_entry *entry = wire_entry(type);
    if (entry == NULL || entry->direction != direction)
        return diag_set(diag, FARM_E_UNSUPPORTED, "message type %d (%s) is not known in this direction", type,
                        wire_type_name(type));
    struct wire_message *message = mem_zero(1, sizeof(*message));
    message->type = type;
    r = unpack_message(entry, body, borrow, message, diag);
    if (r >= 0)
        r = wire_check(&entry->body, message->body, diag);
    if (r < 0) {
        wire_free(message);
        return r;
    }
    *ret = message;
    return 0;
}

int wire_decode(enum wire_direction direction, struct view frame, struct wire_message **ret,
                struct diag *diag)
{
    return decode(direction, frame, false, ret, diag);
}

int wire_decode_over(enum wire_direction direction, struct view frame, struct wire_message **ret,
                     struct diag *diag)
{
    return decode(direction, frame, true, ret, diag);
}

static void free_body(ProtobufCMessage *body)
{
    struct budget budget = {0};
    ProtobufCAllocator allocator = budget_allocator(&budget);
    protobuf_c_message_free_unpacked(body, &allocator);
}

struct wire_message *wire_free(struct wire_message *message)
{
    if (message == NULL)
        return NULL;
    if (message->borrowed != NULL)
        *message->borrowed = (ProtobufCBinaryData){0};
    if (message->body != NULL)
        free_body(message->body);
    free(message);
    return NULL;
}

int wire_take_prefixed(enum wire_direction direction, struct view stream, struct view *ret_frame,
                       struct diag *diag)
{
    if (stream.size < WIRE_CTL_PREFIX)
        return 0;
    const unsigned char *p = (const unsigned char *)stream.data;
    size_t size = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (size > wire_frame_max(direction))
        return diag_set(diag, FARM_E_LIMIT, "a frame of %zu bytes is announced; the limit is %zu", size,
                        wire_frame_max(direction));
    if (stream.size - WIRE_CTL_PREFIX < size)
        return 0;
    *ret_frame = view_of(stream.data + WIRE_CTL_PREFIX, size);
    return 1;
}
