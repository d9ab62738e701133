/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files: whole reads with limits, durable writes, directories by descriptor.
 *
 * Durable means: written to a temporary name in the same directory, fsync, rename (or link) over the final
 * name, fsync of the directory. A reader sees the old file or the new one. An fsync that fails ends the process, here and at
 * once: the page cache may have dropped the data and calls the next fsync a success, so nobody may try again, and an error that
 * is returned would sooner or later be taken for one that can pass (see "PostgreSQL's fsync() surprise", LWN 752063).
 */
#ifndef FARM_FILE_H
#define FARM_FILE_H

#include "buf.h"
#include "diag.h"

#include <sys/types.h>

/* All paths are relative to 'dirfd' (AT_FDCWD allowed). */

/* Reads a regular file of at most 'limit' bytes; appends to *ret. -ENOENT if absent, FARM_E_LIMIT if longer. */
int file_read(int dirfd, const char *path, size_t limit, struct buf *ret, struct diag *diag) MUST_USE;
/* Reads a descriptor to its end, with the same limit. 'name' is for the message. */
int file_read_fd(int fd, const char *name, size_t limit, struct buf *ret, struct diag *diag) MUST_USE;
/* Replaces or creates durably, with exactly this mode. */
int file_write(int dirfd, const char *path, struct view content, mode_t mode, struct diag *diag) MUST_USE;
/* As file_write, but never replaces: FARM_E_EXISTS. */
int file_create(int dirfd, const char *path, struct view content, mode_t mode, struct diag *diag) MUST_USE;
/* Gives what was written a name that is free: FARM_E_EXISTS. Also where the file system knows no RENAME_NOREPLACE (NFS). Not synced. */
int file_rename_new(int dirfd, const char *from, const char *to, struct diag *diag) MUST_USE;
/* Writes all bytes, over EINTR and short writes. */
int file_write_all(int fd, const void *data, size_t size) MUST_USE;
/* Fails only for what cannot be synced (a pipe, a read-only file system); any other failure ends the process. */
int file_sync(int fd, struct diag *diag) MUST_USE;
/* How it ends, for who syncs by another call: a line on standard error, FARM_EXIT_CANNOT_RUN, and nothing else is run. errno says why. */
void file_sync_lost(const char *call) __attribute__((noreturn));
/* fsync of the directory that 'path' lies in. */
int file_sync_parent(int dirfd, const char *path, struct diag *diag) MUST_USE;
/* mkdir -p; existing directories are left alone; new ones get 'mode'. */
int file_make_dirs(int dirfd, const char *path, mode_t mode, struct diag *diag) MUST_USE;
/* Opens a directory with O_DIRECTORY | O_CLOEXEC. Owned. */
int file_open_dir(int dirfd, const char *path, struct diag *diag) MUST_USE;
/* rm -rf without following symlinks; absent is success. */
int file_remove_tree(int dirfd, const char *path, struct diag *diag) MUST_USE;
/* A new directory "prefix.XXXXXX" (mode 0700) below dirfd; *ret_name is owned. */
int file_temp_dir(int dirfd, const char *prefix, char **ret_name, struct diag *diag) MUST_USE;
/* A relative path of plain components: not empty, not absolute, no "." or ".." or empty component, no NUL. */
bool file_path_is_plain(struct view path);

#endif
