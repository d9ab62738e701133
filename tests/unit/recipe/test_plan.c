/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct tree_pin pin(void)
{
    return (struct tree_pin){.url = (char *)"https://example.invalid/\"tr\xc3\xa9\x65\"",
                             .commit = "dbc2f403d7a212fab737a3f7e1775bd9608d5496",
                             .sha256 = digest_of(VIEW("tree"))};
}

static struct plan *small_plan(void)
{
    struct scratch scratch = scratch_new();
    struct tree *tree = NULL;
    struct plan *plan = NULL;
    struct diag diag = DIAG_INIT;
    struct tree_pin where = pin();
    struct digest base = digest_of(VIEW("base"));
    static const char *const selectors[] = {"top", "extra/low", "top"};
    scratch_recipe(&scratch, "low", "source: []\n");
    scratch_recipe(&scratch, "mid", "source: []\ndependencies: {host: [low]}\n");
    scratch_recipe(&scratch, "top", "source: []\ndependencies: {build: [mid, low]}\n");
    scratch_write(&scratch, "farm/policy.yml",
                  "version: 1\nrules: [{match: {package: mid}, set: {hold: yes, quorum: 3}}]\n");
    assert_int_equal(tree_load(scratch.fd, &tree, NULL, &diag), 0);
    assert_int_equal(plan_make(tree, &where, &base, selectors, ARRAY_SIZE(selectors), &plan, &diag), 0);
    assert_true(digest_equal(&plan->policy, &tree->policy_digest));
    tree_free(tree);
    scratch_done(&scratch);
    return plan;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct plan *plan = small_plan(), *again = NULL;
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    plan_write(plan, &text);
    struct digest id = digest_of(buf_view(&text));
    assert_true(digest_equal(&plan->id, &id));
    assert_int_equal(plan_parse(buf_view(&text), &again, &diag), 0);
    assert_true(digest_equal(&again->id, &id));
    assert_int_equal(again->nnodes, 3);
    assert_int_equal(again->selection.count, 2);
    assert_string_equal(again->tree.url, plan->tree.url);
    const struct plan_node *top = &again->nodes[plan_find(again, VIEW("top"))];
    assert_int_equal(top->nclosure, 2);
    assert_int_equal(top->ndependencies, 1);
    assert_string_equal(again->nodes[top->dependencies[0]].id, "extra/mid");
    assert_true(again->nodes[1].rules.hold);
    assert_int_equal(again->nodes[1].rules.quorum, 3);
    assert_int_equal(again->nodes[1].resources.memory_bytes, (uint64_t)2 << 30);
    assert_int_equal(plan_find(again, VIEW("extra/low")), 0);
    assert_int_equal(plan_find(again, VIEW("core/low")), SIZE_MAX);
    plan_free(plan);
    plan_free(again);
}

/* Written by hand, but in json_write's form. */
static void test_canonical(void **state)
{
    (void)state;
    struct plan *plan = small_plan();
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf again = BUF_INIT;
    CLEANUP_JSON json_t *value = NULL;
    plan_write(plan, &text);
    assert_int_equal(json_read(buf_view(&text), "plan", PLAN_SIZE_MAX, &value, &diag), 0);
    json_write(value, &again);
    assert_string_equal(text.data, again.data);
    plan_free(plan);
}

