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

/* ---- brackets, outside strings: cheap, and independent of the parser's build ---- */

struct scan {
    struct view text;
    size_t at;
    int depth;
};

/* Goes behind the next bracket, comma or string; 0 at the end. For a string: '"', and its bytes with the quotes. */
static char scan_next(struct scan *scan, struct view *ret_string)
{
    const struct view text = scan->text;
    while (scan->at < text.size) {
        char c = text.data[scan->at++];
        if (c == '{' || c == '[')
            scan->depth++;
        else if (c == '}' || c == ']')
            scan->depth--;
        else if (c == '"') {
            size_t start = scan->at - 1;
            while (scan->at < text.size && text.data[scan->at] != '"')
                scan->at += text.data[scan->at] == '\\' ? 2 : 1;
            scan->at = scan->at < text.size ? scan->at + 1 : text.size;
            *ret_string = view_of(text.data + start, scan->at - start);
        } else if (c != ',')
            continue;
        return c;
    }
    return 0;
}

/* Before the parser recurses. */
static bool depth_is_allowed(struct view text)
{
    struct scan scan = {text, 0, 0};
    struct view string;
    while (scan.depth <= JSON_DEPTH_MAX)
        if (scan_next(&scan, &string) == 0)
            return true;
    return false;
}

static int check_size_and_depth(struct view text, const char *name, size_t limit, struct diag *diag)
{
    if (text.size > limit)
        return diag_set(diag, FARM_E_LIMIT, "%s: %zu bytes, the limit is %zu", name, text.size, limit);
    if (!depth_is_allowed(text))
        return diag_set(diag, FARM_E_LIMIT, "%s: nested deeper than %d levels", name, JSON_DEPTH_MAX);
    return 0;
}

/* ---- reading ---- */

static int parse(struct view text, const char *name, size_t flags, json_t **ret, struct diag *diag)
{
    json_error_t error;
    json_t *value =
        json_loadb(text.data != NULL ? text.data : "", text.size, JSON_REJECT_DUPLICATES | flags, &error);
    if (value == NULL)
        return diag_set(diag, FARM_E_SYNTAX, "%s:%d:%d: %s", name, error.line, error.column, error.text);
    *ret = value;
    return 0;
}

int json_read(struct view text, const char *name, size_t limit, json_t **ret, struct diag *diag)
{
    int status = check_size_and_depth(text, name, limit, diag);
    return status < 0 ? status : parse(text, name, 0, ret, diag);
}

/* ---- a long array, item by item ---- */

static size_t skip_space(struct view text, size_t at)
{
    for (; at < text.size; at++) {
        char c = text.data[at];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            break;
    }
    return at;
}

/* Stops behind the bracket that opens the array 'key'; false if there is none. */
static bool find_array(struct scan *scan, const char *key)
{
    CLEANUP_FREE char *quoted = mem_format("\"%s\"", key);
    struct view string;
    char c;
    while ((c = scan_next(scan, &string)) != 0) {
        if (c != '"' || scan->depth != 1 || !view_equal(string, view_text(quoted)))
            continue;
        size_t colon = skip_space(scan->text, scan->at);
        if (colon == scan->text.size || scan->text.data[colon] != ':')
            continue;
        size_t open = skip_space(scan->text, colon + 1);
        if (open == scan->text.size || scan->text.data[open] != '[')
            continue;
        return scan_next(scan, &string) == '[';
    }
    return false;
}

static int take_item(struct view item, const char *name, const char *key, size_t index, json_take_func take,
                     void *context, struct diag *diag)
{
    CLEANUP_JSON json_t *value = NULL;
    CLEANUP_FREE char *where = mem_format("%s: %s[%zu]", name, key, index);
    int status = parse(item, where, JSON_DECODE_ANY, &value, diag);
    return status < 0 ? status : take(context, value, index, diag);
}

/* Each item between the bracket behind which 'scan' stands and the one that closes it, before which it stops. */
static int take_items(struct scan *scan, const char *name, const char *key, json_take_func take,
                      void *context, struct diag *diag)
{
    struct view text = scan->text, string;
    size_t start = scan->at, index = 0;
    for (;;) {
        char c = scan_next(scan, &string);
        if (c == 0)
            return diag_set(diag, FARM_E_SYNTAX, "%s: \"%s\": the array does not end", name, key);
        bool ends = scan->depth < 2;
        if (!ends && (c != ',' || scan->depth > 2))
            continue;
        size_t end = scan->at - 1;
        if (!ends || index > 0 || skip_space(text, start) < end) {
            int status =
                take_item(view_of(text.data + start, end - start), name, key, index++, take, context, diag);
            if (status < 0)
                return status;
        }
        start = scan->at;
        if (ends) {
            scan->at = end;
            return 0;
        }
    }
}

int json_read_long(struct view text, const char *name, size_t limit, const char *key, json_take_func take,
                   void *context, json_t **ret, struct diag *diag)
{
    int status = check_size_and_depth(text, name, limit, diag);
    struct scan scan = {text, 0, 0};
    if (status < 0)
        return status;
    if (!find_array(&scan, key))
        return parse(text, name, 0, ret, diag);
    CLEANUP_BUF struct buf rest = BUF_INIT;
    buf_add(&rest, text.data, scan.at);
    status = take_items(&scan, name, key, take, context, diag);
    if (status < 0)
        return status;
    buf_add(&rest, text.data + scan.at, text.size - scan.at);
    return parse(buf_view(&rest), name, 0, ret, diag);
}

/* ---- writing ---- */

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

/* ---- members ---- */

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
