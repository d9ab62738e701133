/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "docjson.h"

#include "moment.h"

#include <stdlib.h>

int docjson_format(const json_t *object, const char *name, const char *format, struct diag *diag)
{
    const char *found;
    int result = json_get_text(object, name, "format", &found, diag);
    if (result < 0)
        return result;
    if (strcmp(found, format) != 0)
        return diag_set(diag, FARM_E_UNSUPPORTED, "%s: the format is not %s; a newer program may know it",
                        name, format);
    return 0;
}

int docjson_time(const json_t *object, const char *name, const char *key, int64_t *ret_ms, struct diag *diag)
{
    const char *text;
    int result = json_get_text(object, name, key, &text, diag);
    if (result < 0)
        return result;
    if (!moment_parse(view_text(text), ret_ms))
        return diag_set(diag, FARM_E_SYNTAX, "%s: \"%s\" is not a time like 2026-11-22T16:45:38Z", name, key);
    return 0;
}

int docjson_string(const json_t *object, const char *name, const char *key, char **ret, struct diag *diag)
{
    const char *text;
    int result = json_get_text(object, name, key, &text, diag);
    if (result >= 0)
        *ret = mem_string(text);
    return result;
}

int docjson_list(const json_t *object, const char *name, const char *key, size_t limit, json_t **ret,
                 struct diag *diag)
{
    json_t *array;
    int result = json_get_array(object, name, key, &array, diag);
    if (result < 0)
        return result;
    if (json_array_size(array) > limit)
        return diag_set(diag, FARM_E_LIMIT, "%s: \"%s\" has %zu entries, the limit is %zu", name, key,
                        json_array_size(array), limit);
    *ret = array;
    return 0;
}

int docjson_strings(const json_t *object, const char *name, const char *key, size_t limit, char ***ret,
                    size_t *ret_count, struct diag *diag)
{
    json_t *array = NULL;
    int result = docjson_list(object, name, key, limit, &array, diag);
    if (result < 0)
        return result;
    size_t count = json_array_size(array);
    for (size_t i = 0; i < count; i++)
        if (!json_is_string(json_array_get(array, i)))
            return diag_set(diag, FARM_E_SYNTAX, "%s: \"%s\" must hold strings only", name, key);
    char **texts = mem_zero(count + 1, sizeof *texts);
    for (size_t i = 0; i < count; i++)
        texts[i] = mem_string(json_string_value(json_array_get(array, i)));
    *ret = texts;
    *ret_count = count;
    return 0;
}

int docjson_key(const char *text, const char *name, struct ssh_public_key *ret, struct diag *diag)
{
    return ssh_public_key_parse(view_text(text), name, ret, diag);
}

int docjson_maybe_digest(const json_t *object, const char *name, const char *key, struct digest *ret,
                         struct diag *diag)
{
    if (json_is_null(json_object_get(object, key))) {
        *ret = (struct digest){{0}};
        return 0;
    }
    return json_get_digest(object, name, key, ret, diag);
}

json_t *docjson_time_value(int64_t ms)
{
    return json_string(moment_format(ms).text);
}

json_t *docjson_strings_value(char *const *texts, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_view(view_text(texts[i])));
    return array;
}

json_t *docjson_key_value(const struct ssh_public_key *key)
{
    CLEANUP_BUF struct buf line = BUF_INIT;
    ssh_public_key_write(key, &line);
    return json_view(buf_view(&line));
}

json_t *docjson_maybe_digest_value(const struct digest *digest)
{
    return digest_is_zero(digest) ? json_null() : json_digest(digest);
}

void docjson_free_strings(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}
