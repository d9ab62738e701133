/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Small payloads, always the same, and their canonical tars: what archives that are to be refused are compared with. */
#ifndef FARM_FUZZ_CANON_H
#define FARM_FUZZ_CANON_H

#include "canontar.h"

enum { CANON_PAYLOADS = 3, CANON_EPOCH = 1656438637 };

struct canon {
    struct manifest manifest;
    struct view pkginfo; /* empty: none */
    struct buf tar;
};
/* 0: one of each type; 1: names and a link that need pax members; 2: no .PKGINFO. Borrowed; uses the scratch directory. */
const struct canon *canon_payload(unsigned int number);

#endif
