/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Text lists: texts with the line each one stands on, so that a later check can still name the place.
 */
#ifndef FARM_TEXTLIST_H
#define FARM_TEXTLIST_H

#include "view.h"

/* A text and the line it stands on (0: it came from no file). */
struct located {
    char *text; /* owned */
    int line;
};
struct text_list {
    struct located *items;
    size_t count, capacity;
};

/* Copies the text. */
void text_list_add(struct text_list *list, struct view text, int line);
void text_list_copy(struct text_list *ret, const struct text_list *from);
void text_list_done(struct text_list *list);
bool text_list_has(const struct text_list *list, struct view text);
/* By bytes; equal texts stay in the order of their lines. */
void text_list_sort(struct text_list *list);

#endif
