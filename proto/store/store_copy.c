/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Store: its files elsewhere, for a backup. */
#include "file.h"
#include "frame.h"
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int store_check_stored(int fd, const struct digest *name, struct diag *diag)
{
    enum { CHUNK = 256 * 1024 };
    CLEANUP_FREE char *chunk = mem_alloc(CHUNK);
    struct frame_decoder *decoder = frame_decoder_new(NULL, fd);
    struct hasher *hasher = hasher_new();
    struct diag why = DIAG_INIT;
    ssize_t got;
    while ((got = frame_decode(decoder, chunk, CHUNK, &why)) > 0)
        hasher_add(hasher, chunk, (size_t)got);
    struct digest found = hasher_finish(hasher);
    hasher_free(hasher);
    frame_decoder_free(decoder);
    if (got == FARM_E_SYNTAX || got == -EIO)
        return diag_set(diag, FARM_E_DIGEST, "object %s: %s", digest_hex(name).text, why.text);
    if (got < 0)
        return diag_set(diag, (int)got, "object %s: %s", digest_hex(name).text, why.text);
    return digest_equal(&found, name)
               ? 0
               : diag_set(diag, FARM_E_DIGEST, "object %s: its content has another digest",
                          digest_hex(name).text);
}

/* What is open, and not what may have its name by now. */
static int link_fd(int fd, int dirfd, const char *path)
{
    char self[32];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, self, dirfd, path, AT_SYMLINK_FOLLOW);
}

/* May what an earlier backup has be taken? Not if it is another inode beside ours: one of the two is newer. -1: no. */
static int open_earlier(struct store *store, const struct digest *name, int earlier_dirfd, const char *path)
{
    struct stat ours, earlier;
    if (earlier_dirfd < 0)
        return -1;
    CLEANUP_CLOSE int fd = openat(earlier_dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &earlier) < 0 || !S_ISREG(earlier.st_mode) ||
        fstatat(store->objects, store_object_path(name).text, &ours, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    if (ours.st_dev == earlier.st_dev ? ours.st_ino != earlier.st_ino : ours.st_size != earlier.st_size)
        return -1;
    return STEAL_FD(fd);
}

static bool take_earlier(int fd, const struct digest *name, bool read, int dirfd, const char *path,
                         struct store_copied *ret)
{
    struct diag ignored;
    if (fd < 0)
        return false;
    int result = read ? store_check_stored(fd, name, &ignored) : 0;
    ret->rotten = result == FARM_E_DIGEST;
    if (result < 0 || link_fd(fd, dirfd, path) < 0)
        return false;
    ret->earlier = true;
    ret->read = read;
    return true;
}

/* Plain reads and writes: copy_file_range(2) does not go from one type of file system to another. */
static int copy_bytes(int from, int to, uint64_t size, const char *path, struct diag *diag)
{
    enum { CHUNK = 256 * 1024 };
    CLEANUP_FREE char *chunk = mem_alloc(CHUNK);
    for (uint64_t done = 0; done < size;) {
        ssize_t got = pread(from, chunk, CHUNK, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? diag_errno(diag, "%s: read", path)
                           : diag_set(diag, FARM_E_CORRUPT, "%s: became shorter while it was read", path);
        int result = file_write_all(to, chunk, (size_t)got);
        if (result < 0)
            return diag_set(diag, result, "%s: write: %s", path, farm_error_text(result));
        done += (uint64_t)got;
    }
    return 0;
}

static int copy_file(int from, uint64_t size, int dirfd, const char *path, struct diag *diag)
{
    CLEANUP_CLOSE int to = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    return to < 0 ? diag_errno(diag, "%s", path) : copy_bytes(from, to, size, path, diag);
}

static int take_ours(struct store *store, const struct digest *name, int dirfd, const char *path,
                     uint64_t *ret_bytes, struct diag *diag)
{
    uint64_t size;
    CLEANUP_CLOSE int fd = -1;
    int result = store_open_stored(store, name, &fd, &size, diag);
    if (result < 0)
        return result;
    if (link_fd(fd, dirfd, path) == 0)
        return 0;
    *ret_bytes = size;
    return copy_file(fd, size, dirfd, path, diag);
}

int store_copy_stored(struct store *store, const struct digest *name, int earlier_dirfd, bool read_earlier,
                      int dirfd, const char *path, struct store_copied *ret, struct diag *diag)
{
    CLEANUP_CLOSE int earlier = open_earlier(store, name, earlier_dirfd, path);
    *ret = (struct store_copied){.bytes = 0};
    if (take_earlier(earlier, name, read_earlier, dirfd, path, ret))
        return 0;
    if (ret->rotten) { /* ours may be the same file, verified once, and rotten since */
        int result = store_verify(store, name, diag);
        if (result < 0)
            return result;
    }
    return take_ours(store, name, dirfd, path, &ret->bytes, diag);
}
