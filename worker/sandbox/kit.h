/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Kit: the two executables that every build runs, as sealed files in memory: the launcher, and farm-init.
 *
 * They are programs of their own, linked statically, because a build should not wait for what a worker is linked with: the dynamic
 * linking of a worker's sixty libraries takes longer than everything that the launcher does. And so the launcher holds nothing of the
 * worker's. Each lies in memory once; builds share its pages, and the seals keep it as it is.
 */
#ifndef FARM_SANDBOX_KIT_H
#define FARM_SANDBOX_KIT_H

#include "sandbox.h"

struct sandbox_kit {
    int launcher, init; /* open for reading, close-on-exec */
};

#endif
