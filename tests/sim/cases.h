/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cases: runs that once found something, kept by name. */
#ifndef SIM_CASES_H
#define SIM_CASES_H

#include "sim.h"

struct sim_case {
    const char *name;
    uint64_t seed;
    uint32_t jobs, workers; /* 0: drawn */
    const char *faults;     /* NULL: drawn */
    const char *what;       /* it was, once */
};

/* NULL: no such case. */
const struct sim_case *case_find(const char *name);
/* NULL behind the last. */
const struct sim_case *case_at(size_t index);

#endif
