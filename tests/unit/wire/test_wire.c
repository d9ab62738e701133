/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * wire: every type round-trips, every limit is enforced, and no damaged frame (N4, N8) gets through or crashes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire_rules.h"

static const struct digest nonce = {{1, 2, 3}};
static const struct digest key = {{9, 8, 7}};

/* A lease with lists and nested messages: the richest message there is. */
struct sample_lease {
    Wire__Lease lease;
    Wire__Tree tree;
    Wire__Payload base, payload[3], *payloads[3];
    Wire__Source source, *sources[1];
    Wire__Resources resources;
};

static void sample_fill_payloads(struct sample_lease *sample)
{
    for (size_t i = 0; i < 3; i++) {
        wire__payload__init(&sample->payload[i]);
        sample->payload[i].manifest = wire_digest(&nonce);
        sample->payload[i].tar = wire_digest(&key);
        sample->payloads[i] = &sample->payload[i];
    }
    sample->lease.n_payloads = 3;
    sample->lease.payloads = sample->payloads;
}

static void sample_fill(struct sample_lease *sample)
{
    wire__lease__init(&sample->lease);
    wire__tree__init(&sample->tree);
    wire__source__init(&sample->source);
    wire__resources__init(&sample->resources);
    sample_fill_payloads(sample);
    sample->tree.url = wire_text("https://example.org/tree");
    sample->tree.commit = wire_text("dbc2f403d7a212fab737a3f7e1775bd9608d5496");
    sample->tree.tree_sha256 = wire_digest(&key);
    sample->base = sample->payload[0];
    sample->source.pin = sample->source.object = wire_digest(&key);
    sample->sources[0] = &sample->source;
    sample->resources.cores = 4;
    sample->resources.memory_bytes = (uint64_t)8 << 30;
    sample->lease.nonce = wire_digest(&nonce);
    sample->lease.job_key = wire_digest(&key);
    sample->lease.node = wire_text("base/zlib");
    sample->lease.tree = &sample->tree;
    sample->lease.base_image = &sample->base;
    sample->lease.n_sources = 1;
    sample->lease.sources = sample->sources;
    sample->lease.deadline_ms = 3600000;
    sample->lease.resources = &sample->resources;
}

static void encode(int type, const ProtobufCMessage *body, struct buf *frame)
{
    struct diag diag = DIAG_INIT;
    int r = wire_encode(type, body, frame, &diag);
    if (r < 0)
        fail_msg("%s", diag.text);
}

static void lease_frame(struct buf *frame)
{
    struct sample_lease sample;
    sample_fill(&sample);
    encode(WIRE_LEASE, &sample.lease.base, frame);
}

/* ---- the tables ---- */

static void the_tables_follow_the_catalogue(void **state)
{
    size_t count, seen = 0;
    const struct wire_entry *entries = wire_entries(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        const struct wire_body *body = &entries[i].body;
        assert_int_equal(body->nrules, body->descriptor->n_fields);
        for (unsigned int j = 0; j < body->descriptor->n_fields; j++, seen++) {
            const ProtobufCFieldDescriptor *field = &body->descriptor->fields[j];
            assert_string_equal(body->rules[j].field, field->name);
            assert_int_equal(body->rules[j].count > 0, field->label == PROTOBUF_C_LABEL_REPEATED);
            assert_int_equal(body->rules[j].kind == WIRE_MESSAGE, field->type == PROTOBUF_C_TYPE_MESSAGE);
            if (field->type == PROTOBUF_C_TYPE_MESSAGE)
                assert_non_null(wire_nested(field->descriptor));
        }
    }
    assert_true(seen > 60);
}

/* The envelopes of farm.proto (what other languages use) and our type numbers are one thing. */
static void envelopes_and_types_agree(void **state)
{
    const ProtobufCMessageDescriptor *const envelopes[] = {
        &wire__from_worker__descriptor, &wire__to_worker__descriptor, &wire__bulk_request__descriptor,
        &wire__bulk_reply__descriptor,  &wire__from_ctl__descriptor,  &wire__to_ctl__descriptor};
    size_t count, bodies = 0;
    (void)state;
    wire_entries(&count);
    for (size_t i = 0; i < ARRAY_SIZE(envelopes); i++)
        for (unsigned int j = 0; j < envelopes[i]->n_fields; j++, bodies++) {
            const struct wire_entry *entry = wire_entry((int)envelopes[i]->fields[j].id);
            assert_non_null(entry);
            assert_int_equal(entry->direction, i);
            assert_ptr_equal(entry->body.descriptor, envelopes[i]->fields[j].descriptor);
        }
    assert_int_equal(bodies, count);
}

