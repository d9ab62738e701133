/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { THREADS_MAX = 64 };

struct crew {
    atomic_size_t next;
    size_t count;
    parallel_work *work;
    void *context;
};

static void *run(void *argument)
{
    struct crew *crew = argument;
    for (size_t i; (i = atomic_fetch_add(&crew->next, 1)) < crew->count;)
        crew->work(crew->context, i);
    return NULL;
}

static unsigned int clamp(unsigned int threads, size_t count)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (threads == 0)
        threads = cores > 0 ? (unsigned int)cores : 1;
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    return count < threads ? (unsigned int)count : threads;
}

void parallel_each(size_t count, unsigned int threads, parallel_work *work, void *context)
{
    struct crew crew = {.count = count, .work = work, .context = context};
    pthread_t helpers[THREADS_MAX];
    unsigned int started = 0, wanted = clamp(threads, count);
    while (started + 1 < wanted && pthread_create(&helpers[started], NULL, run, &crew) == 0)
        started++; /* fewer threads than asked for is slower, not wrong */
    run(&crew);
    for (unsigned int i = 0; i < started; i++)
        pthread_join(helpers[i], NULL);
}
