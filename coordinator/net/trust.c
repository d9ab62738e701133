/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Trust: the installed root and the directory of admitted workers, as files in the state directory:
 *
 *     root.json  root.json.sigs (a JSON array of armored signatures)  workers.json
 *
 * The files are written before the database says so; they are signed, so a newer one than the database knows
 * is no harm.
 */
#include "farm.h"

#include "farmlog.h"
#include "file.h"
#include "json.h"

#include <errno.h>
#include <stdlib.h>

#define ROOT_FILE      "root.json"
#define ROOT_SIGS_FILE "root.json.sigs"
#define WORKERS_FILE   "workers.json"
enum { SIGNATURES_SIZE_MAX = ROOT_SIGNATURES_MAX * (SSHSIG_ARMOR_MAX + 1024) };
/* How long a directory stays valid without being published again. */
#define DIRECTORY_LIFETIME_MS ((int64_t)90 * 24 * 3600 * 1000)

static size_t signature_views(const json_t *array, struct view views[ROOT_SIGNATURES_MAX])
{
    size_t count = 0, index;
    json_t *item;
    json_array_foreach(array, index, item) if (json_is_string(item) && count < ROOT_SIGNATURES_MAX)
        views[count++] = view_text(json_string_value(item));
    return count;
}

static int load_root(struct farm *farm, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT, sigs = BUF_INIT;
    CLEANUP_JSON json_t *array = NULL;
    CLEANUP_ROOT struct root *root = NULL;
    struct view views[ROOT_SIGNATURES_MAX];
    int result = file_read(farm->state_dirfd, ROOT_FILE, ROOT_SIZE_MAX, &text, diag);
    if (result == -ENOENT)
        return 0;
    if (result >= 0)
        result = file_read(farm->state_dirfd, ROOT_SIGS_FILE, SIGNATURES_SIZE_MAX, &sigs, diag);
    if (result >= 0)
        result = json_read(buf_view(&sigs), ROOT_SIGS_FILE, SIGNATURES_SIZE_MAX, &array, diag);
    if (result >= 0)
        result = root_parse(buf_view(&text), ROOT_FILE, &root, diag);
    if (result >= 0)
        result = root_check(NULL, root, buf_view(&text), views, signature_views(array, views), diag);
    if (result < 0)
        return diag_wrap(diag, result, "installed trust root");
    if (root->expires_ms <= moment_wall_ms())
        log_warning("the trust root expired at %s: nobody is admitted and nothing is built until a new one "
                    "is installed (\"farmctl root install\")",
                    moment_format(root->expires_ms).text);
    farm->root = STEAL(root);
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

static int write_signatures(struct farm *farm, const struct view *signatures, size_t count,
                            const json_t *more, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *array = json_array();
    size_t index;
    json_t *item;
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_view(signatures[i]));
    json_array_foreach(more, index, item) if (json_array_size(array) < ROOT_SIGNATURES_MAX)
        json_array_append(array, item);
    json_write(array, &text);
    return file_write(farm->state_dirfd, ROOT_SIGS_FILE, buf_view(&text), 0600, diag);
}

/* Two files cannot change at once: in between, the signatures of the old root and of the new one stand together,
 * so that a crash leaves a root with its own. Those of the other one do not count, and do no harm. */
static int write_root(struct farm *farm, struct view text, const struct view *signatures, size_t count,
                      struct diag *diag)
{
    CLEANUP_BUF struct buf old = BUF_INIT;
    CLEANUP_JSON json_t *array = NULL;
    if (farm->root != NULL &&
        file_read(farm->state_dirfd, ROOT_SIGS_FILE, SIGNATURES_SIZE_MAX, &old, NULL) >= 0)
        (void)!json_read(buf_view(&old), ROOT_SIGS_FILE, SIGNATURES_SIZE_MAX, &array, NULL);
    int result = write_signatures(farm, signatures, count, array, diag);
    if (result >= 0)
        result = file_write(farm->state_dirfd, ROOT_FILE, text, 0644, diag);
    return result < 0 ? result : write_signatures(farm, signatures, count, NULL, diag);
}

/* The same root again is no change; another one must follow the installed one by the rules. */
int trust_install(struct farm *farm, struct view root_text, const struct view *signatures, size_t nsignatures,
                  struct diag *diag)
{
    CLEANUP_ROOT struct root *root = NULL;
    int result = root_parse(root_text, ROOT_FILE, &root, diag);
    if (result < 0)
        return result;
    if (farm->root != NULL && digest_equal(&farm->root->digest, &root->digest))
        return 0;
    if (root->expires_ms <= moment_wall_ms())
        return diag_set(diag, FARM_E_STALE, "the root expired at %s", moment_format(root->expires_ms).text);
    result = root_check(farm->root, root, root_text, signatures, nsignatures, diag);
    if (result >= 0)
        result = admission_drop(farm, root, diag);
    if (result >= 0)
        result = write_root(farm, root_text, signatures, nsignatures, diag);
    if (result < 0)
        return result;
    root_free(farm->root);
    farm->root = STEAL(root);
    return 1;
}

int trust_publish_directory(struct farm *farm, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct directory *directory = farm->directory;
    directory->version++;
    directory->previous = directory->digest;
    directory->expires_ms = (moment_wall_ms() + DIRECTORY_LIFETIME_MS) / 1000 * 1000;
    directory_write(directory, &text);
    directory->digest = digest_of(buf_view(&text));
    return file_write(farm->state_dirfd, WORKERS_FILE, buf_view(&text), 0644, diag);
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
