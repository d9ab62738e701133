/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Store, what its files share. */
#ifndef FARM_STORE_PRIVATE_H
#define FARM_STORE_PRIVATE_H

#include "map.h"
#include "store.h"

#include <pthread.h>
#include <sys/stat.h>

struct store {
    int root, objects, incoming, damaged; /* directories */
    int lock_file;
    int level;
    pthread_mutex_t lock;        /* guards what follows, and every rename into and unlink from objects/ */
    struct map *pins;            /* digest -> struct count */
    struct map *arriving;        /* digest -> struct count: linked in, but the directory is not synced yet */
    struct map *verified;        /* digest -> struct verified: read whole and found right by this process */
    struct frame_spares *spares; /* has a lock of its own */
};

struct count {
    size_t value;
};

/* Which file it was: another inode or a later change of it has to be verified again. */
struct verified {
    ino_t inode;
    struct timespec changed;
};

/* "ab/cdef...", relative to objects/. */
struct object_path {
    char text[DIGEST_HEX_SIZE + 2];
};
struct object_path store_object_path(const struct digest *name);
bool store_parse_object_path(const char *directory, const char *file, struct digest *ret);

static inline struct view store_key(const struct digest *name)
{
    return view_of(name->bytes, DIGEST_SIZE);
}
/* For maps of counts. */
void store_count_up(struct map *counts, const struct digest *name);
void store_count_down(struct map *counts, const struct digest *name);

/* A new file in incoming/; *ret_name is owned. */
int store_new_file(struct store *store, char **ret_name, int *ret_fd, struct diag *diag) MUST_USE;
/*
 * Makes the complete file incoming/<file>, open as fd, the object 'name', synced if 'durable'. The file is gone from incoming/
 * afterwards, unless there was an error.
 */
int store_publish(struct store *store, const char *file, int fd, const struct digest *name, bool durable,
                  bool pin, struct diag *diag) MUST_USE;
/* Opens an object's file: FARM_E_MISSING. */
int store_open_object(struct store *store, const struct digest *name, struct diag *diag) MUST_USE;
/* The file open as fd is not what it is called: out of the way with it. Returns FARM_E_CORRUPT with the reason. */
int store_move_aside(struct store *store, const struct digest *name, int fd, const char *why,
                     struct diag *diag);
bool store_is_same_file(const struct verified *entry, const struct stat *status);
/* If the object is there (and durable), counts it as stored now and returns true. */
bool store_refresh(struct store *store, const struct digest *name);

#endif
