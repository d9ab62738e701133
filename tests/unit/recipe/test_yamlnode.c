/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "buf.h"
#include "yamlnode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const struct yamlnode_limits limits = {.bytes = 1 << 20, .nodes = 1000, .depth = 8, .text = 1000};

/* The first problem's rule and line, as "rule:line"; "ok" if there was none. */
static const char *outcome(struct view text, struct yamlnode_limits with)
{
    static char answer[64];
    struct problems problems = PROBLEMS_INIT;
    struct yamldoc *doc = NULL;
    int status = yamldoc_read(text, "f.yml", with, &doc, &problems);
    if (status >= 0) {
        assert_int_equal(problems.count, 0);
        snprintf(answer, sizeof answer, "ok");
    } else {
        assert_int_equal(status, FARM_E_REFUSED);
        assert_int_equal(problems.count, 1);
        assert_null(doc);
        assert_string_equal(problems.items[0].file, "f.yml");
        snprintf(answer, sizeof answer, "%s:%d", problems.items[0].rule, problems.items[0].line);
    }
    yamldoc_free(doc);
    problems_done(&problems);
    return answer;
}

static void test_values_are_text(void **state)
{
    (void)state;
    struct yamldoc *doc = NULL;
    assert_int_equal(yamldoc_read(VIEW("version: 1.10\n"
                                       "octal: 010\n"
                                       "yes: no\n"
                                       "date: 2026-01-02\n"
                                       "quoted: \"~\"\n"
                                       "tilde: ~\n"
                                       "empty:\n"
                                       "folded: >\n"
                                       "  a\n"
                                       "  b\n"
                                       "list: [1, 'two', {k: v}]\n"),
                                  "f.yml", limits, &doc, NULL),
                     0);
    const struct yamlnode *root = yamldoc_root(doc);
    assert_int_equal(root->kind, NODE_MAP);
    assert_int_equal(root->count, 9);
    assert_string_equal(yamlnode_get(root, "version")->text.data, "1.10");
    assert_string_equal(yamlnode_get(root, "octal")->text.data, "010");
    assert_string_equal(yamlnode_get(root, "yes")->text.data, "no");
    assert_string_equal(yamlnode_get(root, "date")->text.data, "2026-01-02");
    assert_string_equal(yamlnode_get(root, "folded")->text.data, "a b\n");
    assert_false(yamlnode_is_null(yamlnode_get(root, "quoted")));
    assert_true(yamlnode_is_null(yamlnode_get(root, "tilde")));
    assert_true(yamlnode_is_null(yamlnode_get(root, "empty")));
    assert_true(yamlnode_is_null(yamlnode_get(root, "absent")));
    const struct yamlnode *list = yamlnode_get(root, "list");
    assert_int_equal(list->kind, NODE_LIST);
    assert_int_equal(list->count, 3);
    assert_int_equal(list->line, 11);
    assert_int_equal(list->key_line, 11);
    assert_string_equal(list->first->next->text.data, "two");
    assert_int_equal(list->first->next->next->kind, NODE_MAP);
    assert_null(list->first->next->next->next);
    yamldoc_free(doc);
}

