/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Backup: a farm's state as a directory from which it can go on, made while it runs, and the way back.
 *
 *     verbs_backup.c    the verb; what is read on the loop's thread; the order of the steps
 *     backup_write.c    the steps (pool)
 *     backup_list.c     backup.json: what belongs into the backup, by digest
 *     restore.c         offline: everything back, verified
 *
 * The directory, all of it readable by its owner alone:
 *
 *     backup.json         what follows by digest; of which farm, when, how long its log was
 *     farm.db             the database as one commit left it
 *     coordinator.key     secret
 *     root.json root.json.sigs roots/ workers.json gate.state
 *     log/checkpoint log/cosigned     what was shown of the log; its tiles are made again from the database
 *     farm.conf           as it was, to look at; a restore takes the one that it is given
 *     objects             names of the objects, in order, one a line
 *     store/ab/cdef...    the objects, as the store has them; none with --no-store
 *
 * Not in it: trees/ and git/ (made again, or fetched), scratch/.
 *
 * The order makes it consistent: what was shown of the log is read first, then the database is copied, which has at least that; then, in
 * one turn of the loop, the files about trust, which may be newer than their rows but not older; then the objects, since those that rows name
 * are there before the rows and are never collected.
 */
#ifndef FARM_BACKUP_H
#define FARM_BACKUP_H

#include "buf.h"
#include "config.h"
#include "digest.h"

#include <stdbool.h>
#include <sys/types.h>

#define BACKUP_FORMAT  "intergenos-backup/1"
#define BACKUP_FILE    "backup.json"
#define BACKUP_DB      "farm.db"
#define BACKUP_OBJECTS "objects"
#define BACKUP_STORE   "store"

enum {
    BACKUP_FILE_MAX = 16 * 1024 * 1024, /* backup.json: a hundred bytes a file, and few files */
    BACKUP_FILES_MAX = 65536,           /* nearly all of them roots */
    BACKUP_MISSING_MAX = 1000,          /* of the objects that were not there, so many are named */
    /* Of what is linked from an earlier backup, one in so many is read before, another share each time: a daily backup has looked at all of
     * itself in 16 days, and an hourly one costs a sixteenth of the reading. */
    BACKUP_SHARES = 16
};
/* Names of objects: four million of them. */
#define BACKUP_OBJECTS_MAX ((size_t)260 << 20)

struct backup_file {
    char *path; /* plain, relative; owned */
    uint64_t size;
    struct digest sha256;
};

/* backup.json. Everything owned. */
struct backup_list {
    struct digest coordinator; /* id of its key */
    char *origin, *software;
    int64_t taken_ms, schema;
    uint64_t log_size, nobjects;
    bool has_store;
    uint64_t share; /* of BACKUP_SHARES: which was read of the backup before this one */
    struct backup_file *files;
    size_t nfiles, capacity;
    struct digest *missing; /* objects that the database names and the store did not have */
    size_t nmissing, missing_capacity;
};
#define BACKUP_LIST_INIT                                                                                     \
    {                                                                                                        \
        .origin = NULL                                                                                       \
    }
void backup_list_done(struct backup_list *list);
void backup_list_add(struct backup_list *list, const char *path, uint64_t size, const struct digest *sha256);
void backup_list_write(const struct backup_list *list, struct buf *ret);
int backup_list_parse(struct view text, struct backup_list *ret, struct diag *diag) MUST_USE;
int backup_list_read(int dirfd, struct backup_list *ret, struct diag *diag) MUST_USE;

/* "store/ab/cdef...". */
struct backup_path {
    char text[sizeof BACKUP_STORE + DIGEST_HEX_SIZE + 2];
};
struct backup_path backup_object_path(const struct digest *object);

/*
 * Offline. Verifies the backup in directory 'from' and puts it into the configuration's state directory, which must be absent or empty
 * (or hold a restore that was interrupted: that is thrown away). With 'check_only' nothing is written. 'say' gets lines for people.
 */
int restore_run(const struct coordinator_config *config, const char *from, bool check_only,
                void (*say)(const char *line), struct diag *diag) MUST_USE;

/* In the state directory: {"taken","to"} of the last backup. */
#define BACKUP_LAST "backup.last"
/* In the state directory while a restore is under way; a coordinator does not start beside it. */
#define RESTORE_UNFINISHED "restore.unfinished"

#endif
