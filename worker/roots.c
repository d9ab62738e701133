/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "roots.h"

#include "closure.h"
#include "farmlog.h"
#include "file.h"
#include "once.h"
#include "sandbox.h"
#include "statedir.h"
#include "sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct roots {
    int state_dirfd;     /* borrowed */
    struct store *store; /* borrowed */
    struct once *once;   /* key: the directory's name; value: the path of its root, owned */
};

/* ---- what is there at start ---- */

struct found {
    char *name;
    uint64_t bytes;
    struct timespec used;
};

static int by_use(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return (x->used.tv_nsec > y->used.tv_nsec) - (x->used.tv_nsec < y->used.tv_nsec);
}

static char *root_path(const char *name)
{
    return mem_format(STATEDIR_ROOTS "/%s/root", name);
}

/* Complete is what has a readable "bytes"; anything else goes. */
static bool read_found(int dirfd, const char *name, struct found *ret)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_FREE char *path = mem_format("%s/bytes", name);
    struct stat status;
    struct diag ignored;
    if (file_read(dirfd, path, 32, &text, &ignored) < 0 ||
        fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !view_decimal(buf_view(&text), &ret->bytes))
        return false;
    ret->name = mem_string(name);
    ret->used = status.st_mtim;
    return true;
}

static int find_all(struct roots *roots, struct diag *diag)
{
    int fd = file_open_dir(roots->state_dirfd, STATEDIR_ROOTS, diag);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        mem_close_p(&fd);
        return diag_set(diag, -EIO, STATEDIR_ROOTS ": cannot be read");
    }
    struct found *list = NULL;
    size_t count = 0, capacity = 0;
    int error = 0;
    for (struct dirent *entry; error >= 0 && (entry = readdir(stream)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        list = mem_reserve(list, &capacity, count + 1, sizeof *list);
        if (read_found(fd, entry->d_name, &list[count]))
            count++;
        else
            error = sandbox_remove_tree(fd, entry->d_name, diag);
    }
    closedir(stream);
    if (count > 1)
        qsort(list, count, sizeof *list, by_use);
    for (size_t i = 0; i < count; i++) {
        once_seed(roots->once, list[i].name, root_path(list[i].name), list[i].bytes);
        free(list[i].name);
    }
    free(list);
    return error;
}

int roots_open(int state_dirfd, struct store *store, struct roots **ret, struct diag *diag)
{
    int error = sweep_temporary(state_dirfd, STATEDIR_ROOTS, diag);
    if (error < 0)
        return error;
    struct roots *roots = mem_zero(1, sizeof *roots);
    *roots = (struct roots){state_dirfd, store, once_new()};
    error = find_all(roots, diag);
    if (error < 0) {
        roots_close(roots);
        return error;
    }
    *ret = roots;
    return 0;
}

struct roots *roots_close(struct roots *roots)
{
    if (roots != NULL) {
        once_free(roots->once, free);
        free(roots);
    }
    return NULL;
}

/* ---- making ---- */

/* One root being made: everything that the steps below share. */
struct making {
    struct roots *roots;
    struct fetch *fetch;
    const struct payload *base;
    const struct roots_layer *layers; /* none: the base itself */
    size_t nlayers;
    struct manifest *manifests; /* of the layers */
    struct closure_removals removals;
    uint64_t bytes;
};

static void count_bytes(struct making *making, const struct manifest *manifest)
{
    enum { BLOCK = 4096 }; /* what an entry costs at least */
    for (size_t i = 0; i < manifest->count; i++)
        making->bytes += BLOCK + (manifest->entries[i].type == ENTRY_FILE ? manifest->entries[i].size : 0);
}

static int read_manifest(struct making *making, const struct payload *payload, const char *what,
                         struct manifest *ret, struct diag *diag)
{
    CLEANUP_FREE char *name = mem_format("the manifest of %s", what);
    int error = fetch_object(making->fetch, &payload->manifest, MANIFEST_SIZE_MAX, name, diag);
    if (error >= 0)
        error = payload_manifest(making->roots->store, &payload->manifest, ret, diag);
    return error;
}

/* What the coordinator called the tar is a hint; that it is not the manifest's is a wrong input, and no rule
 * of ours. */
