/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tail: the end of a stream, kept for a message. Zeroed is empty. */
#ifndef FARM_TAIL_H
#define FARM_TAIL_H

#include <stddef.h>

enum { TAIL_MAX = 600 }; /* bytes: what fits one message */

struct tail {
    char text[TAIL_MAX + 1];
    size_t size;
};

void tail_add(struct tail *tail, const char *data, size_t size);
/* As part of a sentence: on one line. Borrowed. */
const char *tail_text(struct tail *tail);

#endif
