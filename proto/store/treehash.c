/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "treehash.h"

#include "beneath.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum {
    CHUNK = 256 * 1024,              /* the system call does not show, and it stays in the L2 cache */
    THREADS_MAX = 4,                 /* beyond that the disk is the limit */
    WORTH_A_THREAD = 4 * 1024 * 1024 /* bytes; 2 ms of hashing against 0.1 ms to start one */
};

/* What the threads share. Jobs are drawn by counting up; of several failures the first job's is reported. */
struct work {
    int dirfd;
    struct treehash_job *jobs;
    size_t count;
    bool blob;
    atomic_size_t next;
    pthread_mutex_t lock; /* guards what follows */
    size_t failed;        /* index of the job, or count */
    int error;
    struct diag diag;
};

static int hash_content(int fd, const struct treehash_job *job, struct hasher *hasher, char *chunk,
                        struct diag *diag)
{
    uint64_t done = 0;
    for (;;) {
        ssize_t got = read(fd, chunk, CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return diag_errno(diag, "%.*s: read", VIEW_ARG(job->path));
        if (got == 0)
            break;
        hasher_add(hasher, chunk, (size_t)got);
        done += (uint64_t)got;
    }
    if (done == job->size)
        return 0;
    return diag_set(diag, FARM_E_STATE,
                    "%.*s: changed while it was read (%" PRIu64 " bytes, then %" PRIu64 ")",
                    VIEW_ARG(job->path), job->size, done);
}

static int hash_one(const struct work *work, struct treehash_job *job, struct hasher *hasher, char *chunk,
                    struct diag *diag)
{
    CLEANUP_CLOSE int fd = beneath_open_file(work->dirfd, job->path);
    if (fd < 0)
        return diag_set(diag, fd, "%.*s: open: %s", VIEW_ARG(job->path), strerror(-fd));
    if (work->blob) {
        char head[32];
        int length = snprintf(head, sizeof head, "blob %" PRIu64, job->size);
        hasher_add(hasher, head, (size_t)length + 1);
    }
    int result = hash_content(fd, job, hasher, chunk, diag);
    struct digest digest = hasher_finish(hasher); /* also after a failure: it clears the hasher */
    if (result >= 0)
        job->ret = digest;
    return result;
}

static void report(struct work *work, size_t index, int error, const struct diag *diag)
{
    pthread_mutex_lock(&work->lock);
    if (index < work->failed) {
        work->failed = index;
        work->error = error;
        work->diag = *diag;
    }
    pthread_mutex_unlock(&work->lock);
    atomic_store(&work->next, work->count); /* nobody starts another */
}

static void *run(void *context)
{
    struct work *work = context;
    CLEANUP_FREE char *chunk = mem_alloc(CHUNK);
    struct hasher *hasher = hasher_new();
    for (;;) {
        size_t index = atomic_fetch_add(&work->next, 1);
        if (index >= work->count)
            break;
        struct diag diag = DIAG_INIT;
        int result = hash_one(work, &work->jobs[index], hasher, chunk, &diag);
        if (result < 0)
            report(work, index, result, &diag);
    }
    hasher_free(hasher);
    return NULL;
}

static size_t threads_for(const struct work *work)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < work->count; i++)
        bytes += work->jobs[i].size;
    cpu_set_t cpus;
    size_t most = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (size_t)CPU_COUNT(&cpus) : 1;
    if (most > THREADS_MAX)
        most = THREADS_MAX;
    uint64_t useful = 1 + bytes / WORTH_A_THREAD;
    return useful < most ? (size_t)useful : most;
}

int treehash(int dirfd, struct treehash_job *jobs, size_t count, bool blob, struct diag *diag)
{
    struct work work = {.dirfd = dirfd, .jobs = jobs, .count = count, .blob = blob, .failed = count};
    pthread_mutex_init(&work.lock, NULL);
    pthread_t threads[THREADS_MAX];
    size_t wanted = threads_for(&work), started = 0;
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, run, &work) == 0)
        started++; /* if none can be made, this thread does all */
    run(&work);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&work.lock);
    if (work.failed == count)
        return 0;
    return diag_set(diag, work.error, "%s", work.diag.text);
}
