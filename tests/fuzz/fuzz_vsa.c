/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Verification summaries: of one release, package and key exactly one file is accepted. */
#include "fuzz.h"

#include "fuzz_key.h"
#include "fuzz_summary.h"

static struct buf honest;

static void setup(void)
{
    struct vsa_inputs inputs = fuzz_summary();
    struct diag diag = DIAG_INIT;
    FUZZ_OK(vsa_sign(&inputs, fuzz_key(), &honest, &diag), &diag);
}

static void run(struct view input)
{
    struct vsa_inputs inputs = fuzz_summary();
    struct diag diag = DIAG_INIT;
    int result = vsa_check(input, "summary", &inputs, keys_public(fuzz_key()), &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    FUZZ_CHECK((result >= 0) == view_equal(input, buf_view(&honest)));
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 8 * 1024, .heap_base = 256 * 1024, .heap_factor = 512};
