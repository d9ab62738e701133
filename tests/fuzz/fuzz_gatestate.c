/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The verifier's gate.state: what is accepted is written and read to the same bytes; what is damaged is refused, not forgotten. */
#include "fuzz.h"

#include "file.h"
#include "verify.h"

#include <fcntl.h>

static void setup(void)
{
    (void)fuzz_scratch();
}

static void put(int dirfd, struct view text)
{
    CLEANUP_CLOSE int fd = openat(dirfd, "first", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    FUZZ_CHECK(fd >= 0 && file_write_all(fd, text.data, text.size) >= 0);
}

static void run(struct view input)
{
    struct verify_state state = {0}, again = {0};
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int dirfd = fuzz_scratch();
    put(dirfd, input);
    int result = verify_state_read(dirfd, "first", &state, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    FUZZ_OK(verify_state_write(dirfd, "second", &state, &diag), &diag);
    FUZZ_OK(verify_state_read(dirfd, "second", &again, &diag), &diag);
    FUZZ_OK(verify_state_write(dirfd, "third", &again, &diag), &diag);
    FUZZ_OK(file_read(dirfd, "second", 1 << 16, &once, &diag), &diag);
    FUZZ_OK(file_read(dirfd, "third", 1 << 16, &twice, &diag), &diag);
    fuzz_check_same(&once, &twice);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 4 * 1024 + 16, .heap_base = 512 * 1024, .heap_factor = 256};
