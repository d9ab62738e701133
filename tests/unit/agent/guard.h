/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tests of what a worker does not believe: alarm, witness, trust. One executable; each file is a suite. */
#ifndef FARM_TEST_GUARD_H
#define FARM_TEST_GUARD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

int suite_alarm(void);
int suite_witness(void);
int suite_trust(void);

#endif
