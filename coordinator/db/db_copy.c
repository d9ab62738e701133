/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A copy of a live database: SQLite's own backup in one step, which holds one read transaction, so the copy is the database as one commit
 * left it, page for page (VACUUM INTO may number rows anew, and their order is meant). Writers go on meanwhile: the log of the WAL mode
 * grows until the copy is made.
 */
#include "db.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

/* For a writer that is just checkpointing. */
enum { BUSY_MS = 10000 };

static int failed(sqlite3 *handle, const char *path, const char *what, struct diag *diag)
{
    int code = sqlite3_extended_errcode(handle);
    int error = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? FARM_E_CORRUPT : FARM_E_UNAVAILABLE;
    return diag_set(diag, error, "%s: %s: %s", path, what, sqlite3_errmsg(handle));
}

static int copy(sqlite3 *from, sqlite3 *to, const char *path, struct diag *diag)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (backup == NULL)
        return failed(to, path, "copy", diag);
    (void)sqlite3_backup_step(backup, -1);
    return sqlite3_backup_finish(backup) == SQLITE_OK ? 0 : failed(to, path, "copy", diag);
}

/* It is there already, so that it never has another mode than 0600, not even for a moment. */
static int create(const char *path, struct diag *diag)
{
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? diag_errno(diag, "%s", path) : 0;
}

static int open_both(const char *path, const char *to, sqlite3 **ret_from, sqlite3 **ret_to,
                     struct diag *diag)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(path, ret_from, SQLITE_OPEN_READONLY | flags, NULL) != SQLITE_OK)
        return failed(*ret_from, path, "open", diag);
    if (sqlite3_open_v2(to, ret_to, SQLITE_OPEN_READWRITE | flags, NULL) != SQLITE_OK)
        return failed(*ret_to, to, "open", diag);
    sqlite3_busy_timeout(*ret_from, BUSY_MS);
    (void)sqlite3_exec(*ret_to, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
    return 0;
}

int db_snapshot(const char *path, const char *to, struct diag *diag)
{
    sqlite3 *from_handle = NULL, *to_handle = NULL;
    int result = create(to, diag);
    if (result < 0)
        return result;
    result = open_both(path, to, &from_handle, &to_handle, diag);
    if (result >= 0)
        result = copy(from_handle, to_handle, to, diag);
    sqlite3_close(to_handle);
    sqlite3_close(from_handle);
    if (result >= 0)
        result = file_sync_parent(AT_FDCWD, to, diag);
    if (result < 0)
        unlink(to);
    return result;
}
