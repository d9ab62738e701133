/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One executable for the agent; each file of tests is a suite that returns cmocka's count of failures.
 */
#ifndef FARM_TEST_SUITES_H
#define FARM_TEST_SUITES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

int suite_join(void);
int suite_slot_table(void);
int suite_worker_conf(void);
int suite_closure(void);
int suite_spool(void);
int suite_once(void);
int suite_facts(void);
int suite_enrol(void);
int suite_answers(void);
int suite_places(void);

#endif
