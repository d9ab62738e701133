/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one signing key of the fuzzers, always the same, so that signed seeds stay good. */
#ifndef FARM_FUZZ_KEY_H
#define FARM_FUZZ_KEY_H

#include "keys.h"

/* Borrowed, for the life of the program. Call it in setup() first. */
const struct key_pair *fuzz_key(void);

#endif
