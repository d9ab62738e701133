/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Disk: notices in time that the state directory's file system runs full (D7). Below the reserve no lease is granted, no plan started
 * and nothing imported; answers of leases that run are still taken, which is what the reserve is for, but for its last part: uploads
 * leave that to database and log, else whoever uploads could end the coordinator. With room again, work goes on by itself.
 */
#ifndef FARM_DISK_H
#define FARM_DISK_H

#include "diag.h"

#include <stdbool.h>
#include <stdint.h>

/* What uploads leave alone is the reserve divided by this. */
enum { DISK_OWN_SHARE = 4 };

struct farm;

struct disk {
    bool low;
    int64_t due_ms; /* steady; the next look */
    char text[256]; /* why, for people */
};

/* Pure: with a reserve, is this much free too little? Once low it stays so until an eighth more than the reserve is free. */
bool disk_is_low(bool was_low, uint64_t free_bytes, uint64_t reserve_bytes);
/* In each turn: looks every few seconds, and tells the core. */
void disk_turn(struct farm *farm);
/* Why no lease is granted, or NULL: the disk, or a restored state (restored.h). */
const char *farm_held(const struct farm *farm);
/* Tells the core. */
void farm_tell_hold(struct farm *farm);
/* FARM_E_UNAVAILABLE with the remedy while it is low: for verbs that bring new work. */
int disk_check(const struct farm *farm, struct diag *diag) MUST_USE;

#endif
