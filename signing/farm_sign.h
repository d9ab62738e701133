/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-sign's commands, and the little they share. Each command parses its own arguments (argv[0] is its name). */
#ifndef FARM_SIGN_H
#define FARM_SIGN_H

#include "buf.h"
#include "diag.h"

#include <stdbool.h>
#include <stddef.h>

/* Each returns an exit status. */
int farm_sign_keygen(int argc, char **argv);
int farm_sign_pubkey(int argc, char **argv);
int farm_sign_root(int argc, char **argv);
int farm_sign_release(int argc, char **argv);
int farm_sign_entry(int argc, char **argv);
int farm_sign_directory(int argc, char **argv);

/* Prints "farm-sign: message" and gives the exit status of the error. */
int farm_sign_fail(const struct diag *diag, int error);
/* As above for wrong arguments, with a pointer to --help. */
int farm_sign_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "2027-01-31" or "2027-01-31T12:00:00Z". */
bool farm_sign_time(const char *text, int64_t *ret_ms);
int farm_sign_read(const char *path, size_t limit, struct buf *ret, struct diag *diag) MUST_USE;
/* The texts of the .sig files in "<path>.sig.d"; *ret and its texts are owned. */
int farm_sign_signatures(const char *path, char ***ret, size_t *ret_count, struct diag *diag) MUST_USE;
/* Signs the bytes of a file and puts the signature into "<path>.sig.d/". */
int farm_sign_document(const char *path, struct view text, const char *name_space, const char *key,
                       struct diag *diag) MUST_USE;

#endif
