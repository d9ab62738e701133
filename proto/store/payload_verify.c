/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Payload, the .igos.tar.gz form (RFC 1952): checking one. Two ways, with one meaning:
 *
 *   whole    the file is read into memory and unpacked there by libdeflate, which takes exactly one member and says how many
 *            bytes that took
 *   stream   what is too large for that flows through two windows by zlib
 *
 * Either way each byte of the file is read once, and hashed while it passes; so is the tar. What was read is never asked for again, so
 * that nobody can swap it between two looks. The only user of zlib.
 */
#include "area.h"
#include "payload.h"
#include "tarhead.h"

#include <errno.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum {
    WINDOW = 256 * 1024,         /* the system call does not show, and it stays in the L2 cache */
    GZIP_HEADER = 8,             /* what of it is fixed: magic, method, flags, time */
    ZLIB_GZIP_WINDOW = 15 + 16,  /* the largest window, with a gzip header: zlib.h, inflateInit2 */
    ROOM_STEP = 2 * 1024 * 1024, /* a huge page */
    STORED_BLOCK_SHARE = 1000,   /* incompressible data grows by five bytes in 32 KiB */
    STORED_BLOCK_MORE = 4096     /* and by header and trailer */
};

struct payload_room {
    struct area area; /* archive, and behind it what comes out of it */
};

struct payload_room *payload_room_new(void)
{
    return mem_zero(1, sizeof(struct payload_room));
}

struct payload_room *payload_room_free(struct payload_room *room)
{
    if (room == NULL)
        return NULL;
    area_done(&room->area);
    free(room);
    return NULL;
}

/* At least so much; what was in it is gone if it has to grow. */
static int make_room(struct area *area, uint64_t size, struct diag *diag)
{
    if (area->size >= size && area->data != NULL)
        return 0;
    area_done(area);
    return area_open(area, (size / ROOM_STEP + 1) * ROOM_STEP, diag);
}

struct check {
    int fd;
    const struct payload_gz *expected;
    uint64_t size;  /* of the file */
    uint64_t limit; /* of the tar: what the manifest gives */
    struct hasher *archive, *tar;
    struct diag *diag;
};

static int refuse(const struct check *check, const char *why)
{
    return diag_set(check->diag, FARM_E_REFUSED, "archive: %s", why);
}

/* The most that the tar can have; with an unknown .PKGINFO the largest one is allowed for. */
static uint64_t largest_tar(const struct payload_gz *expected)
{
    uint64_t unknown = expected->pkginfo.data == NULL ? TAR_BLOCK + (uint64_t)PKGINFO_SIZE_MAX : 0;
    return canontar_size(expected->manifest, expected->pkginfo) + unknown;
}

static int check_sizes(struct check *check)
{
    struct stat status;
    check->limit = largest_tar(check->expected);
    if (check->limit > STORE_OBJECT_MAX)
        return diag_set(check->diag, FARM_E_LIMIT,
                        "archive: its manifest gives %" PRIu64 " bytes, the limit is %" PRIu64, check->limit,
                        STORE_OBJECT_MAX);
    if (fstat(check->fd, &status) < 0)
        return diag_errno(check->diag, "archive: stat");
    check->size = (uint64_t)status.st_size;
    if (check->size > check->limit + check->limit / STORED_BLOCK_SHARE + STORED_BLOCK_MORE)
        return refuse(check, "longer than its manifest can give");
    return 0;
}

/* Magic, deflate, no flags (so no name, comment or extra field), no time. The rest says how and where it was packed. */
static int check_header(const struct check *check, const char *data, size_t size)
{
    static const char expected[GZIP_HEADER] = {0x1f, (char)0x8b, 8};
    if (size < sizeof expected || memcmp(data, expected, 3) != 0)
        return refuse(check, "not gzip");
    if (memcmp(data, expected, sizeof expected) != 0)
        return refuse(check, "the gzip header has a name, a time or other extras");
    return 0;
}

