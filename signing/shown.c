/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "shown.h"

#include "view.h"

/* First and last of each range. */
static const uint32_t unseen[][2] = {
    {0x00, 0x1f},     {0x7f, 0x9f},     /* C0, DEL and C1 */
    {0x061c, 0x061c}, {0x200b, 0x200f}, /* marks of direction, and what takes no room */
    {0x2028, 0x202e}, {0x2060, 0x206f}, /* separators of lines, embeddings, overrides, isolates */
    {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
};

/* Length of the well-formed character that the text begins with, or 0. */
static size_t character(const char *text, size_t size)
{
    for (size_t length = 1; length <= 4 && length <= size; length++)
        if (view_is_utf8(view_of(text, length)))
            return length;
    return 0;
}

static uint32_t code_of(const char *text, size_t length)
{
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (unsigned char)text[0] & first[length];
    for (size_t i = 1; i < length; i++)
        code = code << 6 | ((unsigned char)text[i] & 0x3fu);
    return code;
}

static bool is_seen(uint32_t code)
{
    for (size_t i = 0; i < ARRAY_SIZE(unseen); i++)
        if (code >= unseen[i][0] && code <= unseen[i][1])
            return false;
    return true;
}

char *shown_text(const char *text)
{
    size_t size = strlen(text), used = 0;
    char *shown = mem_alloc(size + 1); /* never longer */
    for (size_t i = 0, length; i<size; i += length> 0 ? length : 1) {
        length = character(text + i, size - i);
        if (length > 0 && is_seen(code_of(text + i, length))) {
            memcpy(shown + used, text + i, length);
            used += length;
        } else {
            shown[used++] = '?';
        }
    }
    shown[used] = '\0';
    return shown;
}
