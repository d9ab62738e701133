/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What tests of the gate say: this release passes, or is refused by this rule at this file. */
#ifndef FARM_VERIFY_EXPECT_H
#define FARM_VERIFY_EXPECT_H

#include "release_fixture.h"

#include <setjmp.h>

#include <cmocka.h>

/* When the fixture's releases are looked at: an hour after they were made. */
#define LATER     ((int64_t)3600 * 1000)
#define CHECK_NOW (FIXTURE_NOW + LATER)

/* *state is a struct release_fixture. */
int expect_setup(void **state);
int expect_teardown(void **state);
#define CASE(name) cmocka_unit_test_setup_teardown(name, expect_setup, expect_teardown)

const struct problem *find_problem(const struct verify_result *result, const char *rule, const char *file);
bool has_note(const struct verify_result *result, const char *words);

void expect_pass(struct release_fixture *fixture);
void expect_pass_with_note(struct release_fixture *fixture, const struct verify_state *state,
                           const char *words);
/* Refused by this rule, naming this file. */
void expect_refused_at(struct release_fixture *fixture, const struct verify_state *state, int64_t now,
                       const char *rule, const char *file);
void expect_refused(struct release_fixture *fixture, const char *rule, const char *file);
/* ... and saying this. */
void expect_refused_saying(struct release_fixture *fixture, const char *rule, const char *file,
                           const char *words);
/* Replaces the first occurrence in a file of the release. */
void replace_in(struct release_fixture *fixture, const char *file, const char *old, const char *new_text);
/* Every occurrence in both receipts. */
void replace_in_receipts(struct release_fixture *fixture, const char *old, const char *new_text);

#endif
