/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Unpack: source archives, read by libarchive, written by us below a directory descriptor.
 *
 * Refused, with the member's name: absolute and ".." paths, writes through a symlink, hard links that leave the tree
 * or pass through a symlink, devices, sockets, FIFOs, more bytes or members than the limits (a decompression bomb). setuid
 * bits, owners, times and extended attributes are dropped: a source tree needs none. A second member of the same
 * name is refused unless both are directories. The owner may always read and write what was unpacked.
 *
 * Formats: tar (all dialects) and zip; compressed with gzip, bzip2, xz, lzma, lzip or zstd. Names keep their bytes
 * whatever the locale is, but for zip, where libarchive composes names that are marked as UTF-8 (NFC).
 *
 * Memory: a decoder takes the window that the archive's header asks for. "xz -9" asks for 64 MiB; libarchive stops at 1 GiB (xz, lzma, lzip) and 128 MiB
 * (zstd), and offers no way to say less. Beside that there is some 1 MiB.
 */
#ifndef FARM_UNPACK_H
#define FARM_UNPACK_H

#include "diag.h"
#include "view.h"

struct unpack_limits {
    uint64_t bytes; /* all files together */
    uint64_t members;
};
/* linux-6.x is 1.5 GB in 85 k files; llvm-project 1.6 GB in 140 k. */
#define UNPACK_LIMITS_SOURCE ((struct unpack_limits){(uint64_t)16 << 30, 2000000})

/*
 * 'strip': leading path components to drop (1 for release archives); a member that has no more than those is left
 * out, as tar does. Every mtime is set to 'epoch' seconds; if ret_newest is not NULL it gets the newest member's time
 * (0 without members). Errors: FARM_E_REFUSED, FARM_E_LIMIT, FARM_E_SYNTAX for what is no sound archive. On failure
 * what was written is the caller's to remove.
 */
int unpack_archive(int archive_fd, int dirfd, unsigned int strip, struct unpack_limits limits, int64_t epoch,
                   int64_t *ret_newest, struct diag *diag) MUST_USE;

#endif
