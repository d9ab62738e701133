/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside signing: what release.c and release_parse.c share. */
#ifndef FARM_RELEASE_JSON_H
#define FARM_RELEASE_JSON_H

#include "docjson.h"
#include "release.h"

json_t *release_json(const struct release *release);
void release_sort(struct release *release);
/* By package, then by the rule's name. */
int release_compare_waivers(const struct waiver *a, const struct waiver *b);

#endif
