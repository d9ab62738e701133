/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Schedule: brings jobs and workers together at the end of each step.
 *
 * The most urgent job first; who of the eligible free workers gets it is drawn, each with the same chance. The draw
 * picks from the whole pool and rejects, which is even among the eligible; after DRAW_TRIES rejections (the eligible
 * are then a small part of the pool) it walks the pool once and draws among those it found. A walk that finds nobody
 * marks the group barren (ready.h), so that it is not repeated.
 */
#ifndef FARM_CORE_SCHEDULE_H
#define FARM_CORE_SCHEDULE_H

#include "state.h"

void schedule_run(struct core *core);

#endif
