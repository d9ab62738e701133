/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "places.h"

#include "mem.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

struct places {
    pthread_mutex_t lock;
    unsigned width;
    unsigned *held; /* first processors; one may be in it twice, when there are more builds than places */
    size_t nheld, capacity;
};

unsigned places_here(unsigned *ret_count)
{
    cpu_set_t have;
    unsigned count = 0, here = 0;
    int now = sched_getcpu();
    CPU_ZERO(&have); /* more processors than a set holds: the sandbox will say so */
    (void)!sched_getaffinity(0, sizeof have, &have);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &have))
            continue;
        if (i == now)
            here = count;
        count++;
    }
    *ret_count = count > 0 ? count : 1;
    return here;
}

static bool is_held(unsigned first, const unsigned *held, size_t nheld)
{
    for (size_t i = 0; i < nheld; i++)
        if (held[i] == first)
            return true;
    return false;
}

unsigned places_choose(unsigned count, unsigned width, unsigned here, const unsigned *held, size_t nheld)
{
    unsigned wide = width > 0 ? width : 1;
    unsigned places = count > wide ? count / wide : 1;
    unsigned preferred = here / wide % places;
    for (unsigned i = 0; i < places; i++) {
        unsigned first = (preferred + i) % places * wide;
        if (!is_held(first, held, nheld))
            return first;
    }
    return preferred * wide;
}

struct places *places_new(unsigned width)
{
    struct places *places = mem_zero(1, sizeof *places);
    pthread_mutex_init(&places->lock, NULL);
    places->width = width;
    return places;
}

struct places *places_free(struct places *places)
{
    if (places != NULL) {
        pthread_mutex_destroy(&places->lock);
        free(places->held);
        free(places);
    }
    return NULL;
}

unsigned places_take(struct places *places)
{
    unsigned count, here = places_here(&count);
    pthread_mutex_lock(&places->lock);
    unsigned first = places_choose(count, places->width, here, places->held, places->nheld);
    places->held = mem_reserve(places->held, &places->capacity, places->nheld + 1, sizeof *places->held);
    places->held[places->nheld++] = first;
    pthread_mutex_unlock(&places->lock);
    return first;
}

void places_give(struct places *places, unsigned first)
{
    size_t i = 0;
    pthread_mutex_lock(&places->lock);
    while (i < places->nheld && places->held[i] != first)
        i++;
    assert(i < places->nheld);
    places->held[i] = places->held[--places->nheld];
    pthread_mutex_unlock(&places->lock);
}
