/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Preparing a lease: what the owner allows, what the tree says, what the build needs. The order is from cheap
 * to dear, so that a lease which is refused costs nothing, and the spec is compared before anything but the
 * tree is fetched.
 */
#include "lease.h"

#include "build.h"
#include "file.h"
#include "lease_sources.h"
#include "unpack.h"
#include "upstream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum lease_fate give_back(struct lease *lease, enum wire_refuse_reason reason)
{
    lease->reason = reason;
    return LEASE_RETURNED;
}

/* ---- what the owner and the trust root allow (K7, K8) ---- */

enum lease_fate lease_check_allowed(struct lease *lease, const struct workshop *shop, struct diag *diag)
{
    const struct digest *base = &lease->base.manifest;
    if (!worker_conf_allows_base(&shop->conf, base)) {
        diag_set(diag, FARM_E_REFUSED,
                 "the base %s is not on this worker's list ([allow] bases in worker.conf)",
                 digest_hex(base).text);
        return give_back(lease, WIRE_REFUSE_BASE);
    }
    if (trust_check_base(shop->trust, base, diag) < 0)
        return give_back(lease, WIRE_REFUSE_BASE);
    if (worker_conf_check_tree(&shop->conf, view_text(lease->tree_pin.url), diag) < 0)
        return give_back(lease, WIRE_REFUSE_TREE);
    return LEASE_GOES_ON;
}

/* ---- the spec, from the tree itself (K1) ---- */

struct tree_errand {
    struct lease *lease;
    const struct workshop *shop;
    const struct lease_watch *watch;
    bool refused_by_url; /* what is wrong is what the lease says about its URL */
};

static int fetch_pack(const struct tree_errand *errand, const char *path, struct diag *diag)
{
    struct lease *lease = errand->lease;
    if (digest_is_zero(&lease->tree_pack))
        return diag_set(
            diag, FARM_E_MISSING,
            "the lease offers no pack of the package tree, and this worker does not fetch it from its URL "
            "([allow] verify_upstream in worker.conf): the farm's operator plans the tree again (farmctl "
            "plan), which stores it");
    return fetch_file(&lease->fetch, &lease->tree_pack, STORE_OBJECT_MAX, "the package tree",
                      errand->shop->state_dirfd, path, diag);
}

static int fetch_tree(void *context, char **ret_path, struct diag *diag)
{
    struct tree_errand *errand = context;
    struct lease *lease = errand->lease;
    CLEANUP_FREE char *path = mem_format("%s/tree.pack", lease->dir);
    int error;
    if (errand->shop->conf.verify_upstream) {
        error = upstream_fetch(&errand->shop->conf, &lease->tree_pin, errand->shop->state_dirfd, lease->dir,
                               path, errand->watch, diag);
        errand->refused_by_url = error == FARM_E_REFUSED || error == FARM_E_DIGEST;
    } else {
        error = fetch_pack(errand, path, diag);
    }
    if (error >= 0)
        *ret_path = STEAL(path);
    return error;
}

static enum lease_fate get_tree(struct lease *lease, struct workshop *shop, const struct lease_watch *watch,
                                struct diag *diag)
{
    struct tree_errand errand = {lease, shop, watch, false};
    int error = trees_get(shop->trees, &lease->tree_pin, shop->conf.verify_upstream, lease->dir, fetch_tree,
                          &errand, &lease->tree, diag);
    if (error >= 0)
        return LEASE_GOES_ON;
    if (error == -ECANCELED)
        return LEASE_ABANDONED;
    diag_wrap(diag, error, "package tree %.200s at %.12s", lease->tree_pin.url, lease->tree_pin.commit);
    if (errand.refused_by_url)
        return give_back(lease, WIRE_REFUSE_TREE);
    return give_back(lease, error == FARM_E_REFUSED || error == FARM_E_DIGEST ? WIRE_REFUSE_SPEC
                                                                              : WIRE_REFUSE_INPUT);
}

/* Where the tree gives no epoch it is the newest member's of source[0], so that source has to be looked at
 * first. */
