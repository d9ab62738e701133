/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base64.h"

#include <sodium.h>

void base64_encode(struct view data, struct buf *ret)
{
    size_t size = sodium_base64_ENCODED_LEN(data.size, sodium_base64_VARIANT_ORIGINAL);
    char *to = buf_room(ret, size); /* the NUL is counted */
    sodium_bin2base64(to, size, (const unsigned char *)data.data, data.size, sodium_base64_VARIANT_ORIGINAL);
    ret->size += size - 1;
}

/* libsodium 1.0.18 takes some bytes above 127 for letters, where char is signed. */
static bool is_ascii(struct view text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] >= 0x80)
            return false;
    return true;
}

static bool decode(struct view text, const int *variants, size_t count, struct buf *ret)
{
    if (!is_ascii(text))
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t size, room = text.size / 4 * 3 + 3;
        unsigned char *to = (unsigned char *)buf_room(ret, room);
        if (sodium_base642bin(to, room, text.data != NULL ? text.data : "", text.size, NULL, &size, NULL,
                              variants[i]) != 0)
            continue;
        ret->size += size;
        ret->data[ret->size] = '\0';
        return true;
    }
    ret->data[ret->size] = '\0';
    return false;
}

bool base64_decode(struct view text, struct buf *ret)
{
    static const int variants[] = {sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_URLSAFE,
                                   sodium_base64_VARIANT_URLSAFE_NO_PADDING};
    return decode(text, variants, ARRAY_SIZE(variants), ret);
}

bool base64_decode_standard(struct view text, struct buf *ret)
{
    static const int variant = sodium_base64_VARIANT_ORIGINAL;
    return decode(text, &variant, 1, ret);
}
