/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Buffers: growing byte strings. Always NUL-terminated behind 'size', so that data may be given to printf.
 */
#ifndef FARM_BUF_H
#define FARM_BUF_H

#include "view.h"

struct buf {
    char *data;
    size_t size, capacity;
};

#define BUF_INIT                                                                                             \
    {                                                                                                        \
        0                                                                                                    \
    }
#define CLEANUP_BUF __attribute__((cleanup(buf_done)))

void buf_done(struct buf *buf);
void buf_clear(struct buf *buf);
void buf_add(struct buf *buf, const void *data, size_t size);
void buf_add_view(struct buf *buf, struct view text);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_byte(struct buf *buf, char byte);
void buf_add_format(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for 'size' more bytes and returns where they go; buf->size is the caller's to raise. */
char *buf_room(struct buf *buf, size_t size);
/* Hands the bytes over (never NULL, NUL-terminated, free()); the buffer is empty afterwards. */
char *buf_steal(struct buf *buf);
static inline struct view buf_view(const struct buf *buf)
{
    return (struct view){buf->data, buf->size};
}

#endif
