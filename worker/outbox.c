/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "outbox.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct outbox {
    pthread_mutex_t lock;
    struct outbox_item *first, **last;
    int fd; /* eventfd: more than zero while the queue is not empty */
};

struct outbox_item *outbox_item_new(enum outbox_kind kind, unsigned slot)
{
    struct outbox_item *item = mem_zero(1, sizeof *item);
    item->kind = kind;
    item->slot = slot;
    return item;
}

struct outbox_item *outbox_item_free(struct outbox_item *item)
{
    if (item != NULL) {
        free(item->text);
        free(item->node);
        buf_done(&item->frame);
        spool_entry_free(item->entry);
        free(item->listing);
        free(item);
    }
    return NULL;
}

struct outbox *outbox_new(void)
{
    struct outbox *outbox = mem_zero(1, sizeof *outbox);
    pthread_mutex_init(&outbox->lock, NULL);
    outbox->last = &outbox->first;
    outbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (outbox->fd < 0)
        abort(); /* no descriptors at the start of a program: nothing would work */
    return outbox;
}

struct outbox *outbox_free(struct outbox *outbox)
{
    if (outbox == NULL)
        return NULL;
    for (struct outbox_item *item; (item = outbox_take(outbox)) != NULL;)
        outbox_item_free(item);
    close(outbox->fd);
    pthread_mutex_destroy(&outbox->lock);
    free(outbox);
    return NULL;
}

int outbox_fd(const struct outbox *outbox)
{
    return outbox->fd;
}

void outbox_post(struct outbox *outbox, struct outbox_item *item)
{
    pthread_mutex_lock(&outbox->lock);
    item->next = NULL;
    *outbox->last = item;
    outbox->last = &item->next;
    pthread_mutex_unlock(&outbox->lock);
    (void)!write(outbox->fd, &(uint64_t){1}, sizeof(uint64_t)); /* fails only when it is readable anyway */
}

struct outbox_item *outbox_take(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    struct outbox_item *item = outbox->first;
    if (item == NULL) {
        uint64_t count;
        (void)!read(outbox->fd, &count, sizeof count);
    } else {
        outbox->first = item->next;
        if (outbox->first == NULL)
            outbox->last = &outbox->first;
        item->next = NULL;
    }
    pthread_mutex_unlock(&outbox->lock);
    return item;
}
