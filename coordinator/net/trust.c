/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Trust: the installed root and the directory of admitted workers, as files in the state directory:
 *
 *     root.json  root.json.sigs (a JSON array of armored signatures)  workers.json
 *
 * The files are written before the log's entry about them is; they are signed, so a newer one than the log knows
 * is no harm, and the start (startup_log.c) makes up for the entry. Older roots are in trust_chain.c.
 */
#include "farm.h"

#include "farmlog.h"
#include "file.h"
#include "journal.h"
#include "json.h"

#include <errno.h>
#include <stdlib.h>

#define ROOT_FILE      "root.json"
#define ROOT_SIGS_FILE "root.json.sigs"
#define WORKERS_FILE   "workers.json"
enum { SIGNATURES_SIZE_MAX = ROOT_SIGNATURES_MAX * (SSHSIG_ARMOR_MAX + 1024) };
/* How long a directory stays valid without being published again. */
#define DIRECTORY_LIFETIME_MS ((int64_t)90 * 24 * 3600 * 1000)

/* The signatures of root.json; in between two installations also those of the other one, which do not count. */
static int read_signatures(struct farm *farm, struct trust_link *link, struct diag *diag)
{
    CLEANUP_BUF struct buf sigs = BUF_INIT;
    CLEANUP_JSON json_t *array = NULL;
    int result = file_read(farm->state_dirfd, ROOT_SIGS_FILE, SIGNATURES_SIZE_MAX, &sigs, diag);
    if (result >= 0)
        result = json_read(buf_view(&sigs), ROOT_SIGS_FILE, SIGNATURES_SIZE_MAX, &array, diag);
    if (result >= 0)
        trust_take_signatures(link, array);
    return result;
}

static int read_installed(struct farm *farm, struct trust_link *ret, struct diag *diag)
{
    int result = file_read(farm->state_dirfd, ROOT_FILE, ROOT_SIZE_MAX, &ret->text, diag);
    if (result >= 0)
        result = read_signatures(farm, ret, diag);
    if (result >= 0)
        result = root_parse(buf_view(&ret->text), ROOT_FILE, &ret->root, diag);
    return result < 0 ? result : trust_link_check(NULL, ret, diag);
}

static int load_root(struct farm *farm, struct diag *diag)
{
    CLEANUP(trust_link_done) struct trust_link installed = {.root = NULL};
    int result = read_installed(farm, &installed, diag);
    if (result == -ENOENT && installed.text.size == 0)
        return 0;
    if (result >= 0)
        result = trust_chain_check(farm, &installed, diag);
    if (result < 0)
        return diag_wrap(diag, result, "installed trust root");
    if (installed.root->expires_ms <= moment_wall_ms())
        log_warning("the trust root expired at %s: nobody is admitted and nothing is built until a new one "
                    "is installed (\"farmctl root install\")",
                    moment_format(installed.root->expires_ms).text);
    farm->root = STEAL(installed.root);
    return 0;
}

int trust_check_root(const struct farm *farm, struct diag *diag)
{
    if (farm->root == NULL)
        return diag_set(diag, FARM_E_STATE,
                        "no trust root is installed; \"farmctl root install root.json\" first");
    if (farm->root->expires_ms <= moment_wall_ms())
        return diag_set(
            diag, FARM_E_STALE,
            "the installed trust root expired at %s; install its next version with \"farmctl root "
            "install\"",
            moment_format(farm->root->expires_ms).text);
    return 0;
}

static int load_directory(struct farm *farm, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct directory *directory = NULL;
    struct problems problems = PROBLEMS_INIT;
    int result = file_read(farm->state_dirfd, WORKERS_FILE, DIRECTORY_SIZE_MAX, &text, diag);
    if (result == -ENOENT) {
        farm->directory = directory_new();
        return 0;
    }
    if (result >= 0)
        result = directory_parse(buf_view(&text), WORKERS_FILE, &directory, diag);
    if (result >= 0 && farm->root == NULL)
        result = diag_set(diag, FARM_E_MISSING, "there are workers, but no " ROOT_FILE " to check them with");
    if (result >= 0)
        result = directory_check(directory, WORKERS_FILE, farm->root, &problems);
    if (result < 0 && problems.count > 0)
        diag_set(diag, result, "%s", problems.items[0].text);
    problems_done(&problems);
    if (result < 0) {
        directory_free(directory);
        return diag_wrap(diag, result, "worker directory");
    }
    farm->directory = directory;
    return 0;
}

