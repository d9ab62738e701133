/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Worker directory: workers.json, who may answer leases and whose votes they are.
 *
 *     {"entries":[{"entry":{...},"signatures":["-----BEGIN SSH SIGNATURE-----..."]}],"expires":"...",
 *      "format":"intergenos-workers/1","previous":"<sha256 of the version before, or null>","version":1}
 *     entry: {"admitted":"...","compromised_from":-1,"curve":"<hex>","ed25519":"<hex>","expires":"...",
 *             "facts":{"cpu_vendor":"...","kernel":"...","site":"..."},"operator":"alpha","operator_key":"ssh-ed25519 ...",
 *             "worker":"alpha-1"}
 *
 * The signed bytes of an entry are its compact sorted-key ASCII JSON. Each is signed, as SSHSIG in the namespace
 * workers@intergenos, by its operator's key and by the enrolment role's threshold. So a stolen enrolment key can neither speak
 * for an operator nor make an anchor (those are in the root). One bad entry refuses the whole file.
 *
 * A worker name, an Ed25519 key, a CURVE key belong to one entry (W5); one operator has one key, and one key one operator.
 */
#ifndef FARM_DIRECTORY_H
#define FARM_DIRECTORY_H

#include "root.h"

#define DIRECTORY_FORMAT "intergenos-workers/1"

enum { DIRECTORY_SIZE_MAX = 32 * 1024 * 1024, DIRECTORY_ENTRIES_MAX = 20000, DIRECTORY_CURVE_SIZE = 32 };

/* Strings owned. */
struct directory_entry {
    char *worker, *operator_name;
    struct ssh_public_key operator_key;
    struct public_key ed25519;
    unsigned char curve[DIRECTORY_CURVE_SIZE];
    int64_t admitted_ms, expires_ms;
    char *cpu_vendor, *kernel, *site; /* NULL: not stated */
    int64_t compromised_from;         /* position in the log from which nothing counts; -1: not compromised */
    char **signatures;                /* armored */
    size_t nsignatures;
};
struct directory {
    int64_t version, expires_ms;
    struct digest previous; /* zero for the first */
    struct directory_entry *entries;
    size_t nentries, capacity;
    struct digest digest; /* of the bytes that were parsed */
};

/* Form and uniqueness; signatures are directory_check's. */
int directory_parse(struct view text, const char *name, struct directory **ret, struct diag *diag) MUST_USE;
struct directory *directory_new(void);
struct directory *directory_free(struct directory *directory); /* accepts NULL, returns NULL */
void directory_write(const struct directory *directory, struct buf *ret);

/* An entry on its own: the text that is signed, and back. */
void directory_entry_write(const struct directory_entry *entry, struct buf *ret);
int directory_entry_parse(struct view text, const char *name, struct directory_entry *ret,
                          struct diag *diag) MUST_USE;
void directory_entry_done(struct directory_entry *entry);
/* Adds a copy of the entry and its signatures; checks uniqueness, not signatures. */
int directory_add(struct directory *directory, const struct directory_entry *entry,
                  struct diag *diag) MUST_USE;
void directory_entry_add_signature(struct directory_entry *entry, struct view armored);

/* The signatures of one entry, or of all; lists every entry that fails. */
int directory_entry_check(const struct directory_entry *entry, const struct root *root,
                          struct diag *diag) MUST_USE;
int directory_check(const struct directory *directory, const char *name, const struct root *root,
                    struct problems *problems) MUST_USE;

/* Borrowed; NULL if there is none. */
const struct directory_entry *directory_find(const struct directory *directory, const char *worker);
const struct directory_entry *directory_find_key(const struct directory *directory,
                                                 const struct public_key *key);
const struct directory_entry *directory_find_curve(const struct directory *directory,
                                                   const unsigned char *curve);
static inline bool directory_entry_is_anchor(const struct directory_entry *entry, const struct root *root)
{
    return root_is_anchor(root, entry->operator_name, &entry->operator_key);
}

#endif
