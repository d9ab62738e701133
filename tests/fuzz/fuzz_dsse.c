/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * DSSE envelopes. Signed by the fuzzers' key: dsse_open() accepts exactly what dsse_sign() writes, and what it accepts dsse_verify()
 * accepts with the same payload. So two envelopes of one payload have the same bytes.
 */
#include "fuzz.h"

#include "dsse.h"
#include "fuzz_key.h"

static void setup(void)
{
    (void)fuzz_key();
}

static void check_signed_again(struct view envelope, struct view payload)
{
    const struct key_pair *pair = fuzz_key();
    CLEANUP_BUF struct buf again = BUF_INIT;
    struct diag diag = DIAG_INIT;
    FUZZ_OK(dsse_sign(DSSE_TYPE_INTOTO, payload, &pair, 1, &again, &diag), &diag);
    FUZZ_CHECK(view_equal(buf_view(&again), envelope));
}

static void run(struct view input)
{
    const struct public_key *key = keys_public(fuzz_key());
    CLEANUP_BUF struct buf verified = BUF_INIT, opened = BUF_INIT;
    struct diag diag = DIAG_INIT, open_diag = DIAG_INIT;
    int verify = dsse_verify(input, DSSE_TYPE_INTOTO, key, 1, 1, &verified, &diag);
    int open = dsse_open(input, DSSE_TYPE_INTOTO, key, &opened, &open_diag);
    bool canonical = dsse_is_canonical(input);
    if (verify < 0)
        fuzz_check_refusal(verify, &diag);
    if (open < 0) {
        fuzz_check_refusal(open, &open_diag);
        FUZZ_CHECK(opened.size == 0);
        return;
    }
    FUZZ_CHECK(verify >= 0 && canonical);
    fuzz_check_same(&verified, &opened);
    check_signed_again(input, buf_view(&opened));
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 8 * 1024, .heap_base = 256 * 1024, .heap_factor = 512};
