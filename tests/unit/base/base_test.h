/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The groups of the base tests; each file offers one. */
#ifndef FARM_BASE_TEST_H
#define FARM_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* wants the four above */

int base_view_tests(void);
int base_buf_tests(void);
int base_map_tests(void);
int base_timers_tests(void);
int base_digest_tests(void);
int base_json_tests(void);
int base_file_tests(void);
int base_moment_tests(void);
int base_diag_tests(void);
int base_farmlog_tests(void);
int base_lograte_tests(void);

#endif
