/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Export: a release as a directory that anybody can check offline (docs/FORMATS.md).
 *
 *     verbs_export.c   the verbs; waiting for cosignatures
 *     export_files.c   what belongs into it: rows and objects by value (loop), and what follows from them (pool)
 *     export_log.c     the log's part: which checkpoint, which entries, who has cosigned
 *     export_write.c   the directory (pool): written under a temporary name beside the target, synced, renamed
 *
 * It appears whole or not at all. A hand-off is an export that farm-verify's own library has passed, against the trust root and a
 * remembered state, before the rename; what the database says plays no part in that. Summaries and keys are for others' tools.
 */
#ifndef FARM_EXPORT_H
#define FARM_EXPORT_H

#include "ctl.h"
#include "evidence.h"
#include "verify.h"

/* A file to write: text, or an object. */
struct export_file {
    char *path;
    struct buf text;
    struct digest object; /* used if is_object */
    bool is_object;
};

struct export
{
    struct pool_task task;
    struct ctl_request *request;
    struct store *store;
    const struct key_pair *keys; /* the coordinator's, for the summaries */
    const char *state_path;
    int state_dirfd;
    int64_t started_ms;      /* of this process, wall */
    char *to, *temp, *phase; /* phase NULL: a plain export */

    struct digest digest; /* of release.json */
    struct release *release;
    struct buf root; /* the newest of the chain; the evidence is judged by it */
    struct evidence evidence;
    struct export_file *files;
    size_t nfiles, capacity;
    uint64_t log_size;      /* entries to export; 0: none */
    struct buf last_bundle; /* those behind the last full bundle */

    size_t written;
    char **notes;
    size_t nnotes;
    struct verify_result verified;
    struct verify_state state;
    int result;
    struct diag diag;
};

/* Takes the path over. */
void export_add_text(struct export *export, char *path, struct view text);
void export_add_object(struct export *export, char *path, const struct digest *object);
void export_note(struct export *export, const char *format, ...) __attribute__((format(printf, 2, 3)));
void export_free(struct export *export);

/* ---- on the loop's thread ---- */

/* Everything from rows, memory and state files; release and digest are set. */
int export_gather(struct farm *farm, struct export *export, struct farm_plan *plan,
                  struct diag *diag) MUST_USE;
/* Chooses the checkpoint. FARM_E_STALE if the release names another log than this coordinator's. */
int export_gather_log(struct farm *farm, struct export *export, struct diag *diag) MUST_USE;
/* Whether enough listed operators cosigned a checkpoint that covers the release, or none is asked for. */
bool export_log_is_covered(const struct farm *farm, const struct release *release);
/*
 * How far the log is for this release; a new reference. null if it names no log, else {"origin", "size", "root", "covered", "threshold",
 * "checkpoint": {"size", "cosigned": [operators]}, "missing": [{"operator", "workers": [...]}]}: of the newest checkpoint.
 */
json_t *export_log_report(const struct farm *farm, const struct release *release);
/* "birch (birch-1, birch-2), cedar (no worker admitted)". Appends. */
void export_log_missing(const json_t *report, struct buf *ret);

/* ---- in the pool ---- */

/* The task: writes, checks if it is a hand-off, and lets it appear. */
void export_run(struct pool_task *task);
/* Receipts, job specs, summaries, keys: what follows from the evidence. 'write' puts one text into the directory. */
struct export_writer {
    int (*text)(void *context, const char *path, struct view text, struct diag *diag);
    int (*object)(void *context, const char *path, const struct digest *object, struct diag *diag);
    void *context;
};
int export_write_evidence(struct export *export, const struct export_writer *writer,
                          struct diag *diag) MUST_USE;
int export_write_log(struct export *export, const struct export_writer *writer, struct diag *diag) MUST_USE;

#endif
