/* SPDX-License-Identifier: GPL-3.0-or-later */
#define FARM_PROBLEMS_SOURCE /* the function itself stands here */
#include "problems.h"

#include <stdlib.h>
#include <string.h>

void problems_done(struct problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        free(problems->items[i].file);
        free(problems->items[i].rule);
        free(problems->items[i].text);
    }
    free(problems->items);
    memset(problems, 0, sizeof *problems);
}

int problems_add(struct problems *problems, const char *file, int line, const char *rule, const char *format,
                 ...)
{
    if (problems == NULL)
        return FARM_E_REFUSED;
    if (problems->count >= PROBLEMS_MAX) {
        problems->dropped++;
        return FARM_E_REFUSED;
    }
    problems->items =
        mem_reserve(problems->items, &problems->capacity, problems->count + 1, sizeof *problems->items);
    va_list args;
    va_start(args, format);
    problems->items[problems->count++] = (struct problem){
        .file = mem_string(file), .line = line, .rule = mem_string(rule), .text = mem_vformat(format, args)};
    va_end(args);
    return FARM_E_REFUSED;
}

static int problem_compare(const void *left, const void *right)
{
    const struct problem *a = left, *b = right;
    int order = strcmp(a->file, b->file);
    if (order == 0)
        order = (a->line > b->line) - (a->line < b->line);
    if (order == 0)
        order = strcmp(a->rule, b->rule);
    return order != 0 ? order : strcmp(a->text, b->text);
}

void problems_sort(struct problems *problems)
{
    if (problems->count > 1)
        qsort(problems->items, problems->count, sizeof *problems->items, problem_compare);
}

void problems_print(const struct problems *problems, FILE *out)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *item = &problems->items[i];
        if (item->line > 0)
            fprintf(out, "%s:%d: %s [%s]\n", item->file, item->line, item->text, item->rule);
        else
            fprintf(out, "%s: %s [%s]\n", item->file, item->text, item->rule);
    }
    if (problems->dropped > 0)
        fprintf(out, "... and %zu more\n", problems->dropped);
}
