/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Rule sets: the shape that policy and resources share: "defaults", and "rules" of "match" and "set", applied
 * in order, key by key, the last match winning. What the keys under "set" mean is the caller's.
 */
#ifndef FARM_RULESET_H
#define FARM_RULESET_H

#include "yamlread.h"

/* More would be one rule per package. */
enum { RULESET_MAX = 10000 };

/* Whom a rule speaks of: every list that is not empty must hold the asked name. */
struct match {
    struct text_list tiers, packages, kinds;
};

void match_done(struct match *match);
/* Adds the packages that it names to 'packages'. 'kinds' says whether "kind" is a key here. */
void match_read(struct reader *reader, const struct yamlnode *node, bool kinds, struct match *ret,
                struct text_list *packages);
bool match_holds(const struct match *match, const char *tier, const char *package, const char *kind);

#endif