static void test_empty_file(void **state)
{
    (void)state;
    struct yamldoc *doc = NULL;
    assert_int_equal(yamldoc_read(VIEW("# only a comment\n"), "f.yml", limits, &doc, NULL), 0);
    assert_true(yamlnode_is_null(yamldoc_root(doc)));
    yamldoc_free(doc);
    assert_int_equal(yamldoc_read(VIEW_NONE, "f.yml", limits, &doc, NULL), 0);
    assert_true(yamlnode_is_null(yamldoc_root(doc)));
    yamldoc_free(doc);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        struct view text;
        const char *outcome;
    } cases[] = {
        {VIEW("a: 1\nb: 2\n"), "ok"},
        {VIEW("%YAML 1.1\n---\na: 1\n...\n"), "ok"},
        {VIEW("a: &x 1\nb: *x\n"), "yaml-anchor:1"},
        {VIEW("a: 1\nb: &x [1]\n"), "yaml-anchor:2"},
        {VIEW("a: 1\nb: &x {k: v}\n"), "yaml-anchor:2"},
        {VIEW("&x a: 1\n"), "yaml-anchor:1"},
        {VIEW("a: 1\n\nb: *x\n"), "yaml-alias:3"},
        {VIEW("*x : 1\n"), "yaml-alias:1"},
        {VIEW("a: !!str 1\n"), "yaml-tag:1"},
        {VIEW("a: ! 1\n"), "yaml-tag:1"},
        {VIEW("a: !x [1]\n"), "yaml-tag:1"},
        {VIEW("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n"), "yaml-duplicate:5"},
        {VIEW("a: 1\n\"a\": 2\n"), "yaml-duplicate:2"},
        {VIEW("a: 1\n---\nb: 1\n"), "yaml-documents:2"},
        {VIEW("a:\n  <<: {b: 1}\n"), "yaml-merge:2"},
        {VIEW("{a: 1, [b]: 2}\n"), "yaml-key:1"},
        {VIEW("a: [1\nb: 2\n"), "yaml-syntax:2"},
        {VIEW("a: \"open\n"), "yaml-syntax:2"},
        {VIEW("a: 1\nb: \xff\n"), "yaml-utf8:2"},
        {VIEW("a: 1\n\0b: 2\n"), "yaml-utf8:2"},
        {VIEW("\xff\xfe"
              "a\0:\0"),
         "yaml-utf8:1"},
        {VIEW("[[[[[[[[[1]]]]]]]]]"), "yaml-limit:1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(outcome(cases[i].text, limits), cases[i].outcome);
}

static void test_limits_are_exact(void **state)
{
    (void)state;
    struct yamlnode_limits tight = {.bytes = 30, .nodes = 3, .depth = 2, .text = 4};
    assert_string_equal(outcome(VIEW("a: [1, 2]\n"), (struct yamlnode_limits){30, 4, 2, 4}), "ok");
    assert_string_equal(outcome(VIEW("a: [1, 2]\n"), tight), "yaml-limit:1");
    assert_string_equal(outcome(VIEW("a: {b: 1}\n"), tight), "ok");
    assert_string_equal(outcome(VIEW("a: {b: []}\n"), tight), "yaml-limit:1");
    assert_string_equal(outcome(VIEW("a: 1234\n"), tight), "ok");
    assert_string_equal(outcome(VIEW("a: 12345\n"), tight), "yaml-limit:1");
    assert_string_equal(outcome(VIEW("abcde: 1\n"), tight), "yaml-limit:1");
    assert_string_equal(outcome(VIEW("a: 1 #5678901234567890123456789\n"), tight), "file-limit:0");
}

/* Nine lists of nine aliases each would be 9^9 values: the first anchor ends it. */
static void test_alias_bomb(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf bomb = BUF_INIT;
    buf_add_text(&bomb, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++) {
        buf_add_format(&bomb, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            buf_add_format(&bomb, "%s*a%d", k > 0 ? ", " : "", i - 1);
        buf_add_text(&bomb, "]\n");
    }
    assert_string_equal(outcome(buf_view(&bomb), limits), "yaml-anchor:1");
}

static void test_depth_bomb(void **state)
{
    (void)state;
    static const char openers[] = {'[', '{'};
    for (size_t i = 0; i < ARRAY_SIZE(openers); i++) {
        CLEANUP_BUF struct buf bomb = BUF_INIT;
        for (int k = 0; k < 500000; k++)
            buf_add_byte(&bomb, openers[i]);
        assert_string_not_equal(outcome(buf_view(&bomb), limits), "ok");
    }
    CLEANUP_BUF struct buf indented = BUF_INIT;
    for (int k = 0; k < 300; k++)
        buf_add_format(&indented, "%*sk:\n", k, "");
    assert_string_equal(outcome(buf_view(&indented), limits), "yaml-limit:9");
}

/* What a stranger's tree says is shown on terminals: an escape sequence in a key stays harmless. Found by fuzzing. */
static void test_messages_have_no_control_bytes(void **state)
{
    struct problems problems = PROBLEMS_INIT;
    struct yamldoc *doc = NULL;
    (void)state;
    assert_int_equal(yamldoc_read(VIEW("\"\\e[2J\": 1\n\"\\e[2J\": 2\n"), "x", limits, &doc, &problems),
                     FARM_E_REFUSED);
    assert_int_equal(problems.count, 1);
    assert_non_null(strstr(problems.items[0].text, "the key \"?[2J\""));
    problems_done(&problems);
}

static void test_duplicate_in_large_map(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    for (int i = 0; i < 400; i++)
        buf_add_format(&text, "key%d: 1\n", i);
    assert_string_equal(outcome(buf_view(&text), limits), "ok");
    buf_add_text(&text, "key7: 1\n");
    assert_string_equal(outcome(buf_view(&text), limits), "yaml-duplicate:401");
}

/* Every prefix and every flipped byte of a good file: any answer but a crash or a leak. */
static void test_damage(void **state)
{
    (void)state;
    static const char good[] =
        "name: \"a\\x41\"\nlist:\n- {k: 'v', l: [1, 2]}\n- >-\n  folded\n  text\n- |\n  literal\n";
    struct problems problems = PROBLEMS_INIT;
    for (size_t i = 0; i < sizeof good; i++)
        for (int bit = -1; bit < 8; bit++) {
            char text[sizeof good];
            struct yamldoc *doc = NULL;
            memcpy(text, good, sizeof good);
            if (bit >= 0)
                text[i] = (char)(text[i] ^ 1 << bit);
            size_t size = bit < 0 ? i : sizeof good - 1;
            if (yamldoc_read(view_of(text, size), "f.yml", limits, &doc, &problems) >= 0)
                doc = yamldoc_free(doc);
            assert_null(doc);
        }
    assert_true(problems.count > 0);
    problems_done(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_text),
        cmocka_unit_test(test_empty_file),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits_are_exact),
        cmocka_unit_test(test_alias_bomb),
        cmocka_unit_test(test_depth_bomb),
        cmocka_unit_test(test_messages_have_no_control_bytes),
        cmocka_unit_test(test_duplicate_in_large_map),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