/* As much as there is, up to 'size'; hashed. 0 at the end. */
static ssize_t read_some(struct check *check, char *data, size_t size, uint64_t offset)
{
    ssize_t got;
    do
        got = pread(check->fd, data, size, (off_t)offset);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return diag_errno(check->diag, "archive: read");
    hasher_add(check->archive, data, (size_t)got);
    return got;
}

/* What was read must be the file that was named; only then is anything else worth saying about it. */
static int check_archive(struct check *check, int result)
{
    const struct digest *named = check->expected->archive;
    struct digest found = hasher_finish(check->archive);
    if (named == NULL || digest_equal(&found, named))
        return result;
    return diag_set(check->diag, FARM_E_CORRUPT, "these bytes have SHA-256 %s, expected %s",
                    digest_hex(&found).text, digest_hex(named).text);
}

static int check_tar(struct check *check, canontar_source *source, void *context)
{
    const struct payload_gz *expected = check->expected;
    const struct canontar_read what = {
        .manifest = expected->manifest, .pkginfo = expected->pkginfo, .epoch = expected->epoch, .dirfd = -1};
    int result = canontar_read(&what, source, context, check->diag);
    struct digest found = hasher_finish(check->tar);
    if (result >= 0 && !digest_equal(&found, expected->tar))
        return diag_set(check->diag, FARM_E_DIGEST, "archive: its tar has digest %s, expected %s",
                        digest_hex(&found).text, digest_hex(expected->tar).text);
    return result;
}

/* --- whole --- */

static int load(struct check *check, char *ret)
{
    for (uint64_t done = 0; done < check->size;) {
        uint64_t left = check->size - done;
        ssize_t got = read_some(check, ret + done, left < WINDOW ? (size_t)left : WINDOW, done);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return refuse(check, "became shorter while it was read");
        done += (size_t)got;
    }
    return 0;
}

static int unpack(struct check *check, const char *in, char *out, size_t *ret_size)
{
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    if (decompressor == NULL)
        abort(); /* exhaustion */
    size_t used = 0;
    enum libdeflate_result code = libdeflate_gzip_decompress_ex(decompressor, in, (size_t)check->size, out,
                                                                (size_t)check->limit, &used, ret_size);
    libdeflate_free_decompressor(decompressor);
    if (code == LIBDEFLATE_INSUFFICIENT_SPACE)
        return refuse(check, "unpacks to more bytes than its manifest gives");
    if (code != LIBDEFLATE_SUCCESS)
        return refuse(check, "damaged gzip data");
    return used == check->size ? 0 : refuse(check, "bytes behind the gzip member (another one, or padding)");
}

struct memory {
    struct check *check;
    struct view rest;
};

static ssize_t from_memory(void *context, void *ret_data, size_t size)
{
    struct memory *memory = context;
    size_t taken = memory->rest.size < size ? memory->rest.size : size;
    memcpy(ret_data, memory->rest.data, taken);
    hasher_add(memory->check->tar, ret_data, taken);
    memory->rest = view_of(memory->rest.data + taken, memory->rest.size - taken);
    return (ssize_t)taken;
}

static int verify_whole(struct check *check, struct payload_room *room)
{
    size_t tar_size = 0;
    int result = make_room(&room->area, check->size + check->limit, check->diag);
    char *in = room->area.data, *out = result >= 0 ? in + check->size : NULL;
    if (result >= 0)
        result = load(check, in);
    if (result >= 0)
        result = check_archive(check, 0);
    if (result >= 0)
        result = check_header(check, in, (size_t)check->size);
    if (result >= 0)
        result = unpack(check, in, out, &tar_size);
    if (result < 0)
        return result;
    struct memory memory = {check, view_of(out, tar_size)};
    return check_tar(check, from_memory, &memory);
}

/* --- stream --- */

