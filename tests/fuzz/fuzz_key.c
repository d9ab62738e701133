/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz_key.h"

const struct key_pair *fuzz_key(void)
{
    static struct key_pair *pair;
    static const unsigned char seed[KEYS_SEED_SIZE] = "the key of the fuzzers, no other";
    if (pair == NULL)
        pair = keys_from_seed(seed);
    return pair;
}
