/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Spool: answers that the coordinator has not acknowledged yet, one file each, spool/<nonce>.json, written
 * durably before anything is sent. A worker that dies at any instant later delivers it after its next start;
 * what is acknowledged is removed. The objects that an answer names stay in the store meanwhile.
 *
 *     {"envelope":"<DSSE JSON as
 * text>","failure":"none","format":"intergenos-spool/1","job":"<hex>","log":"<hex>",
 *      "manifest":"<hex>","node":"extra/zlib","nonce":"<hex>","tar":"<hex>"}      zeros: no such object
 */
#ifndef FARM_SPOOL_H
#define FARM_SPOOL_H

#include "buf.h"
#include "statement.h"

enum { SPOOL_FILE_MAX = 2 * DSSE_ENVELOPE_MAX };

struct spool_entry {
    struct lease_nonce nonce;
    struct digest job;
    enum failure_kind failure;
    char *node;                       /* for people */
    struct digest manifest, tar, log; /* zero: none */
    char *envelope;                   /* text */
};

struct nonce_text {
    char text[2 * STATEMENT_NONCE_SIZE + 1];
};
struct nonce_text spool_nonce_text(const struct lease_nonce *nonce);

struct spool_entry *spool_entry_free(struct spool_entry *entry); /* on the heap; accepts NULL, returns NULL */
/* The entry's text, and back; pure. */
void spool_entry_write(const struct spool_entry *entry, struct buf *ret);
int spool_entry_parse(struct view text, const char *name, struct spool_entry **ret,
                      struct diag *diag) MUST_USE;

/* Durable. Writing the same entry again is success. */
int spool_put(int state_dirfd, const struct spool_entry *entry, struct diag *diag) MUST_USE;
int spool_remove(int state_dirfd, const struct lease_nonce *nonce, struct diag *diag) MUST_USE;
/*
 * All answers there are, by nonce, in an owned array of owned entries. A file that cannot be read is renamed
 * to *.damaged, logged, and passed over: one bad sector must not keep the others from being delivered.
 */
int spool_load(int state_dirfd, struct spool_entry ***ret, size_t *ret_count, struct diag *diag) MUST_USE;

#endif
