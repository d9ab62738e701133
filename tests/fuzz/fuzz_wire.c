/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Wire messages: the first byte says which direction, the rest is a frame. What is decoded is encoded, decoded and encoded again to
 * the same bytes; what one direction takes no other takes; and decoding without a copy finds the same.
 */
#include "fuzz.h"

#include "wire.h"

enum { DIRECTIONS = WIRE_TO_CTL + 1 };

static void check_other_directions(unsigned int direction, struct view frame)
{
    for (unsigned int other = 0; other < DIRECTIONS; other++) {
        struct wire_message *message = NULL;
        struct diag diag = DIAG_INIT;
        if (other == direction)
            continue;
        fuzz_check_refusal(wire_decode((enum wire_direction)other, frame, &message, &diag), &diag);
        FUZZ_CHECK(message == NULL);
    }
}

static void encode(enum wire_direction direction, const struct wire_message *message, struct buf *ret)
{
    struct diag diag = DIAG_INIT;
    FUZZ_OK(wire_encode(message->type, message->body, ret, &diag), &diag);
    FUZZ_CHECK(ret->size <= wire_frame_max(direction));
}

static void round_trip(enum wire_direction direction, const struct wire_message *message)
{
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct wire_message *again = NULL;
    struct diag diag = DIAG_INIT;
    encode(direction, message, &once);
    FUZZ_OK(wire_decode(direction, buf_view(&once), &again, &diag), &diag);
    FUZZ_CHECK(again->type == message->type);
    encode(direction, again, &twice);
    fuzz_check_same(&once, &twice);
    wire_free(again);
}

/* 'message' NULL: it was refused. */
static void check_over(enum wire_direction direction, struct view frame, const struct wire_message *message,
                       int result)
{
    CLEANUP_BUF struct buf copied = BUF_INIT, borrowed = BUF_INIT;
    struct wire_message *over = NULL;
    struct diag diag = DIAG_INIT;
    FUZZ_CHECK(wire_decode_over(direction, frame, &over, &diag) == result);
    if (message == NULL) {
        FUZZ_CHECK(over == NULL);
        return;
    }
    encode(direction, message, &copied);
    encode(direction, over, &borrowed);
    fuzz_check_same(&copied, &borrowed);
    wire_free(over);
}

static void run(struct view input)
{
    unsigned int direction = fuzz_take_byte(&input) % DIRECTIONS;
    struct wire_message *message = NULL;
    struct diag diag = DIAG_INIT;
    int result = wire_decode((enum wire_direction)direction, input, &message, &diag);
    check_over((enum wire_direction)direction, input, message, result);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        FUZZ_CHECK(message == NULL);
        return;
    }
    round_trip((enum wire_direction)direction, message);
    check_other_directions(direction, input);
    wire_free(message);
}

/* wire.h: twenty times and a budget of its own; the round trip holds two messages and two frames. */
const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 1 << 20, .heap_factor = 64};
