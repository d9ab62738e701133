/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A worker's trust.json, then a TrustAnswer and a directory from the coordinator (each a chunk; the rest is the directory). A file that opens is
 * saved and opened to the same file. Nothing that nobody signed moves the trust root or the directory.
 */
#include "fuzz.h"

#include "file.h"
#include "trust.h"

#include <fcntl.h>

#define NOW ((int64_t)1795366000000)

static const unsigned char curve[DIRECTORY_CURVE_SIZE] = {7};
static const struct trust_self self = {
    .worker = "attic", .operator_name = "alice", .curve = curve, .pinned = {{1, 2, 3}}};

static void setup(void)
{
    (void)fuzz_scratch();
}

static void put(int dirfd, struct view text)
{
    CLEANUP_CLOSE int fd = openat(dirfd, "trust.json", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    FUZZ_CHECK(fd >= 0 && file_write_all(fd, text.data, text.size) >= 0);
}

static void save(struct trust *trust, int dirfd, struct buf *ret)
{
    struct diag diag = DIAG_INIT;
    FUZZ_OK(trust_save(trust, dirfd, &diag), &diag);
    FUZZ_OK(file_read(dirfd, "trust.json", TRUST_FILE_MAX, ret, &diag), &diag);
}

static void round_trip(struct trust *trust, int dirfd)
{
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct trust *again = NULL;
    struct diag diag = DIAG_INIT;
    save(trust, dirfd, &once);
    FUZZ_OK(trust_open(dirfd, &self, &again, &diag), &diag);
    save(again, dirfd, &twice);
    fuzz_check_same(&once, &twice);
    trust_close(again);
}

static void ask(struct trust *trust, struct view root_text, struct view directory_text)
{
    CLEANUP(trust_finding_done) struct trust_finding finding = TRUST_FINDING_INIT;
    struct trust_listing listing;
    struct digest before = trust_root(trust) != NULL ? trust_root(trust)->digest : (struct digest){{0}};
    struct trust_answer answer = {.newest = 9,
                                  .version = trust_asks(trust) + 1,
                                  .root = root_text,
                                  .signatures = &root_text,
                                  .nsignatures = 1,
                                  .directory_version = 3,
                                  .directory = digest_of(directory_text)};
    struct diag diag = DIAG_INIT;
    trust_on_answer(trust, &answer, NOW, &finding);
    const struct root *root = trust_root(trust);
    FUZZ_CHECK(root == NULL ? digest_is_zero(&before) : digest_equal(&root->digest, &before));
    (void)!trust_may_work(trust, NOW, &diag);
    if (root == NULL)
        return;
    int result = trust_read_directory(directory_text, root, &self, &listing, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
}

static void run(struct view input)
{
    struct trust *trust = NULL;
    CLEANUP_BUF struct buf words = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int dirfd = fuzz_scratch();
    put(dirfd, fuzz_take_chunk(&input));
    int result = trust_open(dirfd, &self, &trust, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    round_trip(trust, dirfd);
    trust_describe(trust, &words);
    struct view root_text = fuzz_take_chunk(&input);
    ask(trust, root_text, input);
    trust_close(trust);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 24 * 1024, .heap_base = 1 << 20, .heap_factor = 512};
