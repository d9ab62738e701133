/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lease.h"

#include "farmlog.h"
#include "file.h"
#include "moment.h"
#include "statedir.h"

#include <stdlib.h>
#include <unistd.h>

static void take_tree(struct lease *lease, const Wire__Tree *tree)
{
    lease->tree_pin.url = mem_string(tree->url);
    /* The decoder let 40 or 64 hex digits through. */
    memcpy(lease->tree_pin.commit, tree->commit, strlen(tree->commit) + 1);
    lease->tree_pin.sha256 = wire_get_digest(&tree->tree_sha256);
    lease->tree_pack = wire_get_digest(&tree->pack);
}

static struct payload take_payload(const Wire__Payload *payload)
{
    return (struct payload){.manifest = wire_get_digest(&payload->manifest),
                            .tar = wire_get_digest(&payload->tar)};
}

struct lease *lease_new(const Wire__Lease *message)
{
    struct lease *lease = mem_zero(1, sizeof *lease);
    struct digest nonce = wire_get_digest(&message->nonce);
    memcpy(lease->nonce.bytes, nonce.bytes, sizeof lease->nonce.bytes);
    lease->key = wire_get_digest(&message->job_key);
    lease->node = mem_string(message->node);
    take_tree(lease, message->tree);
    lease->base = take_payload(message->base_image);
    lease->payloads = mem_zero(message->n_payloads + 1, sizeof *lease->payloads);
    for (; lease->npayloads < message->n_payloads; lease->npayloads++)
        lease->payloads[lease->npayloads] = take_payload(message->payloads[lease->npayloads]);
    lease->sources = mem_zero(message->n_sources + 1, sizeof *lease->sources);
    for (; lease->nsources < message->n_sources; lease->nsources++) {
        const Wire__Source *source = message->sources[lease->nsources];
        lease->sources[lease->nsources] =
            (struct lease_source){wire_get_digest(&source->pin), wire_get_digest(&source->object)};
    }
    lease->log_live = message->log_live;
    lease->log_fd = -1;
    lease->started_ms = moment_wall_ms();
    lease->began_ms = moment_steady_ms();
    lease->dir = mem_format(STATEDIR_BUILDS "/%s", spool_nonce_text(&lease->nonce).text);
    return lease;
}

static void leave_shop(struct lease *lease, struct workshop *shop)
{
    struct diag why = DIAG_INIT;
    fetch_done(&lease->fetch);
    roots_leave(shop->roots, &lease->closure_root);
    roots_leave(shop->roots, &lease->base_root);
    trees_leave(shop->trees, &lease->tree);
    if (lease->has_share)
        ledger_give(shop->ledger, lease->share);
    if (sandbox_remove_tree(shop->state_dirfd, lease->dir, &why) < 0)
        log_warning("%s is left over until the next start: %s", lease->dir, why.text);
}

struct lease *lease_free(struct lease *lease, struct workshop *shop)
{
    if (lease == NULL)
        return NULL;
    mem_close_p(&lease->log_fd);
    leave_shop(lease, shop);
    spec_free(lease->spec);
    free(lease->node);
    free(lease->tree_pin.url);
    free(lease->payloads);
    free(lease->sources);
    free(lease->dir);
    free(lease);
    return NULL;
}

void lease_note(const struct lease *lease, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    CLEANUP_FREE char *text = mem_vformat(format, args);
    va_end(args);
    CLEANUP_FREE char *line = mem_format("farm: %s\n", text);
    if (lease->log_fd >= 0 && file_write_all(lease->log_fd, line, strlen(line)) < 0)
        log_warning("%s/log: cannot be written", lease->dir);
}
