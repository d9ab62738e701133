/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What strangers wrote (reasons, URLs, facts, file names), for a terminal: control characters, which it would obey, and those that turn
 * the direction of a line or take no room, become "?"; so do bytes that are not UTF-8. Whoever reads before signing sees what is there.
 */
#ifndef FARM_SHOWN_H
#define FARM_SHOWN_H

#include "mem.h"

/* The text as it may be shown; owned by the caller. */
char *shown_text(const char *text);

#endif
