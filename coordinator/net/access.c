/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "access.h"

#include "link.h"
#include "map.h"
#include "mem.h"
#include "moment.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/statvfs.h>

/* A worker's account. They stay: there are as many as admitted workers. */
struct account {
    uint64_t bytes;
};

/* An object that somebody was told we have; it is pinned. */
struct told {
    struct digest digest;
    int64_t at_ms;           /* steady, of the last time */
    struct account *account; /* of who sent it; NULL: it was here */
    uint64_t sent;
};

enum { SWEEP_MS = 3600 * 1000 /* so often old pins are looked for, if no collection does */ };

/* Objects that were asked for in vain between two looks; whoever else finds one missing says so again. */
enum { ABSENT_MAX = 64 };

struct access {
    pthread_mutex_t lock;
    struct digest absent[ABSENT_MAX];
    size_t nabsent;
    struct map *allowed;  /* worker, 0, digest -> how many live leases of it name the object */
    struct map *told;     /* digest -> struct told */
    struct map *accounts; /* worker -> struct account */
    int64_t sweep_due_ms;
    struct digest published; /* everybody's; zero: none */
    struct store *store;     /* borrowed */
    int dirfd;               /* borrowed; of the file system that uploads fill */
    uint64_t keep_free;
};

enum { KEY_SIZE = LINK_USER_MAX + 1 + DIGEST_SIZE };

static struct view key_of(char room[KEY_SIZE], const char *worker, const struct digest *object)
{
    size_t size = strnlen(worker, LINK_USER_MAX);
    memcpy(room, worker, size);
    room[size] = '\0';
    memcpy(room + size + 1, object->bytes, DIGEST_SIZE);
    return view_of(room, size + 1 + DIGEST_SIZE);
}

struct access *access_new(struct store *store)
{
    struct access *access = mem_zero(1, sizeof *access);
    pthread_mutex_init(&access->lock, NULL);
    access->allowed = map_new();
    access->told = map_new();
    access->accounts = map_new();
    access->sweep_due_ms = moment_steady_ms() + SWEEP_MS;
    access->store = store;
    return access;
}

struct access *access_free(struct access *access)
{
    if (access == NULL)
        return NULL;
    access_unpin(access, INT64_MAX);
    size_t cursor = 0;
    struct view key;
    for (void *account; map_next(access->accounts, &cursor, &key, &account);)
        free(account);
    map_free(access->accounts);
    if (!digest_is_zero(&access->published))
        store_unpin(access->store, &access->published);
    map_free(access->allowed);
    map_free(access->told);
    pthread_mutex_destroy(&access->lock);
    free(access);
    return NULL;
}

void access_allow(struct access *access, const char *worker, const struct digest *object)
{
    char room[KEY_SIZE];
    struct view key = key_of(room, worker, object);
    pthread_mutex_lock(&access->lock);
    uintptr_t leases = (uintptr_t)map_get(access->allowed, key) + 1;
    map_set(access->allowed, key, (void *)leases);
    pthread_mutex_unlock(&access->lock);
}

void access_withdraw(struct access *access, const char *worker, const struct digest *object)
{
    char room[KEY_SIZE];
    struct view key = key_of(room, worker, object);
    pthread_mutex_lock(&access->lock);
    uintptr_t leases = (uintptr_t)map_get(access->allowed, key);
    if (leases > 1)
        map_set(access->allowed, key, (void *)(leases - 1));
    else
        (void)map_remove(access->allowed, key);
    pthread_mutex_unlock(&access->lock);
}

bool access_is_published(struct access *access, const struct digest *object)
{
    pthread_mutex_lock(&access->lock);
    bool is = digest_equal(&access->published, object);
    pthread_mutex_unlock(&access->lock);
    return is;
}

/* Pinned before the old one is let go, so that publishing the same again loses nothing. */
bool access_publish(struct access *access, const struct digest *object)
{
    store_pin(access->store, object);
    pthread_mutex_lock(&access->lock);
    struct digest before = access->published;
    access->published = *object;
    pthread_mutex_unlock(&access->lock);
    if (!digest_is_zero(&before))
        store_unpin(access->store, &before);
    return !digest_equal(&before, object);
}

