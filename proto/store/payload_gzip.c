/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Payload, the .igos.tar.gz form (RFC 1952): making one. Checking one is payload_verify.c. */
#include "area.h"
#include "file.h"
#include "payload.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

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
