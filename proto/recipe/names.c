/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "names.h"

#include "digest.h"
#include "file.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool made_of(struct view text, size_t limit, const char *others)
{
    if (text.size == 0 || text.size > limit || !is_alnum(text.data[0]))
        return false;
    for (size_t i = 1; i < text.size; i++)
        if (!is_alnum(text.data[i]) && (text.data[i] == '\0' || strchr(others, text.data[i]) == NULL))
            return false;
    return true;
}

bool name_is_plain(struct view text)
{
    return made_of(text, NAME_MAX_BYTES, "+._-");
}

bool version_is_plain(struct view text)
{
    return made_of(text, VERSION_MAX_BYTES, "+._-~");
}

bool function_is_plain(struct view text)
{
    if (text.size == 0 || text.size > NAME_MAX_BYTES || (text.data[0] >= '0' && text.data[0] <= '9'))
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (!is_alnum(text.data[i]) && text.data[i] != '_')
            return false;
    return true;
}

bool filename_is_plain(struct view text)
{
    return view_is_token(text) && text.size <= 255 && file_path_is_plain(text) &&
           memchr(text.data, '/', text.size) == NULL;
}

bool path_is_installed(struct view text)
{
    return text.size > 1 && text.size < 4096 && text.data[0] == '/' && line_is_plain(text) &&
           file_path_is_plain(view_of(text.data + 1, text.size - 1));
}

bool commit_is_plain(struct view text)
{
    unsigned char bytes[32];
    return (text.size == 40 && hex_decode(text, bytes, 20)) ||
           (text.size == 64 && hex_decode(text, bytes, 32));
}

bool line_is_plain(struct view text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return view_is_utf8(text);
}

struct quoted quote(struct view text)
{
    struct quoted quoted;
    size_t room = sizeof quoted.text - 4, count = text.size < room ? text.size : room;
    for (size_t i = 0; i < count; i++) {
        unsigned char c = (unsigned char)text.data[i];
        quoted.text[i] = (char)(c < 0x20 || c >= 0x7f ? '?' : c);
    }
    memcpy(quoted.text + count, text.size > room ? "..." : "", text.size > room ? 4 : 1);
    return quoted;
}

struct nearest nearest_to(struct view wanted)
{
    return (struct nearest){.wanted = wanted, .distance = wanted.size / 3 + 2};
}

/* Levenshtein's distance, one row at a time. */
static size_t edits_between(struct view a, struct view b)
{
    size_t row[NAME_MAX_BYTES + 1];
    for (size_t k = 0; k <= b.size; k++)
        row[k] = k;
    for (size_t i = 0; i < a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t k = 0; k < b.size; k++) {
            size_t least = diagonal + (a.data[i] != b.data[k]);
            diagonal = row[k + 1];
            if (row[k] + 1 < least)
                least = row[k] + 1;
            if (row[k + 1] + 1 < least)
                least = row[k + 1] + 1;
            row[k + 1] = least;
        }
    }
    return row[b.size];
}

void nearest_offer(struct nearest *nearest, const char *candidate)
{
    struct view text = view_text(candidate);
    if (text.size > NAME_MAX_BYTES || nearest->wanted.size > NAME_MAX_BYTES)
        return;
    size_t distance = edits_between(nearest->wanted, text);
    if (distance > 0 && distance < nearest->distance) { /* the name itself is no advice */
        nearest->distance = distance;
        nearest->best = candidate;
    }
}
