/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sshwire.h"

bool sshwire_take(struct view *rest, size_t size, struct view *ret)
{
    if (rest->size < size)
        return false;
    *ret = view_of(rest->data, size);
    *rest = view_of(rest->data + size, rest->size - size);
    return true;
}

bool sshwire_take_number(struct view *rest, uint32_t *ret)
{
    struct view bytes;
    if (!sshwire_take(rest, 4, &bytes))
        return false;
    const unsigned char *b = (const unsigned char *)bytes.data;
    *ret = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return true;
}

bool sshwire_take_string(struct view *rest, struct view *ret)
{
    struct view trial = *rest;
    uint32_t size;
    if (!sshwire_take_number(&trial, &size) || !sshwire_take(&trial, size, ret))
        return false;
    *rest = trial;
    return true;
}

bool sshwire_take_this(struct view *rest, struct view wanted)
{
    struct view trial = *rest, found;
    if (!sshwire_take_string(&trial, &found) || !view_equal(found, wanted))
        return false;
    *rest = trial;
    return true;
}

void sshwire_add_number(struct buf *buf, uint32_t number)
{
    const unsigned char bytes[4] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16),
                                    (unsigned char)(number >> 8), (unsigned char)number};
    buf_add(buf, bytes, sizeof bytes);
}

void sshwire_add_string(struct buf *buf, struct view text)
{
    sshwire_add_number(buf, (uint32_t)text.size);
    buf_add_view(buf, text);
}

void sshwire_add_armor(struct buf *buf, const char *label, struct view base64, size_t width)
{
    buf_add_format(buf, "-----BEGIN %s-----\n", label);
    for (size_t at = 0; at < base64.size; at += width) {
        buf_add(buf, base64.data + at, base64.size - at < width ? base64.size - at : width);
        buf_add_byte(buf, '\n');
    }
    buf_add_format(buf, "-----END %s-----\n", label);
}

bool sshwire_find_armor(struct view text, const char *label, struct view *ret)
{
    CLEANUP_FREE char *begin = mem_format("-----BEGIN %s-----\n", label);
    CLEANUP_FREE char *end = mem_format("\n-----END %s-----", label);
    if (text.size > 0 && text.data[text.size - 1] == '\n')
        text.size--;
    struct view head = view_text(begin), tail = view_text(end);
    if (text.size <= head.size + tail.size || !view_starts(text, head) || !view_ends(text, tail))
        return false;
    *ret = view_of(text.data + head.size, text.size - head.size - tail.size);
    return true;
}
