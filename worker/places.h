/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Places: on which processors a build begins. The processors that this process may use are cut into places, each as wide as a
 * slot's share of the cores, and a slot holds one while it has a lease, so that the worker's own builds do not share.
 *
 * Which place it is, is the kernel's choice as far as possible: the one where this thread was just woken, since the scheduler
 * woke it where there was least to do. Always beginning at the first would let two workers of one machine, or a worker and
 * whatever else its owner keeps on the first processors, work on top of each other beside idle ones.
 */
#ifndef FARM_PLACES_H
#define FARM_PLACES_H

#include <stddef.h>

/* Index among the processors that this process may use, of the one it runs on now; and how many there are, at least 1. */
unsigned places_here(unsigned *ret_count);
/*
 * The first processor of a place of 'width' (0 counts as 1) out of 'count' that none of 'held' begins, the one around 'here' or
 * the next after it; the one around 'here' if all are held.
 */
unsigned places_choose(unsigned count, unsigned width, unsigned here, const unsigned *held, size_t nheld);

#endif
