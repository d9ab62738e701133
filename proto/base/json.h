/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * JSON: the one decoder for documents from outside, and the one form in which we write them.
 *
 * Reading refuses duplicate keys, nesting deeper than JSON_DEPTH_MAX, bytes behind the value, and anything
 * over the caller's size limit (RFC 8259, with the strictness of RFC 7493). Writing is compact, with sorted
 * keys and ASCII only, so that equal content has equal bytes. Documents of others are never rewritten.
 */
#ifndef FARM_JSON_H
#define FARM_JSON_H

#include "buf.h"
#include "digest.h"
#include "problems.h"

#include <jansson.h>

/* jansson's own ceiling is 2048, which is deep enough to be a weapon. */
enum { JSON_DEPTH_MAX = 32 };

#define CLEANUP_JSON __attribute__((cleanup(json_release)))
void json_release(json_t **value);

/* *ret is owned (json_decref). 'name' is for messages. Errors: FARM_E_LIMIT, FARM_E_SYNTAX. */
int json_read(struct view text, const char *name, size_t limit, json_t **ret, struct diag *diag) MUST_USE;
/*
 * As json_read(), for a document with one long array, the member 'key' of the outermost object: it never becomes a tree as a whole. Each
 * item is read on its own and lent to 'take' with its index; *ret is the document with that array empty. A negative status of 'take'
 * ends the reading and is returned. A key that is written with escapes is not found: then *ret holds the array as it is.
 */
typedef int (*json_take_func)(void *context, const json_t *item, size_t index, struct diag *diag);
int json_read_long(struct view text, const char *name, size_t limit, const char *key, json_take_func take,
                   void *context, json_t **ret, struct diag *diag) MUST_USE;
/* Appends the canonical form. */
void json_write(const json_t *value, struct buf *ret);

/*
 * Typed access to a member of an object, for decoders that want everything checked: FARM_E_SYNTAX with
 * "name: key: expected a string" if it is missing or of another type. Returned strings are borrowed.
 */
int json_get_text(const json_t *object, const char *name, const char *key, const char **ret,
                  struct diag *diag) MUST_USE;
int json_get_number(const json_t *object, const char *name, const char *key, int64_t *ret,
                    struct diag *diag) MUST_USE;
int json_get_bool(const json_t *object, const char *name, const char *key, bool *ret,
                  struct diag *diag) MUST_USE;
int json_get_digest(const json_t *object, const char *name, const char *key, struct digest *ret,
                    struct diag *diag) MUST_USE;
int json_get_object(const json_t *object, const char *name, const char *key, json_t **ret,
                    struct diag *diag) MUST_USE;
int json_get_array(const json_t *object, const char *name, const char *key, json_t **ret,
                   struct diag *diag) MUST_USE;
/* Refuses any key of the object that is not in the NULL-terminated list. */
int json_only_keys(const json_t *object, const char *name, const char *const *keys,
                   struct diag *diag) MUST_USE;

json_t *json_digest(const struct digest *digest);       /* a new string */
json_t *json_problems(const struct problems *problems); /* a new array of {"file","line","rule","text"} */
json_t *json_view(struct view text); /* a new string; bytes that are not UTF-8 become '?' */

#endif
