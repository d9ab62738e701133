/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Problems: a list of findings, for checks that must report everything at once (a package tree, a release).
 *
 * Each finding names the file and line, the rule that was broken and what to do about it.
 */
#ifndef FARM_PROBLEMS_H
#define FARM_PROBLEMS_H

#include "diag.h"

#include <stdio.h>

/* More findings than this are counted, not kept: a hostile tree shall not fill the memory. */
enum { PROBLEMS_MAX = 1000 };

struct problem {
    char *file; /* relative to the checked tree; owned */
    int line;   /* 1-based; 0: the whole file */
    char *rule; /* short stable name, e.g. "pin-missing"; owned */
    char *text; /* what is wrong and what to do; owned */
};

struct problems {
    struct problem *items;
    size_t count, capacity;
    size_t dropped;
};

#define PROBLEMS_INIT                                                                                        \
    {                                                                                                        \
        0                                                                                                    \
    }

void problems_done(struct problems *problems);
/* Returns FARM_E_REFUSED, so that a check may "return problems_add(...)". A NULL list is allowed. */
int problems_add(struct problems *problems, const char *file, int line, const char *rule, const char *format,
                 ...) __attribute__((format(printf, 5, 6)));
#ifdef __clang_analyzer__ /* as in diag.h */
#ifndef FARM_PROBLEMS_SOURCE
#define problems_add(...) (problems_add(__VA_ARGS__), FARM_E_REFUSED)
#endif
#endif
/* Sorts by file, line and rule: the same tree gives the same report. */
void problems_sort(struct problems *problems);
/* One line each: "file:line: text [rule]". */
void problems_print(const struct problems *problems, FILE *out);

#endif
