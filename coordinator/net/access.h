/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Access: which objects the bulk server gives to whom, and which it may not lose.
 *
 * A worker may fetch what its live leases name, and the one object that is everybody's (the worker directory), and nothing else:
 * neither the answers of others, nor their logs, nor what a job depends on that was never given to it. An object that a worker was told we have is pinned, since its
 * answer will name it without sending it again; the pins are given up PRESENT_KEEP_MS later. What it sent and no row names yet is on its account, which the
 * bulk server bounds: else one admitted worker could fill the disk.
 *
 * It also hears which of them it could not be given since the store lost them, so that what is missing is known before the scrub
 * comes by.
 *
 * Thread-safe: the bulk server's threads ask.
 */
#ifndef FARM_ACCESS_H
#define FARM_ACCESS_H

#include "digest.h"
#include "store.h"

/* Between uploading and the accepted answer lie retries and restarts, but not days. */
#define PRESENT_KEEP_MS ((int64_t)48 * 3600 * 1000)

struct access;

/* 'store' is borrowed. */
struct access *access_new(struct store *store);
struct access *access_free(struct access *access); /* accepts NULL, returns NULL */

/* One more, and one less, live lease of the worker that names the object. */
void access_allow(struct access *access, const char *worker, const struct digest *object);
void access_withdraw(struct access *access, const char *worker, const struct digest *object);

/*
 * The object that every admitted worker may fetch from now on, in place of the one before; pinned. It must be in the store. True: it
 * is another one than before.
 */
bool access_publish(struct access *access, const struct digest *object);
bool access_is_published(struct access *access, const struct digest *object);

/* For the bulk server; 'context' is the access. */
bool access_may_get(void *context, const char *worker, const struct digest *object);
void access_present(void *context, const char *worker, const struct digest *object, uint64_t sent);
/* Bytes that the worker has sent and no row names. */
uint64_t access_held(void *context, const char *worker);
/* Some worker was promised the object, and it is not here. */
void access_absent(void *context, const struct digest *object);
/* What access_absent() heard since: at most 'max' of them. */
size_t access_take_absent(struct access *access, struct digest *ret, size_t max);
/* Uploads leave this much of the file system free (D7); before the server runs. The directory is borrowed. */
void access_keep_free(struct access *access, int dirfd, uint64_t bytes);
bool access_has_room(void *context);

/* A row names it from now on: it needs no pin. */
void access_named(struct access *access, const struct digest *object);
/* Gives up pins of what was told last before this (steady clock). */
void access_unpin(struct access *access, int64_t before_ms);

#endif
