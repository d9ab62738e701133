/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Views: borrowed runs of bytes. Modules exchange views; a NUL appears only at the system call.
 */
#ifndef FARM_VIEW_H
#define FARM_VIEW_H

#include "mem.h"

#include <stdbool.h>
#include <string.h>
#include <sys/types.h>

struct view {
    const char *data; /* may be NULL if size is 0 */
    size_t size;
};

#define VIEW(literal) ((struct view){(literal), sizeof(literal) - 1})
#define VIEW_NONE     ((struct view){NULL, 0})
/* For printf("%.*s"). */
#define VIEW_ARG(v) (int)(v).size, (v).data != NULL ? (v).data : ""

static inline struct view view_of(const void *data, size_t size)
{
    return (struct view){data, size};
}
static inline struct view view_text(const char *text)
{
    return (struct view){text, text != NULL ? strlen(text) : 0};
}
static inline bool view_equal(struct view a, struct view b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
/* Order of unsigned bytes, shorter first on a tie: the order of the canonical formats. */
int view_compare(struct view a, struct view b);
bool view_starts(struct view text, struct view prefix);
bool view_ends(struct view text, struct view suffix);
/* Takes everything up to 'separator' off the front of *rest; false at the end. Keeps empty fields. */
bool view_split(struct view *rest, char separator, struct view *ret_field);
/* Decimal digits only, no sign, no leading zeros but "0" itself, no overflow. */
bool view_decimal(struct view text, uint64_t *ret_number);
/* Printable ASCII without space, and none of: control bytes or DEL. */
bool view_is_token(struct view text);
/* Well-formed UTF-8 without NUL (RFC 3629: no surrogates, no overlong forms). */
bool view_is_utf8(struct view text);
/* A NUL-terminated copy, owned by the caller. */
char *view_string(struct view text);

#endif
