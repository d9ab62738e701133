/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct task_queue {
    struct pool_task *first, **last;
};

enum stage { RUNS, LEAVES, ENDS };

struct pool {
    _Atomic enum stage stage;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct task_queue waiting, finished; /* both under the lock */
    struct pool_stats stats;             /* likewise */
    bool stopping;
    int event_fd;
    size_t pending; /* the loop's thread only */
    void *done_context;
    pthread_t *threads;
    unsigned int nthreads;
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void queue_init(struct task_queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_add(struct task_queue *queue, struct pool_task *task)
{
    task->next = NULL;
    *queue->last = task;
    queue->last = &task->next;
}

static void queue_add_first(struct task_queue *queue, struct pool_task *task)
{
    task->next = queue->first;
    queue->first = task;
    if (task->next == NULL)
        queue->last = &task->next;
}

static struct pool_task *queue_take(struct task_queue *queue)
{
    struct pool_task *task = queue->first;
    if (task == NULL)
        return NULL;
    queue->first = task->next;
    if (queue->first == NULL)
        queue->last = &queue->first;
    return task;
}

/* The next task; NULL when the pool stops. */
static struct pool_task *wait_for_task(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->waiting.first == NULL && !pool->stopping)
        pthread_cond_wait(&pool->work, &pool->lock);
    struct pool_task *task = pool->stopping ? NULL : queue_take(&pool->waiting);
    if (task != NULL) {
        pool->stats.waiting--;
        pool->stats.started++;
        pool->stats.waited_us += (uint64_t)(now_us() - task->submitted_us);
    }
    pthread_mutex_unlock(&pool->lock);
    return task;
}

static void *thread_main(void *argument)
{
    struct pool *pool = argument;
    struct pool_task *task;
    while ((task = wait_for_task(pool)) != NULL) {
        task->run(task);
        pthread_mutex_lock(&pool->lock);
        queue_add(&pool->finished, task);
        pthread_mutex_unlock(&pool->lock);
        eventfd_write(pool->event_fd, 1);
    }
    return NULL;
}

int pool_new(unsigned int threads, void *done_context, struct pool **ret, struct diag *diag)
{
    struct pool *pool = mem_zero(1, sizeof *pool);
    queue_init(&pool->waiting);
    queue_init(&pool->finished);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->done_context = done_context;
    pool->threads = mem_zero(threads, sizeof *pool->threads);
    pool->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int result = pool->event_fd < 0 ? diag_errno(diag, "eventfd") : 0;
    while (result >= 0 && pool->nthreads < threads) {
        int error = pthread_create(&pool->threads[pool->nthreads], NULL, thread_main, pool);
        if (error != 0)
            result = diag_set(diag, -error, "cannot start a pool thread");
        else
            pool->nthreads++;
    }
    if (result < 0) {
        pool_free(pool);
        return result;
    }
    *ret = pool;
    return 0;
}

void pool_leave(struct pool *pool)
{
    atomic_store(&pool->stage, LEAVES);
}

int pool_check(void *context, struct diag *diag)
{
    const struct pool_task *task = context;
    enum stage stage = atomic_load(&task->pool->stage);
    if (stage == RUNS || (stage == LEAVES && !task->background))
        return 0;
    return diag_set(diag, -ECANCELED, "the coordinator stops");
}

struct pool *pool_free(struct pool *pool)
{
    if (pool == NULL)
        return NULL;
    atomic_store(&pool->stage, ENDS);
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned int i = 0; i < pool->nthreads; i++)
        pthread_join(pool->threads[i], NULL);
    struct pool_task *task;
    while ((task = queue_take(&pool->waiting)) != NULL)
        queue_add(&pool->finished, task);
    pool_finish(pool);
    mem_close_p(&pool->event_fd);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool->threads);
    free(pool);
    return NULL;
}

void pool_submit(struct pool *pool, struct pool_task *task)
{
    pool->pending++;
    task->pool = pool;
    task->submitted_us = now_us();
    pthread_mutex_lock(&pool->lock);
    queue_add(&pool->waiting, task);
    pool->stats.waiting++;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

void pool_submit_first(struct pool *pool, struct pool_task *task)
{
    pool->pending++;
    task->pool = pool;
    task->submitted_us = now_us();
    pthread_mutex_lock(&pool->lock);
    queue_add_first(&pool->waiting, task);
    pool->stats.waiting++;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

int pool_fd(const struct pool *pool)
{
    return pool->event_fd;
}

size_t pool_finish(struct pool *pool)
{
    eventfd_t ignored;
    (void)!eventfd_read(pool->event_fd, &ignored);
    pthread_mutex_lock(&pool->lock);
    struct pool_task *list = pool->finished.first;
    queue_init(&pool->finished);
    pthread_mutex_unlock(&pool->lock);
    size_t count = 0;
    while (list != NULL) {
        struct pool_task *task = list;
        list = task->next;
        pool->pending--;
        count++;
        task->done(task, pool->done_context);
    }
    return count;
}

size_t pool_pending(const struct pool *pool)
{
    return pool->pending;
}

struct pool_stats pool_stats(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct pool_stats stats = pool->stats;
    pthread_mutex_unlock(&pool->lock);
    return stats;
}
