/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The closing check of our strict readers: a document is read into a struct, the struct is written again, and both JSON
 * values must be the same. Whatever the struct cannot hold (an unknown member, a doubled entry, another algorithm) is thereby
 * refused, without a list of keys at each level that somebody forgets to extend.
 */
#ifndef FARM_JSONSAME_H
#define FARM_JSONSAME_H

#include "json.h"

/* FARM_E_REFUSED naming the first member that differs ("name: predicate.subject[2]: not expected here"). */
int json_same(const json_t *given, const json_t *expected, const char *name, struct diag *diag) MUST_USE;

#endif
