/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the tests of the store share. Failures end the test. */
#ifndef FARM_STORE_RIG_H
#define FARM_STORE_RIG_H

#include "scratch.h"
#include "store.h"

#include <sys/types.h>

/* The store of the test's directory; opened again, it is a restart. */
struct store *rig_open(const struct scratch *scratch);
struct digest rig_put(struct store *store, struct view data);
/* Where the object lies, below the directory; the caller's. */
char *rig_file(const struct digest *name);
void rig_make_old(const struct scratch *scratch, const char *path, int seconds);
/* One bit of the byte at this place is another one. */
void rig_damage(const struct scratch *scratch, const char *path, off_t at);
size_t rig_count_files(const struct scratch *scratch, const char *directory);
/* The object is there, and has these bytes. */
void rig_expect(struct store *store, const struct digest *name, struct view data);
/* Collects all but one; how many it removed. */
size_t rig_collect(struct store *store, const struct digest *keep_name, int64_t grace_ms);

#endif
