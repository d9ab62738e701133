/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Rules: what the trust policy asks for one package. Read from farm/policy.yml, decided upon by the verdict function,
 * and carried by the pure core; so it stands below all of them.
 */
#ifndef FARM_RULES_H
#define FARM_RULES_H

#include <stdbool.h>
#include <stdint.h>

/* By what votes must differ, beside the operator, to count as independent. */
enum rules_distinct { DISTINCT_CPU_VENDOR = 1, DISTINCT_KERNEL = 2, DISTINCT_SITE = 4 };

struct rules {
    uint32_t quorum;       /* operators that must agree; 1 marks the result "unverified" */
    uint32_t anchors;      /* of them, anchor operators of the trust root */
    uint32_t distinct;     /* DISTINCT_*; "operator" always holds */
    uint32_t margin;       /* a disputed job settles at quorum + margin votes */
    uint32_t max_attempts; /* leases that may end in infrastructure failure before the job halts */
    bool open_votes;       /* votes given after the first verdict may settle a dispute */
    bool hold;             /* built and compared, never released */
    bool evidence;         /* hardware validation required */
    bool setuid;           /* its payload may hold setuid and setgid files (A7) */
};

/* Limits that the readers enforce: more replicas than this is a mistake in the file. */
enum { RULES_QUORUM_MAX = 32, RULES_ATTEMPTS_MAX = 32 };

#endif