static int lay(struct making *making, const struct payload *payload, const char *what, int dirfd,
               struct diag *diag)
{
    CLEANUP_FREE char *name = mem_format("the archive of %s", what);
    struct payload whole = *payload;
    int error = fetch_object(making->fetch, &payload->tar, STORE_OBJECT_MAX, name, diag);
    if (error >= 0)
        error = store_size(making->roots->store, &payload->tar, &whole.tar_size, diag);
    if (error >= 0)
        error = payload_unpack(making->roots->store, &whole, dirfd, true, diag);
    if (error == FARM_E_REFUSED || error == FARM_E_SYNTAX)
        return diag_set(diag, FARM_E_DIGEST,
                        "%s: what was offered as its archive is not what its manifest says", what);
    return error;
}

static int remove_superseded(const struct making *making, size_t layer, int dirfd, struct diag *diag)
{
    for (size_t i = 0; i < making->removals.count; i++) {
        const struct closure_removal *removal = &making->removals.items[i];
        CLEANUP_FREE char *path = view_string(removal->path);
        if (removal->layer == layer && unlinkat(dirfd, path, 0) < 0)
            return diag_errno(diag, "./%s: remove what is superseded", path);
    }
    return 0;
}

static int lay_layers(struct making *making, int dirfd, struct diag *diag)
{
    int error = 0;
    for (size_t i = 0; error >= 0 && i < making->nlayers; i++) {
        error = remove_superseded(making, i, dirfd, diag);
        if (error >= 0)
            error = lay(making, &making->layers[i].payload, making->layers[i].package, dirfd, diag);
    }
    return error;
}

static int write_bytes(const struct making *making, int dirfd, struct diag *diag)
{
    CLEANUP_FREE char *text = mem_format("%llu", (unsigned long long)making->bytes);
    if (syncfs(dirfd) < 0)
        return diag_errno(diag, "sync the unpacked root");
    return file_write(dirfd, "bytes", view_text(text), 0600, diag);
}

static int fill(struct making *making, const char *temp, struct diag *diag)
{
    CLEANUP_CLOSE int fd = file_open_dir(making->roots->state_dirfd, temp, diag);
    if (fd < 0)
        return fd;
    if (mkdirat(fd, "root", 0755) < 0)
        return diag_errno(diag, "%s/root: create directory", temp);
    CLEANUP_CLOSE int root = file_open_dir(fd, "root", diag);
    if (root < 0)
        return root;
    int error = making->nlayers == 0 ? lay(making, making->base, "the base", root, diag)
                                     : lay_layers(making, root, diag);
    return error >= 0 ? write_bytes(making, fd, diag) : error;
}

static int make_directory(struct making *making, const char *name, struct diag *diag)
{
    CLEANUP_FREE char *temp = NULL;
    CLEANUP_FREE char *path = mem_format(STATEDIR_ROOTS "/%s", name);
    int dirfd = making->roots->state_dirfd;
    int error = file_temp_dir(dirfd, STATEDIR_ROOTS "/new", &temp, diag);
    if (error < 0)
        return error;
    error = fill(making, temp, diag);
    if (error >= 0 && renameat(dirfd, temp, dirfd, path) < 0)
        error = diag_errno(diag, "%s: rename", path);
    struct diag why = DIAG_INIT;
    if (error < 0 && sandbox_remove_tree(dirfd, temp, &why) < 0)
        log_warning("%s is left over: %s", temp, why.text);
    return error;
}

static int check_layers(struct making *making, const struct manifest *base, struct diag *diag)
{
    struct closure_layer *layers = mem_zero(making->nlayers, sizeof *layers);
    for (size_t i = 0; i < making->nlayers; i++)
        layers[i] = (struct closure_layer){making->layers[i].package, &making->manifests[i],
                                           making->layers[i].supersedes, making->layers[i].nsupersedes};
    int error = closure_check(base, layers, making->nlayers, &making->removals, diag);
    free(layers);
    return error;
}

static int read_manifests(struct making *making, struct diag *diag)
{
    struct manifest base = MANIFEST_INIT;
    int error = read_manifest(making, making->base, "the base", &base, diag);
    for (size_t i = 0; error >= 0 && i < making->nlayers; i++) {
        error = read_manifest(making, &making->layers[i].payload, making->layers[i].package,
                              &making->manifests[i], diag);
        if (error >= 0)
            count_bytes(making, &making->manifests[i]);
    }
    if (error >= 0 && making->nlayers == 0)
        count_bytes(making, &base);
    if (error >= 0 && making->nlayers > 0)
        error = check_layers(making, &base, diag);
    manifest_done(&base);
    return error;
}

