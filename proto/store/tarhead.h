/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tar headers: the one definition of the header bytes of a canonical tar, used by its writer, its reader (which
 * compares) and its size. The form is described in canontar.h. Internal to the store.
 */
#ifndef FARM_TARHEAD_H
#define FARM_TARHEAD_H

#include "manifest.h"

enum { TAR_BLOCK = 512 };

/* Appends everything that stands before the entry's content: the pax member if one is needed, and the header. */
void tarhead_entry(const struct entry *entry, int64_t epoch, struct buf *ret);
/* The same for .PKGINFO. */
void tarhead_pkginfo(uint64_t size, int64_t epoch, struct buf *ret);
/* Bytes of zeros behind a content of this size. */
static inline size_t tarhead_padding(uint64_t size)
{
    return (size_t)(-size % TAR_BLOCK);
}
/* Reads the mtime (and, for .PKGINFO, the size) out of a header that is not trusted yet. False if not 11 octal digits. */
bool tarhead_read_mtime(const char block[TAR_BLOCK], int64_t *ret_epoch);
bool tarhead_read_size(const char block[TAR_BLOCK], uint64_t *ret_size);
bool tarhead_is_pkginfo(const char block[TAR_BLOCK]);
/* The name of the header field at this offset, for messages. */
const char *tarhead_field(size_t offset);
bool tarhead_in_checksum(size_t offset);

#endif
