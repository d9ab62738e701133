/* SPDX-License-Identifier: GPL-3.0-or-later */
/* plan.json: what is accepted is an acyclic graph whose indexes are within it, and is written and read to the same plan. */
#include "fuzz.h"

#include "plan.h"

static void check_node(const struct plan *plan, size_t index)
{
    const struct plan_node *node = &plan->nodes[index];
    FUZZ_CHECK(plan_find(plan, view_text(node->id)) == index);
    FUZZ_CHECK(node->rules.quorum >= 1 && node->rules.quorum <= RULES_QUORUM_MAX);
    for (size_t i = 0; i < node->ndependencies; i++)
        FUZZ_CHECK(node->dependencies[i] < index);
    for (size_t i = 0; i < node->nclosure; i++)
        FUZZ_CHECK(node->closure[i] < plan->nnodes);
}

static void run(struct view input)
{
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct plan *plan = NULL, *again = NULL;
    struct diag diag = DIAG_INIT;
    int result = plan_parse(input, &plan, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    for (size_t i = 0; i < plan->nnodes; i++)
        check_node(plan, i);
    plan_write(plan, &once);
    FUZZ_OK(plan_parse(buf_view(&once), &again, &diag), &diag);
    plan_write(again, &twice);
    fuzz_check_same(&once, &twice);
    plan_free(plan);
    plan_free(again);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 16 * 1024, .heap_base = 1 << 20, .heap_factor = 512};
