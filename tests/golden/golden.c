/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "golden.h"

#include "file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { CASE_SIZE_MAX = 1024 * 1024 };

static const char marker[] = "\nEXPECT\n";

/* Compares line by line and shows the first that differs, then all that came out. */
static void show_difference(const char *path, struct view expected, struct view actual)
{
    struct view left = expected, right = actual, a, b;
    for (int line = 1;; line++) {
        bool more_left = view_split(&left, '\n', &a), more_right = view_split(&right, '\n', &b);
        if (more_left && more_right && view_equal(a, b))
            continue;
        printf("FAIL %s: line %d behind EXPECT\n  expected: %.*s\n  actual:   %.*s\n", path, line,
               more_left ? (int)a.size : 5, more_left ? a.data : "(end)", more_right ? (int)b.size : 5,
               more_right ? b.data : "(end)");
        break;
    }
    printf("--- all that came out\n%.*s---\n", VIEW_ARG(actual));
}

static int rewrite(const char *path, struct view head, struct view actual)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    buf_add_view(&text, head);
    buf_add_text(&text, marker);
    buf_add_view(&text, actual);
    int status = file_write(AT_FDCWD, path, buf_view(&text), 0644, &diag);
    printf("%s %s\n", status < 0 ? diag.text : "wrote", path);
    return status < 0 ? 1 : 0;
}

static int run_case(const char *path, bool update, golden_run *run)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf actual = BUF_INIT;
    struct diag diag = DIAG_INIT;
    if (file_read(AT_FDCWD, path, CASE_SIZE_MAX, &text, &diag) < 0) {
        printf("FAIL %s: %s\n", path, diag.text);
        return 1;
    }
    const char *found = text.size > 0 ? strstr(text.data, marker) : NULL;
    if (found == NULL) {
        printf("FAIL %s: no line EXPECT\n", path);
        return 1;
    }
    struct view head = view_of(text.data, (size_t)(found - text.data));
    struct view expected = view_text(found + sizeof marker - 1);
    run(view_of(head.data, head.size + 1), &actual);
    if (view_equal(expected, buf_view(&actual))) {
        printf("ok   %s\n", path);
        return 0;
    }
    if (update)
        return rewrite(path, head, buf_view(&actual));
    show_difference(path, expected, buf_view(&actual));
    return 1;
}

static int name_compare(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static int is_case(const struct dirent *entry)
{
    return view_ends(view_text(entry->d_name), VIEW(".txt"));
}

/* A directory's cases, or one file. Returns the failures and adds to *ret_count. */
static int run_argument(const char *argument, bool update, golden_run *run, int *ret_count)
{
    struct dirent **entries;
    int failures = 0, count = scandir(argument, &entries, is_case, name_compare);
    if (count < 0) {
        ++*ret_count;
        return run_case(argument, update, run);
    }
    for (int i = 0; i < count; i++) {
        CLEANUP_FREE char *path = mem_format("%s/%s", argument, entries[i]->d_name);
        failures += run_case(path, update, run);
        free(entries[i]);
    }
    free(entries);
    *ret_count += count;
    return failures;
}

int golden_main(int argc, char **argv, golden_run *run)
{
    int failures = 0, count = 0;
    bool update = argc > 1 && strcmp(argv[1], "--update") == 0;
    for (int i = update ? 2 : 1; i < argc; i++)
        failures += run_argument(argv[i], update, run, &count);
    printf("%d cases, %d failed\n", count, failures);
    if (count == 0)
        return 2;
    return failures > 0 ? 1 : 0;
}
