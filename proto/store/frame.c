/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "frame.h"

#include "buf.h"
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    SMALL = 1024 * 1024, /* content up to this is kept and compressed at once: no threads, exact parameters */
    WORKERS_MAX = 4,     /* beyond that the disk is the limit */
    WRITEBACK = 8 * 1024 *
                1024, /* the disk starts on this much while we go on, so that the fsync at the end is short */
    WINDOW_LOG_MAX =
        23,         /* 8 MiB, what level 19 uses: bounds the memory that a stranger's frame can ask for */
    SPARES_MAX = 8, /* decoders: as many threads read at a time */
    SPARE_MAX = 1024 * 1024, /* bytes; one that has decoded a large window is not kept */
    PLAIN_HEADER = 6,        /* magic, descriptor, window: what zstd writes when it does not know the size */
    SIZED_HEADER = PLAIN_HEADER + 8 /* what we write instead */
};

static const unsigned char MAGIC[4] = {0x28, 0xb5, 0x2f, 0xfd};

struct frame_encoder {
    int fd;
    int level;
    ZSTD_CCtx *context; /* NULL while everything still fits into 'small' */
    struct buf small;
    char *out;
    size_t out_size;
    unsigned char header[PLAIN_HEADER];
    size_t header_have; /* of it */
    uint64_t content;   /* bytes in */
    uint64_t written;   /* bytes out */
    uint64_t flushing;  /* of those, given to the disk already */
};

struct frame_encoder *frame_encoder_new(int fd, int level)
{
    struct frame_encoder *encoder = mem_zero(1, sizeof *encoder);
    encoder->fd = fd;
    encoder->level = level;
    return encoder;
}

struct frame_encoder *frame_encoder_free(struct frame_encoder *encoder)
{
    if (encoder == NULL)
        return NULL;
    ZSTD_freeCCtx(encoder->context);
    buf_done(&encoder->small);
    free(encoder->out);
    free(encoder);
    return NULL;
}

static int failed(size_t code, struct diag *diag)
{
    return diag_set(diag, -EIO, "zstd: %s", ZSTD_getErrorName(code));
}

static int put_out(struct frame_encoder *encoder, const void *data, size_t size, struct diag *diag)
{
    int result = file_write_all(encoder->fd, data, size);
    if (result < 0)
        return diag_set(diag, result, "write: %s", strerror(-result));
    encoder->written += size;
    if (encoder->written - encoder->flushing >= WRITEBACK) {
        sync_file_range(encoder->fd, (off_t)encoder->flushing, (off_t)(encoder->written - encoder->flushing),
                        SYNC_FILE_RANGE_WRITE); /* a hint: fsync is what counts */
        encoder->flushing = encoder->written;
    }
    return 0;
}

/*
 * Exchanges the header that zstd wrote for one with room for the size. In the frame header descriptor (RFC 8878,
 * 3.1.1.1.1) the two highest bits give the length of the size field: 0 none, 3 eight bytes. The other bits must be
 * zero: no single segment, no checksum, no dictionary.
 */
static int put_header(struct frame_encoder *encoder, struct diag *diag)
{
    unsigned char header[SIZED_HEADER] = {0};
    if (memcmp(encoder->header, MAGIC, sizeof MAGIC) != 0 || encoder->header[4] != 0)
        return diag_set(diag, FARM_E_UNSUPPORTED,
                        "this zstd library writes a frame header that is not understood");
    memcpy(header, encoder->header, PLAIN_HEADER);
    header[4] = 0xc0;
    return put_out(encoder, header, sizeof header, diag);
}

static int put_compressed(struct frame_encoder *encoder, const char *data, size_t size, struct diag *diag)
{
    if (encoder->header_have < PLAIN_HEADER) {
        size_t missing = PLAIN_HEADER - encoder->header_have;
        size_t taken = size < missing ? size : missing;
        memcpy(encoder->header + encoder->header_have, data, taken);
        encoder->header_have += taken;
        data += taken;
        size -= taken;
        if (encoder->header_have < PLAIN_HEADER)
            return 0;
        int result = put_header(encoder, diag);
        if (result < 0)
            return result;
    }
    return size > 0 ? put_out(encoder, data, size, diag) : 0;
}

static int stream(struct frame_encoder *encoder, const void *data, size_t size, ZSTD_EndDirective end,
                  struct diag *diag)
{
    ZSTD_inBuffer in = {data, size, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {encoder->out, encoder->out_size, 0};
        left = ZSTD_compressStream2(encoder->context, &out, &in, end);
        if (ZSTD_isError(left))
            return failed(left, diag);
        int result = put_compressed(encoder, encoder->out, out.pos, diag);
        if (result < 0)
            return result;
    } while (in.pos < in.size || (end == ZSTD_e_end && left > 0));
    return 0;
}

static ZSTD_CCtx *new_context(int level, int workers)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (context == NULL)
        abort(); /* exhaustion */
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers,
                           workers); /* a library without threads refuses, and works without */
    return context;
}

