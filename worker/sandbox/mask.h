/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Mask: the CPU facts a build may see. Thread counts and CPU flags are a classic way for a host to reach the
 * bytes; so the number of CPUs is the job's, in affinity, /sys/devices/system/cpu and /proc/cpuinfo alike, and the
 * flags are those of the baseline level.
 */
#ifndef FARM_SANDBOX_MASK_H
#define FARM_SANDBOX_MASK_H

#include "buf.h"
#include "diag.h"

void mask_cpuinfo(unsigned cores, struct buf *ret);
/* "0-3\n", as in /sys/devices/system/cpu/online. */
void mask_cpu_list(unsigned cores, struct buf *ret);
/* Writes cpuinfo and sys/devices/system/cpu below 'dir', an existing absolute path. */
int mask_write(const char *dir, unsigned cores, struct diag *diag) MUST_USE;
/*
 * Chooses 'cores' of the CPUs that this process may use, beginning with the first-th of them (modulo their number):
 * "4,5,0". FARM_E_UNAVAILABLE if there are fewer. farm-init binds itself to them, so that setting up the sandbox may
 * still run anywhere.
 */
int mask_choose(unsigned cores, unsigned first, struct buf *ret, struct diag *diag) MUST_USE;

#endif