static void a_generated_envelope_is_the_same_frame(void **state)
{
    struct sample_lease sample;
    Wire__ToWorker envelope = WIRE__TO_WORKER__INIT;
    CLEANUP_BUF struct buf frame = BUF_INIT;
    (void)state;
    sample_fill(&sample);
    envelope.body_case = WIRE__TO_WORKER__BODY_LEASE;
    envelope.lease = &sample.lease;
    encode(WIRE_LEASE, &sample.lease.base, &frame);
    size_t size = wire__to_worker__get_packed_size(&envelope);
    CLEANUP_FREE uint8_t *packed = mem_alloc(size);
    wire__to_worker__pack(&envelope, packed);
    assert_int_equal(size, frame.size);
    assert_memory_equal(packed, frame.data, size);
}

/* ---- round trips ---- */

static void a_lease_round_trips(void **state)
{
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct wire_message *message = NULL;
    (void)state;
    lease_frame(&frame);
    assert_int_equal(wire_decode(WIRE_TO_WORKER, buf_view(&frame), &message, NULL), 0);
    assert_int_equal(message->type, WIRE_LEASE);
    assert_string_equal(message->lease->node, "base/zlib");
    assert_int_equal(message->lease->n_payloads, 3);
    struct digest tar = wire_get_digest(&message->lease->payloads[2]->tar);
    assert_true(digest_equal(&tar, &key));
    assert_int_equal(message->lease->resources->memory_bytes, (uint64_t)8 << 30);
    assert_null(wire_free(message));
}

static void the_longest_closure_fits_a_frame(void **state)
{
    struct sample_lease sample;
    Wire__Payload *payloads[850];
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct wire_message *message = NULL;
    (void)state;
    sample_fill(&sample);
    for (size_t i = 0; i < ARRAY_SIZE(payloads); i++)
        payloads[i] = &sample.payload[0];
    sample.lease.n_payloads = ARRAY_SIZE(payloads);
    sample.lease.payloads = payloads;
    encode(WIRE_LEASE, &sample.lease.base, &frame);
    assert_int_equal(wire_decode(WIRE_TO_WORKER, buf_view(&frame), &message, NULL), 0);
    assert_int_equal(message->lease->n_payloads, 850);
    wire_free(message);
}

static void optional_digests_may_be_absent(void **state)
{
    Wire__Result result = WIRE__RESULT__INIT;
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct wire_message *message = NULL;
    (void)state;
    result.nonce = wire_digest(&nonce);
    result.job_key = wire_digest(&key);
    result.envelope = wire_bytes(VIEW("{}"));
    result.log = wire_digest(&key);
    encode(WIRE_RESULT, &result.base, &frame);
    assert_int_equal(wire_decode(WIRE_FROM_WORKER, buf_view(&frame), &message, NULL), 0);
    struct digest manifest = wire_get_digest(&message->result->manifest);
    assert_true(digest_is_zero(&manifest));
    assert_true(view_equal(wire_view(&message->result->envelope), VIEW("{}")));
    wire_free(message);
}

static void a_chunk_of_a_mebibyte_round_trips(void **state)
{
    CLEANUP_FREE char *data = mem_zero(1, WIRE_CHUNK_MAX);
    Wire__Chunk chunk = WIRE__CHUNK__INIT;
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct wire_message *message = NULL;
    (void)state;
    chunk.digest = wire_digest(&key);
    chunk.data = wire_bytes(view_of(data, WIRE_CHUNK_MAX));
    chunk.last = true;
    encode(WIRE_CHUNK, &chunk.base, &frame);
    assert_true(frame.size <= WIRE_BULK_MAX);
    assert_int_equal(wire_decode(WIRE_BULK_REPLY, buf_view(&frame), &message, NULL), 0);
    assert_int_equal(message->chunk->data.len, WIRE_CHUNK_MAX);
    wire_free(message);
}

