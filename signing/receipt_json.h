/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside signing: what receipt.c and receipt_parse.c share. */
#ifndef FARM_RECEIPT_JSON_H
#define FARM_RECEIPT_JSON_H

#include "docjson.h"
#include "receipt.h"

json_t *receipt_lease_json(const struct receipt_lease *lease);
json_t *receipt_verdict_json(const struct receipt_verdict *verdict);
void receipt_sort(struct receipt *receipt);
/* One line each, with its end. */
void receipt_write_lease(const struct receipt_lease *lease, struct buf *ret);
void receipt_write_envelope(const struct receipt_envelope *envelope, struct buf *ret);
void receipt_write_verdict(const struct receipt_verdict *verdict, struct buf *ret);

#endif
