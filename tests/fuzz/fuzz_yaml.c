/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz_yaml.h"

#include "view.h"

static void check_problem(const struct problem *problem)
{
    FUZZ_CHECK(problem->line >= 0 && problem->file[0] != '\0' && problem->rule[0] != '\0');
    FUZZ_CHECK(problem->text[0] != '\0' && view_is_utf8(view_text(problem->text)));
    for (const char *c = problem->text; *c != '\0'; c++) /* a stranger's file does not talk to the terminal */
        FUZZ_CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
}

void fuzz_check_problems(int result, struct problems *first, struct problems *second)
{
    FUZZ_CHECK((result < 0) == (first->count > 0));
    FUZZ_CHECK(first->count <= PROBLEMS_MAX);
    FUZZ_CHECK(first->count == second->count && first->dropped == second->dropped);
    problems_sort(first);
    problems_sort(second);
    for (size_t i = 0; i < first->count; i++) {
        check_problem(&first->items[i]);
        FUZZ_CHECK(strcmp(first->items[i].text, second->items[i].text) == 0);
    }
    problems_done(first);
    problems_done(second);
}
