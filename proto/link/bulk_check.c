/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Checking: an object that this process has not read through yet is verified before it is first served (D8), and for
 * a large one that takes seconds. It happens in a thread of its own, so that neither other peers' transfers nor the committing of
 * uploads wait for it.
 */
#include "bulk_private.h"

#include <stdlib.h>
#include <sys/eventfd.h>

/* Read on the server's own thread up to here: a millisecond or two, which a hand-over to another thread costs as well. */
enum { SMALL = 1024 * 1024 };

bool bulk_check_needed(struct bulk_server *server, const struct digest *digest)
{
    struct store *store = server->options.store;
    uint64_t size;
    return !store_is_verified(store, digest) && store_size(store, digest, &size, NULL) >= 0 && size > SMALL;
}

static struct bulk_check *pop(struct bulk_check **list)
{
    struct bulk_check *check = *list;
    if (check != NULL)
        *list = check->next;
    return check;
}

static void push(struct bulk_check **list, struct bulk_check *check)
{
    check->next = *list;
    *list = check;
}

void bulk_check_submit(struct bulk_server *server, const struct digest *digest)
{
    struct bulk_check *check = mem_zero(1, sizeof(*check));
    check->digest = *digest;
    pthread_mutex_lock(&server->mutex);
    push(&server->to_check, check);
    pthread_cond_broadcast(&server->wake);
    pthread_mutex_unlock(&server->mutex);
}

/* Waits for work; NULL when the server ends. */
static struct bulk_check *next_check(struct bulk_server *server)
{
    pthread_mutex_lock(&server->mutex);
    while (server->to_check == NULL && !server->stopping)
        pthread_cond_wait(&server->wake, &server->mutex);
    struct bulk_check *check = server->stopping ? NULL : pop(&server->to_check);
    pthread_mutex_unlock(&server->mutex);
    return check;
}

void *bulk_check_run(void *argument)
{
    struct bulk_server *server = argument;
    struct bulk_check *check;
    while ((check = next_check(server)) != NULL) {
        check->result = store_verify(server->options.store, &check->digest, &check->diag);
        pthread_mutex_lock(&server->mutex);
        push(&server->checked, check);
        pthread_mutex_unlock(&server->mutex);
        (void)!eventfd_write(server->done_fd, 1);
    }
    return NULL;
}

void bulk_on_checked(struct bulk_server *server, int64_t now_ms)
{
    for (;;) {
        pthread_mutex_lock(&server->mutex);
        struct bulk_check *check = pop(&server->checked);
        pthread_mutex_unlock(&server->mutex);
        if (check == NULL)
            return;
        bulk_send_checked(server, check, now_ms);
        free(check);
    }
}

void bulk_check_done(struct bulk_server *server)
{
    struct bulk_check *check;
    while ((check = pop(&server->to_check)) != NULL || (check = pop(&server->checked)) != NULL)
        free(check);
}
