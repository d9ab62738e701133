/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Trust chain: every version of the trust root that was installed here, roots/<version>.json, each with the signatures that made it
 * follow the one before. Workers and releases walk it from whatever version they trust, so it is kept for ever.
 *
 *     {"root":"<the bytes of root.json>","signatures":["<armored>",...]}
 *
 * A version is written before root.json becomes it, so the chain is never behind. A version above the installed one is what a crash left
 * of an installation, and is written over by the next.
 */
#include "farm.h"

#include "farmlog.h"
#include "file.h"
#include "json.h"

#include <errno.h>
#include <stdlib.h>

#define CHAIN_DIR "roots"
enum { CHAIN_FILE_MAX = 4 * ROOT_SIZE_MAX + ROOT_SIGNATURES_MAX * (SSHSIG_ARMOR_MAX + 1024) };

static char *chain_path(int64_t version)
{
    return mem_format(CHAIN_DIR "/%lld.json", (long long)version);
}

int trust_chain_add(struct farm *farm, const struct root *root, struct view text,
                    const struct view *signatures, size_t nsignatures, struct diag *diag)
{
    CLEANUP_BUF struct buf file = BUF_INIT;
    CLEANUP_FREE char *path = chain_path(root->version);
    json_t *array = json_array();
    for (size_t i = 0; i < nsignatures; i++)
        json_array_append_new(array, json_view(signatures[i]));
    CLEANUP_JSON json_t *document = json_pack("{s:o, s:o}", "root", json_view(text), "signatures", array);
    json_write(document, &file);
    int result = file_make_dirs(farm->state_dirfd, CHAIN_DIR, 0700, diag);
    return result < 0 ? result : file_write(farm->state_dirfd, path, buf_view(&file), 0600, diag);
}

void trust_take_signatures(struct trust_link *link, const json_t *array)
{
    size_t index;
    json_t *item;
    link->signatures = mem_zero(ROOT_SIGNATURES_MAX, sizeof *link->signatures);
    json_array_foreach(array, index,
                       item) if (json_is_string(item) && link->nsignatures < ROOT_SIGNATURES_MAX)
        link->signatures[link->nsignatures++] = mem_string(json_string_value(item));
}

static int read_link(const json_t *document, const char *path, struct trust_link *ret, struct diag *diag)
{
    const char *text;
    json_t *signatures;
    int result;
    if ((result = json_get_text(document, path, "root", &text, diag)) < 0 ||
        (result = json_get_array(document, path, "signatures", &signatures, diag)) < 0)
        return result;
    buf_add_text(&ret->text, text);
    trust_take_signatures(ret, signatures);
    return 0;
}

int trust_chain_get(struct farm *farm, int64_t version, struct buf *ret_text, char ***ret_signatures,
                    size_t *ret_nsignatures, struct diag *diag)
{
    CLEANUP_BUF struct buf file = BUF_INIT;
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_FREE char *path = chain_path(version);
    CLEANUP(trust_link_done) struct trust_link link = {.root = NULL};
    int result = file_read(farm->state_dirfd, path, CHAIN_FILE_MAX, &file, diag);
    if (result == -ENOENT)
        return diag_set(
            diag, FARM_E_MISSING,
            "version %lld of the trust root was never installed here; \"farmctl root install\" takes the "
            "whole chain, root1.json root2.json ..., and keeps what is missing",
            (long long)version);
    if (result >= 0)
        result = json_read(buf_view(&file), path, CHAIN_FILE_MAX, &document, diag);
    if (result >= 0)
        result = read_link(document, path, &link, diag);
    if (result < 0)
        return result;
    buf_add_view(ret_text, buf_view(&link.text));
    *ret_signatures = STEAL(link.signatures);
    *ret_nsignatures = link.nsignatures;
    link.nsignatures = 0;
    return 0;
}

/* ---- documents that came with their signatures ---- */

void trust_link_done(struct trust_link *link)
{
    root_free(link->root);
    buf_done(&link->text);
    for (size_t i = 0; i < link->nsignatures; i++)
        free(link->signatures[i]);
    free(link->signatures);
    *link = (struct trust_link){.root = NULL};
}

int trust_link_check(const struct root *old, const struct trust_link *link, struct diag *diag)
{
    struct view views[ROOT_SIGNATURES_MAX];
    if (link->nsignatures > ARRAY_SIZE(views))
        return diag_set(diag, FARM_E_LIMIT, "%zu signatures, the limit is %zu", link->nsignatures,
                        ARRAY_SIZE(views));
    for (size_t i = 0; i < link->nsignatures; i++)
        views[i] = view_text(link->signatures[i]);
    return root_check(old, link->root, buf_view(&link->text), views, link->nsignatures, diag);
}

