/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Payload: between directories and objects. The gzip form is in payload_gzip.c. */
#include "payload.h"

#include "file.h"
#include "unpack_private.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

struct sink {
    struct store_writer *writer;
    struct diag *diag;
};

static int to_store(void *context, const void *data, size_t size)
{
    struct sink *sink = context;
    return store_write(sink->writer, data, size, sink->diag);
}

static int put_tar(struct store *store, const struct manifest *manifest, struct view pkginfo, int64_t epoch,
                   int dirfd, struct digest *ret, uint64_t *ret_size, struct diag *diag)
{
    uint64_t size = canontar_size(manifest, pkginfo);
    if (size > STORE_OBJECT_MAX)
        return diag_set(diag, FARM_E_LIMIT, "the archive would have %" PRIu64 " bytes, the limit is %" PRIu64,
                        size, STORE_OBJECT_MAX);
    struct sink sink = {.diag = diag};
    int result = store_write_begin(store, size, &sink.writer, diag);
    if (result < 0)
        return result;
    result = canontar_write(manifest, pkginfo, epoch, dirfd, to_store, &sink, diag);
    if (result < 0) {
        store_write_abort(sink.writer);
        return result;
    }
    return store_write_commit(sink.writer, NULL, false, ret, ret_size, diag);
}

static int put_manifest(struct store *store, const struct manifest *manifest, struct digest *ret,
                        struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    manifest_write(manifest, &text);
    if (text.size > MANIFEST_SIZE_MAX)
        return diag_set(diag, FARM_E_LIMIT, "the manifest would have %zu bytes, the limit is %zu", text.size,
                        MANIFEST_SIZE_MAX);
    return store_put(store, buf_view(&text), ret, diag);
}

int payload_pack(struct store *store, int dirfd, payload_pkginfo *pkginfo, void *context, int64_t epoch,
                 struct payload *ret, struct diag *diag)
{
    struct manifest manifest = MANIFEST_INIT;
    CLEANUP_BUF struct buf info = BUF_INIT;
    struct payload payload;
    int result = manifest_scan(dirfd, &manifest, diag);
    if (result < 0)
        return result;
    if (pkginfo != NULL)
        pkginfo(context, &manifest, &info);
    result = put_tar(store, &manifest, buf_view(&info), epoch, dirfd, &payload.tar, &payload.tar_size, diag);
    if (result >= 0)
        result = put_manifest(store, &manifest, &payload.manifest, diag);
    manifest_done(&manifest);
    if (result >= 0)
        *ret = payload;
    return result;
}

int payload_manifest(struct store *store, const struct digest *name, struct manifest *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = store_get(store, name, MANIFEST_SIZE_MAX, &text, diag);
    if (result >= 0)
        result = manifest_parse(buf_view(&text), ret, diag);
    return result < 0 ? diag_wrap(diag, result, "payload %s", digest_hex(name).text) : 0;
}

struct source {
    struct store_reader *reader;
    struct diag *diag;
};

static ssize_t from_store(void *context, void *ret_data, size_t size)
{
    struct source *source = context;
    return store_read(source->reader, ret_data, size, source->diag);
}

static int check_size(struct store_reader *reader, const struct payload *payload, struct diag *diag)
{
    uint64_t size;
    int result = store_read_size(reader, &size, diag);
    if (result >= 0 && size != payload->tar_size)
        return diag_set(diag, FARM_E_REFUSED, "tar %s has %" PRIu64 " bytes, not %" PRIu64 " as stated",
                        digest_hex(&payload->tar).text, size, payload->tar_size);
    return result;
}

static int read_tar(struct store *store, const struct payload *payload, const struct canontar_read *what,
                    struct diag *diag)
{
    struct source source = {.diag = diag};
    bool verify = what->dirfd < 0;
    int result = store_read_begin(store, &payload->tar, &source.reader, diag);
    if (result >= 0 && verify)
        result = check_size(source.reader, payload, diag);
    if (result >= 0)
        result = canontar_read(what, from_store, &source, diag);
    store_read_end(source.reader);
    return result < 0 ? diag_wrap(diag, result, "payload %s", digest_hex(&payload->manifest).text) : 0;
}

int payload_verify_tar(struct store *store, const struct payload *payload, const struct manifest *manifest,
                       struct view pkginfo, int64_t epoch, struct diag *diag)
{
    const struct canontar_read what = {.manifest = manifest, .pkginfo = pkginfo, .epoch = epoch, .dirfd = -1};
    return read_tar(store, payload, &what, diag);
}

int payload_verify(struct store *store, const struct payload *payload, struct view pkginfo, int64_t epoch,
                   struct diag *diag)
{
    struct manifest manifest = MANIFEST_INIT;
    int result = payload_manifest(store, &payload->manifest, &manifest, diag);
    if (result >= 0)
        result = payload_verify_tar(store, payload, &manifest, pkginfo, epoch, diag);
    manifest_done(&manifest);
    return result;
}

int payload_unpack(struct store *store, const struct payload *payload, int dirfd, bool strip_special,
                   struct diag *diag)
{
    struct manifest manifest = MANIFEST_INIT;
    const struct canontar_read what = {.manifest = &manifest,
                                       .pkginfo = VIEW_NONE,
                                       .epoch = -1,
                                       .dirfd = dirfd,
                                       .strip_special = strip_special};
    int result = payload_manifest(store, &payload->manifest, &manifest, diag);
    if (result >= 0)
        result = read_tar(store, payload, &what, diag);
    manifest_done(&manifest);
    return result;
}

/* A root filesystem with the toolchains of a distribution has a few hundred thousand entries and some GiB. */
static const struct unpack_limits BASE_LIMITS = {STORE_OBJECT_MAX, MANIFEST_ENTRIES_MAX};

static int import_into(struct store *store, int tar_fd, int scratch_fd, struct payload *ret,
                       struct diag *diag)
{
    /* One level down, so that the root may have its own mode while the directory around it keeps everybody out: there are
     * setuid files in there. */
    if (mkdirat(scratch_fd, "root", 0700) < 0)
        return diag_errno(diag, "scratch directory");
    CLEANUP_CLOSE int root = file_open_dir(scratch_fd, "root", diag);
    if (root < 0)
        return root;
    const struct unpack_job job = {.dirfd = root, .limits = BASE_LIMITS, .base = true};
    int result = unpack_run(tar_fd, &job, NULL, diag);
    return result >= 0 ? payload_pack(store, root, NULL, NULL, 0, ret, diag) : result;
}

int payload_import_base(struct store *store, int tar_fd, int scratch_dirfd, struct payload *ret,
                        struct diag *diag)
{
    CLEANUP_FREE char *name = NULL;
    int result = file_temp_dir(scratch_dirfd, "base", &name, diag);
    if (result < 0)
        return result;
    CLEANUP_CLOSE int scratch = file_open_dir(scratch_dirfd, name, diag);
    result = scratch < 0 ? scratch : import_into(store, tar_fd, scratch, ret, diag);
    int removed = file_remove_tree(scratch_dirfd, name, result >= 0 ? diag : NULL);
    return result >= 0 ? removed : result;
}
