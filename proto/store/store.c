/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Store: opening, names, pins, and the two moments that matter: an object appears, an object is found damaged.
 *
 * On fsync. What we promise is that once a caller is told "stored", the object is there after a power failure, and that
 * there is never an object whose bytes are not its name's (but for store_put_derived, which promises neither). Four things can go wrong on a journalling file system, and
 * each has its answer in store_publish or store_open:
 *
 *  1. A rename can reach the disk before the data of the file does (ext4 delays allocation; it only helps out
 *     where a rename replaces something, and ours never do). So the file is synced before it gets its name.
 *  2. The rename itself is only in memory. So the directory is synced after it. All 256 directories are made and
 *     synced when the store is made; otherwise each new one would need its own parent synced, and two threads
 *     would have to agree on who does that.
 *  3. Between 2's rename and its sync, another thread can see the name and build on it ("we have it already").
 *     So names are listed in 'arriving' until the sync is done, and store_has does not admit to them (but goes on
 *     admitting to an object that was durable before, while somebody stores it once more). A second
 *     writer of the same object syncs the directory itself before it reports success.
 *  4. After a crash of this process alone, names that were never synced are still visible, out of the page cache, and
 *     become lies if the power fails next. So opening the store syncs every directory once; clean ones cost nothing.
 *
 * An fsync that fails is final: the kernel drops the dirty pages and the next fsync says success. So the process
 * ends on it (file_sync). What is not synced: removals (an object that reappears after a crash is
 * collected again) and partial transfers (their tail may be zeros after a crash; then the digest is wrong and the
 * transfer starts over).
 */
#include "frame.h"
#include "store_private.h"

#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

enum { FANOUT = 256 };

struct object_path store_object_path(const struct digest *name)
{
    struct digest_hex hex = digest_hex(name);
    struct object_path path;
    memcpy(path.text, hex.text, 2);
    path.text[2] = '/';
    memcpy(path.text + 3, hex.text + 2, DIGEST_HEX_SIZE - 1);
    return path;
}

bool store_parse_object_path(const char *directory, const char *file, struct digest *ret)
{
    char hex[DIGEST_HEX_SIZE + 1];
    if (strlen(directory) != 2 || strlen(file) != DIGEST_HEX_SIZE - 2)
        return false;
    memcpy(hex, directory, 2);
    memcpy(hex + 2, file, DIGEST_HEX_SIZE - 1);
    return digest_parse(view_text(hex), ret);
}

void store_count_up(struct map *counts, const struct digest *name)
{
    struct count *count = map_get(counts, store_key(name));
    if (count == NULL) {
        count = mem_zero(1, sizeof *count);
        map_set(counts, store_key(name), count);
    }
    count->value++;
}

void store_count_down(struct map *counts, const struct digest *name)
{
    struct count *count = map_get(counts, store_key(name));
    if (count == NULL)
        return;
    if (--count->value == 0) {
        map_remove(counts, store_key(name));
        free(count);
    }
}

static struct map *free_values(struct map *map)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(map, &cursor, &key, &value))
        free(value);
    return map_free(map);
}

/* Also syncs each: see point 4 above. */
static int make_fanout(struct store *store, struct diag *diag)
{
    for (int i = 0; i < FANOUT; i++) {
        char name[3];
        snprintf(name, sizeof name, "%02x", i);
        if (mkdirat(store->objects, name, 0700) < 0 && errno != EEXIST)
            return diag_errno(diag, "objects/%s: create directory", name);
        CLEANUP_CLOSE int fd = file_open_dir(store->objects, name, diag);
        int result = fd < 0 ? fd : file_sync(fd, diag);
        if (result < 0)
            return result;
    }
    return file_sync(store->objects, diag);
}

static int clean_incoming(struct store *store, struct diag *diag)
{
    int fd = file_open_dir(store->root, "incoming", diag);
    if (fd < 0)
        return fd;
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        int error = diag_errno(diag, "incoming: read directory");
        close(fd);
        return error;
    }
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (entry->d_name[0] != '.' && !view_ends(view_text(entry->d_name), VIEW(".part")))
            unlinkat(store->incoming, entry->d_name, 0); /* what cannot be removed is found again next time */
    closedir(stream);
    return 0;
}