static int workers_here(void)
{
    cpu_set_t cpus;
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    if (count == 1)
        return 0; /* compresses in this thread */
    return count < WORKERS_MAX ? count : WORKERS_MAX;
}

static int start_streaming(struct frame_encoder *encoder, struct diag *diag)
{
    encoder->context = new_context(encoder->level, workers_here());
    encoder->out_size = ZSTD_CStreamOutSize();
    encoder->out = mem_alloc(encoder->out_size);
    int result = stream(encoder, encoder->small.data, encoder->small.size, ZSTD_e_continue, diag);
    buf_done(&encoder->small);
    return result;
}

int frame_encode(struct frame_encoder *encoder, const void *data, size_t size, struct diag *diag)
{
    encoder->content += size;
    if (encoder->context == NULL && encoder->content <= SMALL) {
        buf_add(&encoder->small, data, size);
        return 0;
    }
    int result = encoder->context == NULL ? start_streaming(encoder, diag) : 0;
    return result >= 0 ? stream(encoder, data, size, ZSTD_e_continue, diag) : result;
}

static int encode_small(struct frame_encoder *encoder, struct diag *diag)
{
    encoder->context = new_context(encoder->level, 0);
    size_t bound = ZSTD_compressBound(encoder->small.size);
    CLEANUP_FREE char *out = mem_alloc(bound);
    size_t size = ZSTD_compress2(encoder->context, out, bound, encoder->small.data, encoder->small.size);
    return ZSTD_isError(size) ? failed(size, diag) : put_out(encoder, out, size, diag);
}

int frame_encode_end(struct frame_encoder *encoder, struct diag *diag)
{
    if (encoder->context == NULL)
        return encode_small(encoder, diag);
    int result = stream(encoder, NULL, 0, ZSTD_e_end, diag);
    if (result < 0)
        return result;
    unsigned char size[8]; /* little-endian */
    for (size_t i = 0; i < sizeof size; i++)
        size[i] = (unsigned char)(encoder->content >> 8 * i);
    if (pwrite(encoder->fd, size, sizeof size, PLAIN_HEADER) != (ssize_t)sizeof size)
        return diag_errno(diag, "write");
    return 0;
}

struct frame_decoder {
    struct frame_spares *spares;
    int fd;
    uint64_t offset; /* of the next read */
    uint64_t end;    /* no byte behind this one is there yet */
    ZSTD_DCtx *context;
    char *in;
    size_t in_size;
    ZSTD_inBuffer have;
    unsigned char header[FRAME_HEADER_MAX]; /* the file's first bytes */
    size_t header_size;
    bool ended;     /* the frame is complete */
    bool was_short; /* the last read: the file ended, or the kernel gave what it had */
    uint64_t total; /* bytes decoded */
};

struct frame_spares {
    pthread_mutex_t lock;
    struct frame_decoder *decoders[SPARES_MAX];
    size_t count;
};

struct frame_spares *frame_spares_new(void)
{
    struct frame_spares *spares = mem_zero(1, sizeof *spares);
    pthread_mutex_init(&spares->lock, NULL);
    return spares;
}

static void discard(struct frame_decoder *decoder)
{
    ZSTD_freeDCtx(decoder->context);
    free(decoder->in);
    free(decoder);
}

struct frame_spares *frame_spares_free(struct frame_spares *spares)
{
    if (spares == NULL)
        return NULL;
    while (spares->count > 0)
        discard(spares->decoders[--spares->count]);
    pthread_mutex_destroy(&spares->lock);
    free(spares);
    return NULL;
}

static struct frame_decoder *take_spare(struct frame_spares *spares)
{
    pthread_mutex_lock(&spares->lock);
    struct frame_decoder *decoder = spares->count > 0 ? spares->decoders[--spares->count] : NULL;
    pthread_mutex_unlock(&spares->lock);
    return decoder;
}

static bool keep_spare(struct frame_decoder *decoder)
{
    struct frame_spares *spares = decoder->spares;
    if (spares == NULL || ZSTD_sizeof_DCtx(decoder->context) > SPARE_MAX)
        return false;
    ZSTD_DCtx_reset(decoder->context, ZSTD_reset_session_only);
    pthread_mutex_lock(&spares->lock);
    bool kept = spares->count < SPARES_MAX;
    if (kept)
        spares->decoders[spares->count++] = decoder;
    pthread_mutex_unlock(&spares->lock);
    return kept;
}

