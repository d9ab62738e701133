/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A pack as a worker receives it, without its last 20 bytes, which the target computes so that the fuzzer gets past them. What opens and
 * inspects is packed again, and that opens to the same tree.
 */
#include "fuzz.h"

#include "file.h"
#include "fuzz_git.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>

static const struct gitpin_limits limits = {1 << 20, 256};
static char paths[2][300], places[2][300];

static void setup(void)
{
    struct diag diag = DIAG_INIT;
    (void)fuzz_scratch();
    FUZZ_OK(gitpin_setup(&diag), &diag);
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/pack%d", fuzz_scratch_path(), i);
        snprintf(places[i], sizeof places[i], "%s/indexed%d", fuzz_scratch_path(), i);
    }
}

static void put_pack(struct view input)
{
    unsigned char sum[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)input.data, input.size, sum);
    CLEANUP_CLOSE int fd = open(paths[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_CHECK(fd >= 0 && file_write_all(fd, input.data, input.size) >= 0);
    FUZZ_CHECK(file_write_all(fd, sum, sizeof sum) >= 0);
}

static void pack_again(struct gitrepo *repo, const struct gitpin_info *info)
{
    struct gitrepo *again = NULL;
    struct gitpin_info found;
    struct diag diag = DIAG_INIT;
    CLEANUP_CLOSE int fd = open(paths[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_OK(gitrepo_pack(repo, info->commit, fd, &diag), &diag);
    FUZZ_OK(gitrepo_open_pack(paths[1], places[1], &again, &diag), &diag);
    FUZZ_OK(gitrepo_inspect(again, info->commit, limits, &found, &diag), &diag);
    FUZZ_CHECK(digest_equal(&info->tree_sha256, &found.tree_sha256));
    FUZZ_CHECK(info->entries == found.entries && info->bytes == found.bytes);
    gitrepo_close(again);
}

/* Whatever it is: of what is no commit inspecting must say so. */
static int visit(const git_oid *id, void *context)
{
    struct gitrepo *repo = context;
    struct gitpin_info info;
    char hex[GIT_OID_HEXSZ + 1];
    struct diag diag = DIAG_INIT;
    git_oid_tostr(hex, sizeof hex, id);
    int result = gitrepo_inspect(repo, hex, limits, &info, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    else
        pack_again(repo, &info);
    return 0;
}

static void run(struct view input)
{
    struct gitrepo *repo = NULL;
    struct diag diag = DIAG_INIT;
    (void)fuzz_scratch();
    put_pack(input);
    int result = gitrepo_open_pack(paths[0], places[0], &repo, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    FUZZ_CHECK(git_odb_foreach(repo->odb, visit, repo) == 0);
    gitrepo_close(repo);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 4 * 1024, .heap_base = 64 << 20, .heap_factor = 256};
