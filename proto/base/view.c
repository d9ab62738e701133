/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "view.h"

int view_compare(struct view a, struct view b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

bool view_starts(struct view text, struct view prefix)
{
    return text.size >= prefix.size && (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

bool view_ends(struct view text, struct view suffix)
{
    return text.size >= suffix.size &&
           (suffix.size == 0 || memcmp(text.data + text.size - suffix.size, suffix.data, suffix.size) == 0);
}

bool view_split(struct view *rest, char separator, struct view *ret_field)
{
    if (rest->data == NULL)
        return false;
    const char *end = rest->size > 0 ? memchr(rest->data, separator, rest->size) : NULL;
    if (end == NULL) {
        *ret_field = *rest;
        *rest = VIEW_NONE;
        return true;
    }
    size_t taken = (size_t)(end - rest->data);
    *ret_field = view_of(rest->data, taken);
    *rest = view_of(end + 1, rest->size - taken - 1);
    return true;
}

bool view_decimal(struct view text, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (text.size == 0 || (text.size > 1 && text.data[0] == '0'))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        if (__builtin_mul_overflow(number, (uint64_t)10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text.data[i] - '0'), &number))
            return false;
    }
    *ret_number = number;
    return true;
}

bool view_is_token(struct view text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= 0x20 || text.data[i] >= 0x7f)
            return false;
    return text.size > 0;
}

/* Length of the sequence that 'lead' opens and the smallest code point it may encode; 0: not a lead byte. */
static int utf8_length(unsigned char lead, uint32_t *ret_code, uint32_t *ret_least)
{
    if (lead >= 0xf0 && lead <= 0xf4) {
        *ret_code = lead & 0x07u;
        *ret_least = 0x10000;
        return 4;
    }
    if (lead >= 0xe0 && lead < 0xf0) {
        *ret_code = lead & 0x0fu;
        *ret_least = 0x800;
        return 3;
    }
    if (lead >= 0xc2 && lead < 0xe0) {
        *ret_code = lead & 0x1fu;
        *ret_least = 0x80;
        return 2;
    }
    *ret_code = lead;
    *ret_least = 1;
    return lead > 0 && lead < 0x80 ? 1 : 0;
}

bool view_is_utf8(struct view text)
{
    for (size_t i = 0; i < text.size;) {
        uint32_t code, least;
        int length = utf8_length((unsigned char)text.data[i], &code, &least);
        if (length == 0 || (size_t)length > text.size - i)
            return false;
        for (int k = 1; k < length; k++) {
            unsigned char next = (unsigned char)text.data[i + (size_t)k];
            if ((next & 0xc0u) != 0x80u)
                return false;
            code = code << 6 | (next & 0x3fu);
        }
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
        i += (size_t)length;
    }
    return true;
}

char *view_string(struct view text)
{
    return mem_string_n(text.data, text.size);
}
