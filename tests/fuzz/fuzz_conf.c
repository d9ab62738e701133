/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm.conf: the coordinator's own table of keys. What is accepted prints as a file that is read to the same configuration. */
#include "fuzz.h"

#include "config.h"

static int read_conf(struct view text, struct coordinator_config *ret, struct diag *diag)
{
    static const char *const foreign[] = {"worker", NULL};
    return conf_read(text, "farm.conf", coordinator_keys, coordinator_nkeys, foreign, ret, diag);
}

static void run(struct view input)
{
    struct coordinator_config config = {0}, again = {0};
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = read_conf(input, &config, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    conf_print(coordinator_keys, coordinator_nkeys, &config, &once);
    FUZZ_OK(read_conf(buf_view(&once), &again, &diag), &diag);
    conf_print(coordinator_keys, coordinator_nkeys, &again, &twice);
    fuzz_check_same(&once, &twice);
    conf_done(coordinator_keys, coordinator_nkeys, &config);
    conf_done(coordinator_keys, coordinator_nkeys, &again);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 4 * 1024, .heap_base = 256 * 1024, .heap_factor = 64};
