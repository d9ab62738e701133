/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A coordinator that lies (case K1): each spec that it derives gets one more variable in its environment, so
 * it leases a job that the tree does not give. Signed by an honest worker, such a build would be of something
 * else.
 */
#include "spec.h"

#include <stdlib.h>
#include <string.h>

int __real_spec_write(const struct spec_inputs *inputs, struct buf *ret, struct digest *ret_key,
                      struct diag *diag);
int __wrap_spec_write(const struct spec_inputs *inputs, struct buf *ret, struct digest *ret_key,
                      struct diag *diag);

int __wrap_spec_write(const struct spec_inputs *inputs, struct buf *ret, struct digest *ret_key,
                      struct diag *diag)
{
    static const char mark[] = "\"environment\":[", more[] = "\"AAA=poison\",";
    CLEANUP_BUF struct buf honest = BUF_INIT;
    int result = __real_spec_write(inputs, &honest, ret_key, diag);
    if (result < 0)
        return result;
    char *at = strstr(honest.data, mark);
    if (at == NULL)
        abort();
    size_t before = (size_t)(at - honest.data) + sizeof mark - 1, start = ret->size;
    buf_add(ret, honest.data, before);
    buf_add_text(ret, more);
    buf_add(ret, honest.data + before, honest.size - before);
    *ret_key = digest_of(view_of(ret->data + start, ret->size - start));
    return 0;
}
