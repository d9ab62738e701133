/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "once.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

enum { STATE_ABSENT, STATE_MAKING, STATE_READY };

struct once {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct once_entry *first; /* some tens at most: a list will do */
    uint64_t uses;
};

struct once *once_new(void)
{
    struct once *once = mem_zero(1, sizeof *once);
    pthread_mutex_init(&once->lock, NULL);
    pthread_cond_init(&once->changed, NULL);
    return once;
}

static void entry_free(struct once_entry *entry)
{
    free(entry->key);
    free(entry);
}

struct once *once_free(struct once *once, void (*drop)(void *value))
{
    if (once == NULL)
        return NULL;
    for (struct once_entry *entry = once->first, *next; entry != NULL; entry = next) {
        next = entry->next;
        assert(entry->users == 0);
        if (drop != NULL && entry->state == STATE_READY)
            drop(entry->value);
        entry_free(entry);
    }
    pthread_cond_destroy(&once->changed);
    pthread_mutex_destroy(&once->lock);
    free(once);
    return NULL;
}

static struct once_entry *find_or_add(struct once *once, const char *key)
{
    struct once_entry *entry = once->first;
    while (entry != NULL && strcmp(entry->key, key) != 0)
        entry = entry->next;
    if (entry == NULL) {
        entry = mem_zero(1, sizeof *entry);
        entry->key = mem_string(key);
        entry->next = once->first;
        once->first = entry;
    }
    return entry;
}

void once_seed(struct once *once, const char *key, void *value, uint64_t bytes)
{
    pthread_mutex_lock(&once->lock);
    struct once_entry *entry = find_or_add(once, key);
    assert(entry->state == STATE_ABSENT && entry->users == 0);
    entry->state = STATE_READY;
    entry->value = value;
    entry->bytes = bytes;
    entry->used = ++once->uses;
    pthread_mutex_unlock(&once->lock);
}

struct once_entry *once_enter(struct once *once, const char *key, bool *ret_make)
{
    pthread_mutex_lock(&once->lock);
    struct once_entry *entry = find_or_add(once, key);
    entry->users++; /* also while waiting: nobody evicts it under us */
    while (entry->state == STATE_MAKING)
        pthread_cond_wait(&once->changed, &once->lock);
    *ret_make = entry->state == STATE_ABSENT;
    if (*ret_make)
        entry->state = STATE_MAKING;
    entry->used = ++once->uses;
    pthread_mutex_unlock(&once->lock);
    return entry;
}

void once_made(struct once *once, struct once_entry *entry, void *value, uint64_t bytes)
{
    pthread_mutex_lock(&once->lock);
    assert(entry->state == STATE_MAKING);
    entry->state = STATE_READY;
    entry->value = value;
    entry->bytes = bytes;
    pthread_cond_broadcast(&once->changed);
    pthread_mutex_unlock(&once->lock);
}

static void take_out(struct once *once, struct once_entry *entry)
{
    struct once_entry **link = &once->first;
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
}

void once_failed(struct once *once, struct once_entry *entry)
{
    pthread_mutex_lock(&once->lock);
    assert(entry->state == STATE_MAKING);
    entry->state = STATE_ABSENT;
    if (--entry->users == 0) {
        take_out(once, entry);
        entry_free(entry);
    }
    pthread_cond_broadcast(&once->changed);
    pthread_mutex_unlock(&once->lock);
}

void once_leave(struct once *once, struct once_entry *entry)
{
    if (entry == NULL)
        return;
    pthread_mutex_lock(&once->lock);
    assert(entry->users > 0);
    entry->users--;
    pthread_mutex_unlock(&once->lock);
}

uint64_t once_bytes(struct once *once)
{
    uint64_t bytes = 0;
    pthread_mutex_lock(&once->lock);
    for (struct once_entry *entry = once->first; entry != NULL; entry = entry->next)
        bytes += entry->state == STATE_READY ? entry->bytes : 0;
    pthread_mutex_unlock(&once->lock);
    return bytes;
}

struct once_entry *once_evict(struct once *once)
{
    struct once_entry *oldest = NULL;
    pthread_mutex_lock(&once->lock);
    for (struct once_entry *entry = once->first; entry != NULL; entry = entry->next)
        if (entry->state == STATE_READY && entry->users == 0 &&
            (oldest == NULL || entry->used < oldest->used))
            oldest = entry;
    if (oldest != NULL) {
        oldest->state = STATE_MAKING;
        oldest->users++;
    }
    pthread_mutex_unlock(&once->lock);
    return oldest;
}
