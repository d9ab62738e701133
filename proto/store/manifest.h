/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Payload manifest: the canonical mtree(5) text of every entry in an artifact. Its SHA-256 is the payload
 * digest, which is what workers agree on. Nothing about this form may ever change without a new version.
 *
 *     #mtree
 *     . type=dir mode=0755 uid=0 gid=0
 *     ./usr/bin/tool type=file mode=0755 uid=0 gid=0 size=12 sha256digest=<64 hex>
 *     ./usr/lib/libz.so type=link mode=0777 uid=0 gid=0 link=libz.so.1
 *
 * Each line ends in LF. Paths begin "./"; bytes outside 0x21-0x7e and '#', '\', '=' are three-digit octal escapes.
 * Entries are sorted by their unescaped bytes; '.' first; every parent directory is listed. uid and gid are always 0.
 *
 * Refused in any manifest: paths that are not plain (absolute, "..", ".", empty components, NUL), a parent that is
 * absent or no directory, duplicates, symlinks that climb above the root ("a -> ../x"; absolute targets begin at
 * the root and stay in it), and "./.PKGINFO", which the archive needs for itself.
 */
#ifndef FARM_MANIFEST_H
#define FARM_MANIFEST_H

#include "buf.h"
#include "digest.h"

/* Far above the largest real package (linux-firmware: 8 k; texlive: 200 k); bounds what a hostile artifact costs. */
enum {
    MANIFEST_ENTRIES_MAX = 1000000,
    MANIFEST_PATH_MAX = 4096
}; /* a path or link target is shorter than that */
#define MANIFEST_SIZE_MAX ((size_t)256 << 20)
/* One file; a million of them still add up to less than 2^63, so that no sum of sizes can overflow. */
#define MANIFEST_FILE_MAX ((uint64_t)1 << 40)

enum entry_type { ENTRY_DIR, ENTRY_FILE, ENTRY_LINK };

struct entry {
    struct view path; /* unescaped, without "./"; "" is the root. Borrowed from the manifest. */
    enum entry_type type;
    unsigned int mode;    /* permission bits with setuid, setgid, sticky; links are always 0777 */
    uint64_t size;        /* files only, bytes */
    struct digest sha256; /* files only */
    struct view link;     /* links only: the target, unescaped */
};

struct manifest {
    struct entry *entries; /* sorted, no duplicates */
    size_t count, capacity;
    struct buf *strings; /* owns what the entries point to (implementation detail) */
    size_t nstrings, strings_capacity;
};

#define MANIFEST_INIT                                                                                        \
    {                                                                                                        \
        0                                                                                                    \
    }

void manifest_done(struct manifest *manifest);
/* Appends a path as the text form has it, without "./": also the way to print a stranger's file name. */
void manifest_escape(struct view raw, struct buf *ret);
/* FARM_E_REFUSED: "./path: why", the path escaped, and cut if it is long. */
int manifest_refuse(struct view path, const char *why, struct diag *diag);
/* Adds one entry in any order; bytes are copied. The caller calls manifest_seal before using it. */
void manifest_add(struct manifest *manifest, const struct entry *entry);
/*
 * Sorts and checks: no duplicate, every parent present and a directory, the root present, paths plain, links
 * and sizes sane. Errors: FARM_E_REFUSED naming the path.
 */
int manifest_seal(struct manifest *manifest, struct diag *diag) MUST_USE;
/* Appends the canonical text. */
void manifest_write(const struct manifest *manifest, struct buf *ret);
struct digest manifest_digest(const struct manifest *manifest);
/* Accepts the canonical form only: parsing and writing again gives the same bytes, or FARM_E_SYNTAX with the line. */
int manifest_parse(struct view text, struct manifest *ret, struct diag *diag) MUST_USE;
/* Binary search; NULL if absent. 'path' without "./". */
const struct entry *manifest_find(const struct manifest *manifest, struct view path);

/*
 * Reads a directory tree (of a finished build) into a manifest and hashes its files. Never follows a symlink;
 * refuses devices, sockets, FIFOs, and owners other than the root directory's own (who builds is root in there).
 * setuid and setgid bits are kept in the mode. Extended attributes are refused, but for user.overlay.* and the
 * host's own security.selinux labels (both ignored).
 */
int manifest_scan(int dirfd, struct manifest *ret, struct diag *diag) MUST_USE;

/* What differs between two manifests, for people: calls back once per path, in order. */
enum entry_change { CHANGE_ADDED, CHANGE_REMOVED, CHANGE_TYPE, CHANGE_MODE, CHANGE_CONTENT, CHANGE_LINK };
void manifest_compare(const struct manifest *before, const struct manifest *after,
                      void (*report)(void *context, enum entry_change change, const struct entry *before,
                                     const struct entry *after),
                      void *context);

#endif
