/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Canonical tar: a pure function of manifest, contents, .PKGINFO and epoch, so that nobody ever needs to trust a
 * tar reader: whoever receives one generates each header again and compares bytes. The format is in docs/FORMATS.md.
 *
 * .PKGINFO is the first member when it is not empty (a base root filesystem has none).
 */
#ifndef FARM_CANONTAR_H
#define FARM_CANONTAR_H

#include "manifest.h"

enum { PKGINFO_SIZE_MAX = 64 * 1024 };

/* A stream of bytes out; returns 0 or an error that ends the whole operation. */
typedef int canontar_sink(void *context, const void *data, size_t size);
/* A stream of bytes in; returns the number read, 0 at the end, or an error. */
typedef ssize_t canontar_source(void *context, void *ret_data, size_t size);

/*
 * Writes the tar of the tree below dirfd. Each file is hashed while it is read; content that is not the
 * manifest's is FARM_E_DIGEST (it changed after the scan).
 */
int canontar_write(const struct manifest *manifest, struct view pkginfo, int64_t epoch, int dirfd,
                   canontar_sink *sink, void *context, struct diag *diag) MUST_USE;

/*
 * Reads one and accepts exactly the canonical bytes for this manifest, or FARM_E_REFUSED naming the entry (cases
 * A1-A9 of docs/THREATS.md). 'pkginfo': the bytes that must stand there; with data == NULL any .PKGINFO up to
 * PKGINFO_SIZE_MAX is accepted and nothing is said about it. If dirfd >= 0 the entries are created below it, with
 * O_NOFOLLOW and modes without setuid, setgid and sticky when 'strip_special' is set; on failure what was written
 * is the caller's to remove.
 */
struct canontar_read {
    const struct manifest *manifest;
    struct view pkginfo;
    int64_t epoch;      /* < 0: take it from the first header, whatever it is, and require it everywhere */
    int dirfd;          /* -1: verify only */
    bool strip_special;
};
int canontar_read(const struct canontar_read *what, canontar_source *source, void *context, struct diag *diag) MUST_USE;

/* The size of the tar in bytes, without reading contents. */
uint64_t canontar_size(const struct manifest *manifest, struct view pkginfo);

#endif
