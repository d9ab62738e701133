/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Statement: prepared SQL with typed bindings, private to coordinator/db.
 *
 * Every SQL text in the program is a string literal given to one of these two functions, and is prepared
 * once: the cache is keyed by the literal's address.
 *
 * 'types' has a letter per parameter: t text (NULL allowed), d digest (const struct digest *), z digest or
 * NULL if it is all zero, i int64_t, v view as blob, s view as text.
 */
#ifndef FARM_STATEMENT_H
#define FARM_STATEMENT_H

#include "db.h"

#include <sqlite3.h>

/* Runs a writing statement; a failure sticks in the database until db_commit reports it. */
void statement_run(struct db *db, const char *sql, const char *types, ...);

/* Walks the rows of a reading statement. Returns the number of rows, or an error, or what visit returned if
 * negative. */
typedef int statement_visit(void *context, sqlite3_stmt *row);
int statement_select(struct db *db, statement_visit *visit, void *context, struct diag *diag, const char *sql,
                     const char *types, ...) MUST_USE;

/* Columns. A blob of another length than a digest's gives a zero digest. */
struct digest column_digest(sqlite3_stmt *row, int column);
const char *column_text(sqlite3_stmt *row, int column); /* "" for NULL */
struct view column_view(sqlite3_stmt *row, int column);

#endif
