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

/* 0 to 63; 64 for anything else. */
static unsigned int value_of(unsigned char letter)
{
    static const unsigned char values[256] = {
        ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
        ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
        ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
        ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
        ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
        ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
        ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
        ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64};
    return values[letter] > 0 ? values[letter] - 1U : 64;
}

/* The last four letters: two or three of them may stand for bytes, and the bits behind those must be zero. */
static bool decode_last(const unsigned char *from, unsigned char *to, size_t *ret_size)
{
    size_t letters = from[3] != '=' ? 4 : from[2] != '=' ? 3 : 2;
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        unsigned int value = i < letters ? value_of(from[i]) : 0;
        if (value > 63)
            return false;
        bits = bits << 6 | value;
    }
    for (size_t i = 0; i < 3; i++)
        if (i < letters - 1)
            to[i] = (unsigned char)(bits >> (16 - 8 * i));
    *ret_size = letters - 1;
    return (bits & ((UINT32_C(1) << (8 * (4 - letters))) - 1)) == 0;
}

/*
 * By a table: what the standard form carries here (notes, proofs, envelopes) is public, and libsodium's decoder, which hides from a
 * neighbour what it decodes, takes ten times as long.
 */
bool base64_decode_standard(struct view text, struct buf *ret)
{
    const unsigned char *from = (const unsigned char *)text.data;
    unsigned char *to = (unsigned char *)buf_room(ret, text.size / 4 * 3 + 1);
    size_t size = 0, more = 0, quads = text.size / 4;
    bool bad = text.size % 4 != 0;
    for (; !bad && quads > 1; quads--, from += 4, size += 3) {
        unsigned int a = value_of(from[0]), b = value_of(from[1]), c = value_of(from[2]),
                     d = value_of(from[3]);
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        bad = ((a | b | c | d) & 64) != 0;
        to[size] = (unsigned char)(bits >> 16);
        to[size + 1] = (unsigned char)(bits >> 8);
        to[size + 2] = (unsigned char)bits;
    }
    bool good = !bad && (text.size == 0 || decode_last(from, to + size, &more));
    if (good)
        ret->size += size + more;
    ret->data[ret->size] = '\0';
    return good;
}
