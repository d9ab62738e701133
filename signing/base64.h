/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Base64 (RFC 4648), for DSSE, SSHSIG and notes.
 *
 * Writing uses the standard alphabet with padding. Reading accepts the standard alphabet with padding, and the URL-safe
 * one with or without it (DSSE allows both, case E2); never a mixture, white space, or set bits behind the end, so
 * that one text has one meaning. C2SP's notes and proofs know the standard alphabet alone.
 */
#ifndef FARM_BASE64_H
#define FARM_BASE64_H

#include "buf.h"

void base64_encode(struct view data, struct buf *ret);
/* Appends the bytes; false, and nothing appended, if the text is not base64. */
bool base64_decode(struct view text, struct buf *ret);
/* The same, of the standard alphabet with padding only. For what is public: its time depends on what it reads. */
bool base64_decode_standard(struct view text, struct buf *ret);

#endif