static int find_epoch(struct lease *lease, struct workshop *shop, int64_t *ret, struct diag *diag)
{
    CLEANUP_FREE char *archive = mem_format("%s/dated", lease->dir);
    CLEANUP_FREE char *scratch = mem_format("%s/dated.d", lease->dir);
    const struct package *package = lease->package;
    if (package->npins == 0 || package->pins[0].kind != PIN_ARCHIVE)
        return diag_set(diag, FARM_E_MISSING, "%s has no source that gives a date", lease->node);
    int error = fetch_file(&lease->fetch, &package->pins[0].digest, STORE_OBJECT_MAX,
                           package->pins[0].filename, shop->state_dirfd, archive, diag);
    if (error >= 0 && mkdirat(shop->state_dirfd, scratch, 0700) < 0)
        error = diag_errno(diag, "%s: create directory", scratch);
    if (error < 0)
        return error;
    CLEANUP_CLOSE int dir = file_open_dir(shop->state_dirfd, scratch, diag);
    CLEANUP_CLOSE int fd = openat(shop->state_dirfd, archive, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    error = dir < 0 ? dir : fd < 0 ? diag_errno(diag, "%s", archive) : 0;
    if (error >= 0)
        error = unpack_archive(fd, dir, 1, UNPACK_LIMITS_SOURCE, 0, ret, diag);
    unlinkat(shop->state_dirfd, archive, 0);
    int removed = sandbox_remove_tree(shop->state_dirfd, scratch, error < 0 ? NULL : diag);
    return error < 0 ? error : removed;
}

static int write_spec(struct lease *lease, struct workshop *shop, struct buf *ret, struct digest *ret_key,
                      struct diag *diag)
{
    const struct tree *tree = lease->tree.tree;
    int64_t epoch = -1;
    int error = 0;
    lease->package = tree_find(tree, view_text(lease->node));
    if (lease->package == NULL || lease->package->in_base)
        return diag_set(diag, FARM_E_REFUSED, "the tree has no package \"%.200s\" that is built by the farm",
                        lease->node);
    if (lease->package->epoch < 0)
        error = find_epoch(lease, shop, &epoch, diag);
    if (error < 0)
        return error;
    struct digest *payloads = mem_zero(lease->npayloads + 1, sizeof *payloads);
    for (size_t i = 0; i < lease->npayloads; i++)
        payloads[i] = lease->payloads[i].manifest;
    const struct spec_inputs inputs = {
        tree, tree_index(tree, lease->package), lease->base.manifest, payloads, lease->npayloads, epoch};
    error = spec_write(&inputs, ret, ret_key, diag);
    free(payloads);
    return error;
}

/* A full disk here or an input that cannot be had says nothing about the coordinator's spec. */
static bool is_no_ones_lie(int error)
{
    enum { ERRNO_LAST = -4095 }; /* of the kernel; our own codes come below */
    return error >= ERRNO_LAST || error == FARM_E_MISSING || error == FARM_E_TIMEOUT ||
           error == FARM_E_UNAVAILABLE || error == FARM_E_STATE || error == FARM_E_CORRUPT;
}

enum lease_fate lease_derive(struct lease *lease, struct workshop *shop, const struct lease_watch *watch,
                             struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest key;
    enum lease_fate fate = get_tree(lease, shop, watch, diag);
    if (fate != LEASE_GOES_ON)
        return fate;
    int error = write_spec(lease, shop, &text, &key, diag);
    if (error == -ECANCELED)
        return LEASE_ABANDONED;
    if (error < 0 && is_no_ones_lie(error))
        return give_back(lease, WIRE_REFUSE_INPUT);
    if (error >= 0 && !digest_equal(&key, &lease->key))
        error = diag_set(diag, FARM_E_REFUSED,
                         "%s: the lease names the job %s, but the package tree %.200s at %s gives %s",
                         lease->node, digest_hex(&lease->key).text, lease->tree_pin.url,
                         lease->tree_pin.commit, digest_hex(&key).text);
    if (error >= 0)
        error = spec_parse(buf_view(&text), &lease->spec, diag);
    return error < 0 ? give_back(lease, WIRE_REFUSE_SPEC) : LEASE_GOES_ON;
}

/* ---- limits, roots, sources ---- */

static enum lease_fate take_share(struct lease *lease, struct workshop *shop, struct diag *diag)
{
    const struct resources *needs = &lease->package->resources;
    struct ledger_share share = {needs->cores, needs->memory_bytes, needs->disk_bytes};
    if (lease->spec->jobs > shop->conf.cores) {
        diag_set(diag, FARM_E_LIMIT, "%s is built with %u jobs, and this worker may use %llu cores",
                 lease->node, lease->spec->jobs, (unsigned long long)shop->conf.cores);
        return give_back(lease, WIRE_REFUSE_RESOURCES);
    }
    if (ledger_take(shop->ledger, share, diag) < 0)
        return give_back(lease, WIRE_REFUSE_RESOURCES);
    lease->share = share;
    lease->has_share = true;
    return LEASE_GOES_ON;
}

/* What another worker would find too is an answer; what is about this machine or this connection is not. */
static enum lease_fate ended_or_returned(struct lease *lease, int error, enum failure_kind kind,
                                         const struct diag *diag)
{
    if (error == -ECANCELED)
        return LEASE_ABANDONED;
    if (kind == FAILURE_NONE)
        return give_back(lease, WIRE_REFUSE_INPUT);
    lease->failure = kind;
    snprintf(lease->result.text, sizeof lease->result.text, "%s", diag_text(diag, error));
    lease_note(lease, "%s", diag_text(diag, error));
    return LEASE_ENDED;
}

static struct roots_layer *layers_of(const struct lease *lease)
{
    const struct tree *tree = lease->tree.tree;
    size_t *closure, count;
    tree_closure(tree, tree_index(tree, lease->package), &closure, &count);
    struct roots_layer *layers = mem_zero(count + 1, sizeof *layers);
    for (size_t i = 0; i < count; i++) {
        const struct recipe *recipe = tree->packages[closure[i]].recipe;
        const char **names = mem_zero(recipe->supersedes.count + 1, sizeof(char *));
        for (size_t k = 0; k < recipe->supersedes.count; k++)
            names[k] = recipe->supersedes.items[k].text;
        layers[i] = (struct roots_layer){recipe->name, lease->payloads[i], names, recipe->supersedes.count};
    }
    free(closure);
    return layers;
}

static enum lease_fate get_roots(struct lease *lease, struct workshop *shop, struct diag *diag)
{
    int error = roots_base(shop->roots, &lease->fetch, &lease->base, &lease->base_root, diag);
    if (error < 0)
        return ended_or_returned(lease, error, FAILURE_NONE, diag);
    struct roots_layer *layers = layers_of(lease);
    error = roots_closure(shop->roots, &lease->fetch, &lease->base, layers, lease->npayloads,
                          &lease->closure_root, diag);
    for (size_t i = 0; i < lease->npayloads; i++)
        free((void *)layers[i].supersedes);
    free(layers);
    if (error < 0)
        return ended_or_returned(lease, error, error == FARM_E_REFUSED ? FAILURE_ASSERTION : FAILURE_NONE,
                                 diag);
    return LEASE_GOES_ON;
}

static int make_root(const struct lease *lease, const struct workshop *shop, struct diag *diag)
{
    CLEANUP_FREE char *root = mem_format("%s/" BUILD_HOST_ROOT, lease->dir);
    return mkdirat(shop->state_dirfd, root, 0755) < 0 ? diag_errno(diag, "%s: create directory", root) : 0;
}

enum lease_fate lease_furnish(struct lease *lease, struct workshop *shop, const struct lease_watch *watch,
                              struct diag *diag)
{
    enum failure_kind kind = FAILURE_NONE;
    enum lease_fate fate = take_share(lease, shop, diag);
    if (fate == LEASE_GOES_ON)
        fate = get_roots(lease, shop, diag);
    if (fate != LEASE_GOES_ON)
        return fate;
    if (lease_is_cancelled(watch))
        return LEASE_ABANDONED;
    if (watch->progress != NULL)
        watch->progress(watch->context, WIRE_PHASE_UNPACK, 0, VIEW_NONE);
    int error = lease_sources_lay(lease, shop->state_dirfd, &kind, diag);
    if (error < 0)
        return ended_or_returned(lease, error, kind, diag);
    error = make_root(lease, shop, diag);
    return error < 0 ? ended_or_returned(lease, error, FAILURE_INFRASTRUCTURE, diag) : LEASE_GOES_ON;
}

/* ---- all of it ---- */

/* The log is a file that only grows: what the sandbox appends and what we note stand in order. */
static int make_dir(struct lease *lease, const struct workshop *shop, struct diag *diag)
{
    CLEANUP_FREE char *log = mem_format("%s/log", lease->dir);
    if (mkdirat(shop->state_dirfd, lease->dir, 0700) < 0)
        return diag_errno(diag, "%s: create directory", lease->dir);
    lease->log_fd =
        openat(shop->state_dirfd, log, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    return lease->log_fd < 0 ? diag_errno(diag, "%s: create", log) : 0;
}

enum lease_fate lease_prepare(struct lease *lease, struct workshop *shop, struct bulk_client *bulk,
                              const struct lease_watch *watch, struct diag *diag)
{
    fetch_init(&lease->fetch, bulk, shop->store);
    enum lease_fate fate = lease_check_allowed(lease, shop, diag);
    if (fate != LEASE_GOES_ON)
        return fate;
    if (make_dir(lease, shop, diag) < 0)
        return give_back(lease, WIRE_REFUSE_INPUT);
    if (watch->progress != NULL)
        watch->progress(watch->context, WIRE_PHASE_PREPARE, 0, VIEW_NONE);
    fate = lease_derive(lease, shop, watch, diag);
    if (fate == LEASE_GOES_ON && lease_is_cancelled(watch))
        fate = LEASE_ABANDONED;
    return fate == LEASE_GOES_ON ? lease_furnish(lease, shop, watch, diag) : fate;
}
