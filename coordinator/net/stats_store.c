/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats_store.h"

#include "moment.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { REST_MS = 5000, REST_TIMES = 100 };

struct stats_store {
    struct store *store; /* borrowed */
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool stopping, known;
    double objects, bytes;
};

struct walk {
    struct stats_store *count;
    double objects, bytes;
};

static bool is_stopping(struct stats_store *count)
{
    pthread_mutex_lock(&count->lock);
    bool stopping = count->stopping;
    pthread_mutex_unlock(&count->lock);
    return stopping;
}

static int visit(void *context, const struct digest *name, uint64_t stored_size)
{
    struct walk *walk = context;
    (void)name;
    walk->objects++;
    walk->bytes += (double)stored_size;
    return is_stopping(walk->count) ? -ECANCELED : 0;
}

/* Until it is time again, or the end. */
static void rest(struct stats_store *count, int64_t for_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += for_ms / 1000;
    pthread_mutex_lock(&count->lock);
    while (!count->stopping && pthread_cond_timedwait(&count->wake, &count->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&count->lock);
}

static void *walk_on(void *argument)
{
    struct stats_store *count = argument;
    while (!is_stopping(count)) {
        struct walk walk = {.count = count};
        int64_t began_ms = moment_steady_ms();
        int result = store_each(count->store, visit, &walk, NULL);
        int64_t took_ms = moment_steady_ms() - began_ms;
        if (result >= 0) {
            pthread_mutex_lock(&count->lock);
            count->known = true;
            count->objects = walk.objects;
            count->bytes = walk.bytes;
            pthread_mutex_unlock(&count->lock);
        }
        rest(count, took_ms * REST_TIMES > REST_MS ? took_ms * REST_TIMES : REST_MS);
    }
    return NULL;
}

struct stats_store *stats_store_new(struct store *store)
{
    struct stats_store *count = mem_zero(1, sizeof *count);
    pthread_condattr_t attributes;
    count->store = store;
    pthread_mutex_init(&count->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&count->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&count->thread, NULL, walk_on, count) == 0)
        return count;
    pthread_cond_destroy(&count->wake);
    pthread_mutex_destroy(&count->lock);
    free(count);
    return NULL;
}

struct stats_store *stats_store_free(struct stats_store *count)
{
    if (count == NULL)
        return NULL;
    pthread_mutex_lock(&count->lock);
    count->stopping = true;
    pthread_cond_signal(&count->wake);
    pthread_mutex_unlock(&count->lock);
    pthread_join(count->thread, NULL);
    pthread_cond_destroy(&count->wake);
    pthread_mutex_destroy(&count->lock);
    free(count);
    return NULL;
}

bool stats_store_look(struct stats_store *count, double *ret_objects, double *ret_bytes)
{
    pthread_mutex_lock(&count->lock);
    bool known = count->known;
    if (known) {
        *ret_objects = count->objects;
        *ret_bytes = count->bytes;
    }
    pthread_mutex_unlock(&count->lock);
    return known;
}