bool access_may_get(void *context, const char *worker, const struct digest *object)
{
    struct access *access = context;
    char room[KEY_SIZE];
    struct view key = key_of(room, worker, object);
    pthread_mutex_lock(&access->lock);
    bool allowed = map_get(access->allowed, key) != NULL || digest_equal(&access->published, object);
    pthread_mutex_unlock(&access->lock);
    return allowed;
}

void access_absent(void *context, const struct digest *object)
{
    struct access *access = context;
    pthread_mutex_lock(&access->lock);
    bool known = access->nabsent == ABSENT_MAX;
    for (size_t i = 0; i < access->nabsent; i++)
        known |= digest_equal(&access->absent[i], object);
    if (!known)
        access->absent[access->nabsent++] = *object;
    pthread_mutex_unlock(&access->lock);
}

size_t access_take_absent(struct access *access, struct digest *ret, size_t max)
{
    pthread_mutex_lock(&access->lock);
    size_t n = access->nabsent < max ? access->nabsent : max;
    access->nabsent -= n;
    memcpy(ret, access->absent + access->nabsent, n * sizeof *ret);
    pthread_mutex_unlock(&access->lock);
    return n;
}

void access_keep_free(struct access *access, int dirfd, uint64_t bytes)
{
    access->dirfd = dirfd;
    access->keep_free = bytes;
}

bool access_has_room(void *context)
{
    const struct access *access = context;
    struct statvfs found;
    return access->keep_free == 0 || fstatvfs(access->dirfd, &found) < 0 ||
           (uint64_t)found.f_bavail * found.f_frsize >= access->keep_free;
}

/* ---- what was sent, or told to be here; under the lock ---- */

static struct account *account_of(struct access *access, const char *worker)
{
    struct account *account = map_get(access->accounts, view_text(worker));
    if (account != NULL)
        return account;
    account = mem_zero(1, sizeof *account);
    map_set(access->accounts, view_text(worker), account);
    return account;
}

static void forget_told(struct access *access, struct told *told)
{
    (void)map_remove(access->told, view_of(told->digest.bytes, DIGEST_SIZE));
    if (told->account != NULL)
        told->account->bytes -= told->sent;
    store_unpin(access->store, &told->digest);
    free(told);
}

static void sweep(struct access *access, int64_t before_ms)
{
    size_t cursor = 0;
    struct view key;
    for (void *told; map_next(access->told, &cursor, &key, &told);)
        if (((struct told *)told)->at_ms < before_ms)
            forget_told(access, told);
}

static struct told *tell(struct access *access, const struct digest *object, int64_t now_ms)
{
    struct view key = view_of(object->bytes, DIGEST_SIZE);
    struct told *told = map_get(access->told, key);
    if (told == NULL) {
        told = mem_zero(1, sizeof *told);
        told->digest = *object;
        store_pin(access->store, object);
        map_set(access->told, key, told);
    }
    told->at_ms = now_ms;
    return told;
}

/* ---- and without it ---- */

void access_present(void *context, const char *worker, const struct digest *object, uint64_t sent)
{
    struct access *access = context;
    int64_t now_ms = moment_steady_ms();
    pthread_mutex_lock(&access->lock);
    if (now_ms >= access->sweep_due_ms) {
        sweep(access, now_ms - PRESENT_KEEP_MS);
        access->sweep_due_ms = now_ms + SWEEP_MS;
    }
    struct told *told = tell(access, object, now_ms);
    if (sent > 0 && told->account == NULL) {
        told->account = account_of(access, worker);
        told->account->bytes += sent;
        told->sent = sent;
    }
    pthread_mutex_unlock(&access->lock);
}

uint64_t access_held(void *context, const char *worker)
{
    struct access *access = context;
    pthread_mutex_lock(&access->lock);
    const struct account *account = map_get(access->accounts, view_text(worker));
    uint64_t bytes = account != NULL ? account->bytes : 0;
    pthread_mutex_unlock(&access->lock);
    return bytes;
}

void access_named(struct access *access, const struct digest *object)
{
    pthread_mutex_lock(&access->lock);
    struct told *told = map_get(access->told, view_of(object->bytes, DIGEST_SIZE));
    if (told != NULL)
        forget_told(access, told);
    pthread_mutex_unlock(&access->lock);
}

void access_unpin(struct access *access, int64_t before_ms)
{
    pthread_mutex_lock(&access->lock);
    sweep(access, before_ms);
    pthread_mutex_unlock(&access->lock);
}
