/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Scrub: reads every object that the database names, slowly, so that bit rot is found while it can still be mended (D8).
 *
 * A pass goes through the objects in the order of their names, a piece of them at a time, in the pool; between two pieces it waits, so that a pass takes about
 * scrub_interval, unless somebody waits for it. Where it stands is kept in scrub.json, so that restarts do not begin it anew. A damaged object is
 * moved aside by the store; from then on it is missing, and so is one that somebody removed.
 *
 * What is missing is listed until it is there again, and brought back where it can be: missing.h.
 */
#ifndef FARM_SCRUB_H
#define FARM_SCRUB_H

#include "diag.h"
#include "json.h"

#include <stdbool.h>
#include <stdint.h>

struct farm;
struct scrub;

/* At start, after the database was read. */
void scrub_open(struct farm *farm);
struct scrub *scrub_free(struct scrub *scrub); /* accepts NULL, returns NULL */
/* In each turn: the next piece if it is due, and whether something came back. */
void scrub_turn(struct farm *farm);
/* Begins a pass anew, and goes on without waiting. */
void scrub_hurry(struct farm *farm);
/* It has a task in the pool, which stores nothing. */
bool scrub_is_working(const struct farm *farm);
/* Passes that have ended since the start. */
uint64_t scrub_passes(const struct farm *farm);
/*
 * {"pass": {"started", "done", "of", "damaged"}, "last": null or time, "interval_s", "lost_count", "lost_payloads": agreed ones that wait for their
 * bytes, "lost": missing_report()}; a new reference.
 */
json_t *scrub_report(struct farm *farm);
/* Its "pass" alone, for whoever asks again and again; a new reference. */
json_t *scrub_report_pass(const struct farm *farm);

#endif
