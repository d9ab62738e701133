/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Once: a table of things that are expensive to make and good for many leases (package trees, bases, merged
 * closures). Whoever asks first makes it, without any lock held; whoever asks meanwhile waits. If the making
 * fails, one of those who wait tries again, so a failure that was not about the thing itself (no connection,
 * cancelled) poisons nothing.
 *
 * An entry in use is never given to the eviction. Thread-safe.
 */
#ifndef FARM_ONCE_H
#define FARM_ONCE_H

#include "view.h"

struct once;

struct once_entry {
    char *key;
    void *value;    /* the maker's; set by once_made */
    uint64_t bytes; /* on disk; for the eviction */
    /* Private: */
    int state;
    unsigned users;
    uint64_t used; /* count of uses of the table when this was last used */
    struct once_entry *next;
};

struct once *once_new(void);
/* 'drop' (may be NULL) gets every value. No entry may be in use. Accepts NULL, returns NULL. */
struct once *once_free(struct once *once, void (*drop)(void *value));
/* Puts a thing that is there already (found on disk at start), least recently used first. */
void once_seed(struct once *once, const char *key, void *value, uint64_t bytes);

/*
 * Blocks while somebody else makes it. Then: *ret_make false, and it is there; or true, and the caller makes
 * it and ends with once_made or once_failed. In the first and the 'made' case the entry stays in use until
 * once_leave.
 */
struct once_entry *once_enter(struct once *once, const char *key, bool *ret_make);
void once_made(struct once *once, struct once_entry *entry, void *value, uint64_t bytes);
void once_failed(struct once *once, struct once_entry *entry);
void once_leave(struct once *once, struct once_entry *entry); /* accepts a NULL entry */

/* Bytes of all that is there. */
uint64_t once_bytes(struct once *once);
/*
 * The least recently used entry that nobody uses, or NULL. It is the caller's to unmake (value and files),
 * who then calls once_failed: those who want it meanwhile wait, and make it anew.
 */
struct once_entry *once_evict(struct once *once);

#endif
