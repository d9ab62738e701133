/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FARM_CORE_WHY_WORKERS_H
#define FARM_CORE_WHY_WORKERS_H

#include "buf.h"
#include "state.h"

/* Who could be asked to do the job, and for each kind of worker why it is not asked. */
void why_workers(const struct core *core, const struct job *job, int64_t now_ms, struct buf *ret);

#endif
