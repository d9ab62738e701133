/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A worker's request to be enrolled, as "farm-worker init" makes it: the file request.json, or the same as a code to paste,
 * "igos-request:1:" and the base64 of the file. Everything in it is the contributor's word; who signs the entry decides whether to
 * believe it.
 */
#ifndef FARM_SIGN_REQUEST_H
#define FARM_SIGN_REQUEST_H

#include "directory.h"
#include "farm_sign.h"

#define FARM_SIGN_CODE "igos-request:1:"

enum { FARM_SIGN_REQUEST_MAX = 16 * 1024 }; /* a worker's name, two keys and a few facts */

bool farm_sign_is_code(const char *text);
/* Whether it is a request at all, and not an entry. */
bool farm_sign_is_request(const char *source);
/* 'source' is a file's name or a code. Fills names, keys and facts; what was set before stays, but for the worker's name and keys. */
int farm_sign_take_request(struct directory_entry *entry, const char *source, struct diag *diag) MUST_USE;

#endif
