/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tail.h"

#include <string.h>

void tail_add(struct tail *tail, const char *data, size_t size)
{
    if (size > TAIL_MAX) {
        data += size - TAIL_MAX;
        size = TAIL_MAX;
    }
    size_t keep = tail->size + size > TAIL_MAX ? TAIL_MAX - size : tail->size;
    memmove(tail->text, tail->text + tail->size - keep, keep);
    memcpy(tail->text + keep, data, size);
    tail->size = keep + size;
    tail->text[tail->size] = '\0';
}

const char *tail_text(struct tail *tail)
{
    char *text = tail->text;
    for (size_t i = tail->size; i > 0 && text[i - 1] == '\n'; i--)
        text[i - 1] = '\0';
    for (char *at = text; (at = strchr(at, '\n')) != NULL;)
        *at = ' ';
    return text;
}
