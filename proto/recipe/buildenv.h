/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Build environment: every variable that a build sees, and no other. It is part of the spec, so that nothing
 * about the machine can reach a build through it. Values are the ones of the InterGenOS build contract; where
 * that leaves one to the machine (jobs, time zone, the date), the spec decides.
 */
#ifndef FARM_BUILDENV_H
#define FARM_BUILDENV_H

#include "recipe.h"

/* Appends "KEY=VALUE" texts, sorted. */
void buildenv_make(const struct recipe *recipe, uint32_t jobs, int64_t epoch, struct text_list *ret);
/* "KEY=VALUE" with a key of capital or small letters, digits and '_'. */
bool buildenv_is_entry(struct view text);

#endif