static int make(struct making *making, const char *name, struct diag *diag)
{
    making->manifests = mem_zero(making->nlayers + 1, sizeof *making->manifests);
    int error = read_manifests(making, diag);
    if (error >= 0)
        error = make_directory(making, name, diag);
    for (size_t i = 0; i < making->nlayers; i++)
        manifest_done(&making->manifests[i]);
    free(making->manifests);
    closure_removals_done(&making->removals);
    return error;
}

/* The order of use survives a restart as the directory's time. */
static void note_use(const struct roots *roots, const char *name)
{
    CLEANUP_FREE char *path = mem_format(STATEDIR_ROOTS "/%s", name);
    if (utimensat(roots->state_dirfd, path, NULL, AT_SYMLINK_NOFOLLOW) < 0)
        log_debug("%s: cannot set its time: %s", path, strerror(errno));
}

static int use(struct making *making, const char *name, struct roots_use *ret, struct diag *diag)
{
    bool mine;
    struct roots *roots = making->roots;
    struct once_entry *entry = once_enter(roots->once, name, &mine);
    if (mine) {
        int error = make(making, name, diag);
        if (error < 0) {
            once_failed(roots->once, entry);
            return error;
        }
        once_made(roots->once, entry, root_path(name), making->bytes);
    } else {
        note_use(roots, name);
    }
    *ret = (struct roots_use){entry, entry->value};
    return 0;
}

int roots_base(struct roots *roots, struct fetch *fetch, const struct payload *base, struct roots_use *ret,
               struct diag *diag)
{
    struct making making = {.roots = roots, .fetch = fetch, .base = base};
    CLEANUP_FREE char *name = mem_format("base-%s", digest_hex(&base->manifest).text);
    return use(&making, name, ret, diag);
}

static struct digest closure_digest(const struct payload *base, const struct roots_layer *layers,
                                    size_t nlayers)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    buf_add_format(&text, "closure 1\n%s\n", digest_hex(&base->manifest).text);
    for (size_t i = 0; i < nlayers; i++) {
        buf_add_format(&text, "%s %s", digest_hex(&layers[i].payload.manifest).text, layers[i].package);
        for (size_t k = 0; k < layers[i].nsupersedes; k++)
            buf_add_format(&text, " %s", layers[i].supersedes[k]);
        buf_add_byte(&text, '\n');
    }
    return digest_of(buf_view(&text));
}

int roots_closure(struct roots *roots, struct fetch *fetch, const struct payload *base,
                  const struct roots_layer *layers, size_t nlayers, struct roots_use *ret, struct diag *diag)
{
    if (nlayers == 0) {
        *ret = (struct roots_use){0};
        return 0;
    }
    struct making making = {
        .roots = roots, .fetch = fetch, .base = base, .layers = layers, .nlayers = nlayers};
    struct digest digest = closure_digest(base, layers, nlayers);
    CLEANUP_FREE char *name = mem_format("closure-%s", digest_hex(&digest).text);
    return use(&making, name, ret, diag);
}

void roots_leave(struct roots *roots, struct roots_use *use)
{
    once_leave(roots->once, use->entry);
    *use = (struct roots_use){0};
}

/* ---- eviction ---- */

int roots_trim(struct roots *roots, uint64_t limit, struct diag *diag)
{
    int error = 0;
    while (error >= 0 && once_bytes(roots->once) > limit) {
        struct once_entry *oldest = once_evict(roots->once);
        if (oldest == NULL)
            break;
        CLEANUP_FREE char *path = mem_format(STATEDIR_ROOTS "/%s", oldest->key);
        log_event(LOG_LEVEL_INFO, "removing an unpacked root to stay below the cache limit",
                  log_text(FIELD_OBJECT, oldest->key), log_number(FIELD_BYTES, (int64_t)oldest->bytes));
        error = sandbox_remove_tree(roots->state_dirfd, path, diag);
        free(STEAL(oldest->value));
        once_failed(roots->once, oldest);
    }
    return error;
}

uint64_t roots_bytes(struct roots *roots)
{
    return once_bytes(roots->once);
}
