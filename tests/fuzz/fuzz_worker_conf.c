/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * worker.conf, and what it decides about a stranger's words: the input is the file, a NUL, a URL of a package tree, a NUL, an endpoint for
 * bulk traffic. What is allowed has a host that the owner allows, and the endpoint stays on the coordinator's host.
 */
#include "fuzz.h"

#include "worker_conf.h"

#include <stdlib.h>

static void check_url(const struct worker_conf *conf, struct view url)
{
    struct diag diag = DIAG_INIT;
    int result = worker_conf_check_tree(conf, url, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    else if (conf->trees[0] == '\0') /* nothing but https unless the owner names it */
        FUZZ_CHECK(view_starts(url, VIEW("https://")) && memchr(url.data, '@', url.size) == NULL);
}

static void check_bulk(const struct worker_conf *conf, struct view text)
{
    CLEANUP_FREE char *offered = view_string(text), *endpoint = NULL;
    struct diag diag = DIAG_INIT;
    int result = worker_conf_bulk_endpoint(conf, offered, &endpoint, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        FUZZ_CHECK(endpoint == NULL);
        return;
    }
    size_t host = (size_t)(strrchr(conf->coordinator, ':') - conf->coordinator);
    FUZZ_CHECK(strncmp(endpoint, "tcp://", 6) == 0);
    FUZZ_CHECK(strncmp(endpoint + 6, conf->coordinator, host) == 0 && endpoint[6 + host] == ':');
    FUZZ_CHECK(join_endpoint_is_valid(view_text(endpoint + 6)));
}

static void run(struct view input)
{
    struct view file = VIEW_NONE, url = VIEW_NONE;
    (void)(view_split(&input, '\0', &file) && view_split(&input, '\0', &url));
    CLEANUP_BUF struct buf words = BUF_INIT;
    struct worker_conf conf = {0};
    struct diag diag = DIAG_INIT;
    int result = worker_conf_parse(file, "worker.conf", &conf, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    FUZZ_CHECK(conf.slots >= 1 && conf.slots <= WORKER_SLOTS_MAX);
    FUZZ_CHECK(join_endpoint_is_valid(view_text(conf.coordinator)));
    worker_conf_describe(&conf, &words);
    check_url(&conf, url);
    check_bulk(&conf, input);
    worker_conf_done(&conf);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 4 * 1024, .heap_base = 256 * 1024, .heap_factor = 64};
