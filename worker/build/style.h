/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Style: the usual commands of each build style, for recipes without build.sh.
 */
#ifndef FARM_BUILD_STYLE_H
#define FARM_BUILD_STYLE_H

#include "buf.h"
#include "build.h"

enum build_phase { PHASE_CONFIGURE, PHASE_BUILD, PHASE_CHECK, PHASE_INSTALL, PHASES };

/* Appends the shell commands of one phase; nothing if the style has none for it. */
void style_commands(const struct build_plan *plan, enum build_phase phase, struct buf *ret);

#endif
