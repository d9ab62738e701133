/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Payload, the .igos.tar.gz form (RFC 1952). libdeflate works on whole buffers and on one member, which is what we want:
 * it says how many bytes the member took, and there must be none left. The only user of libdeflate.
 */
#include "area.h"
#include "file.h"
#include "payload.h"
#include "tarhead.h"

#include <errno.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GZIP_LEVEL = 6 };

static int load_object(struct store *store, const struct digest *name, struct area *area, size_t size,
                       struct diag *diag)
{
    struct store_reader *reader;
    int result = store_read_begin(store, name, &reader, diag);
    if (result < 0)
        return result;
    size_t done = 0;
    ssize_t got = 1;
    char end;
    while (done < size && (got = store_read(reader, area->data + done, size - done, diag)) > 0)
        done += (size_t)got;
    if (got > 0)
        got = store_read(reader, &end, 1, diag); /* verifies */
    store_read_end(reader);
    if (got < 0)
        return (int)got;
    return got == 0 && done == size ? 0 : diag_set(diag, FARM_E_CORRUPT, "object changed its size");
}

static int compress(const struct area *in, size_t in_size, struct area *out, size_t *ret_size,
                    struct diag *diag)
{
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(GZIP_LEVEL);
    if (compressor == NULL)
        abort(); /* exhaustion */
    size_t bound = libdeflate_gzip_compress_bound(compressor, in_size);
    int result = area_open(out, bound, diag);
    if (result >= 0)
        *ret_size = libdeflate_gzip_compress(compressor, in->data, in_size, out->data, bound);
    libdeflate_free_compressor(compressor);
    if (result >= 0 && *ret_size == 0)
        abort(); /* cannot happen with room for the bound */
    return result;
}

int payload_export_gz(struct store *store, const struct digest *tar, int out_fd, struct digest *ret_gz,
                      uint64_t *ret_size, struct diag *diag)
{
    uint64_t tar_size;
    size_t size = 0;
    CLEANUP_AREA struct area in = AREA_INIT;
    CLEANUP_AREA struct area out = AREA_INIT;
    int result = store_size(store, tar, &tar_size, diag);
    if (result >= 0 && tar_size > STORE_OBJECT_MAX)
        result = diag_set(diag, FARM_E_LIMIT, "object %s is too large", digest_hex(tar).text);
    if (result >= 0)
        result = area_open(&in, tar_size, diag);
    if (result >= 0)
        result = load_object(store, tar, &in, (size_t)tar_size, diag);
    if (result >= 0)
        result = compress(&in, (size_t)tar_size, &out, &size, diag);
    if (result < 0)
        return result;
    if ((result = file_write_all(out_fd, out.data, size)) < 0)
        return diag_set(diag, result, "write archive: %s", strerror(-result));
    if (ret_gz != NULL)
        *ret_gz = digest_of(view_of(out.data, size));
    if (ret_size != NULL)
        *ret_size = size;
    return 0;
}

static int load_file(int fd, struct area *area, size_t size, struct diag *diag)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(fd, area->data + done, size - done, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return diag_errno(diag, "archive: read");
        if (got == 0)
            return diag_set(diag, FARM_E_REFUSED, "archive: became shorter while it was read");
        done += (size_t)got;
    }
    return 0;
}

/* Magic, deflate, no flags (so no name, comment or extra field), no time. The rest says how and where it was packed. */
static int check_gzip_header(const char *data, size_t size, struct diag *diag)
{
    static const char expected[8] = {0x1f, (char)0x8b, 8};
    if (size < sizeof expected || memcmp(data, expected, 3) != 0)
        return diag_set(diag, FARM_E_REFUSED, "archive: not gzip");
    if (memcmp(data, expected, sizeof expected) != 0)
        return diag_set(diag, FARM_E_REFUSED, "archive: the gzip header has a name, a time or other extras");
    return 0;
}

static int decompress(const struct area *in, size_t in_size, const struct area *out, size_t limit,
                      size_t *ret_size, struct diag *diag)
{
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    if (decompressor == NULL)
        abort(); /* exhaustion */
    size_t used = 0;
    enum libdeflate_result code =
        libdeflate_gzip_decompress_ex(decompressor, in->data, in_size, out->data, limit, &used, ret_size);
    libdeflate_free_decompressor(decompressor);
    if (code == LIBDEFLATE_INSUFFICIENT_SPACE)
        return diag_set(diag, FARM_E_REFUSED, "archive: unpacks to more bytes than its manifest gives");
    if (code != LIBDEFLATE_SUCCESS)
        return diag_set(diag, FARM_E_REFUSED, "archive: damaged gzip data");
    if (used != in_size)
        return diag_set(diag, FARM_E_REFUSED,
                        "archive: %zu bytes behind the gzip member (another one, or padding)",
                        in_size - used);
    return 0;
}

static ssize_t from_memory(void *context, void *ret_data, size_t size)
{
    struct view *rest = context;
    size_t taken = rest->size < size ? rest->size : size;
    memcpy(ret_data, rest->data, taken);
    *rest = view_of(rest->data + taken, rest->size - taken);
    return (ssize_t)taken;
}

static int check_tar(struct view tar, const struct canontar_read *what, const struct digest *expected,
                     struct diag *diag)
{
    struct view rest = tar;
    int result = canontar_read(what, from_memory, &rest, diag);
    if (result < 0)
        return result;
    struct digest found = digest_of(tar);
    if (!digest_equal(&found, expected))
        return diag_set(diag, FARM_E_DIGEST, "archive: its tar has digest %s, expected %s",
                        digest_hex(&found).text, digest_hex(expected).text);
    return 0;
}

/* The most that the tar can have; with an unknown .PKGINFO the largest one is allowed for. */
static uint64_t largest_tar(const struct manifest *manifest, struct view pkginfo)
{
    uint64_t unknown = pkginfo.data == NULL ? TAR_BLOCK + (uint64_t)PKGINFO_SIZE_MAX : 0;
    return canontar_size(manifest, pkginfo) + unknown;
}

int payload_verify_gz(int fd, const struct manifest *manifest, struct view pkginfo, int64_t epoch,
                      const struct digest *tar, struct diag *diag)
{
    struct stat status;
    uint64_t limit = largest_tar(manifest, pkginfo);
    if (limit > STORE_OBJECT_MAX)
        return diag_set(diag, FARM_E_LIMIT,
                        "archive: its manifest gives %" PRIu64 " bytes, the limit is %" PRIu64, limit,
                        STORE_OBJECT_MAX);
    if (fstat(fd, &status) < 0)
        return diag_errno(diag, "archive: stat");
    uint64_t size = (uint64_t)status.st_size;
    if (size > limit + limit / 1000 + 4096) /* stored blocks add five bytes per 32 KiB */
        return diag_set(diag, FARM_E_REFUSED, "archive: longer than its manifest can give");
    CLEANUP_AREA struct area in = AREA_INIT;
    CLEANUP_AREA struct area out = AREA_INIT;
    size_t tar_size = 0;
    int result = area_open(&in, size, diag);
    if (result >= 0)
        result = load_file(fd, &in, (size_t)size, diag);
    if (result >= 0)
        result = check_gzip_header(in.data, (size_t)size, diag);
    if (result >= 0)
        result = area_open(&out, limit, diag);
    if (result >= 0)
        result = decompress(&in, (size_t)size, &out, (size_t)limit, &tar_size, diag);
    if (result < 0)
        return result;
    const struct canontar_read what = {.manifest = manifest, .pkginfo = pkginfo, .epoch = epoch, .dirfd = -1};
    return check_tar(view_of(out.data, tar_size), &what, tar, diag);
}
