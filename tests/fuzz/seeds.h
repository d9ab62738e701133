/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Seeds: first inputs for the fuzzers, made by our own writers from the tests' own fixtures. */
#ifndef FARM_FUZZ_SEEDS_H
#define FARM_FUZZ_SEEDS_H

#include "buf.h"

/* Writes <directory>/<target>/seed-<name>. */
void seed_put(const char *target, const char *name, struct view content);
/* What fuzz_take_chunk() takes off again: u16 and the bytes. Appends. */
void seed_add_chunk(struct buf *seed, struct view chunk);

void seeds_wire(void);    /* one frame of each type, and the control socket's stream */
void seeds_release(void); /* everything that a release holds */
void seeds_signed(void);  /* by the fuzzers' own key */
void seeds_text(void);    /* what people write */
void seeds_binary(void);  /* archives, frames, git objects, ELF */
void seeds_state(void);   /* what a verifier and a worker keep */

#endif