/* The room is the piece's, whatever comes before it; decoded without a copy it lies in the frame. */
static void a_piece_is_neither_copied_in_nor_out(void **state)
{
    static const size_t sizes[] = {0, 1, 127, 128, WIRE_CHUNK_MAX};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        Wire__Chunk chunk = WIRE__CHUNK__INIT;
        CLEANUP_BUF struct buf frame = BUF_INIT;
        struct wire_message *copy = NULL, *over = NULL;
        char *room = NULL;
        chunk.digest = wire_digest(&key);
        chunk.offset = (uint64_t)1 << 40;
        chunk.stored_size = chunk.offset + sizes[i];
        chunk.last = true;
        assert_int_equal(wire_encode_room(WIRE_CHUNK, &chunk.base, sizes[i], &frame, &room, NULL), 0);
        assert_ptr_equal(room + sizes[i], frame.data + frame.size);
        memset(room, 'x', sizes[i]);
        assert_int_equal(wire_decode(WIRE_BULK_REPLY, buf_view(&frame), &copy, NULL), 0);
        assert_int_equal(wire_decode_over(WIRE_BULK_REPLY, buf_view(&frame), &over, NULL), 0);
        assert_int_equal(copy->chunk->data.len, sizes[i]);
        assert_int_equal(over->chunk->data.len, sizes[i]);
        assert_ptr_equal(over->chunk->data.data, room);
        assert_memory_equal(over->chunk->data.data, room, sizes[i]);
        assert_true(over->chunk->last && over->chunk->offset == chunk.offset);
        wire_free(copy);
        wire_free(over);
    }
}

static void a_piece_has_its_limits_also_without_a_copy(void **state)
{
    Wire__Put put = WIRE__PUT__INIT;
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct wire_message *message = NULL;
    struct diag diag = DIAG_INIT;
    char *room;
    (void)state;
    put.digest = wire_digest(&key);
    assert_int_equal(wire_encode_room(WIRE_PUT, &put.base, WIRE_WHOLE_MAX + 1, &frame, &room, &diag),
                     FARM_E_LIMIT);
    assert_non_null(strstr(diag.text, "Put.data"));
    assert_int_equal(frame.size, 0);
    assert_int_equal(wire_encode_room(WIRE_PUT, &put.base, WIRE_WHOLE_MAX, &frame, &room, &diag), 0);
    memset(room, 0, WIRE_WHOLE_MAX);
    /* Every cut of its beginning is refused, and so is a second piece behind the first only if the copy would be. */
    for (size_t size = 0; size < 64; size++)
        assert_true(wire_decode_over(WIRE_BULK_REQUEST, view_of(frame.data, size), &message, NULL) < 0);
    static const char twice[] = "\x92\x02\x28\x0a\x20"
                                "0123456789abcdef0123456789abcdef"
                                "\x1a\x01x\x1a\x01y";
    assert_int_equal(wire_decode_over(WIRE_BULK_REQUEST, view_of(twice, sizeof twice - 1), &message, &diag),
                     0);
    assert_true(message->put->data.len == 1 && message->put->data.data[0] == 'y'); /* proto3: the last one */
    wire_free(message);
}

static void prefixed_frames_are_taken_whole(void **state)
{
    Wire__CtlRequest request = WIRE__CTL_REQUEST__INIT;
    CLEANUP_BUF struct buf stream = BUF_INIT;
    struct view frame = VIEW_NONE;
    (void)state;
    request.verb = wire_text("status");
    request.body = wire_bytes(VIEW("{\"all\":true}"));
    assert_int_equal(wire_encode_prefixed(WIRE_CTL_REQUEST, &request.base, &stream, NULL), 0);
    for (size_t i = 0; i < stream.size; i++)
        assert_int_equal(wire_take_prefixed(WIRE_FROM_CTL, view_of(stream.data, i), &frame, NULL), 0);
    buf_add_text(&stream, "the next one");
    assert_int_equal(wire_take_prefixed(WIRE_FROM_CTL, buf_view(&stream), &frame, NULL), 1);
    struct wire_message *message = NULL;
    assert_int_equal(wire_decode(WIRE_FROM_CTL, frame, &message, NULL), 0);
    assert_string_equal(message->ctl_request->verb, "status");
    wire_free(message);
}

