/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * root.json: what is accepted keeps its own rules, and is written and read to the same bytes; nobody's signatures install it, and it does
 * not follow itself.
 */
#include "fuzz.h"

#include "root.h"

static void check_root(const struct root *root, struct view text)
{
    struct diag diag = DIAG_INIT;
    FUZZ_OK(root_check_rules(root, "root", &diag), &diag);
    for (int i = 0; i < ROLE_COUNT; i++)
        FUZZ_CHECK(root->roles[i].threshold <= role_persons(&root->roles[i]));
    FUZZ_CHECK(root->roles[ROLE_ROOT].threshold >= 1 && root->roles[ROLE_RELEASE].threshold >= 1);
    FUZZ_CHECK(!root->log.present || 2 * root->log.threshold > root->log.nwitnesses);
    fuzz_check_refusal(root_check_follows(root, root, &diag), &diag);
    fuzz_check_refusal(root_check(NULL, root, text, NULL, 0, &diag), &diag);
    fuzz_check_refusal(root_check(NULL, root, text, &text, 1, &diag), &diag);
}

static void run(struct view input)
{
    CLEANUP_ROOT struct root *root = NULL, *again = NULL;
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = root_parse(input, "root", &root, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    check_root(root, input);
    root_write(root, &once);
    FUZZ_OK(root_parse(buf_view(&once), "again", &again, &diag), &diag);
    root_write(again, &twice);
    fuzz_check_same(&once, &twice);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 256 * 1024, .heap_factor = 512};
