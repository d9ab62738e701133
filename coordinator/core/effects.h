/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Effects: the list that a step appends to. Owns the texts, payloads and verdicts that hang off its items.
 */
#ifndef FARM_CORE_EFFECTS_H
#define FARM_CORE_EFFECTS_H

#include "state.h"

/* Appends an empty effect of the running step. Borrowed until the next addition. */
struct core_effect *effects_add(struct core *core, enum core_effect_type type);

#endif
