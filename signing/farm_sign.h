/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * farm-sign's commands, and the little they share. Each command parses its own arguments (argv[0] is its name).
 *
 * Documents are passed around by people in different places: FILE and the directory FILE.sig.d, one "<key id>.sig" for each key.
 * Whoever receives both adds a signature and passes them on; two copies are merged by putting the .sig files together.
 */
#ifndef FARM_SIGN_H
#define FARM_SIGN_H

#include "buf.h"
#include "diag.h"
#include "json.h"
#include "root.h"

#include <stdbool.h>
#include <stddef.h>

/* Each returns an exit status. */
int farm_sign_keygen(int argc, char **argv);
int farm_sign_pubkey(int argc, char **argv);
int farm_sign_root(int argc, char **argv);
int farm_sign_release(int argc, char **argv);
int farm_sign_entry(int argc, char **argv);
int farm_sign_directory(int argc, char **argv);
int farm_sign_waiver(int argc, char **argv);

/* ---- farm_sign.c ---- */

/* Prints "farm-sign: message" and gives the exit status of the error. */
int farm_sign_fail(const struct diag *diag, int error);
/* As above for wrong arguments, with a pointer to --help. */
int farm_sign_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "2027-01-31", "2027-01-31T12:00:00Z", a number of days from 'now_ms' on, or "now"; in whole seconds. */
int farm_sign_time(const char *text, int64_t now_ms, int64_t *ret_ms, struct diag *diag) MUST_USE;
int farm_sign_number(const char *text, const char *what, uint64_t limit, uint64_t *ret,
                     struct diag *diag) MUST_USE;
int farm_sign_read(const char *path, size_t limit, struct buf *ret, struct diag *diag) MUST_USE;
/* A public key: a file, or the line itself ("ssh-ed25519 AAAA..."). */
int farm_sign_public_key(const char *text, struct ssh_public_key *ret, struct diag *diag) MUST_USE;
/* Reads and parses; *text (may be NULL) gets the bytes. */
int farm_sign_read_root(const char *path, struct buf *text, struct root **ret, struct diag *diag) MUST_USE;
/* One JSON value on standard output. */
void farm_sign_print_json(const json_t *value);

/* ---- farm_sign_signatures.c ---- */

/* What is signed. */
struct farm_sign_document {
    const char *path;       /* its signatures are in "<path>.sig.d/"; ssh-keygen is told to sign this file */
    struct view text;       /* the bytes that are signed: those of the file */
    const char *name_space; /* SSHSIG_NAMESPACE_... */
    const char *command;    /* what takes in a signature that OpenSSH made: "farm-sign root sign root.json" */
};
/* By whom: a secret key, or a signature that OpenSSH made. With neither, "<path>.sig" is taken, where ssh-keygen puts it. */
struct farm_sign_hand {
    const char *key, *import; /* paths or NULL */
};

/* The texts of the .sig files in "<path>.sig.d"; *ret and its texts are owned. */
int farm_sign_signatures(const char *path, char ***ret, size_t *ret_count, struct diag *diag) MUST_USE;
/* Makes or takes a signature and checks it. Where only OpenSSH can sign, the diag has the line to type. */
int farm_sign_obtain(const struct farm_sign_document *document, const struct farm_sign_hand *hand,
                     struct buf *ret_armored, struct sshsig *ret_by, struct diag *diag) MUST_USE;
/* After it was kept elsewhere: takes away the "<path>.sig" that was taken in. */
void farm_sign_forget(const struct farm_sign_document *document, const struct farm_sign_hand *hand);
/* All of that, with the signature put into "<path>.sig.d/". */
int farm_sign_document(const struct farm_sign_document *document, const struct farm_sign_hand *hand,
                       struct sshsig *ret_by, struct diag *diag) MUST_USE;

/* ---- farm_sign_root_edit.c, farm_sign_root_show.c: parts of "farm-sign root" ---- */

int farm_sign_root_edit(int argc, char **argv);
int farm_sign_root_show(int argc, char **argv);
int farm_sign_root_sign(int argc, char **argv);
/* Writes a root that keeps all rules; 'replace' or refuse if the file is there. */
int farm_sign_write_root(const struct root *root, const char *out, bool replace, struct diag *diag) MUST_USE;

/* Of a command with words of its own: "root --help", and "root add --help" as well. */
static inline bool farm_sign_asks_help(int argc, char **argv)
{
    for (int i = 1; i < argc && i <= 2; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

#endif