static struct frame_decoder *make_decoder(void)
{
    struct frame_decoder *decoder = mem_zero(1, sizeof *decoder);
    decoder->context = ZSTD_createDCtx();
    if (decoder->context == NULL)
        abort(); /* exhaustion */
    ZSTD_DCtx_setParameter(decoder->context, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    decoder->in_size = ZSTD_DStreamInSize();
    decoder->in = mem_alloc(decoder->in_size);
    return decoder;
}

struct frame_decoder *frame_decoder_new(struct frame_spares *spares, int fd)
{
    struct frame_decoder *decoder = spares != NULL ? take_spare(spares) : NULL;
    if (decoder == NULL)
        decoder = make_decoder();
    decoder->spares = spares;
    decoder->fd = fd;
    decoder->offset = 0;
    decoder->end = UINT64_MAX;
    decoder->have = (ZSTD_inBuffer){0};
    decoder->header_size = 0;
    decoder->ended = decoder->was_short = false;
    decoder->total = 0;
    return decoder;
}

struct frame_decoder *frame_decoder_free(struct frame_decoder *decoder)
{
    if (decoder != NULL && !keep_spare(decoder))
        discard(decoder);
    return NULL;
}

void frame_decoder_reach(struct frame_decoder *decoder, uint64_t end)
{
    decoder->end = end;
}

void frame_decoder_reach_end(struct frame_decoder *decoder)
{
    decoder->end = UINT64_MAX;
}

/* pread, so that several decoders may share a descriptor. 1: there is input; 0: the file ended; -EAGAIN: more is to come. */
static int refill(struct frame_decoder *decoder, struct diag *diag)
{
    uint64_t there = decoder->end - decoder->offset;
    size_t size = there < decoder->in_size ? (size_t)there : decoder->in_size;
    ssize_t got;
    if (size == 0)
        return -EAGAIN;
    do
        got = pread(decoder->fd, decoder->in, size, (off_t)decoder->offset);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return diag_errno(diag, "read");
    size_t missing = sizeof decoder->header - decoder->header_size,
           more = (size_t)got < missing ? (size_t)got : missing;
    memcpy(decoder->header + decoder->header_size, decoder->in, more);
    decoder->header_size += more;
    decoder->offset += (uint64_t)got;
    decoder->have = (ZSTD_inBuffer){decoder->in, (size_t)got, 0};
    decoder->was_short = (size_t)got < size;
    return got > 0;
}

static int read_header(const unsigned char *header, size_t size, uint64_t *ret, struct diag *diag)
{
    if (size < sizeof MAGIC || memcmp(header, MAGIC, sizeof MAGIC) != 0) /* skippable frames have another */
        return diag_set(diag, FARM_E_SYNTAX, "not a zstd frame");
    unsigned long long content = ZSTD_getFrameContentSize(header, size);
    if (content == ZSTD_CONTENTSIZE_UNKNOWN || content == ZSTD_CONTENTSIZE_ERROR)
        return diag_set(diag, FARM_E_SYNTAX, "a zstd frame that does not state its size");
    *ret = content;
    return 0;
}

/*
 * libzstd (1.5.4) finishes a frame whose last block is empty without comparing what came out with what the header states, so it is
 * done here.
 */
static ssize_t at_end(struct frame_decoder *decoder, struct diag *diag)
{
    int more = decoder->have.pos < decoder->have.size;
    uint64_t stated;
    if (more == 0 && !decoder->was_short) /* a short read was up to the file's end */
        more = refill(decoder, diag);
    if (more != 0)
        return more < 0 ? more : diag_set(diag, FARM_E_SYNTAX, "bytes behind the zstd frame");
    int result = read_header(decoder->header, decoder->header_size, &stated, diag);
    if (result >= 0 && stated != decoder->total)
        result = diag_set(diag, FARM_E_SYNTAX, "a zstd frame of %" PRIu64 " bytes that says it has %" PRIu64,
                          decoder->total, stated);
    return result < 0 ? result : 0;
}

ssize_t frame_decode(struct frame_decoder *decoder, void *ret_data, size_t size, struct diag *diag)
{
    ZSTD_outBuffer out = {ret_data, size, 0};
    while (!decoder->ended && out.pos == 0) {
        size_t before = decoder->have.pos;
        size_t left = ZSTD_decompressStream(decoder->context, &out, &decoder->have);
        if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation) /* the file is not to blame */
            return diag_set(diag, -ENOMEM, "zstd: %s", ZSTD_getErrorName(left));
        if (ZSTD_isError(left))
            return diag_set(diag, FARM_E_SYNTAX, "not a sound zstd frame: %s", ZSTD_getErrorName(left));
        decoder->ended = left == 0;
        if (decoder->ended || out.pos > 0 || decoder->have.pos > before ||
            decoder->have.pos < decoder->have.size)
            continue;
        int more = refill(decoder, diag);
        if (more < 0)
            return more;
        if (more == 0)
            return diag_set(diag, FARM_E_SYNTAX, "the zstd frame ends early");
    }
    decoder->total += out.pos;
    return out.pos > 0 ? (ssize_t)out.pos : at_end(decoder, diag);
}

int frame_content_size(int fd, uint64_t *ret, struct diag *diag)
{
    unsigned char header[FRAME_HEADER_MAX];
    ssize_t got = pread(fd, header, sizeof header, 0);
    if (got < 0)
        return diag_errno(diag, "read");
    return read_header(header, (size_t)got, ret, diag);
}

int frame_decoder_content_size(struct frame_decoder *decoder, uint64_t *ret, struct diag *diag)
{
    int more = decoder->header_size > 0 ? 1 : refill(decoder, diag);
    return more < 0 ? more : read_header(decoder->header, decoder->header_size, ret, diag);
}
