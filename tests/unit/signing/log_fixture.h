/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A transparency log in memory, for the tests: entries are added one by one, any beginning of it can be signed and cosigned, and it is
 * written as a release carries it.
 */
#ifndef FARM_LOG_FIXTURE_H
#define FARM_LOG_FIXTURE_H

#include "identity.h"
#include "logentry.h"
#include "note.h"
#include "tiledir.h"

struct log_fixture {
    char *origin;
    struct key_pair *key;
    struct buf *entries;
    size_t nentries, capacity;
};

struct log_fixture *log_fixture_new(const char *origin);
struct log_fixture *log_fixture_free(struct log_fixture *log);
void log_fixture_clear(struct log_fixture *log); /* the key stays */
struct note_key log_fixture_key(const struct log_fixture *log);

/* Returns the position. */
uint64_t log_fixture_add(struct log_fixture *log, const struct logentry *entry);
uint64_t log_fixture_add_text(struct log_fixture *log, struct view entry);
/* Of the first 'size' entries. */
struct checkpoint log_fixture_checkpoint(const struct log_fixture *log, uint64_t size);
/* The note of a checkpoint, signed by the log. Appends. */
void log_fixture_sign(const struct log_fixture *log, const struct checkpoint *checkpoint, struct buf *ret);
/* Appends a cosignature line to a note. */
void log_fixture_cosign(const struct checkpoint *checkpoint, const char *operator_name,
                        const struct identity *worker, uint64_t time_s, struct buf *note);
/* The entry bundles of the first 'size' entries, below "log/" in dirfd. */
void log_fixture_write(const struct log_fixture *log, int dirfd, uint64_t size);

#endif
