/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside signing: what receipt.c and receipt_parse.c share. */
#ifndef FARM_RECEIPT_JSON_H
#define FARM_RECEIPT_JSON_H

#include "docjson.h"
#include "receipt.h"

json_t *receipt_lease_json(const struct receipt_lease *lease);
json_t *receipt_verdict_json(const struct receipt_verdict *verdict);
void receipt_sort(struct receipt *receipt);

#endif
