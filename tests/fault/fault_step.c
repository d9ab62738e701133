/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SQLite, which is named and not included: not every program that is tested has it. */
#include "fault_calls.h"

struct sqlite3;
struct sqlite3_stmt;
int sqlite3_step(struct sqlite3_stmt *statement);
int sqlite3_exec(struct sqlite3 *db, const char *sql, int (*callback)(void *, int, char **, char **),
                 void *context, char **error);

/* SQLITE_IOERR, SQLITE_FULL, SQLITE_NOMEM; 0: go on. */
static int step_fails(const char *call, const char *sql)
{
    static const int codes[] = {10, 13, 7};
    return fault_fails(FAULT_STEP, call, sql) ? codes[fault_seed() % 3] : 0;
}

/* Steps by this thread that sqlite3_exec() makes: it believes what the statement says at its end, so that one that was never run
 * would pass for a success. */
static __thread int executing;

int sqlite3_step(struct sqlite3_stmt *statement)
{
    NEXT(sqlite3_step)
    int code = executing > 0 ? 0 : step_fails("sqlite3_step", "");
    return code != 0 ? code : next(statement);
}

int sqlite3_exec(struct sqlite3 *db, const char *sql, int (*callback)(void *, int, char **, char **),
                 void *context, char **error)
{
    NEXT(sqlite3_exec)
    int code = step_fails("sqlite3_exec", sql);
    if (code != 0)
        return code;
    executing++;
    code = next(db, sql, callback, context, error);
    executing--;
    return code;
}
