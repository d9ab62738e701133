/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A small farm's keys for the tests: three release managers (who also hold the root), one enrolment key, four operators, of whom
 * the first two are anchors, and one worker each. Made anew in each test; nothing is random but the keys.
 */
#ifndef FARM_FIXTURE_H
#define FARM_FIXTURE_H

#include "directory.h"
#include "identity.h"

enum { FIXTURE_PEOPLE = 3, FIXTURE_OPERATORS = 4, FIXTURE_ANCHORS = 2 };
#define FIXTURE_NOW     1795366000000 /* 2026-11-22 */
#define FIXTURE_EXPIRES 1827000000000

struct farm_fixture {
    struct key_pair *people[FIXTURE_PEOPLE]; /* ann, ben, cid */
    struct key_pair *enrolment;              /* eva */
    struct key_pair *operators[FIXTURE_OPERATORS];
    struct identity *workers[FIXTURE_OPERATORS];
    struct root *root;
    struct directory *directory;
};

extern const char *const fixture_people[FIXTURE_PEOPLE];
extern const char *const fixture_operators[FIXTURE_OPERATORS];
extern const char *const fixture_workers[FIXTURE_OPERATORS];

struct farm_fixture *farm_fixture_new(void);
struct farm_fixture *farm_fixture_free(struct farm_fixture *fixture);

/* An entry without signatures; the caller's to finish with directory_entry_done. */
struct directory_entry farm_fixture_entry(const struct farm_fixture *fixture, size_t operator_index);
void farm_fixture_sign_entry(struct directory_entry *entry, const struct key_pair *pair);
/* An armored signature, owned, free(). */
char *farm_fixture_sign(const struct key_pair *pair, const char *name_space, struct view document);
void farm_fixture_add_role_key(struct role *role, const char *person, const struct key_pair *pair);

#endif
