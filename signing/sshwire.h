/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside signing: the strings and numbers that SSH formats are made of (RFC 4251, section 5). */
#ifndef FARM_SSHWIRE_H
#define FARM_SSHWIRE_H

#include "buf.h"

/* Each takes its item off the front of *rest; false, and nothing taken, if it is not there whole. */
bool sshwire_take(struct view *rest, size_t size, struct view *ret);
bool sshwire_take_number(struct view *rest, uint32_t *ret);
bool sshwire_take_string(struct view *rest, struct view *ret);
/* A string that must be exactly this. */
bool sshwire_take_this(struct view *rest, struct view wanted);

void sshwire_add_number(struct buf *buf, uint32_t number);
void sshwire_add_string(struct buf *buf, struct view text);

/* base64 in lines of 'width' between "-----BEGIN label-----" and "-----END label-----"; only '\n' between lines. */
void sshwire_add_armor(struct buf *buf, const char *label, struct view base64, size_t width);
/* The base64 text with its line ends, borrowed; false if the frame is another. */
bool sshwire_find_armor(struct view text, const char *label, struct view *ret);

#endif
