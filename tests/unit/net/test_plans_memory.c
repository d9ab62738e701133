/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Plans that leave memory: a few in each turn, and what happens to those that have to wait for theirs. */
#include "farm_rig.h"

#include "plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const size_t two[] = {RIG_ALPHA, RIG_BETA};

static int setup(void **state)
{
    struct rig *rig = rig_new();
    rig_build(rig, two, 2);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static void must(int result, const struct diag *diag)
{
    if (result < 0)
        fail_msg("%s", diag_text(diag, result));
}

/* Another plan of the same jobs: it was asked for by another name. */
static struct farm_plan *start_another(struct rig *rig)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT, edited = BUF_INIT;
    struct plan *plan = NULL;
    must(store_get(rig->farm->store, &rig->plan, PLAN_SIZE_MAX, &text, &diag), &diag);
    buf_add_byte(&text, '\0');
    const char *selection = strstr(text.data, "\"selection\":[\"");
    assert_non_null(selection);
    size_t before = (size_t)(selection - text.data) + strlen("\"selection\":[\"");
    buf_add(&edited, text.data, before);
    buf_add_text(&edited, "extra/liba\",\"");
    buf_add(&edited, text.data + before, text.size - 1 - before);
    must(store_put(rig->farm->store, buf_view(&edited), NULL, &diag), &diag);
    must(plan_parse(buf_view(&edited), &plan, &diag), &diag);
    struct farm_plan *entry = plans_add(rig->farm, plan, &rig->base_payload.tar);
    must(plans_start(rig->farm, entry, false, 0, &diag), &diag);
    return entry;
}

static void cancel(struct rig *rig, const struct digest *plan)
{
    struct diag diag = DIAG_INIT;
    struct core_event event = {.type = CORE_PLAN_CANCEL, .plan = *plan};
    must(farm_feed(rig->farm, &event, &diag), &diag);
}

static void forget_turn(struct rig *rig)
{
    rig->farm->config.plan_memory = 0;
    rig->farm->forget_due_ms = 0;
    plans_forget_turn(rig->farm);
}

/* Its time has come, and it is not its turn: what is answered meanwhile changes its nodes, and is told by their names. */
static void test_a_cancelled_plan_that_waits_to_be_forgotten(void **state)
{
    struct rig *rig = *state;
    struct digest first = rig_lease(rig, RIG_ALPHA), second = rig_lease(rig, RIG_BETA);
    struct rig_answer answer = {.package = RIG_LIBA, .finished_ms = 7};
    struct farm_plan *another = start_another(rig);
    cancel(rig, &rig->plan);
    cancel(rig, &another->id);
    rig_turn(rig);
    forget_turn(rig);
    assert_int_equal(core_plan_count(rig->farm->core), 1);
    answer.nonce = first; /* late */
    wire_free(rig_answer(rig, RIG_ALPHA, &answer));
    answer.nonce = second;
    wire_free(rig_answer(rig, RIG_BETA, &answer));
    forget_turn(rig);
    assert_int_equal(core_plan_count(rig->farm->core), 0);
    assert_null(another->plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_cancelled_plan_that_waits_to_be_forgotten, setup, teardown),
    };
    return cmocka_run_group_tests_name("plans_memory", tests, NULL, NULL);
}
