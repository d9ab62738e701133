/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An errand: fetches the worker directory by its digest, and checks every signature in it, which for thousands of workers takes seconds
 * that the main thread does not have. Its last act is to post OUTBOX_DIRECTORY.
 */
#include "agent_private.h"

#include "fetch.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct agent_errand {
    pthread_t thread;
    atomic_bool ended;
    struct workshop *shop;  /* borrowed */
    struct outbox *outbox;  /* borrowed */
    struct trust_self self; /* borrows from the shop */
    char *endpoint;
    struct digest directory;
    struct root *root; /* a copy: the main thread may change its own meanwhile */
};

static bool is_ended(void *context)
{
    struct agent_errand *errand = context;
    return atomic_load(&errand->ended);
}

static int fetch_text(struct agent_errand *errand, struct buf *ret, struct diag *diag)
{
    const struct bulk_client_options options = {
        .endpoint = errand->endpoint,
        .owner = "directory",
        .server_key = errand->shop->conf.server_key,
        .secret_key = identity_curve_secret(errand->shop->identity),
        .cancelled = is_ended,
        .context = errand,
    };
    struct bulk_client *bulk = NULL;
    struct fetch fetch;
    int error = bulk_client_new(&options, &bulk, diag);
    if (error < 0)
        return error;
    fetch_init(&fetch, bulk, errand->shop->store);
    error = fetch_object(&fetch, &errand->directory, DIRECTORY_SIZE_MAX, "the worker directory", diag);
    if (error >= 0)
        error = store_get(errand->shop->store, &errand->directory, DIRECTORY_SIZE_MAX, ret, diag);
    fetch_done(&fetch);
    bulk_client_free(bulk);
    return error;
}

static void *run(void *context)
{
    struct agent_errand *errand = context;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag why = DIAG_INIT;
    struct trust_listing listing;
    struct outbox_item *item = outbox_item_new(OUTBOX_DIRECTORY, 0);
    int error = fetch_text(errand, &text, &why);
    item->reason = error < 0 ? WIRE_REFUSE_INPUT : WIRE_REFUSE_SPEC;
    if (error >= 0)
        error = trust_read_directory(buf_view(&text), errand->root, &errand->self, &listing, &why);
    if (error >= 0)
        item->listing = mem_copy(&listing, sizeof listing);
    else
        item->text = mem_string(diag_text(&why, error));
    if (is_ended(errand))
        outbox_item_free(item);
    else
        outbox_post(errand->outbox, item);
    return NULL;
}

static void errand_free(struct agent_errand *errand)
{
    root_free(errand->root);
    free(errand->endpoint);
    free(errand);
}

int agent_errand_start(const struct agent *agent, const struct digest *directory, struct agent_errand **ret,
                       struct diag *diag)
{
    CLEANUP_BUF struct buf root = BUF_INIT;
    struct agent_errand *errand = mem_zero(1, sizeof *errand);
    errand->shop = agent->shop;
    errand->outbox = agent->outbox;
    errand->self = workshop_self(agent->shop);
    errand->endpoint = mem_string(agent->bulk_endpoint);
    errand->directory = *directory;
    root_write(trust_root(agent->shop->trust), &root);
    int error = root_parse(buf_view(&root), "trust root", &errand->root, diag);
    if (error >= 0) {
        int failed = pthread_create(&errand->thread, NULL, run, errand);
        error =
            failed != 0 ? diag_set(diag, -failed, "cannot start a thread: %s", farm_error_text(-failed)) : 0;
    }
    if (error < 0) {
        errand_free(errand);
        return error;
    }
    *ret = errand;
    return 0;
}

struct agent_errand *agent_errand_end(struct agent_errand *errand)
{
    if (errand == NULL)
        return NULL;
    atomic_store(&errand->ended, true);
    pthread_join(errand->thread, NULL);
    errand_free(errand);
    return NULL;
}