static bool counts(const struct root *root, const struct trust_link *link, size_t at)
{
    return root != NULL && role_signer(&root->roles[ROLE_ROOT], SSHSIG_NAMESPACE_ROOT, buf_view(&link->text),
                                       view_text(link->signatures[at]), NULL) != NULL;
}

/* Signatures that count for neither root are not kept: the rest has to fit into a message. */
void trust_link_prune(const struct root *old, struct trust_link *link)
{
    size_t kept = 0;
    for (size_t i = 0; i < link->nsignatures; i++) {
        if (counts(old, link, i) || counts(link->root, link, i))
            link->signatures[kept++] = link->signatures[i];
        else
            free(link->signatures[i]);
    }
    link->nsignatures = kept;
}

int trust_chain_read(struct farm *farm, int64_t version, struct trust_link *ret, struct diag *diag)
{
    CLEANUP(trust_link_done) struct trust_link link = {.root = NULL};
    CLEANUP_FREE char *path = chain_path(version);
    int result = trust_chain_get(farm, version, &link.text, &link.signatures, &link.nsignatures, diag);
    if (result >= 0)
        result = root_parse(buf_view(&link.text), path, &link.root, diag);
    if (result < 0)
        return result;
    if (link.root->version != version)
        return diag_set(diag, FARM_E_CORRUPT, "%s/%s holds version %lld; restore it from a backup",
                        farm->state_path, path, (long long)link.root->version);
    *ret = link;
    link = (struct trust_link){.root = NULL};
    return 0;
}

/* ---- at start ---- */

static int broken(struct farm *farm, int64_t version, int error, struct diag *diag)
{
    return diag_set(diag, FARM_E_CORRUPT,
                    "%s/" CHAIN_DIR "/%lld.json: %s. The signed chain rules; restore it from a "
                    "backup",
                    farm->state_path, (long long)version, diag_text(diag, error));
}

/* The installed version as the chain has it. 0: a farm of before there was a chain has root.json alone. */
static int read_newest(struct farm *farm, const struct trust_link *installed, struct trust_link *ret,
                       struct diag *diag)
{
    int result = trust_chain_read(farm, installed->root->version, ret, diag);
    if (result == FARM_E_MISSING)
        return 0;
    if (result >= 0 && !digest_equal(&ret->root->digest, &installed->root->digest))
        result = diag_set(diag, FARM_E_CORRUPT, "it is another root than root.json");
    return result < 0 ? broken(farm, installed->root->version, result, diag) : 1;
}

/* Each follows the one before it, as far back as there are any. */
static int check_older(struct farm *farm, const struct trust_link *newest, struct diag *diag)
{
    CLEANUP(trust_link_done) struct trust_link held = {.root = NULL};
    const struct trust_link *newer = newest;
    while (newer->root->version > 1) {
        struct trust_link older = {.root = NULL};
        int result = trust_chain_read(farm, newer->root->version - 1, &older, diag);
        if (result == FARM_E_MISSING) {
            log_warning("the trust root's chain begins with version %lld: releases cannot be exported before "
                        "\"farmctl "
                        "root install root1.json root2.json ...\" brought the versions from the first on",
                        (long long)newer->root->version);
            return 0;
        }
        if (result < 0)
            return broken(farm, newer->root->version - 1, result, diag);
        if ((result = trust_link_check(older.root, newer, diag)) < 0)
            result = broken(farm, newer->root->version, result, diag);
        trust_link_done(&held);
        held = older;
        newer = &held;
        if (result < 0)
            return result;
    }
    return 0;
}

int trust_chain_check(struct farm *farm, const struct trust_link *installed, struct diag *diag)
{
    CLEANUP(trust_link_done) struct trust_link newest = {.root = NULL};
    struct view views[ROOT_SIGNATURES_MAX];
    int known = read_newest(farm, installed, &newest, diag);
    int result = known < 0 ? known : check_older(farm, known > 0 ? &newest : installed, diag);
    if (result < 0 || known > 0)
        return result;
    for (size_t i = 0; i < installed->nsignatures; i++)
        views[i] = view_text(installed->signatures[i]);
    return trust_chain_add(farm, installed->root, buf_view(&installed->text), views, installed->nsignatures,
                           diag);
}