/* ---- limits ---- */

static void encode_refuses(int expected, int type, const ProtobufCMessage *body, const char *field)
{
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct diag diag = DIAG_INIT;
    assert_int_equal(wire_encode(type, body, &frame, &diag), expected);
    assert_non_null(strstr(diag.text, field));
    assert_int_equal(frame.size, 0);
}

static void fields_over_their_limits_are_refused(void **state)
{
    struct sample_lease s;
    struct digest short_digest = nonce;
    char long_name[WIRE_NODE_MAX + 2];
    (void)state;
    memset(long_name, 'n', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    sample_fill(&s);
    s.lease.node = long_name;
    encode_refuses(FARM_E_LIMIT, WIRE_LEASE, &s.lease.base, "Lease.node");
    s.lease.node = wire_text("two words");
    encode_refuses(FARM_E_SYNTAX, WIRE_LEASE, &s.lease.base, "Lease.node");
    s.lease.node = wire_text("");
    encode_refuses(FARM_E_SYNTAX, WIRE_LEASE, &s.lease.base, "Lease.node");
    sample_fill(&s);
    s.payload[2].tar = (ProtobufCBinaryData){31, short_digest.bytes};
    encode_refuses(FARM_E_SYNTAX, WIRE_LEASE, &s.lease.base, "Payload.tar");
    sample_fill(&s);
    s.tree.commit = wire_text("main");
    encode_refuses(FARM_E_SYNTAX, WIRE_LEASE, &s.lease.base, "Tree.commit");
    sample_fill(&s);
    s.lease.tree = NULL;
    encode_refuses(FARM_E_SYNTAX, WIRE_LEASE, &s.lease.base, "Lease.tree");
    sample_fill(&s);
    s.resources.cores = 1 << 20;
    encode_refuses(FARM_E_LIMIT, WIRE_LEASE, &s.lease.base, "Resources.cores");
}

static void control_characters_and_unknown_enums_are_refused(void **state)
{
    Wire__LeaseRefuse refuse = WIRE__LEASE_REFUSE__INIT;
    Wire__Order order = WIRE__ORDER__INIT;
    (void)state;
    refuse.nonce = wire_digest(&nonce);
    refuse.text = wire_text("\x1b[2J");
    encode_refuses(FARM_E_SYNTAX, WIRE_LEASE_REFUSE, &refuse.base, "LeaseRefuse.text");
    refuse.text = wire_text("\xff\xfe");
    encode_refuses(FARM_E_SYNTAX, WIRE_LEASE_REFUSE, &refuse.base, "LeaseRefuse.text");
    order.code = (Wire__OrderCode)77;
    encode_refuses(FARM_E_SYNTAX, WIRE_ORDER, &order.base, "Order.code");
}

static void lists_over_their_limits_are_refused(void **state)
{
    Wire__Have have = WIRE__HAVE__INIT;
    ProtobufCBinaryData list[WIRE_DIGESTS_MAX + 1];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(list); i++)
        list[i] = wire_digest(&key);
    have.digests = list;
    have.n_digests = ARRAY_SIZE(list);
    encode_refuses(FARM_E_LIMIT, WIRE_HAVE, &have.base, "Have.digests");
    have.n_digests--;
    CLEANUP_BUF struct buf frame = BUF_INIT;
    encode(WIRE_HAVE, &have.base, &frame);
    assert_true(frame.size < WIRE_CONTROL_MAX);
}

/* N4: over the frame's limit. */
static void n4_frames_over_the_cap_are_refused(void **state)
{
    CLEANUP_FREE char *big = mem_zero(1, WIRE_BULK_MAX + 1);
    struct wire_message *message = NULL;
    struct diag diag = DIAG_INIT;
    struct view frame;
    (void)state;
    assert_int_equal(wire_decode(WIRE_FROM_WORKER, view_of(big, WIRE_CONTROL_MAX + 1), &message, NULL),
                     FARM_E_LIMIT);
    assert_int_equal(wire_decode(WIRE_BULK_REQUEST, view_of(big, WIRE_BULK_MAX + 1), &message, &diag),
                     FARM_E_LIMIT);
    assert_int_equal(wire_take_prefixed(WIRE_FROM_CTL, VIEW("\x7f\xff\xff\xff"), &frame, NULL), FARM_E_LIMIT);
    assert_null(message);
}

