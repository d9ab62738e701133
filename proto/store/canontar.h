/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Canonical tar: a pure function of manifest, contents, .PKGINFO and epoch, so that nobody ever needs to trust a
 * tar reader: whoever receives one generates each header again and compares bytes.
 *
 * The exact bytes, which golden vectors in tests/vectors hold fast (nothing may ever move them):
 *
 *   members   ".PKGINFO" first, mode 0644, when it is not empty (a base root filesystem has none); then the entries
 *             in manifest order, without the root. Names are "./" and the path; directories end in "/".
 *   header    ustar: name (100 bytes may fill the field, without NUL), mode "%07o\0" of the permission bits with
 *             setuid, setgid and sticky and no type bits, uid and gid "0000000\0", size "%011o\0" (0 but for files),
 *             mtime "%011o\0" of the epoch, checksum "%06o\0 ", typeflag '0' '5' or '2', linkname, "ustar\0" "00",
 *             empty user and group names, devmajor and devminor "0000000\0", prefix and padding zero.
 *   pax       before a member whose name (with "./" and "/") or link is over 100 bytes, or whose size does not fit
 *             eleven octal digits (8 GiB and more): one member "././@PaxHeader", typeflag 'x', mode 0644, mtime the
 *             epoch, with those of the records "<length> linkpath=...\n", "path", "size" that are needed, in that order,
 *             values as raw bytes. The member's own header then holds the first 100 bytes, and a size of 0.
 *   contents  zero-padded to 512 bytes; two zero blocks at the end and nothing behind them.
 */
#ifndef FARM_CANONTAR_H
#define FARM_CANONTAR_H

#include "manifest.h"

enum { PKGINFO_SIZE_MAX = 64 * 1024 };
/* What fits eleven octal digits (the year 2242). */
#define CANONTAR_EPOCH_MAX ((int64_t)077777777777)

/* A stream of bytes out; returns 0 or an error that ends the whole operation. */
typedef int canontar_sink(void *context, const void *data, size_t size);
/* A stream of bytes in; returns the number read, 0 at the end, or an error. */
typedef ssize_t canontar_source(void *context, void *ret_data, size_t size);

/*
 * Writes the tar of the tree below dirfd. Each file is hashed while it is read; content that is not the
 * manifest's is FARM_E_DIGEST (it changed after the scan). An epoch or .PKGINFO out of range is FARM_E_LIMIT.
 */
int canontar_write(const struct manifest *manifest, struct view pkginfo, int64_t epoch, int dirfd,
                   canontar_sink *sink, void *context, struct diag *diag) MUST_USE;

/*
 * Reads one and accepts exactly the canonical bytes for this manifest, or FARM_E_REFUSED naming the entry (cases
 * A1-A9 of docs/THREATS.md). 'pkginfo': the bytes that must stand there; with data == NULL any .PKGINFO up to
 * PKGINFO_SIZE_MAX is accepted and nothing is said about it. If dirfd >= 0 the entries are created below it, never
 * through a symlink, with mtime the epoch, and modes without setuid, setgid and sticky when 'strip_special' is
 * set. A directory that is there already is kept as it is; so is a file or link that is the same in type, mode and
 * content; anything else in the way is FARM_E_REFUSED. On failure what was written is the caller's to remove.
 * The source is always read to its end, so that one that verifies at its end has done so on success.
 */
struct canontar_read {
    const struct manifest *manifest;
    struct view pkginfo;
    int64_t epoch; /* < 0: take it from the first header, whatever it is, and require it everywhere */
    int dirfd;     /* -1: verify only */
    bool strip_special;
};
int canontar_read(const struct canontar_read *what, canontar_source *source, void *context,
                  struct diag *diag) MUST_USE;

/* The size of the tar in bytes, without reading contents. */
uint64_t canontar_size(const struct manifest *manifest, struct view pkginfo);

#endif