int trust_load(struct farm *farm, struct diag *diag)
{
    int result = load_root(farm, diag);
    return result < 0 ? result : load_directory(farm, diag);
}

/* ---- installing ---- */

static int write_signatures(struct farm *farm, const struct trust_link *link, const json_t *more,
                            struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *array = json_array();
    size_t index;
    json_t *item;
    for (size_t i = 0; i < link->nsignatures; i++)
        json_array_append_new(array, json_view(view_text(link->signatures[i])));
    json_array_foreach(more, index, item) if (json_array_size(array) < ROOT_SIGNATURES_MAX)
        json_array_append(array, item);
    json_write(array, &text);
    return file_write(farm->state_dirfd, ROOT_SIGS_FILE, buf_view(&text), 0600, diag);
}

/* Two files cannot change at once: in between, the signatures of the old root and of the new one stand together,
 * so that a crash leaves a root with its own. Those of the other one do not count, and do no harm. */
static int write_root(struct farm *farm, const struct trust_link *link, struct diag *diag)
{
    CLEANUP_BUF struct buf old = BUF_INIT;
    CLEANUP_JSON json_t *array = NULL;
    if (farm->root != NULL &&
        file_read(farm->state_dirfd, ROOT_SIGS_FILE, SIGNATURES_SIZE_MAX, &old, NULL) >= 0)
        (void)!json_read(buf_view(&old), ROOT_SIGS_FILE, SIGNATURES_SIZE_MAX, &array, NULL);
    int result = write_signatures(farm, link, array, diag);
    if (result >= 0)
        result = file_write(farm->state_dirfd, ROOT_FILE, buf_view(&link->text), 0644, diag);
    return result < 0 ? result : write_signatures(farm, link, NULL, diag);
}

/* Each link follows the one before it; the first may be any that its own threshold signed. */
static int check_links(struct trust_link *links, size_t count, struct diag *diag)
{
    for (size_t i = 0; i < count; i++) {
        const struct root *old = i > 0 ? links[i - 1].root : NULL;
        int result = trust_link_check(old, &links[i], diag);
        if (result < 0)
            return diag_wrap(diag, result, "root version %lld", (long long)links[i].root->version);
    }
    return 0;
}

/* The last link must follow what is installed: because it does itself, or because one before it in the list is that. */
static int check_follows_installed(const struct farm *farm, const struct trust_link *links, size_t count,
                                   struct diag *diag)
{
    for (size_t i = 0; farm->root != NULL && i < count; i++)
        if (digest_equal(&links[i].root->digest, &farm->root->digest))
            return 0;
    return farm->root != NULL ? trust_link_check(farm->root, &links[0], diag) : 0;
}

static int check_new(const struct farm *farm, const struct root *root, struct diag *diag)
{
    if (root->expires_ms <= moment_wall_ms())
        return diag_set(diag, FARM_E_STALE, "the root expired at %s",
                        moment_format(root->expires_ms).text); /* S5 */
    return journal_check_root(farm, root, diag);
}