/* A frame that begins like 'type' and holds 'body'. */
static void raw_frame(int type, struct view body, struct buf *ret)
{
    buf_add_byte(ret, (char)((type << 3 | 2) & 0x7f));
    if (type > 15) {
        ret->data[ret->size - 1] |= (char)0x80;
        buf_add_byte(ret, (char)(type >> 4));
    }
    for (size_t size = body.size;; size >>= 7) {
        buf_add_byte(ret, (char)((size & 0x7f) | (size > 0x7f ? 0x80 : 0)));
        if (size <= 0x7f)
            break;
    }
    buf_add_view(ret, body);
}

/* N8: thousands of empty nested messages are cheap to send and dear to hold. */
static void n8_heap_is_bounded_by_the_budget(void **state)
{
    CLEANUP_BUF struct buf body = BUF_INIT;
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct wire_message *message = NULL;
    struct diag diag = DIAG_INIT;
    (void)state;
    for (int i = 0; i < 32000; i++)
        buf_add(&body, "\x3a\x00", 2); /* Hello.running, empty */
    raw_frame(WIRE_HELLO, buf_view(&body), &frame);
    assert_int_equal(wire_decode(WIRE_FROM_WORKER, buf_view(&frame), &message, &diag), FARM_E_LIMIT);
    assert_non_null(strstr(diag.text, "memory"));
}

/* ---- damage (N8) ---- */

static void n8_unknown_types_and_directions_are_refused(void **state)
{
    CLEANUP_BUF struct buf frame = BUF_INIT;
    CLEANUP_BUF struct buf unknown = BUF_INIT;
    struct wire_message *message = NULL;
    (void)state;
    lease_frame(&frame);
    assert_int_equal(wire_decode(WIRE_FROM_WORKER, buf_view(&frame), &message, NULL), FARM_E_UNSUPPORTED);
    raw_frame(99, VIEW(""), &unknown);
    assert_int_equal(wire_decode(WIRE_FROM_WORKER, buf_view(&unknown), &message, NULL), FARM_E_UNSUPPORTED);
    assert_int_equal(wire_decode(WIRE_FROM_WORKER, VIEW_NONE, &message, NULL), FARM_E_SYNTAX);
    assert_null(message);
}

/* Found by fuzzing: they were kept, and packed again into a frame that nobody could read. */
static void unknown_fields_are_not_kept(void **state)
{
    CLEANUP_BUF struct buf body = BUF_INIT;
    CLEANUP_BUF struct buf frame = BUF_INIT;
    CLEANUP_BUF struct buf again = BUF_INIT;
    CLEANUP_BUF struct buf known = BUF_INIT;
    struct wire_message *message = NULL;
    Wire__Goodbye goodbye = WIRE__GOODBYE__INIT;
    (void)state;
    encode(WIRE_GOODBYE, &goodbye.base, &known);
    buf_add(&body, "\xfa\x3f\x02xy\x80\x00\x10", 8); /* field 1023, and field 0, which no program may send */
    raw_frame(WIRE_GOODBYE, buf_view(&body), &frame);
    assert_int_equal(wire_decode(WIRE_FROM_WORKER, buf_view(&frame), &message, NULL), 0);
    encode(message->type, message->body, &again);
    assert_int_equal(again.size, known.size);
    assert_memory_equal(again.data, known.data, known.size);
    wire_free(message);
}

static void n8_truncation_at_every_byte_is_refused(void **state)
{
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct wire_message *message = NULL;
    (void)state;
    lease_frame(&frame);
    for (size_t size = 0; size < frame.size; size++) {
        CLEANUP_FREE char *exact = mem_copy(frame.data, size); /* so that a read behind it is seen */
        assert_int_equal(wire_decode(WIRE_TO_WORKER, view_of(exact, size), &message, NULL), FARM_E_SYNTAX);
    }
    assert_null(message);
}

