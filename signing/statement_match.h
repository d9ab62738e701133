/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside signing: reads a build's statement in its canonical form without a JSON parser. All that honest workers send are in it.
 *
 * The text is matched against the bytes that statement_write() would give, piece by piece: between fixed pieces stand values without
 * escapes, and what stands there twice must be the same twice. So a match is at once the comparison with what would be written again:
 * nothing can be in there that was not read. What does not match (failures too) is the other reader's, who says what is wrong.
 */
#ifndef FARM_STATEMENT_MATCH_H
#define FARM_STATEMENT_MATCH_H

#include "statement_json.h"

/* What the strings and arrays of a matched statement lie in. */
struct statement_match {
    char *texts; /* NUL-terminated, one behind the other */
    struct statement_source *sources;
    struct statement_dependency *dependencies;
    struct statement_fact *facts;
    size_t sources_capacity, dependencies_capacity, facts_capacity;
};
void statement_match_done(struct statement_match *match);

/* 'match' is zeroed before and done afterwards, also where it returns false. Rules of single values are statement_check's. */
bool statement_match(struct view text, struct statement_match *match, struct statement *ret);

#endif
