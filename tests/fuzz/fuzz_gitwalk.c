/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hostile trees and commits (fuzz_git.h): what inspects has no name that leads out, and is checked out to files whose tree digest is the one
 * that was computed from the objects.
 */
#include "fuzz.h"

#include "file.h"
#include "fuzz_git.h"
#include "treedigest.h"

#include <sys/stat.h>

static const struct gitpin_limits limits = {1 << 20, 256};

static void setup(void)
{
    struct diag diag = DIAG_INIT;
    (void)fuzz_scratch();
    FUZZ_OK(gitpin_setup(&diag), &diag);
}

static void check_out(struct gitrepo *repo, const struct gitpin_info *info)
{
    int scratch = fuzz_scratch();
    struct digest found;
    struct diag diag = DIAG_INIT;
    FUZZ_CHECK(mkdirat(scratch, "in", 0755) == 0);
    CLEANUP_CLOSE int dirfd = file_open_dir(scratch, "in", &diag);
    int result = gitrepo_checkout(repo, info->commit, &info->tree_sha256, limits, dirfd, 1, &diag);
    if (result < 0) { /* names and targets that a file system cannot hold */
        fuzz_check_refusal(result, &diag);
        return;
    }
    FUZZ_OK(treedigest_of_dir(dirfd, &found, &diag), &diag);
    FUZZ_CHECK(digest_equal(&found, &info->tree_sha256));
}

static void run(struct view input)
{
    struct gitrepo *repo = NULL;
    struct gitpin_info info;
    char commit[65];
    struct diag diag = DIAG_INIT;
    fuzz_git_make(input, &repo, commit);
    int result = gitrepo_inspect(repo, commit, limits, &info, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
    } else {
        FUZZ_CHECK(strcmp(info.commit, commit) == 0 && info.entries <= limits.entries &&
                   info.bytes <= limits.bytes);
        check_out(repo, &info);
    }
    gitrepo_close(repo);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 4 * 1024, .heap_base = 8 << 20, .heap_factor = 256};
