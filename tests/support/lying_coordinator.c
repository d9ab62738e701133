/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A coordinator that lies in its leases. $FARM_TEST_LIE:
 *
 *     spec       (or unset, K1) each spec that it derives gets one more variable in its environment, so it leases a job that the
 *                tree does not give; signed by an honest worker, such a build would be of something else
 *     base       (K7) it builds upon any base, whatever the trust root says
 *     url=URL    (K8) it says that the package tree is from this URL
 */
#include "farm.h"
#include "spec.h"

#include <stdlib.h>
#include <string.h>

int __real_spec_write(const struct spec_inputs *inputs, struct buf *ret, struct digest *ret_key,
                      struct diag *diag);
int __wrap_spec_write(const struct spec_inputs *inputs, struct buf *ret, struct digest *ret_key,
                      struct diag *diag);
bool __real_root_allows_base(const struct root *root, const struct digest *base);
bool __wrap_root_allows_base(const struct root *root, const struct digest *base);
void __real_farm_post_lease(struct farm *farm, const char *user, const struct digest *nonce,
                            const Wire__Lease *lease);
void __wrap_farm_post_lease(struct farm *farm, const char *user, const struct digest *nonce,
                            const Wire__Lease *lease);

static const char *lie(void)
{
    const char *told = getenv("FARM_TEST_LIE");
    return told != NULL ? told : "spec";
}

int __wrap_spec_write(const struct spec_inputs *inputs, struct buf *ret, struct digest *ret_key,
                      struct diag *diag)
{
    static const char mark[] = "\"environment\":[", more[] = "\"AAA=poison\",";
    if (strcmp(lie(), "spec") != 0)
        return __real_spec_write(inputs, ret, ret_key, diag);
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

bool __wrap_root_allows_base(const struct root *root, const struct digest *base)
{
    return strcmp(lie(), "base") == 0 || __real_root_allows_base(root, base);
}

void __wrap_farm_post_lease(struct farm *farm, const char *user, const struct digest *nonce,
                            const Wire__Lease *lease)
{
    static const char url[] = "url=";
    Wire__Lease told = *lease;
    Wire__Tree tree = *lease->tree;
    if (strncmp(lie(), url, strlen(url)) == 0) {
        tree.url = (char *)(uintptr_t)(lie() + strlen(url));
        told.tree = &tree;
    }
    __real_farm_post_lease(farm, user, nonce, &told);
}
