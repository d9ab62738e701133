/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Store, walking and collecting. */
#include "file.h"
#include "moment.h"
#include "store_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

typedef int visit_file(void *context, const char *name, const struct stat *status, struct diag *diag);

/* Regular files of one directory. One that vanishes meanwhile is passed over. */
static int each_file(int parent, const char *directory, visit_file *visit, void *context, struct diag *diag)
{
    int fd = file_open_dir(parent, directory, diag);
    if (fd < 0)
        return fd;
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        int error = diag_errno(diag, "%s: read directory", directory);
        close(fd);
        return error;
    }
    int result = 0;
    for (const struct dirent *entry; result >= 0 && (entry = readdir(stream)) != NULL;) {
        struct stat status;
        if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
            result = visit(context, entry->d_name, &status, diag);
    }
    closedir(stream);
    return result;
}

typedef int visit_object(void *context, const struct digest *name, const struct stat *status);

struct object_walk {
    const char *directory;
    visit_object *visit;
    void *context;
};

static int visit_object_file(void *context, const char *name, const struct stat *status, struct diag *diag)
{
    const struct object_walk *walk = context;
    struct digest digest;
    if (!store_parse_object_path(walk->directory, name, &digest))
        return 0; /* not ours */
    int result = walk->visit(walk->context, &digest, status);
    return result < 0
               ? diag_set(diag, result, "object %s: %s", digest_hex(&digest).text, farm_error_text(result))
               : 0;
}

static int each_object(struct store *store, visit_object *visit, void *context, struct diag *diag)
{
    int result = 0;
    for (int i = 0; result >= 0 && i < 256; i++) {
        char directory[3];
        snprintf(directory, sizeof directory, "%02x", i);
        struct object_walk walk = {directory, visit, context};
        result = each_file(store->objects, directory, visit_object_file, &walk, diag);
    }
    return result;
}

struct each {
    int (*visit)(void *context, const struct digest *name, uint64_t stored_size);
    void *context;
};

static int visit_each(void *context, const struct digest *name, const struct stat *status)
{
    const struct each *each = context;
    return each->visit(each->context, name, (uint64_t)status->st_size);
}

int store_each(struct store *store,
               int (*visit)(void *context, const struct digest *name, uint64_t stored_size), void *context,
               struct diag *diag)
{
    struct each each = {visit, context};
    return each_object(store, visit_each, &each, diag);
}

struct usage {
    uint64_t bytes;
    size_t objects;
};

static int visit_usage(void *context, const struct digest *name, const struct stat *status)
{
    struct usage *usage = context;
    (void)name;
    usage->bytes += (uint64_t)status->st_size;
    usage->objects++;
    return 0;
}

int store_usage(struct store *store, uint64_t *ret_bytes, size_t *ret_objects, struct diag *diag)
{
    struct usage usage = {0};
    int result = each_object(store, visit_usage, &usage, diag);
    if (result < 0)
        return result;
    if (ret_bytes != NULL)
        *ret_bytes = usage.bytes;
    if (ret_objects != NULL)
        *ret_objects = usage.objects;
    return 0;
}

struct collection {
    struct store *store;
    bool (*keep)(void *context, const struct digest *name);
    void *context;
    int64_t before_ms; /* only what was stored before this */
    size_t removed;
    uint64_t bytes;
};

static bool is_old(const struct collection *collection, const struct stat *status)
{
    return (int64_t)status->st_mtim.tv_sec * 1000 + status->st_mtim.tv_nsec / 1000000 < collection->before_ms;
}

/*
 * Pins and the renewing of an object's age happen under the same lock, so whoever was told "we have it" since the walk saw
 * the object is seen here.
 */
static bool remove_object(struct collection *collection, const struct digest *name)
{
    struct store *store = collection->store;
    struct object_path path = store_object_path(name);
    struct stat status;
    pthread_mutex_lock(&store->lock);
    bool gone = map_get(store->pins, store_key(name)) == NULL &&
                map_get(store->arriving, store_key(name)) == NULL &&
                fstatat(store->objects, path.text, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                is_old(collection, &status) && unlinkat(store->objects, path.text, 0) == 0;
    if (gone)
        free(map_remove(store->verified, store_key(name)));
    pthread_mutex_unlock(&store->lock);
    return gone;
}

static int collect_object(void *context, const struct digest *name, const struct stat *status)
{
    struct collection *collection = context;
    if (!is_old(collection, status) || collection->keep(collection->context, name))
        return 0;
    if (remove_object(collection, name)) {
        collection->removed++;
        collection->bytes += (uint64_t)status->st_size;
    }
    return 0;
}

static int collect_partial(void *context, const char *name, const struct stat *status, struct diag *diag)
{
    struct collection *collection = context;
    (void)diag;
    if (!view_ends(view_text(name), VIEW(".part")) || !is_old(collection, status))
        return 0;
    CLEANUP_CLOSE int fd = openat(collection->store->incoming, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return 0; /* gone, or being received */
    if (unlinkat(collection->store->incoming, name, 0) == 0) {
        collection->removed++;
        collection->bytes += (uint64_t)status->st_size;
    }
    return 0;
}

/* Their names end in when they were found: "<digest>.<seconds>". */
static int collect_damaged(void *context, const char *name, const struct stat *status, struct diag *diag)
{
    struct collection *collection = context;
    const char *dot = strrchr(name, '.');
    uint64_t found;
    (void)diag;
    if (dot == NULL || !view_decimal(view_text(dot + 1), &found) ||
        moment_wall_ms() / 1000 - (int64_t)found < STORE_DAMAGED_KEPT_S)
        return 0;
    if (unlinkat(collection->store->damaged, name, 0) == 0) {
        collection->removed++;
        collection->bytes += (uint64_t)status->st_size;
    }
    return 0;
}

int store_collect(struct store *store, bool (*keep)(void *context, const struct digest *name), void *context,
                  int64_t grace_ms, size_t *ret_removed, uint64_t *ret_bytes, struct diag *diag)
{
    struct collection collection = {
        .store = store, .keep = keep, .context = context, .before_ms = moment_wall_ms() - grace_ms};
    int result = each_object(store, collect_object, &collection, diag);
    if (result >= 0)
        result = each_file(store->root, "incoming", collect_partial, &collection, diag);
    if (result >= 0)
        result = each_file(store->root, "damaged", collect_damaged, &collection, diag);
    if (result < 0)
        return result;
    if (ret_removed != NULL)
        *ret_removed = collection.removed;
    if (ret_bytes != NULL)
        *ret_bytes = collection.bytes;
    return 0;
}
