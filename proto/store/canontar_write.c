/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Canonical tar, the writing half. */
#include "beneath.h"
#include "canontar.h"
#include "tarhead.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024 }; /* the system call does not show, and it stays in the L2 cache */

static const char zeros[2 * TAR_BLOCK];

struct writer {
    canontar_sink *sink;
    void *context;
    int dirfd;
    struct hasher *hasher;
    char *chunk;
    struct diag *diag;
};

static int put(const struct writer *writer, const void *data, size_t size)
{
    return size > 0 ? writer->sink(writer->context, data, size) : 0;
}

static int changed(const struct writer *writer, const struct entry *entry, const char *what)
{
    CLEANUP_FREE char *why = mem_format("%s is not the manifest's: the tree changed after the scan", what);
    manifest_refuse(entry->path, why, writer->diag);
    if (writer->diag != NULL)
        writer->diag->error = FARM_E_DIGEST;
    return FARM_E_DIGEST;
}

/* Copies 'size' bytes and looks for one more, which would mean that the file grew. */
static int put_bytes(const struct writer *writer, const struct entry *entry, int fd)
{
    for (uint64_t left = entry->size;;) {
        ssize_t got = read(fd, writer->chunk, CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return diag_errno(writer->diag, "./%.*s: read", VIEW_ARG(entry->path));
        if ((uint64_t)got > left || (got == 0 && left > 0))
            return changed(writer, entry, "size");
        if (got == 0)
            return 0;
        hasher_add(writer->hasher, writer->chunk, (size_t)got);
        int result = put(writer, writer->chunk, (size_t)got);
        if (result < 0)
            return result;
        left -= (uint64_t)got;
    }
}

static int put_file(const struct writer *writer, const struct entry *entry)
{
    CLEANUP_CLOSE int fd = beneath_open_file(writer->dirfd, entry->path);
    if (fd < 0)
        return diag_set(writer->diag, fd, "./%.*s: open: %s", VIEW_ARG(entry->path), strerror(-fd));
    int result = put_bytes(writer, entry, fd);
    struct digest digest = hasher_finish(writer->hasher);
    if (result < 0)
        return result;
    if (!digest_equal(&digest, &entry->sha256))
        return changed(writer, entry, "content");
    return put(writer, zeros, tarhead_padding(entry->size));
}

static int put_pkginfo(const struct writer *writer, struct view pkginfo, int64_t epoch)
{
    if (pkginfo.size == 0)
        return 0;
    CLEANUP_BUF struct buf head = BUF_INIT;
    tarhead_pkginfo(pkginfo.size, epoch, &head);
    int result = put(writer, head.data, head.size);
    if (result >= 0)
        result = put(writer, pkginfo.data, pkginfo.size);
    return result >= 0 ? put(writer, zeros, tarhead_padding(pkginfo.size)) : result;
}

static int put_all(const struct writer *writer, const struct manifest *manifest, struct view pkginfo,
                   int64_t epoch)
{
    CLEANUP_BUF struct buf head = BUF_INIT;
    int result = put_pkginfo(writer, pkginfo, epoch);
    for (size_t i = 1; result >= 0 && i < manifest->count; i++) { /* [0] is the root */
        const struct entry *entry = &manifest->entries[i];
        buf_clear(&head);
        tarhead_entry(entry, epoch, &head);
        result = put(writer, head.data, head.size);
        if (result >= 0 && entry->type == ENTRY_FILE)
            result = put_file(writer, entry);
    }
    return result >= 0 ? put(writer, zeros, sizeof zeros) : result;
}

int canontar_write(const struct manifest *manifest, struct view pkginfo, int64_t epoch, int dirfd,
                   canontar_sink *sink, void *context, struct diag *diag)
{
    if (epoch < 0 || epoch > CANONTAR_EPOCH_MAX)
        return diag_set(diag, FARM_E_LIMIT, "epoch %" PRId64 ": a tar holds 0 to %" PRId64, epoch,
                        CANONTAR_EPOCH_MAX);
    if (pkginfo.size > PKGINFO_SIZE_MAX)
        return diag_set(diag, FARM_E_LIMIT, ".PKGINFO: %zu bytes, the limit is %d", pkginfo.size,
                        PKGINFO_SIZE_MAX);
    struct writer writer = {sink, context, dirfd, hasher_new(), mem_alloc(CHUNK), diag};
    int result = put_all(&writer, manifest, pkginfo, epoch);
    hasher_free(writer.hasher);
    mem_free_p(&writer.chunk);
    return result;
}

uint64_t canontar_size(const struct manifest *manifest, struct view pkginfo)
{
    uint64_t size = sizeof zeros;
    if (pkginfo.size > 0)
        size += TAR_BLOCK + pkginfo.size + tarhead_padding(pkginfo.size);
    CLEANUP_BUF struct buf head = BUF_INIT;
    for (size_t i = 1; i < manifest->count; i++) {
        const struct entry *entry = &manifest->entries[i];
        buf_clear(&head);
        tarhead_entry(entry, 0, &head);
        size += head.size;
        if (entry->type == ENTRY_FILE)
            size += entry->size + tarhead_padding(entry->size);
    }
    return size;
}
