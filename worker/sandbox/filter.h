/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Filter: the seccomp program of a build. Namespaces and dropped capabilities do the work; this takes away what
 * they leave open: kernel interfaces without a namespace, memory that no limit sees, and the terminal trick.
 */
#ifndef FARM_SANDBOX_FILTER_H
#define FARM_SANDBOX_FILTER_H

#include "buf.h"

/* The bytes that "bwrap --seccomp" wants: an array of struct sock_filter for this architecture. */
void filter_build(struct buf *ret);

#endif
