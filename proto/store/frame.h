/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Frames: one zstd frame per file (RFC 8878), to and from a descriptor. The only user of zstd. Internal to the store.
 *
 * Every frame states its content size, also one whose size was not known when it was begun: the encoder reserves the
 * eight bytes in the header and fills them in at the end. So readers can refuse a bomb before they unpack a byte of
 * it, and the decoder holds the content to that size.
 */
#ifndef FARM_FRAME_H
#define FARM_FRAME_H

#include "diag.h"

#include <sys/types.h>

struct frame_encoder;
/* Writes from the start of the file 'fd' (borrowed), which must be seekable. */
struct frame_encoder *frame_encoder_new(int fd, int level);
struct frame_encoder *frame_encoder_free(struct frame_encoder *encoder); /* accepts NULL, returns NULL */
int frame_encode(struct frame_encoder *encoder, const void *data, size_t size, struct diag *diag) MUST_USE;
/* Completes the frame. The caller syncs. */
int frame_encode_end(struct frame_encoder *encoder, struct diag *diag) MUST_USE;

/* Decoders that were used and wait for the next: making one costs more than decoding a small object. Thread-safe. */
struct frame_spares;
struct frame_spares *frame_spares_new(void);
struct frame_spares *frame_spares_free(struct frame_spares *spares); /* accepts NULL, returns NULL */

struct frame_decoder;
/* Reads 'fd' (borrowed) from its start. Taken from the spares, and given back to them; NULL: there are none. */
struct frame_decoder *frame_decoder_new(struct frame_spares *spares, int fd);
struct frame_decoder *frame_decoder_free(struct frame_decoder *decoder); /* accepts NULL, returns NULL */
/* The file is still being written, and is there up to 'end' (which only grows): frame_decode() says -EAGAIN where more is needed. */
void frame_decoder_reach(struct frame_decoder *decoder, uint64_t end);
/* From here on the file is whole, as it is for a new decoder. */
void frame_decoder_reach_end(struct frame_decoder *decoder);
/* Bytes decoded; 0 where frame and file end together; FARM_E_SYNTAX if the file is anything but one whole frame. */
ssize_t frame_decode(struct frame_decoder *decoder, void *ret_data, size_t size, struct diag *diag) MUST_USE;

enum { FRAME_HEADER_MAX = 18 }; /* the longest that the format allows */
/* The content size that the header states; FARM_E_SYNTAX if it is no frame with a size. */
int frame_content_size(int fd, uint64_t *ret, struct diag *diag) MUST_USE;
/* The same, of what the decoder reads anyway. The file is whole. */
int frame_decoder_content_size(struct frame_decoder *decoder, uint64_t *ret, struct diag *diag) MUST_USE;

#endif
