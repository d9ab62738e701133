/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Places: on which processors a build begins. The processors that this process may use are cut into places, each as wide as a
 * slot's share of the cores, and a build holds one while it runs, so that the worker's own builds do not share.
 *
 * Which place it is, is the kernel's choice as far as possible: the one where the slot's thread runs when it starts the sandbox, since
 * the scheduler put it where there was least to do. Always beginning at the first would let two workers of one machine, or a
 * worker and whatever else its owner keeps on the first processors, work on top of each other beside idle ones.
 *
 * Thread-safe.
 */
#ifndef FARM_PLACES_H
#define FARM_PLACES_H

#include <stddef.h>

struct places;
/* 'width': processors of a place; 0 counts as 1. */
struct places *places_new(unsigned width);
struct places *places_free(struct places *places); /* accepts NULL, returns NULL */
/* The first processor of a place, around the one this thread runs on if that is to be had. */
unsigned places_take(struct places *places);
void places_give(struct places *places, unsigned first);

/* ---- the rule ---- */

/* Index, among the processors that this process may use, of the one it runs on now; and how many there are, at least 1. */
unsigned places_here(unsigned *ret_count);
/*
 * The first processor of a place of 'width' (0 counts as 1) out of 'count' that none of 'held' begins, the one around 'here' or
 * the next after it; the one around 'here' if all are held.
 */
unsigned places_choose(unsigned count, unsigned width, unsigned here, const unsigned *held, size_t nheld);

#endif
