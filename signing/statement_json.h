/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside signing: the JSON value of a statement, shared by its writer and its reader. */
#ifndef FARM_STATEMENT_JSON_H
#define FARM_STATEMENT_JSON_H

#include "statement.h"

#define STATEMENT_TYPE           "https://in-toto.io/Statement/v1"
#define STATEMENT_ENVIRONMENT    "urn:intergenos:farm:environment:1"
#define STATEMENT_BUILDER_PREFIX "urn:intergenos:farm:worker:"

/* A new value. */
json_t *statement_json(const struct statement *statement);
/* Whether all texts and numbers are ones that a statement may carry. */
int statement_check(const struct statement *statement, struct diag *diag) MUST_USE;

#endif
