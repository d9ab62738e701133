/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Strings and numbers of SSH formats, and base64 and its armour: what is taken apart is put together to the same bytes. */
#include "fuzz.h"

#include "base64.h"
#include "sshwire.h"

static void read_strings(struct view input)
{
    CLEANUP_BUF struct buf again = BUF_INIT;
    struct view rest = input, text;
    uint32_t number;
    while (sshwire_take_string(&rest, &text))
        sshwire_add_string(&again, text);
    while (sshwire_take_number(&rest, &number))
        sshwire_add_number(&again, number);
    FUZZ_CHECK(rest.size < 4);
    buf_add_view(&again, rest);
    FUZZ_CHECK(view_equal(buf_view(&again), input));
}

static void read_base64(struct view input)
{
    CLEANUP_BUF struct buf bytes = BUF_INIT, either = BUF_INIT, text = BUF_INIT;
    bool standard = base64_decode_standard(input, &bytes), any = base64_decode(input, &either);
    FUZZ_CHECK((standard || bytes.size == 0) && (any || either.size == 0) && (any || !standard));
    if (!standard)
        return;
    fuzz_check_same(&bytes, &either);
    base64_encode(buf_view(&bytes), &text);
    FUZZ_CHECK(view_equal(buf_view(&text), input));
}

static void round_armor(struct view input)
{
    CLEANUP_BUF struct buf base64 = BUF_INIT, armored = BUF_INIT;
    struct view inside;
    base64_encode(input, &base64);
    if (base64.size == 0) /* nothing is no armour to the reader */
        return;
    sshwire_add_armor(&armored, "A TEST", buf_view(&base64), 70);
    FUZZ_CHECK(sshwire_find_armor(buf_view(&armored), "A TEST", &inside));
    FUZZ_CHECK(inside.size >= base64.size);
    if (sshwire_find_armor(input, "A TEST", &inside))
        FUZZ_CHECK(inside.data >= input.data && inside.size < input.size);
}

static void run(struct view input)
{
    read_strings(input);
    read_base64(input);
    round_armor(input);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 2048, .heap_base = 32 * 1024, .heap_factor = 32};
