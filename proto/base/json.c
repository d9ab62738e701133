/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "json.h"

#include <stdlib.h>

/* Jansson tells exhaustion by values that are missing from what is then written, signed or believed. Here it ends the process (mem.h). */
static void __attribute__((constructor)) end_on_exhaustion(void)
{
    json_set_alloc_funcs(mem_alloc, free);
}

void json_release(json_t **value)
{
    json_decref(*value);
    *value = NULL;
}

/* Counts brackets outside strings before the parser recurses; cheap, and independent of the parser's build. */
static bool depth_is_allowed(struct view text)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX)
                return false;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

int json_read(struct view text, const char *name, size_t limit, json_t **ret, struct diag *diag)
{
    if (text.size > limit)
        return diag_set(diag, FARM_E_LIMIT, "%s: %zu bytes, the limit is %zu", name, text.size, limit);
    if (!depth_is_allowed(text))
        return diag_set(diag, FARM_E_LIMIT, "%s: nested deeper than %d levels", name, JSON_DEPTH_MAX);
    json_error_t error;
    json_t *value = json_loadb(text.data != NULL ? text.data : "", text.size, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL)
        return diag_set(diag, FARM_E_SYNTAX, "%s:%d:%d: %s", name, error.line, error.column, error.text);
    *ret = value;
    return 0;
}

static int append(const char *data, size_t size, void *buf)
{
    buf_add(buf, data, size);
    return 0;
}

void json_write(const json_t *value, struct buf *ret)
{
    if (json_dump_callback(value, append, ret,
                           JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII | JSON_ENCODE_ANY) != 0)
        abort(); /* only a cycle or exhaustion; both are ours */
}

static int expected(const char *name, const char *key, const json_t *found, const char *what,
                    struct diag *diag)
{
    return diag_set(diag, FARM_E_SYNTAX, "%s: \"%s\": %s, expected %s", name, key,
                    found == NULL ? "missing" : "wrong type", what);
}

int json_get_text(const json_t *object, const char *name, const char *key, const char **ret,
                  struct diag *diag)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return expected(name, key, value, "a string", diag);
    *ret = json_string_value(value);
    return 0;
}

int json_get_number(const json_t *object, const char *name, const char *key, int64_t *ret, struct diag *diag)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        return expected(name, key, value, "an integer", diag);
    *ret = json_integer_value(value);
    return 0;
}

int json_get_bool(const json_t *object, const char *name, const char *key, bool *ret, struct diag *diag)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value))
        return expected(name, key, value, "true or false", diag);
    *ret = json_is_true(value);
    return 0;
}

int json_get_digest(const json_t *object, const char *name, const char *key, struct digest *ret,
                    struct diag *diag)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value) ||
        !digest_parse(view_of(json_string_value(value), json_string_length(value)), ret))
        return expected(name, key, value, "64 lower-case hex digits", diag);
    return 0;
}

int json_get_object(const json_t *object, const char *name, const char *key, json_t **ret, struct diag *diag)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_object(value))
        return expected(name, key, value, "an object", diag);
    *ret = value;
    return 0;
}

int json_get_array(const json_t *object, const char *name, const char *key, json_t **ret, struct diag *diag)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_array(value))
        return expected(name, key, value, "an array", diag);
    *ret = value;
    return 0;
}

int json_only_keys(const json_t *object, const char *name, const char *const *keys, struct diag *diag)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        const char *const *known = keys;
        while (*known != NULL && strcmp(*known, key) != 0)
            known++;
        if (*known == NULL)
            return diag_set(diag, FARM_E_SYNTAX, "%s: unknown key \"%s\"", name, key);
    }
    return 0;
}

json_t *json_digest(const struct digest *digest)
{
    return json_string(digest_hex(digest).text);
}

json_t *json_view(struct view text)
{
    if (view_is_utf8(text))
        return json_stringn(text.data != NULL ? text.data : "", text.size);
    CLEANUP_FREE char *ascii = view_string(text);
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)ascii[i] >= 0x80 || ascii[i] == '\0')
            ascii[i] = '?';
    return json_stringn(ascii, text.size);
}

json_t *json_problems(const struct problems *problems)
{
    json_t *list = json_array();
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->items[i];
        json_array_append_new(list,
                              json_pack("{s:o, s:i, s:s, s:o}", "file", json_view(view_text(problem->file)),
                                        "line", problem->line, "rule", problem->rule, "text",
                                        json_view(view_text(problem->text))));
    }
    return list;
}
