/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "join.h"

#include <assert.h>

#define PREFIX   "igos-farm:"
#define VERSION1 "1:"

static bool all_in(struct view text, const char *accepted)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '\0' || strchr(accepted, text.data[i]) == NULL)
            return false;
    return text.size > 0;
}

static bool host_is_valid(struct view host)
{
    if (host.size == 0 || host.size > JOIN_HOST_MAX)
        return false;
    if (host.data[0] != '[')
        return all_in(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
    return host.size > 4 && host.data[host.size - 1] == ']' &&
           all_in(view_of(host.data + 1, host.size - 2), "0123456789abcdefABCDEF:.");
}

bool join_endpoint_is_valid(struct view endpoint)
{
    size_t colon = endpoint.size;
    while (colon > 0 && endpoint.data[colon - 1] != ':')
        colon--;
    uint64_t port;
    return colon > 0 && host_is_valid(view_of(endpoint.data, colon - 1)) &&
           view_decimal(view_of(endpoint.data + colon, endpoint.size - colon), &port) && port >= 1 &&
           port <= 65535;
}

void join_write(const struct join *join, struct buf *ret)
{
    assert(join_endpoint_is_valid(view_text(join->endpoint)));
    char curve[2 * JOIN_CURVE_SIZE + 1];
    hex_encode(join->curve, JOIN_CURVE_SIZE, curve);
    buf_add_format(ret, PREFIX VERSION1 "%s:%s:%s", join->endpoint, curve, digest_hex(&join->root).text);
}

/* Takes ":<64 hex>" off the end. */
static bool take_hex(struct view *text, void *ret_bytes)
{
    enum { FIELD = 1 + 64 };
    if (text->size < FIELD || text->data[text->size - FIELD] != ':' ||
        !hex_decode(view_of(text->data + text->size - 64, 64), ret_bytes, 32))
        return false;
    text->size -= FIELD;
    return true;
}

int join_parse(struct view text, struct join *ret, struct diag *diag)
{
    static const char again[] = "copy the whole line that the coordinator printed";
    struct join join = {0};
    if (!view_starts(text, VIEW(PREFIX)))
        return diag_set(diag, FARM_E_SYNTAX, "join string: does not begin with \"" PREFIX "\"; %s", again);
    struct view rest = view_of(text.data + sizeof PREFIX - 1, text.size - (sizeof PREFIX - 1));
    if (!view_starts(rest, VIEW(VERSION1)))
        return diag_set(diag, FARM_E_UNSUPPORTED,
                        "join string: made by another version of the farm; this program knows version 1");
    rest = view_of(rest.data + 2, rest.size - 2);
    if (!take_hex(&rest, join.root.bytes))
        return diag_set(diag, FARM_E_SYNTAX,
                        "join string: the digest of the trust root (the last 64 hex digits) is cut "
                        "or mistyped; %s",
                        again);
    static const unsigned char none[JOIN_CURVE_SIZE];
    if (!take_hex(&rest, join.curve) || memcmp(join.curve, none, sizeof none) == 0)
        return diag_set(diag, FARM_E_SYNTAX,
                        "join string: the coordinator's key (64 hex digits) is cut or mistyped; %s", again);
    if (!join_endpoint_is_valid(rest))
        return diag_set(diag, FARM_E_SYNTAX, "join string: \"%.*s\" is no host:port; %s",
                        rest.size < 80 ? (int)rest.size : 80, rest.data, again);
    memcpy(join.endpoint, rest.data, rest.size);
    *ret = join;
    return 0;
}
