/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "textlist.h"

#include <stdlib.h>

void text_list_add(struct text_list *list, struct view text, int line)
{
    list->items = mem_reserve(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    list->items[list->count++] = (struct located){.text = view_string(text), .line = line};
}

void text_list_copy(struct text_list *ret, const struct text_list *from)
{
    for (size_t i = 0; i < from->count; i++)
        text_list_add(ret, view_text(from->items[i].text), from->items[i].line);
}

void text_list_done(struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].text);
    free(list->items);
    *list = (struct text_list){0};
}

bool text_list_has(const struct text_list *list, struct view text)
{
    for (size_t i = 0; i < list->count; i++)
        if (view_equal(view_text(list->items[i].text), text))
            return true;
    return false;
}

static int located_compare(const void *left, const void *right)
{
    const struct located *a = left, *b = right;
    int order = strcmp(a->text, b->text);
    return order != 0 ? order : (a->line > b->line) - (a->line < b->line);
}

void text_list_sort(struct text_list *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof *list->items, located_compare);
}