static void test_parse_refusals(void **state)
{
    (void)state;
    /* The part of the text to replace, and what with. */
    static const char *const cases[][2] = {
        {"\"v\":1", "\"v\":2"},
        {"\"kind\":\"plan\"", "\"kind\":\"pan\""},
        {"\"closure\":[0,1]", "\"closure\":[1,0]"},
        {"\"closure\":[0,1]", "\"closure\":[0,2]"},
        {"\"closure\":[0,1]", "\"closure\":[0,0]"},
        {"\"closure\":[0,1]", "\"closure\":[0,-1]"},
        {"\"closure\":[0,1]", "\"closure\":[0,\"1\"]"},
        {"\"closure\":[0,1]", "\"closure\":[0]"}, /* then it waits for something outside of its closure */
        {"\"name\":\"top\"", "\"name\":\"mid\""},
        {"\"name\":\"top\"", "\"name\":\"t/p\""},
        {"\"version\":\"1.0\"", "\"version\":1}"},
        {"\"quorum\":3", "\"quorum\":0"},
        {"\"quorum\":3", "\"quorum\":33"},
        {"\"hold\":true", "\"hold\":1"},
        {"\"jobs\":2", "\"jobs\":0"},
        {"\"wall\":3600", "\"wall\":3600,\"extra\":1"},
        {"\"commit\":\"dbc2", "\"commit\":\"xbc2"},
        {"\"selection\":[", "\"selection\":[7,"},
        {"\"lock\":\"00", "\"lock\":\"0"},
        {"},\"v\":1}", "},\"v\":1,\"w\":1}"},
        {"},\"v\":1}", "},\"v\":1}x"},
    };
    struct plan *plan = small_plan();
    CLEANUP_BUF struct buf text = BUF_INIT;
    plan_write(plan, &text);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct plan *parsed = NULL;
        const char *at = strstr(text.data, cases[i][0]);
        assert_non_null(at);
        CLEANUP_FREE char *edited =
            mem_format("%.*s%s%s", (int)(at - text.data), text.data, cases[i][1], at + strlen(cases[i][0]));
        if (plan_parse(view_text(edited), &parsed, NULL) >= 0)
            fail_msg("accepted %s instead of %s", cases[i][1], cases[i][0]);
        assert_null(parsed);
    }
    plan_free(plan);
}

/* Whatever its nodes are like: a gate that is too old says so, and not that the plan is wrong. */
static void test_parse_later_version(void **state)
{
    (void)state;
    struct plan *plan = small_plan(), *parsed = NULL;
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT, later = BUF_INIT;
    plan_write(plan, &text);
    struct view all = buf_view(&text), end = VIEW("},\"v\":1}");
    assert_true(view_ends(all, end));
    const char *wall = strstr(text.data, "\"wall\":");
    assert_non_null(wall);
    buf_add(&later, text.data, (size_t)(wall - text.data));
    buf_add_text(&later, "\"new\":true,");
    buf_add(&later, wall, (size_t)(all.data + all.size - end.size - wall));
    size_t size = later.size;
    buf_add_text(&later, "},\"v\":1}");
    assert_int_equal(plan_parse(buf_view(&later), &parsed, &diag), FARM_E_SYNTAX);
    later.size = size;
    buf_add_text(&later, "},\"v\":2}");
    assert_int_equal(plan_parse(buf_view(&later), &parsed, &diag), FARM_E_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "version"));
    assert_int_equal(plan_parse(buf_view(&later), &parsed, NULL), FARM_E_UNSUPPORTED);
    plan_free(plan);
}

static void test_parse_damage(void **state)
{
    (void)state;
    struct plan *plan = small_plan();
    CLEANUP_BUF struct buf text = BUF_INIT;
    plan_write(plan, &text);
    for (size_t i = 0; i < text.size; i++) {
        struct plan *parsed = NULL;
        assert_true(plan_parse(view_of(text.data, i), &parsed, NULL) < 0);
        char before = text.data[i];
        text.data[i] = before == '0' ? '[' : '0';
        if (plan_parse(buf_view(&text), &parsed, NULL) >= 0)
            assert_false(digest_equal(&parsed->id, &plan->id));
        plan_free(parsed);
        text.data[i] = before;
    }
    plan_free(plan);
}

/* The identity is of everything the plan stands for, and of nothing else. */
static void test_identity(void **state)
{
    (void)state;
    struct plan *plan = small_plan(), *same = small_plan();
    assert_true(digest_equal(&plan->id, &same->id));
    struct digest *digests[] = {&same->lock, &same->policy, &same->base, &same->tree.sha256};
    for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        digests[i]->bytes[5] ^= 1;
        plan_write(same, &text);
        struct digest id = digest_of(buf_view(&text));
        assert_false(digest_equal(&plan->id, &id));
        digests[i]->bytes[5] ^= 1;
    }
    plan_free(plan);
    plan_free(same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_parse_refusals), cmocka_unit_test(test_parse_later_version),
        cmocka_unit_test(test_parse_damage),   cmocka_unit_test(test_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
