/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The release that the fuzzers' verification summaries are about. */
#ifndef FARM_FUZZ_SUMMARY_H
#define FARM_FUZZ_SUMMARY_H

#include "vsa.h"

/* Borrowed. */
struct vsa_inputs fuzz_summary(void);

#endif
