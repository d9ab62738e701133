/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Interning: equal rules, demands and fact texts are one object each, compared by pointer or number.
 *
 * There are few distinct ones (a policy file's rules, a resource file's classes, the vendors of processors),
 * and a hundred thousand nodes that refer to them. They live as long as the core.
 */
#ifndef FARM_CORE_INTERN_H
#define FARM_CORE_INTERN_H

#include "state.h"

const struct rules *intern_rules(struct core *core, const struct rules *rules);
const struct demand *intern_demand(struct core *core, const struct core_needs *needs);
/* A number from 1 for a text; 0 for NULL. */
uint32_t intern_text(struct core *core, const char *text);
void intern_done(struct core *core);

#endif
