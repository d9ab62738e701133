/* SPDX-License-Identifier: GPL-3.0-or-later */
/* URLs that a donor's machine may be sent to: what is accepted has a scheme, a host within the text, and no user name. */
#include "fuzz.h"

#include "address.h"

static void run(struct view input)
{
    CLEANUP_FREE char *url = view_string(input);
    struct view scheme, host;
    struct diag diag = DIAG_INIT;
    int result = address_split_url(url, &scheme, &host, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    const char *end = url + strlen(url), *authority = url + scheme.size + 3;
    FUZZ_CHECK(scheme.data == url && scheme.size > 0 && strncmp(url + scheme.size, "://", 3) == 0);
    FUZZ_CHECK(host.data == authority && host.data + host.size <= end);
    FUZZ_CHECK(host.size > 0 || view_equal(scheme, VIEW("file")));
    FUZZ_CHECK(memchr(authority, '@', strcspn(authority, "/?#")) == NULL);
    FUZZ_CHECK(memchr(host.data, '/', host.size) == NULL);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 1024, .heap_base = 16 * 1024, .heap_factor = 16};
