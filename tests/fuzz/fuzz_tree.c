/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A whole package tree: the input is a list of files, each a line with its path and then its lines behind a tab. What loads is planned,
 * the plan is written and read to the same bytes, and the spec of every package is written and read.
 */
#include "fuzz.h"

#include "file.h"
#include "fuzz_yaml.h"
#include "plan.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FILES_MAX = 24, PATH_LONGEST = 200 };

static const struct digest base = {{0xba, 0x5e}};

static void setup(void)
{
    (void)fuzz_scratch();
}

static bool is_usable(struct view path)
{
    return path.size > 0 && path.size <= PATH_LONGEST && file_path_is_plain(path);
}

/* A name that cannot be made (a file is in the way) is left out. */
static void put_file(int dirfd, struct view path, struct view text)
{
    CLEANUP_FREE char *name = view_string(path);
    char *slash = strrchr(name, '/');
    if (slash != NULL) {
        *slash = '\0';
        if (file_make_dirs(dirfd, name, 0755, NULL) < 0)
            return;
        *slash = '/';
    }
    CLEANUP_CLOSE int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0)
        FUZZ_CHECK(file_write_all(fd, text.data, text.size) >= 0);
}

static void put_files(int dirfd, struct view input)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct view line, path = VIEW_NONE;
    for (int files = 0; files < FILES_MAX && input.size > 0 && view_split(&input, '\n', &line);) {
        if (line.size > 0 && line.data[0] == '\t') {
            buf_add(&text, line.data + 1, line.size - 1);
            buf_add_byte(&text, '\n');
            continue;
        }
        if (is_usable(path))
            put_file(dirfd, path, buf_view(&text));
        buf_clear(&text);
        path = line;
        files++;
    }
    if (is_usable(path))
        put_file(dirfd, path, buf_view(&text));
}

static void check_spec(const struct tree *tree, size_t package)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct spec_inputs inputs = {.tree = tree, .package = package, .base = base, .epoch = 1};
    struct digest key, payloads[FILES_MAX] = {0};
    struct spec *spec = NULL;
    struct diag diag = DIAG_INIT;
    size_t *closure;
    tree_closure(tree, package, &closure, &inputs.npayloads);
    free(closure);
    FUZZ_CHECK(inputs.npayloads < FILES_MAX);
    inputs.payloads = payloads;
    FUZZ_OK(spec_write(&inputs, &text, &key, &diag), &diag);
    FUZZ_OK(spec_parse(buf_view(&text), &spec, &diag), &diag);
    FUZZ_CHECK(digest_equal(&spec->key, &key));
    FUZZ_CHECK(strcmp(spec->name, tree->packages[package].recipe->name) == 0);
    spec_free(spec);
}

static void check_plan(const struct tree *tree)
{
    struct tree_pin pin = {.url = (char *)"https://a.org/t",
                           .commit = "dbc2f403d7a212fab737a3f7e1775bd9608d5496"};
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct plan *plan = NULL, *again = NULL;
    struct diag diag = DIAG_INIT;
    int result = plan_make(tree, &pin, &base, NULL, 0, &plan, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    plan_write(plan, &once);
    FUZZ_OK(plan_parse(buf_view(&once), &again, &diag), &diag);
    plan_write(again, &twice);
    fuzz_check_same(&once, &twice);
    plan_free(plan);
    plan_free(again);
}

static void check_tree(const struct tree *tree)
{
    for (size_t i = 0; i < tree->npackages; i++) {
        FUZZ_CHECK(tree_find(tree, view_text(tree->packages[i].recipe->name)) == &tree->packages[i]);
        if (!tree->packages[i].in_base)
            check_spec(tree, i);
    }
    check_plan(tree);
}

static void run(struct view input)
{
    struct problems problems = PROBLEMS_INIT, second = PROBLEMS_INIT;
    struct tree *tree = NULL, *again = NULL;
    struct diag diag = DIAG_INIT;
    int dirfd = fuzz_scratch();
    put_files(dirfd, input);
    int result = tree_load(dirfd, &tree, &problems, &diag);
    FUZZ_CHECK(tree_load(dirfd, &again, &second, &diag) == result);
    fuzz_check_problems(result, &problems, &second);
    if (result >= 0)
        check_tree(tree);
    tree_free(tree);
    tree_free(again);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 8 * 1024, .heap_base = 8 << 20, .heap_factor = 8192};
