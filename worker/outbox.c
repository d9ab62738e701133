/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "outbox.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct outbox {
    pthread_mutex_t lock;
    struct note *first, **last;
    int fd; /* eventfd: more than zero while the queue is not empty */
};

struct note *note_new(enum note_kind kind, unsigned slot)
{
    struct note *note = mem_zero(1, sizeof *note);
    note->kind = kind;
    note->slot = slot;
    return note;
}

struct note *note_free(struct note *note)
{
    if (note != NULL) {
        free(note->text);
        free(note->node);
        buf_done(&note->frame);
        spool_entry_free(note->entry);
        free(note);
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
    for (struct note *note; (note = outbox_take(outbox)) != NULL;)
        note_free(note);
    close(outbox->fd);
    pthread_mutex_destroy(&outbox->lock);
    free(outbox);
    return NULL;
}

int outbox_fd(const struct outbox *outbox)
{
    return outbox->fd;
}

void outbox_post(struct outbox *outbox, struct note *note)
{
    pthread_mutex_lock(&outbox->lock);
    note->next = NULL;
    *outbox->last = note;
    outbox->last = &note->next;
    pthread_mutex_unlock(&outbox->lock);
    (void)!write(outbox->fd, &(uint64_t){1}, sizeof(uint64_t)); /* fails only when it is readable anyway */
}

struct note *outbox_take(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    struct note *note = outbox->first;
    if (note == NULL) {
        uint64_t count;
        (void)!read(outbox->fd, &count, sizeof count);
    } else {
        outbox->first = note->next;
        if (outbox->first == NULL)
            outbox->last = &outbox->first;
        note->next = NULL;
    }
    pthread_mutex_unlock(&outbox->lock);
    return note;
}
