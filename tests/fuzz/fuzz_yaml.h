/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For the targets that read YAML. */
#ifndef FARM_FUZZ_YAML_H
#define FARM_FUZZ_YAML_H

#include "fuzz.h"
#include "problems.h"

/*
 * Failure has problems and success none, each names rule and file and is a line of text for people; both lists are the same. Frees
 * them.
 */
void fuzz_check_problems(int result, struct problems *first, struct problems *second);

#endif