struct stream {
    struct check *check;
    z_stream z;
    char window[WINDOW];
    uint64_t offset; /* in the file, behind the window */
    uint64_t given;  /* bytes of the tar */
    bool ended;      /* the member is whole */
};

static ssize_t refill(struct stream *stream)
{
    ssize_t got = read_some(stream->check, stream->window, sizeof stream->window, stream->offset);
    if (got < 0)
        return got;
    stream->offset += (size_t)got;
    stream->z.next_in = (unsigned char *)stream->window;
    stream->z.avail_in = (unsigned int)got;
    return got;
}

static ssize_t end_of_member(struct stream *stream)
{
    stream->ended = true;
    ssize_t got = stream->z.avail_in > 0 ? 1 : refill(stream);
    return got > 0 ? refuse(stream->check, "bytes behind the gzip member (another one, or padding)") : got;
}

/* One step of inflate into 'data'; returns the bytes that came out, 0 at the good end. */
static ssize_t from_stream(void *context, void *ret_data, size_t size)
{
    struct stream *stream = context;
    struct check *check = stream->check;
    stream->z.next_out = ret_data;
    stream->z.avail_out = (unsigned int)size;
    int code = Z_OK;
    while (!stream->ended && stream->z.avail_out == size && code == Z_OK) {
        ssize_t got = stream->z.avail_in > 0 ? 1 : refill(stream);
        if (got < 0)
            return got;
        if (got == 0)
            return refuse(check, "damaged gzip data");
        code = inflate(&stream->z, Z_NO_FLUSH);
    }
    if (code != Z_OK && code != Z_STREAM_END)
        return refuse(check, "damaged gzip data");
    ssize_t ended = code == Z_STREAM_END ? end_of_member(stream) : 0;
    if (ended < 0)
        return ended;
    size_t made = size - stream->z.avail_out;
    if ((stream->given += made) > check->limit)
        return refuse(check, "unpacks to more bytes than its manifest gives");
    hasher_add(check->tar, ret_data, made);
    return (ssize_t)made;
}

/* Whatever went wrong: the rest of the file is read for its digest. */
static int drain(struct stream *stream)
{
    ssize_t got;
    while ((got = refill(stream)) > 0)
        ;
    return (int)got;
}

static int verify_stream(struct check *check)
{
    CLEANUP_FREE struct stream *stream = mem_zero(1, sizeof *stream);
    stream->check = check;
    ssize_t got = refill(stream);
    if (got < 0)
        return (int)got;
    if (inflateInit2(&stream->z, ZLIB_GZIP_WINDOW) != Z_OK)
        abort(); /* exhaustion */
    int result = check_header(check, stream->window, (size_t)got);
    if (result >= 0)
        result = check_tar(check, from_stream, stream);
    inflateEnd(&stream->z);
    struct diag *kept = check->diag; /* what was found first stays the answer */
    check->diag = NULL;
    int drained = drain(stream);
    check->diag = kept;
    return result >= 0 && drained < 0 ? drained : result;
}

static int verify_with(struct check *check, struct payload_room *room)
{
    uint64_t whole_max = check->expected->whole_max;
    int result = check_sizes(check);
    if (result < 0)
        return result;
    if (check->size + check->limit <= (whole_max > 0 ? whole_max : PAYLOAD_WHOLE_MAX))
        return verify_whole(check, room);
    return check_archive(check, verify_stream(check));
}

int payload_verify_gz(int fd, const struct payload_gz *expected, struct payload_room *room, struct diag *diag)
{
    struct payload_room *own = room == NULL ? payload_room_new() : NULL;
    struct check check = {
        .fd = fd, .expected = expected, .archive = hasher_new(), .tar = hasher_new(), .diag = diag};
    int result = verify_with(&check, room != NULL ? room : own);
    hasher_free(check.archive);
    hasher_free(check.tar);
    payload_room_free(own);
    return result;
}
