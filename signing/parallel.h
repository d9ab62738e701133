/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside signing: the same work for each of n things, on several threads. */
#ifndef FARM_PARALLEL_H
#define FARM_PARALLEL_H

#include <stddef.h>

typedef void parallel_work(void *context, size_t index);
/* Returns when all are done. 'threads' 0: one per available core. The calling thread works too. */
void parallel_each(size_t count, unsigned int threads, parallel_work *work, void *context);

#endif
