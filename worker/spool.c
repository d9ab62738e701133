/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "spool.h"

#include "farmlog.h"
#include "file.h"
#include "json.h"
#include "statedir.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define FORMAT "intergenos-spool/1"

struct nonce_text spool_nonce_text(const struct lease_nonce *nonce)
{
    struct nonce_text text = {{0}};
    hex_encode(nonce->bytes, sizeof nonce->bytes, text.text);
    return text;
}

struct spool_entry *spool_entry_free(struct spool_entry *entry)
{
    if (entry != NULL) {
        free(entry->node);
        free(entry->envelope);
        free(entry);
    }
    return NULL;
}

static void entry_free_p(struct spool_entry **entry)
{
    spool_entry_free(*entry);
}

void spool_entry_write(const struct spool_entry *entry, struct buf *ret)
{
    CLEANUP_JSON json_t *json = json_object();
    json_object_set_new(json, "format", json_string(FORMAT));
    json_object_set_new(json, "nonce", json_string(spool_nonce_text(&entry->nonce).text));
    json_object_set_new(json, "job", json_digest(&entry->job));
    json_object_set_new(json, "failure", json_string(failure_kind_name(entry->failure)));
    json_object_set_new(json, "node", json_view(view_text(entry->node)));
    json_object_set_new(json, "manifest", json_digest(&entry->manifest));
    json_object_set_new(json, "tar", json_digest(&entry->tar));
    json_object_set_new(json, "log", json_digest(&entry->log));
    json_object_set_new(json, "envelope", json_view(view_text(entry->envelope)));
    json_write(json, ret);
}

static int read_digests(const json_t *json, const char *name, struct spool_entry *entry, struct diag *diag)
{
    int error = json_get_digest(json, name, "job", &entry->job, diag);
    if (error >= 0)
        error = json_get_digest(json, name, "manifest", &entry->manifest, diag);
    if (error >= 0)
        error = json_get_digest(json, name, "tar", &entry->tar, diag);
    return error >= 0 ? json_get_digest(json, name, "log", &entry->log, diag) : error;
}

static int read_texts(const json_t *json, const char *name, struct spool_entry *entry, struct diag *diag)
{
    const char *format = NULL, *nonce = NULL, *failure = NULL, *node = NULL, *envelope = NULL;
    const struct {
        const char *key, **text;
    } texts[] = {{"format", &format},
                 {"nonce", &nonce},
                 {"failure", &failure},
                 {"node", &node},
                 {"envelope", &envelope}};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        int error = json_get_text(json, name, texts[i].key, texts[i].text, diag);
        if (error < 0)
            return error;
    }
    int kind = failure_kind_parse(view_text(failure));
    if (strcmp(format, FORMAT) != 0 || kind < 0 ||
        !hex_decode(view_text(nonce), entry->nonce.bytes, sizeof entry->nonce.bytes))
        return diag_set(diag, FARM_E_SYNTAX, "%s: not an answer in the form " FORMAT, name);
    entry->failure = (enum failure_kind)kind;
    entry->node = mem_string(node);
    entry->envelope = mem_string(envelope);
    return 0;
}

int spool_entry_parse(struct view text, const char *name, struct spool_entry **ret, struct diag *diag)
{
    static const char *const known[] = {"envelope", "failure", "format", "job", "log",
                                        "manifest", "node",    "nonce",  "tar", NULL};
    CLEANUP_JSON json_t *json = NULL;
    CLEANUP(entry_free_p) struct spool_entry *entry = mem_zero(1, sizeof *entry);
    int error = json_read(text, name, SPOOL_FILE_MAX, &json, diag);
    if (error >= 0)
        error = json_only_keys(json, name, known, diag);
    if (error >= 0)
        error = read_digests(json, name, entry, diag);
    if (error >= 0)
        error = read_texts(json, name, entry, diag);
    if (error >= 0)
        *ret = STEAL(entry);
    return error;
}

static char *path_of(const struct lease_nonce *nonce)
{
    return mem_format(STATEDIR_SPOOL "/%s.json", spool_nonce_text(nonce).text);
}

int spool_put(int state_dirfd, const struct spool_entry *entry, struct diag *diag)
{
    CLEANUP_FREE char *path = path_of(&entry->nonce);
    CLEANUP_BUF struct buf text = BUF_INIT;
    spool_entry_write(entry, &text);
    return file_write(state_dirfd, path, buf_view(&text), 0600, diag);
}

/* Not synced: an answer that comes back after a power cut is sent once more, and acknowledged as a duplicate.
 */
int spool_remove(int state_dirfd, const struct lease_nonce *nonce, struct diag *diag)
{
    CLEANUP_FREE char *path = path_of(nonce);
    if (unlinkat(state_dirfd, path, 0) < 0 && errno != ENOENT)
        return diag_errno(diag, "%s: remove", path);
    return 0;
}

static int read_entry(int dirfd, const char *name, struct spool_entry **ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int error = file_read(dirfd, name, SPOOL_FILE_MAX, &text, diag);
    return error < 0 ? error : spool_entry_parse(buf_view(&text), name, ret, diag);
}

static void set_aside(int dirfd, const char *name, const struct diag *why)
{
    CLEANUP_FREE char *aside = mem_format("%s.damaged", name);
    log_error("an answer in the spool cannot be read and is set aside as spool/%s: %s", aside, why->text);
    if (renameat(dirfd, name, dirfd, aside) < 0)
        log_error("spool/%s: rename: %s", name, strerror(errno));
}

static int by_nonce(const void *a, const void *b)
{
    const struct spool_entry *const *x = a, *const *y = b;
    return memcmp((*x)->nonce.bytes, (*y)->nonce.bytes, STATEMENT_NONCE_SIZE);
}

int spool_load(int state_dirfd, struct spool_entry ***ret, size_t *ret_count, struct diag *diag)
{
    int fd = file_open_dir(state_dirfd, STATEDIR_SPOOL, diag);
    if (fd < 0)
        return fd;
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        close(fd);
        return diag_set(diag, -ENOMEM, STATEDIR_SPOOL ": read directory");
    }
    struct spool_entry **list = NULL;
    size_t count = 0, capacity = 0;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        struct diag why = DIAG_INIT;
        struct spool_entry *read = NULL;
        if (strstr(entry->d_name, ".tmp-") != NULL)
            unlinkat(fd, entry->d_name, 0); /* a write that never came to its end */
        if (!view_ends(view_text(entry->d_name), VIEW(".json")))
            continue;
        if (read_entry(fd, entry->d_name, &read, &why) < 0) {
            set_aside(fd, entry->d_name, &why);
            continue;
        }
        list = mem_reserve(list, &capacity, count + 1, sizeof(struct spool_entry *));
        list[count++] = read;
    }
    closedir(stream);
    if (count > 1)
        qsort(list, count, sizeof(struct spool_entry *), by_nonce);
    *ret = list;
    *ret_count = count;
    return 0;
}