static int open_lock(struct store *store, struct diag *diag)
{
    store->lock_file = openat(store->root, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (store->lock_file < 0)
        return diag_errno(diag, "lock");
    if (flock(store->lock_file, LOCK_EX | LOCK_NB) == 0) {
        int result = clean_incoming(store, diag);
        if (result >= 0)
            result = make_fanout(store, diag);
        if (result < 0)
            return result;
    }
    while (flock(store->lock_file, LOCK_SH) < 0)
        if (errno != EINTR)
            return diag_errno(diag, "lock");
    return 0;
}

static int open_directory(const struct store *store, const char *name, int *ret_fd, struct diag *diag)
{
    if (mkdirat(store->root, name, 0700) < 0 && errno != EEXIST)
        return diag_errno(diag, "%s: create directory", name);
    int fd = file_open_dir(store->root, name, diag);
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    return 0;
}

static int open_all(struct store *store, int dirfd, const char *path, struct diag *diag)
{
    int result = file_make_dirs(dirfd, path, 0700, diag);
    if (result < 0)
        return result;
    store->root = file_open_dir(dirfd, path, diag);
    if (store->root < 0)
        return store->root;
    if ((result = open_directory(store, "objects", &store->objects, diag)) < 0 ||
        (result = open_directory(store, "incoming", &store->incoming, diag)) < 0 ||
        (result = open_directory(store, "damaged", &store->damaged, diag)) < 0 ||
        (result = open_lock(store, diag)) < 0 || (result = file_sync(store->root, diag)) < 0)
        return result;
    return file_sync_parent(dirfd, path, diag);
}

int store_open(int dirfd, const char *path, int level, struct store **ret, struct diag *diag)
{
    if (level < STORE_LEVEL_MIN || level > STORE_LEVEL_MAX)
        return diag_set(diag, FARM_E_CONFIG, "compression level %d: the store takes %d to %d", level,
                        STORE_LEVEL_MIN, STORE_LEVEL_MAX);
    struct store *store = mem_zero(1, sizeof *store);
    *store = (struct store){
        .root = -1, .objects = -1, .incoming = -1, .damaged = -1, .lock_file = -1, .level = level};
    store->pins = map_new();
    store->arriving = map_new();
    store->verified = map_new();
    store->spares = frame_spares_new();
    pthread_mutex_init(&store->lock, NULL);
    int result = open_all(store, dirfd, path, diag);
    if (result < 0) {
        store_close(store);
        return diag_wrap(diag, result, "store %s", path);
    }
    *ret = store;
    return 0;
}

struct store *store_close(struct store *store)
{
    if (store == NULL)
        return NULL;
    mem_close_p(&store->lock_file);
    mem_close_p(&store->damaged);
    mem_close_p(&store->incoming);
    mem_close_p(&store->objects);
    mem_close_p(&store->root);
    free_values(store->pins);
    free_values(store->arriving);
    free_values(store->verified);
    frame_spares_free(store->spares);
    pthread_mutex_destroy(&store->lock);
    free(store);
    return NULL;
}

void store_pin(struct store *store, const struct digest *name)
{
    pthread_mutex_lock(&store->lock);
    store_count_up(store->pins, name);
    pthread_mutex_unlock(&store->lock);
}

void store_unpin(struct store *store, const struct digest *name)
{
    pthread_mutex_lock(&store->lock);
    store_count_down(store->pins, name);
    pthread_mutex_unlock(&store->lock);
}

bool store_has(struct store *store, const struct digest *name)
{
    pthread_mutex_lock(&store->lock);
    bool arriving = map_get(store->arriving, store_key(name)) != NULL;
    pthread_mutex_unlock(&store->lock);
    return !arriving &&
           faccessat(store->objects, store_object_path(name).text, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool store_is_same_file(const struct verified *entry, const struct stat *status)
{
    return entry->inode == status->st_ino && entry->changed.tv_sec == status->st_ctim.tv_sec &&
           entry->changed.tv_nsec == status->st_ctim.tv_nsec;
}

/*
 * Its grace period begins again; false: it is not there. That sets its change time, which is how a file that was verified is told from one that
 * somebody changed since: so the time is taken along, or a large object would be read once more before it is served. Under the lock.
 */
static bool renew(struct store *store, const struct digest *name)
{
    struct object_path path = store_object_path(name);
    struct verified *entry = map_get(store->verified, store_key(name));
    struct stat status;
    bool was_verified = entry != NULL &&
                        fstatat(store->objects, path.text, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                        store_is_same_file(entry, &status);
    if (utimensat(store->objects, path.text, NULL, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (was_verified && fstatat(store->objects, path.text, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_ino == entry->inode)
        entry->changed = status.st_ctim;
    return true;
}

bool store_refresh(struct store *store, const struct digest *name)
{
    pthread_mutex_lock(&store->lock);
    bool there = map_get(store->arriving, store_key(name)) == NULL && renew(store, name);
    pthread_mutex_unlock(&store->lock);
    return there;
}

int store_new_file(struct store *store, char **ret_name, int *ret_fd, struct diag *diag)
{
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        abort();
    char *name = mem_format("%016llx.tmp", (unsigned long long)number);
    int fd = openat(store->incoming, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        int error = diag_errno(diag, "store: incoming/%s: create", name);
        free(name);
        return error;
    }
    *ret_name = name;
    *ret_fd = fd;
    return 0;
}

/* The file is exactly what was just hashed. The rename has set its change time, so this comes after it. */
static void remember_verified(struct store *store, const struct digest *name, int fd)
{
    struct stat status;
    struct verified *entry = mem_zero(1, sizeof *entry);
    if (fstat(fd, &status) == 0)
        *entry = (struct verified){status.st_ino, status.st_ctim};
    free(map_set(store->verified, store_key(name), entry));
}

/*
 * Gives the file its name, or finds that the object exists, which is success too: 1 if its directory is still to be
 * synced, 0 if the object was durable before. Then it never ceases to be there for others.
 */
static int link_in(struct store *store, const char *file, int fd, const struct digest *name, bool pin,
                   struct diag *diag)
{
    struct object_path path = store_object_path(name);
    int result = 1;
    pthread_mutex_lock(&store->lock);
    if (renameat2(store->incoming, file, store->objects, path.text, RENAME_NOREPLACE) == 0) {
        remember_verified(store, name, fd);
    } else if (errno == EEXIST) {
        (void)renew(store, name);
        unlinkat(store->incoming, file, 0);
        result = map_get(store->arriving, store_key(name)) != NULL;
    } else {
        result = diag_errno(diag, "store: objects/%s: rename", path.text);
    }
    if (result > 0)
        store_count_up(store->arriving, name);
    if (result >= 0 && pin)
        store_count_up(store->pins, name);
    pthread_mutex_unlock(&store->lock);
    return result;
}

static int sync_fanout(struct store *store, const struct digest *name, struct diag *diag)
{
    char directory[3] = {0};
    memcpy(directory, store_object_path(name).text, 2);
    CLEANUP_CLOSE int fd = file_open_dir(store->objects, directory, diag);
    return fd < 0 ? fd : file_sync(fd, diag);
}

int store_publish(struct store *store, const char *file, int fd, const struct digest *name, bool durable,
                  bool pin, struct diag *diag)
{
    if (fchmod(fd, 0444) < 0 || futimens(fd, NULL) < 0)
        return diag_errno(diag, "store: incoming/%s: chmod", file);
    int result = durable ? file_sync(fd, diag) : 0;
    if (result >= 0)
        result = link_in(store, file, fd, name, pin, diag);
    if (result <= 0)
        return result;
    result = durable ? sync_fanout(store, name, diag) : 0;
    pthread_mutex_lock(&store->lock);
    store_count_down(store->arriving, name);
    if (result < 0 && pin)
        store_count_down(store->pins, name);
    pthread_mutex_unlock(&store->lock);
    return result;
}

int store_open_object(struct store *store, const struct digest *name, struct diag *diag)
{
    struct object_path path = store_object_path(name);
    int fd = openat(store->objects, path.text, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (errno == ENOENT)
        return diag_set(diag, FARM_E_MISSING, "object %s is not in the store", digest_hex(name).text);
    return diag_errno(diag, "object %s: open", digest_hex(name).text);
}

int store_move_aside(struct store *store, const struct digest *name, int fd, const char *why,
                     struct diag *diag)
{
    struct object_path path = store_object_path(name);
    struct stat opened, present;
    CLEANUP_FREE char *aside = mem_format("%s.%lld", digest_hex(name).text, (long long)time(NULL));
    pthread_mutex_lock(&store->lock);
    /* Another reader may have found it first, and a sound copy may have taken its place: look at what is moved. */
    bool same = fstat(fd, &opened) == 0 &&
                fstatat(store->objects, path.text, &present, AT_SYMLINK_NOFOLLOW) == 0 &&
                opened.st_ino == present.st_ino && opened.st_dev == present.st_dev;
    if (same)
        same = renameat(store->objects, path.text, store->damaged, aside) == 0;
    pthread_mutex_unlock(&store->lock);
    return diag_set(diag, FARM_E_CORRUPT,
                    "object %s is damaged (%s)%s%s; fetch or build it again, and check the disk",
                    digest_hex(name).text, why, same ? "; moved to damaged/" : "", same ? aside : "");
}