/* What is in the chain stays; a version above the installed one is left over from an installation that did not end. */
static int keep_links(struct farm *farm, const struct trust_link *links, size_t count, struct diag *diag)
{
    int result = 0;
    for (size_t i = 0; result >= 0 && i < count; i++) {
        CLEANUP(trust_link_done) struct trust_link kept = {.root = NULL};
        const struct root *root = links[i].root;
        struct view views[ROOT_SIGNATURES_MAX];
        bool is_new = farm->root == NULL || root->version > farm->root->version;
        if (!is_new && trust_chain_read(farm, root->version, &kept, NULL) >= 0) {
            if (!digest_equal(&kept.root->digest, &root->digest))
                return diag_set(diag, FARM_E_EXISTS, "another root of version %lld was installed here",
                                (long long)root->version);
            continue;
        }
        for (size_t k = 0; k < links[i].nsignatures; k++)
            views[k] = view_text(links[i].signatures[k]);
        result = trust_chain_add(farm, root, buf_view(&links[i].text), views, links[i].nsignatures, diag);
    }
    return result;
}

static int become(struct farm *farm, struct trust_link *link, struct diag *diag)
{
    struct logentry entry = {.kind = LOG_ROOT, .version = link->root->version, .sha256 = link->root->digest};
    int result = admission_drop(farm, link->root, diag);
    if (result >= 0)
        result = write_root(farm, link, diag);
    if (result < 0)
        return result;
    root_free(farm->root);
    farm->root = STEAL(link->root);
    (void)journal_add(farm, &entry);
    return 1;
}

int trust_install(struct farm *farm, struct trust_link *links, size_t count, struct diag *diag)
{
    struct trust_link *last = &links[count - 1];
    bool same = farm->root != NULL && digest_equal(&farm->root->digest, &last->root->digest);
    int result = check_links(links, count, diag);
    if (result >= 0 && !same)
        result = check_follows_installed(farm, links, count, diag);
    if (result >= 0 && !same)
        result = check_new(farm, last->root, diag);
    for (size_t i = 0; result >= 0 && i < count; i++)
        trust_link_prune(i > 0 ? links[i - 1].root : farm->root, &links[i]);
    if (result >= 0)
        result = keep_links(farm, links, count, diag);
    return result < 0 || same ? result : become(farm, last, diag);
}

/* ---- the directory ---- */

int trust_publish_directory(struct farm *farm, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct directory *directory = farm->directory;
    const struct directory before = *directory;
    directory->version++;
    directory->previous = directory->digest;
    directory->expires_ms = (moment_wall_ms() + DIRECTORY_LIFETIME_MS) / 1000 * 1000;
    directory_write(directory, &text);
    int result = file_write(farm->state_dirfd, WORKERS_FILE, buf_view(&text), 0644, diag);
    if (result < 0) { /* what is on the disk is still the one before */
        directory->version = before.version;
        directory->previous = before.previous;
        directory->expires_ms = before.expires_ms;
        return result;
    }
    directory->digest = digest_of(buf_view(&text));
    struct logentry entry = {
        .kind = LOG_DIRECTORY, .version = directory->version, .sha256 = directory->digest};
    (void)journal_add(farm, &entry);
    return result;
}

int trust_refresh_directory(struct farm *farm, struct diag *diag)
{
    const struct directory *directory = farm->directory;
    if (directory->nentries == 0 || directory->expires_ms - moment_wall_ms() > DIRECTORY_LIFETIME_MS / 2)
        return 0;
    return trust_publish_directory(farm, diag);
}

int trust_directory_text(const struct farm *farm, struct buf *ret, struct diag *diag)
{
    int result = file_read(farm->state_dirfd, WORKERS_FILE, DIRECTORY_SIZE_MAX, ret, diag);
    struct digest digest = digest_of(buf_view(ret));
    if (result >= 0 && !digest_equal(&digest, &farm->directory->digest))
        return diag_set(diag, FARM_E_CORRUPT, WORKERS_FILE " was changed by somebody else; start again");
    return result;
}

void trust_remove_entry(struct directory *directory, const char *worker)
{
    for (size_t i = 0; i < directory->nentries; i++) {
        if (strcmp(directory->entries[i].worker, worker) != 0)
            continue;
        directory_entry_done(&directory->entries[i]);
        memmove(&directory->entries[i], &directory->entries[i + 1],
                (directory->nentries - i - 1) * sizeof *directory->entries);
        directory->nentries--;
        return;
    }
}
