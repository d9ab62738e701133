/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "jsonsame.h"

#include <stdio.h>

/* Paths in messages; deeper or longer ones are cut, the message stays true. */
enum { PATH_TEXT_MAX = 512 };

struct walk {
    char path[PATH_TEXT_MAX];
    const char *name;
    struct diag *diag;
};

static int differs(const struct walk *walk, const char *what)
{
    return diag_set(walk->diag, FARM_E_REFUSED, "%s: %s: %s", walk->name,
                    walk->path[0] != '\0' ? walk->path : "document", what);
}

static int compare(struct walk *walk, const json_t *given, const json_t *expected);

static int compare_member(struct walk *walk, const char *key, const json_t *given, const json_t *expected)
{
    size_t length = strlen(walk->path);
    snprintf(walk->path + length, sizeof walk->path - length, "%s%.64s", length > 0 ? "." : "", key);
    int result = expected == NULL ? differs(walk, "unknown member, or not allowed here")
                 : given == NULL  ? differs(walk, "missing")
                                  : compare(walk, given, expected);
    walk->path[length] = '\0';
    return result;
}

static int compare_objects(struct walk *walk, const json_t *given, const json_t *expected)
{
    const char *key;
    json_t *value;
    int result = 0;
    json_object_foreach(
        (json_t *)given, key,
        value) if ((result = compare_member(walk, key, value, json_object_get(expected, key))) <
                   0) return result;
    json_object_foreach((json_t *)expected, key,
                        value) if ((result = compare_member(walk, key, json_object_get(given, key), value)) <
                                   0) return result;
    return 0;
}

static int compare_arrays(struct walk *walk, const json_t *given, const json_t *expected)
{
    size_t length = strlen(walk->path);
    int result = 0;
    if (json_array_size(given) != json_array_size(expected))
        return differs(walk, json_array_size(given) > json_array_size(expected)
                                 ? "has entries that do not belong here"
                                 : "has too few entries");
    for (size_t i = 0; i < json_array_size(given) && result >= 0; i++) {
        snprintf(walk->path + length, sizeof walk->path - length, "[%zu]", i);
        result = compare(walk, json_array_get(given, i), json_array_get(expected, i));
        walk->path[length] = '\0';
    }
    return result;
}

/* The depth is the reader's limit: json_read has seen 'given'. */
static int compare(struct walk *walk, const json_t *given, const json_t *expected)
{
    if (json_is_object(given) && json_is_object(expected))
        return compare_objects(walk, given, expected);
    if (json_is_array(given) && json_is_array(expected))
        return compare_arrays(walk, given, expected);
    return json_equal(given, expected)
               ? 0
               : differs(walk, "not the value that follows from the rest, or not in its only form");
}

/* The walk finds out where they differ, and looks at each object once for each level above it: only for what does differ. */
int json_same(const json_t *given, const json_t *expected, const char *name, struct diag *diag)
{
    struct walk walk = {.name = name, .diag = diag};
    return json_equal(given, expected) ? 0 : compare(&walk, given, expected);
}
