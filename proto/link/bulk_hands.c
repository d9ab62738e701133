/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The hands: threads that store finished uploads and, while there are none, unpack and hash what has arrived of others.
 *
 * There are several of them for two reasons. To store an object is to wait for the disk twice, and a journalling file system brings all
 * that wait at a time to the disk at once: so objects are stored in groups, as large as there are uploads under way, and without waiting
 * for a group to fill. And a large object that is verified keeps nobody else's waiting.
 *
 * Only what is durable is handed back (store_partial_commit), and only then does the server's thread say Stored.
 */
#include "bulk_private.h"

#include <stdlib.h>
#include <sys/eventfd.h>

/* ---- queues ---- */

static void push(struct bulk_queue *queue, struct bulk_commit *commit)
{
    commit->next = NULL;
    *queue->last = commit;
    queue->last = &commit->next;
}

static struct bulk_commit *pop(struct bulk_queue *queue)
{
    struct bulk_commit *commit = queue->first;
    if (commit == NULL)
        return NULL;
    queue->first = commit->next;
    if (queue->first == NULL)
        queue->last = &queue->first;
    return commit;
}

struct bulk_commit *bulk_commit_free(struct bulk_commit *commit)
{
    store_partial_close(commit->partial);
    buf_done(&commit->whole);
    free(commit->owner);
    free(commit);
    return NULL;
}

void bulk_hands_submit(struct bulk_server *server, struct bulk_commit *commit)
{
    pthread_mutex_lock(&server->mutex);
    push(&server->to_commit, commit);
    pthread_cond_signal(&server->work);
    pthread_mutex_unlock(&server->mutex);
}

struct bulk_commit *bulk_hands_result(struct bulk_server *server)
{
    pthread_mutex_lock(&server->mutex);
    struct bulk_commit *commit = pop(&server->committed);
    pthread_mutex_unlock(&server->mutex);
    return commit;
}

static void drop(struct bulk_queue *queue)
{
    struct bulk_commit *commit;
    while ((commit = pop(queue)) != NULL)
        bulk_commit_free(commit);
}

void bulk_hands_done(struct bulk_server *server)
{
    drop(&server->to_commit);
    drop(&server->committed);
}

/* ---- following: the server's thread ---- */

void bulk_follow_begin(struct bulk_server *server, struct bulk_take *take)
{
    if (server->nfollowed == BULK_FOLLOWED_MAX)
        return;
    server->nfollowed++;
    pthread_mutex_lock(&server->mutex);
    take->following = FOLLOW_RESTING;
    pthread_mutex_unlock(&server->mutex);
}

/* Under the mutex. */
static void queue_step(struct bulk_server *server, struct bulk_take *take)
{
    take->following = FOLLOW_WAITING;
    take->next_followed = server->to_follow;
    server->to_follow = take;
}

void bulk_follow(struct bulk_server *server, struct bulk_take *take)
{
    pthread_mutex_lock(&server->mutex);
    switch (take->following) {
    case FOLLOW_RESTING:
        queue_step(server, take);
        pthread_cond_signal(&server->work);
        break;
    case FOLLOW_RUNNING:
        take->following = FOLLOW_AGAIN;
        break;
    case FOLLOW_NEVER:
    case FOLLOW_WAITING:
    case FOLLOW_AGAIN:
    case FOLLOW_ENDING:
        break;
    }
    pthread_mutex_unlock(&server->mutex);
}

static void unqueue_step(struct bulk_server *server, const struct bulk_take *take)
{
    struct bulk_take **at = &server->to_follow;
    while (*at != NULL && *at != take)
        at = &(*at)->next_followed;
    if (*at != NULL)
        *at = take->next_followed;
}

void bulk_follow_end(struct bulk_server *server, struct bulk_take *take)
{
    pthread_mutex_lock(&server->mutex);
    switch (take->following) {
    case FOLLOW_NEVER:
        pthread_mutex_unlock(&server->mutex);
        return;
    case FOLLOW_WAITING:
        unqueue_step(server, take);
        take->following = FOLLOW_NEVER;
        break;
    case FOLLOW_RESTING:
        take->following = FOLLOW_NEVER;
        break;
    case FOLLOW_RUNNING:
    case FOLLOW_AGAIN:
    case FOLLOW_ENDING:
        take->following = FOLLOW_ENDING;
        break;
    }
    while (take->following == FOLLOW_ENDING)
        pthread_cond_wait(&server->rested, &server->mutex);
    pthread_mutex_unlock(&server->mutex);
    server->nfollowed--;
}

/* ---- a hand; the mutex is held, but while it works ---- */

/* As much of it as an earlier attempt did not leave there. */
static int write_whole(struct bulk_server *server, struct bulk_commit *commit)
{
    int r = store_partial_begin(server->options.store, commit->owner, &commit->digest, commit->whole.size,
                                &commit->partial, &commit->diag);
    if (r < 0)
        return r;
    size_t have = (size_t)store_partial_offset(commit->partial);
    return store_partial_add(commit->partial, have,
                             view_of(commit->whole.data + have, commit->whole.size - have), &commit->diag);
}

static int run_commit(struct bulk_server *server, struct bulk_commit *commit)
{
    int r = commit->partial == NULL ? write_whole(server, commit) : 0;
    return r < 0 ? r
                 : store_partial_commit(STEAL(commit->partial), server->options.object_max, &commit->diag);
}

static void store_one(struct bulk_server *server, struct bulk_commit *commit)
{
    pthread_mutex_unlock(&server->mutex);
    commit->result = run_commit(server, commit);
    pthread_mutex_lock(&server->mutex);
    push(&server->committed, commit);
    (void)!eventfd_write(server->done_fd, 1);
}

static void follow_one(struct bulk_server *server, struct bulk_take *take)
{
    take->following = FOLLOW_RUNNING;
    pthread_mutex_unlock(&server->mutex);
    bool more = store_partial_follow(take->partial, server->options.object_max);
    pthread_mutex_lock(&server->mutex);
    if (take->following == FOLLOW_ENDING) {
        take->following = FOLLOW_NEVER; /* from here on the upload may be gone */
        pthread_cond_signal(&server->rested);
    } else if (more || take->following == FOLLOW_AGAIN) {
        queue_step(server, take);
    } else {
        take->following = FOLLOW_RESTING;
    }
}

/* What is queued when the server ends stays a partial file. */
void *bulk_hands_run(void *argument)
{
    struct bulk_server *server = argument;
    pthread_mutex_lock(&server->mutex);
    while (!server->stopping) {
        struct bulk_commit *commit = pop(&server->to_commit);
        struct bulk_take *take = server->to_follow;
        if (commit != NULL) {
            store_one(server, commit);
        } else if (take != NULL) {
            server->to_follow = take->next_followed;
            follow_one(server, take);
        } else {
            pthread_cond_wait(&server->work, &server->mutex);
        }
    }
    pthread_mutex_unlock(&server->mutex);
    return NULL;
}
