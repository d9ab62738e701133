/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Enrolment requests, as a file's text and as a code that was pasted: what is taken has names, and both forms say the same. */
#include "fuzz.h"

#include "base64.h"
#include "farm_sign_request.h"

#include <stdlib.h>

/* In place of farm_sign.c's, which is part of a program: every source here is a code, never a file's name. */
int farm_sign_read(const char *path, size_t limit, struct buf *ret, struct diag *diag)
{
    (void)limit;
    (void)ret;
    return diag_set(diag, FARM_E_MISSING, "%s: no files here", path);
}

static int take(const char *source, struct directory_entry *ret)
{
    struct diag diag = DIAG_INIT;
    int result = farm_sign_take_request(ret, source, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    else
        FUZZ_CHECK(ret->worker != NULL && ret->operator_name != NULL);
    (void)farm_sign_is_request(source);
    return result;
}

static void run(struct view input)
{
    struct directory_entry pasted = {0}, from_text = {0};
    CLEANUP_BUF struct buf code = BUF_INIT;
    CLEANUP_FREE char *raw = view_string(input);
    if (farm_sign_is_code(raw))
        (void)take(raw, &pasted);
    buf_add_text(&code, FARM_SIGN_CODE);
    base64_encode(input, &code);
    (void)take(code.data, &from_text);
    directory_entry_done(&pasted);
    directory_entry_done(&from_text);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 4 * 1024, .heap_base = 64 * 1024, .heap_factor = 256};
