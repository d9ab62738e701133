/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Objects: the coordinator's store, as far as it matters: what arrived whole. An upload may break off, and goes on from there the next
 * time; what arrived may rot before anybody looks at it, or long after.
 */
#ifndef SIM_OBJECTS_H
#define SIM_OBJECTS_H

#include "digest.h"
#include "map.h"

struct world;

struct objects {
    struct map *parts;  /* digest -> how many parts arrived, plus one */
    struct map *rotten; /* digests that rotted at some time, as a set */
};

void objects_open(struct objects *objects);
void objects_close(struct objects *objects);
bool objects_has(const struct objects *objects, const struct digest *digest);
/* Gone, if it was here. */
void objects_rot(struct world *world, const struct digest *digest);
/* It was, at some time. */
bool objects_have_lost(const struct objects *objects, const struct digest *digest);
/* Tries to upload what is not there yet of it; true when all of it is. */
bool objects_upload(struct world *world, const struct digest *digest);

#endif
