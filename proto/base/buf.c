/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>

void buf_done(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf)BUF_INIT;
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

char *buf_room(struct buf *buf, size_t size)
{
    buf->data = mem_reserve(buf->data, &buf->capacity, buf->size + size + 1, 1);
    return buf->data + buf->size;
}

void buf_add(struct buf *buf, const void *data, size_t size)
{
    char *to = buf_room(buf, size);
    if (size > 0)
        memcpy(to, data, size);
    buf->size += size;
    buf->data[buf->size] = '\0';
}

void buf_add_view(struct buf *buf, struct view text)
{
    buf_add(buf, text.data, text.size);
}

void buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_add_byte(struct buf *buf, char byte)
{
    buf_add(buf, &byte, 1);
}

void buf_add_format(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    CLEANUP_FREE char *text = mem_vformat(format, args);
    va_end(args);
    buf_add_text(buf, text);
}

char *buf_steal(struct buf *buf)
{
    buf_room(buf, 0);
    buf->data[buf->size] = '\0';
    char *data = buf->data;
    *buf = (struct buf)BUF_INIT;
    return data;
}