/* The envelope's length is corrected, so that protobuf-c itself meets the truncated body. */
static void n8_truncated_bodies_never_pass_as_whole(void **state)
{
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct wire_message *message = NULL;
    (void)state;
    lease_frame(&frame);
    struct view body = view_of(frame.data + 4, frame.size - 4); /* two bytes each of tag and length */
    int refused = 0;
    for (size_t size = 0; size < body.size; size++) {
        CLEANUP_BUF struct buf cut = BUF_INIT;
        raw_frame(WIRE_LEASE, view_of(body.data, size), &cut);
        if (wire_decode(WIRE_TO_WORKER, buf_view(&cut), &message, NULL) < 0)
            refused++;
        else /* cut between two fields: what remains is whole */
            message = wire_free(message);
    }
    assert_true(refused > (int)body.size - 8);
}

static void n8_trailing_bytes_and_second_bodies_are_refused(void **state)
{
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct wire_message *message = NULL;
    (void)state;
    lease_frame(&frame);
    struct buf twice = BUF_INIT;
    buf_add_view(&twice, buf_view(&frame));
    buf_add_view(&twice, buf_view(&frame));
    assert_int_equal(wire_decode(WIRE_TO_WORKER, buf_view(&twice), &message, NULL), FARM_E_SYNTAX);
    buf_done(&twice);
    buf_add_byte(&frame, 0);
    assert_int_equal(wire_decode(WIRE_TO_WORKER, buf_view(&frame), &message, NULL), FARM_E_SYNTAX);
    assert_null(message);
}

/* xorshift: the same damage in every run. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void damage(struct buf *frame, uint64_t *seed)
{
    size_t flips = 1 + next_random(seed) % 4;
    for (size_t i = 0; i < flips; i++)
        frame->data[next_random(seed) % frame->size] = (char)next_random(seed);
    if (next_random(seed) % 4 == 0)
        frame->size = 1 + next_random(seed) % frame->size;
}

/* Whatever decodes has passed the rules, so it encodes again. */
static void n8_mutations_are_refused_or_stay_within_the_rules(void **state)
{
    enum { ROUNDS = 20000 };
    uint64_t seed = 0x9e3779b97f4a7c15;
    CLEANUP_BUF struct buf good = BUF_INIT;
    int accepted = 0;
    (void)state;
    lease_frame(&good);
    for (int i = 0; i < ROUNDS; i++) {
        CLEANUP_BUF struct buf bad = BUF_INIT;
        CLEANUP_BUF struct buf again = BUF_INIT;
        struct wire_message *message = NULL;
        buf_add_view(&bad, buf_view(&good));
        damage(&bad, &seed);
        if (wire_decode(WIRE_TO_WORKER, buf_view(&bad), &message, NULL) < 0)
            continue;
        accepted++;
        assert_int_equal(wire_encode(message->type, message->body, &again, NULL), 0);
        wire_free(message);
    }
    assert_true(accepted > 0 && accepted < ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tables_follow_the_catalogue),
        cmocka_unit_test(envelopes_and_types_agree),
        cmocka_unit_test(a_generated_envelope_is_the_same_frame),
        cmocka_unit_test(a_lease_round_trips),
        cmocka_unit_test(the_longest_closure_fits_a_frame),
        cmocka_unit_test(optional_digests_may_be_absent),
        cmocka_unit_test(a_chunk_of_a_mebibyte_round_trips),
        cmocka_unit_test(a_piece_is_neither_copied_in_nor_out),
        cmocka_unit_test(a_piece_has_its_limits_also_without_a_copy),
        cmocka_unit_test(prefixed_frames_are_taken_whole),
        cmocka_unit_test(fields_over_their_limits_are_refused),
        cmocka_unit_test(control_characters_and_unknown_enums_are_refused),
        cmocka_unit_test(lists_over_their_limits_are_refused),
        cmocka_unit_test(n4_frames_over_the_cap_are_refused),
        cmocka_unit_test(n8_heap_is_bounded_by_the_budget),
        cmocka_unit_test(n8_unknown_types_and_directions_are_refused),
        cmocka_unit_test(unknown_fields_are_not_kept),
        cmocka_unit_test(n8_truncation_at_every_byte_is_refused),
        cmocka_unit_test(n8_truncated_bodies_never_pass_as_whole),
        cmocka_unit_test(n8_trailing_bytes_and_second_bodies_are_refused),
        cmocka_unit_test(n8_mutations_are_refused_or_stay_within_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
