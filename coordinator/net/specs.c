/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "specs.h"

#include "map.h"

#include <pthread.h>
#include <stdlib.h>

struct taken_spec {
    struct taken_spec *newer, *older; /* while it is kept */
    struct spec *spec;
    size_t size; /* of its text */
};

struct specs {
    pthread_mutex_t lock;               /* over all that follows */
    struct map *kept;                   /* job key -> struct taken_spec */
    struct taken_spec *newest, *oldest; /* in the order in which they were given back */
    size_t bytes;
};

static void taken_free(struct taken_spec *taken)
{
    if (taken == NULL)
        return;
    spec_free(taken->spec);
    free(taken);
}

struct specs *specs_new(void)
{
    struct specs *specs = mem_zero(1, sizeof *specs);
    pthread_mutex_init(&specs->lock, NULL);
    specs->kept = map_new();
    return specs;
}

static struct view key_of(const struct digest *job)
{
    return view_of(job->bytes, DIGEST_SIZE);
}

/* Out of the list and the map, if it is in them. */
static struct taken_spec *remove_kept(struct specs *specs, const struct digest *job)
{
    struct taken_spec *found = map_remove(specs->kept, key_of(job));
    if (found == NULL)
        return NULL;
    *(found->newer != NULL ? &found->newer->older : &specs->newest) = found->older;
    *(found->older != NULL ? &found->older->newer : &specs->oldest) = found->newer;
    specs->bytes -= found->size;
    return found;
}

static void add_kept(struct specs *specs, struct taken_spec *taken)
{
    taken->newer = NULL;
    taken->older = specs->newest;
    *(specs->newest != NULL ? &specs->newest->newer : &specs->oldest) = taken;
    specs->newest = taken;
    specs->bytes += taken->size;
    map_set(specs->kept, key_of(&taken->spec->key), taken);
}

struct specs *specs_free(struct specs *specs)
{
    if (specs == NULL)
        return NULL;
    while (specs->oldest != NULL)
        taken_free(remove_kept(specs, &specs->oldest->spec->key));
    map_free(specs->kept);
    pthread_mutex_destroy(&specs->lock);
    free(specs);
    return NULL;
}

static int load(struct store *store, const struct digest *job, struct taken_spec **ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct spec *spec = NULL;
    int result = store_get(store, job, SPEC_SIZE_MAX, &text, diag);
    if (result >= 0)
        result = spec_parse(buf_view(&text), &spec, diag);
    if (result < 0)
        return result;
    struct taken_spec *taken = mem_zero(1, sizeof *taken);
    taken->spec = spec;
    taken->size = text.size;
    *ret = taken;
    return 0;
}

int specs_take(struct specs *specs, struct store *store, const struct digest *job, struct taken_spec **ret,
               struct diag *diag)
{
    pthread_mutex_lock(&specs->lock);
    struct taken_spec *found = remove_kept(specs, job);
    pthread_mutex_unlock(&specs->lock);
    if (found == NULL)
        return load(store, job, ret, diag);
    *ret = found;
    return 0;
}

const struct spec *specs_spec(const struct taken_spec *taken)
{
    return taken->spec;
}

void specs_give(struct specs *specs, struct taken_spec *taken)
{
    if (taken == NULL)
        return;
    struct taken_spec *too_many = NULL, *older;
    pthread_mutex_lock(&specs->lock);
    if (map_get(specs->kept, key_of(&taken->spec->key)) != NULL) { /* two were taken at a time */
        taken->older = NULL;
        too_many = taken;
    } else {
        add_kept(specs, taken);
        while (map_count(specs->kept) > SPECS_KEPT || specs->bytes > SPECS_KEPT_BYTES) {
            older = too_many;
            too_many = remove_kept(specs, &specs->oldest->spec->key);
            too_many->older = older;
        }
    }
    pthread_mutex_unlock(&specs->lock);
    for (; too_many != NULL; too_many = older) { /* outside of the lock: it is the dearest part */
        older = too_many->older;
        taken_free(too_many);
    }
}
