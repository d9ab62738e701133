/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "verify_expect.h"

#include "file.h"

#include <stdio.h>

int expect_setup(void **state)
{
    *state = release_fixture_new(NULL);
    return 0;
}

int expect_teardown(void **state)
{
    release_fixture_free(*state);
    return 0;
}

static const struct problem *find_saying(const struct verify_result *result, const char *rule,
                                         const char *file, const char *words)
{
    for (size_t i = 0; i < result->problems.count; i++) {
        const struct problem *problem = &result->problems.items[i];
        if (strcmp(problem->rule, rule) == 0 && strstr(problem->file, file) != NULL &&
            strstr(problem->text, words) != NULL)
            return problem;
    }
    return NULL;
}

const struct problem *find_problem(const struct verify_result *result, const char *rule, const char *file)
{
    return find_saying(result, rule, file, "");
}

bool has_note(const struct verify_result *result, const char *words)
{
    for (size_t i = 0; i < result->nnotes; i++)
        if (strstr(result->notes[i], words) != NULL)
            return true;
    return false;
}

static void show(const struct verify_result *result)
{
    problems_print(&result->problems, stderr);
    for (size_t i = 0; i < result->nnotes; i++)
        fprintf(stderr, "note: %s\n", result->notes[i]);
}

void expect_pass_with_note(struct release_fixture *f, const struct verify_state *state, const char *words)
{
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    if (release_fixture_verify(f, state, CHECK_NOW, &result) != 0) {
        show(&result);
        fail_msg("refused");
    }
    if (!has_note(&result, words)) {
        show(&result);
        fail_msg("no note says \"%s\"", words);
    }
}

void expect_pass(struct release_fixture *f)
{
    expect_pass_with_note(f, NULL, "Freshness not checked");
}

static void expect(struct release_fixture *f, const struct verify_state *state, int64_t now, const char *rule,
                   const char *file, const char *words)
{
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    assert_int_equal(release_fixture_verify(f, state, now, &result), FARM_E_REFUSED);
    if (find_saying(&result, rule, file, words) == NULL) {
        show(&result);
        fail_msg("no problem [%s] at %s that says \"%s\"", rule, file, words);
    }
}

void expect_refused_at(struct release_fixture *f, const struct verify_state *state, int64_t now,
                       const char *rule, const char *file)
{
    expect(f, state, now, rule, file, "");
}

void expect_refused(struct release_fixture *f, const char *rule, const char *file)
{
    expect(f, NULL, CHECK_NOW, rule, file, "");
}

void expect_refused_saying(struct release_fixture *f, const char *rule, const char *file, const char *words)
{
    expect(f, NULL, CHECK_NOW, rule, file, words);
}

static void replace(struct release_fixture *f, const char *file, const char *old, const char *new_text,
                    size_t most)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf changed = BUF_INIT;
    assert_int_equal(file_read(f->release_dirfd, file, 1 << 20, &text, NULL), 0);
    const char *rest = text.data, *at;
    for (size_t i = 0; i < most && (at = strstr(rest, old)) != NULL; i++) {
        buf_add(&changed, rest, (size_t)(at - rest));
        buf_add_text(&changed, new_text);
        rest = at + strlen(old);
    }
    assert_true(rest != text.data);
    buf_add_text(&changed, rest);
    assert_int_equal(file_write(f->release_dirfd, file, buf_view(&changed), 0644, NULL), 0);
}

void replace_in(struct release_fixture *f, const char *file, const char *old, const char *new_text)
{
    replace(f, file, old, new_text, 1);
}

void replace_in_receipts(struct release_fixture *f, const char *old, const char *new_text)
{
    replace(f, "receipts/liba-1.0.intoto.jsonl", old, new_text, SIZE_MAX);
    replace(f, "receipts/appb-2.1.intoto.jsonl", old, new_text, SIZE_MAX);
}
