/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names: what may be called what. Names become file names, command arguments and lines of text formats, so
 * each has a small alphabet; anything outside of it is refused where it is read.
 */
#ifndef FARM_NAMES_H
#define FARM_NAMES_H

#include "view.h"

enum {
    NAME_MAX_BYTES = 128, /* <name>-<version>.igos.tar.gz has to fit into one file name of 255 bytes */
    VERSION_MAX_BYTES = 64
};

/* A letter or digit first, then letters, digits and "+._-": packages and tiers. */
bool name_is_plain(struct view text);
/* As a name, and '~' too. */
bool version_is_plain(struct view text);
/* A shell function: a letter or '_', then letters, digits and "_". */
bool function_is_plain(struct view text);
/* A file name in /sources: one component, printable ASCII without space. */
bool filename_is_plain(struct view text);
/* An absolute path as a package installs it: printable, no "." or ".." or empty component. */
bool path_is_installed(struct view text);
/* 40 or 64 lower-case hex digits. */
bool commit_is_plain(struct view text);
/* No control bytes, and UTF-8; lines of metadata. */
bool line_is_plain(struct view text);

/* A stranger's text for a message: cut, and without control bytes. */
struct quoted {
    char text[96];
};
struct quoted quote(struct view text);

/* The candidate that differs from 'wanted' by the fewest edits, if that is few enough to be a slip of the
 * hand; else NULL. */
struct nearest {
    struct view wanted;
    const char *best;
    size_t distance;
};
struct nearest nearest_to(struct view wanted);
void nearest_offer(struct nearest *nearest, const char *candidate);

#endif
