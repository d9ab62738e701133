/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One raw tree object, or the text of a .gitmodules (the first byte says which). The entries of an accepted tree have names that are one plain
 * component, are no ".git" to any file system, and stand in git's order.
 */
#include "fuzz.h"

#include "gitpin_private.h"
#include "treedigest.h"

#include <stdlib.h>

static void setup(void)
{
    struct diag diag = DIAG_INIT;
    FUZZ_OK(gitpin_setup(&diag), &diag);
}

static void check_entry(const struct gitpin_entry *entry)
{
    FUZZ_CHECK(entry->name.size > 0 && memchr(entry->name.data, '/', entry->name.size) == NULL);
    FUZZ_CHECK(!view_equal(entry->name, VIEW(".")) && !view_equal(entry->name, VIEW("..")));
    FUZZ_CHECK(!gitpin_name_is_dotgit(entry->name));
    FUZZ_CHECK(entry->mode == TREE_FILE || entry->mode == TREE_EXEC || entry->mode == TREE_LINK ||
               entry->mode == TREE_DIR || entry->mode == TREE_GITLINK);
}

/* As git compares: a directory's name ends in a slash. */
static int compare(const struct gitpin_entry *a, const struct gitpin_entry *b)
{
    CLEANUP_FREE char *left = mem_format("%.*s%s", VIEW_ARG(a->name), a->mode == TREE_DIR ? "/" : "");
    CLEANUP_FREE char *right = mem_format("%.*s%s", VIEW_ARG(b->name), b->mode == TREE_DIR ? "/" : "");
    return strcmp(left, right);
}

static void read_tree(struct view input)
{
    struct gitpin_entry *entries = NULL;
    size_t count = 0;
    struct diag diag = DIAG_INIT;
    int result = gitpin_tree_parse(input, VIEW("dir"), &entries, &count, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        FUZZ_CHECK(entries == NULL);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        check_entry(&entries[i]);
        FUZZ_CHECK(i == 0 || !view_equal(entries[i - 1].name, entries[i].name));
        FUZZ_CHECK(i == 0 || compare(&entries[i - 1], &entries[i]) < 0);
    }
    free(entries);
}

static void run(struct view input)
{
    struct diag diag = DIAG_INIT;
    if (fuzz_take_byte(&input) % 2 == 0) {
        read_tree(input);
        return;
    }
    int result = gitpin_modules_check(input, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 4 * 1024, .heap_base = 64 * 1024, .heap_factor = 64};
