/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Base64 (RFC 4648), for DSSE and SSHSIG.
 *
 * Writing uses the standard alphabet with padding. Reading accepts the standard alphabet with padding, and the URL-safe
 * one with or without it (DSSE allows both, case E2); never a mixture, white space, or set bits behind the end, so
 * that one text has one meaning.
 */
#ifndef FARM_BASE64_H
#define FARM_BASE64_H

#include "buf.h"

void base64_encode(struct view data, struct buf *ret);
/* Appends the bytes; false, and nothing appended, if the text is not base64. */
bool base64_decode(struct view text, struct buf *ret);

#endif
