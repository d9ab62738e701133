/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Payload: an artifact in the store, as two objects: the manifest (its name is the payload digest) and the
 * canonical tar. This file turns directories and foreign archives into payloads and back.
 */
#ifndef FARM_PAYLOAD_H
#define FARM_PAYLOAD_H

#include "canontar.h"
#include "store.h"

struct payload {
    struct digest manifest; /* the payload digest */
    struct digest tar;      /* of the uncompressed canonical tar */
    uint64_t tar_size;
};

/* Scans the tree, writes manifest and tar objects. 'pkginfo' is called with the manifest to make .PKGINFO; may be NULL. */
typedef void payload_pkginfo(void *context, const struct manifest *manifest, struct buf *ret);
int payload_pack(struct store *store, int dirfd, payload_pkginfo *pkginfo, void *context, int64_t epoch,
                 struct payload *ret, struct diag *diag) MUST_USE;

/* Reads and parses a manifest object. */
int payload_manifest(struct store *store, const struct digest *name, struct manifest *ret,
                     struct diag *diag) MUST_USE;

/* Re-encodes: is 'tar' the canonical tar of 'manifest' with this .PKGINFO and epoch? Cases A8, A9, W14. */
int payload_verify(struct store *store, const struct payload *payload, struct view pkginfo, int64_t epoch,
                   struct diag *diag) MUST_USE;
/* The same, for who has read the manifest already. */
int payload_verify_tar(struct store *store, const struct payload *payload, const struct manifest *manifest,
                       struct view pkginfo, int64_t epoch, struct diag *diag) MUST_USE;

/*
 * Unpacks below dirfd (which must be empty or a root being assembled: existing directories are kept, a non-directory
 * in the way of a directory, or any different file in the way, is FARM_E_REFUSED; see canontar_read). The mode of
 * the root directory is the caller's affair. .PKGINFO is not unpacked.
 */
int payload_unpack(struct store *store, const struct payload *payload, int dirfd, bool strip_special,
                   struct diag *diag) MUST_USE;

/*
 * A base root filesystem: any tar that libarchive reads, normalised (owner 0, devices and sockets dropped, hard links
 * copied, no times, no attributes) and packed without .PKGINFO, with epoch 0. Uses 'scratch' (a directory on the
 * store's file system) to unpack; nothing stays there.
 */
int payload_import_base(struct store *store, int tar_fd, int scratch_dirfd, struct payload *ret,
                        struct diag *diag) MUST_USE;

/* The .igos.tar.gz form: exactly one gzip member (level 6, no name, no time) around the tar object. The caller syncs. */
int payload_export_gz(struct store *store, const struct digest *tar, int out_fd, struct digest *ret_gz,
                      uint64_t *ret_size, struct diag *diag) MUST_USE;
/* What a .igos.tar.gz file must be. All borrowed. */
struct payload_gz {
    const struct manifest *manifest;
    struct view pkginfo;
    int64_t epoch;
    const struct digest *tar;     /* the canonical tar, uncompressed */
    const struct digest *archive; /* the file's own bytes; NULL: not asked */
    uint64_t whole_max;           /* 0: PAYLOAD_WHOLE_MAX; for tests */
};

/*
 * Archive and tar together up to this size are unpacked in memory, by the fastest decoder (libdeflate: 800 MB/s, whole buffers
 * only); larger ones flow through a window by zlib (340 MB/s). So a thread never needs more, whatever the archive.
 */
#define PAYLOAD_WHOLE_MAX ((uint64_t)256 << 20)

/* Memory that one thread keeps from one archive to the next: fresh pages cost more than the unpacking. */
struct payload_room;
struct payload_room *payload_room_new(void);
struct payload_room *payload_room_free(struct payload_room *room); /* accepts NULL, returns NULL */

/*
 * Verifies a .igos.tar.gz file, read once from its start by offset: exactly one gzip member without name or time, nothing
 * behind it, and in it the canonical tar of manifest, .PKGINFO and epoch. FARM_E_CORRUPT if the file is not the one named by
 * 'archive' (nothing else is said then), FARM_E_REFUSED, or FARM_E_DIGEST if it is canonical but not this tar. 'room' may be NULL.
 */
int payload_verify_gz(int fd, const struct payload_gz *expected, struct payload_room *room,
                      struct diag *diag) MUST_USE;

#endif
