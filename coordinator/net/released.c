/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "released.h"

#include "release.h"

#include <stdlib.h>

struct released {
    struct map *by_job; /* job key in hex -> json_t array of names */
};

/* The signed ones, by sequence. */
struct signed_list {
    struct signed_release {
        char name[IDENTITY_NAME_MAX + 1];
        struct digest digest;
    } * items;
    size_t count, capacity;
};

static int visit_release(void *context, const struct db_release *row)
{
    struct signed_list *list = context;
    if (strcmp(row->state, "signed") != 0)
        return 0;
    list->items = mem_reserve(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    struct signed_release *release = &list->items[list->count++];
    snprintf(release->name, sizeof release->name, "%s", row->name);
    release->digest = row->digest;
    return 0;
}

static void note_packages(struct released *released, const char *name, const json_t *document)
{
    size_t index;
    json_t *package;
    json_array_foreach(json_object_get(document, "packages"), index, package)
    {
        const char *job = json_string_value(json_object_get(package, "job"));
        json_t *names = job != NULL ? map_get(released->by_job, view_text(job)) : NULL;
        if (job != NULL && names == NULL)
            map_set(released->by_job, view_text(job), names = json_array());
        if (names != NULL)
            json_array_append_new(names, json_string(name));
    }
}

static int read_one(struct farm *farm, const struct signed_release *release, struct released *released,
                    struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *document = NULL;
    int result = store_get(farm->store, &release->digest, RELEASE_SIZE_MAX, &text, diag);
    if (result >= 0)
        result = json_read(buf_view(&text), RELEASE_FILE, RELEASE_SIZE_MAX, &document, diag);
    if (result >= 0)
        note_packages(released, release->name, document);
    return result;
}

int released_read(struct farm *farm, struct released **ret, struct diag *diag)
{
    struct signed_list list = {.items = NULL};
    struct released *released = mem_zero(1, sizeof *released);
    released->by_job = map_new();
    int result = db_each_release(farm->db, visit_release, &list, diag);
    for (size_t i = list.count > RELEASED_READ_MAX ? list.count - RELEASED_READ_MAX : 0;
         result >= 0 && i < list.count; i++)
        result = read_one(farm, &list.items[i], released, diag);
    free(list.items);
    if (result < 0) {
        released_free(released);
        return result;
    }
    *ret = released;
    return 0;
}

json_t *released_with(const struct released *released, const struct digest *job)
{
    json_t *names = map_get(released->by_job, view_text(digest_hex(job).text));
    return names != NULL ? json_copy(names) : json_array();
}

struct released *released_free(struct released *released)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    if (released == NULL)
        return NULL;
    while (map_next(released->by_job, &cursor, &key, &value))
        json_decref(value);
    map_free(released->by_job);
    free(released);
    return NULL;
}
