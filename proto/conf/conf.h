/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * farm.conf: one table of keys, read with inih. Unknown keys, duplicates, lines over its buffer (which inih
 * would cut silently) and values out of range are refused with file and line.
 *
 * A program declares its keys; the reader fills the fields and a second walk prints the effective
 * configuration.
 *
 *     # a comment, on a line of its own
 *     [coordinator]
 *     listen = tcp://0.0.0.0:7400
 *     store_limit = 200G
 */
#ifndef FARM_CONF_H
#define FARM_CONF_H

#include "buf.h"
#include "diag.h"

enum {
    CONF_FILE_MAX = 256 * 1024, /* bytes; a full farm.conf has 4 KiB */
    CONF_KEYS_MAX = 256         /* of one program */
};

enum conf_type {
    CONF_TEXT,    /* char *, owned by the configuration */
    CONF_NUMBER,  /* uint64_t */
    CONF_BYTES,   /* uint64_t; accepts K, M, G, T (powers of 1024) */
    CONF_SECONDS, /* uint64_t; accepts s, m, h, d */
    CONF_FLAG,    /* bool: yes or no */
    CONF_LIST     /* char *: comma separated, spaces trimmed, stored as "a,b,c" */
};

struct conf_key {
    const char *section, *name;
    enum conf_type type;
    size_t offset;            /* of the field in the program's struct */
    const char *fallback;     /* the default, in the file's own syntax; NULL: must be given */
    uint64_t least, greatest; /* of numbers, bytes and seconds, both allowed; 0, 0: any */
};

/*
 * Reads the file's text into *config, which is untouched on failure. FARM_E_CONFIG names file, line and
 * remedy. Sections that belong to the other program are skipped when listed in 'foreign' (NULL-terminated;
 * may be NULL).
 */
int conf_read(struct view text, const char *file, const struct conf_key *keys, size_t nkeys,
              const char *const *foreign, void *config, struct diag *diag) MUST_USE;
/* Frees the CONF_TEXT and CONF_LIST fields. */
void conf_done(const struct conf_key *keys, size_t nkeys, void *config);
/* Appends the effective configuration, defaults included, in the file's own syntax. */
void conf_print(const struct conf_key *keys, size_t nkeys, const void *config, struct buf *ret);
/* "64M": a whole number and one of K, M, G, T, or none. False if it is not, or does not fit. */
bool conf_parse_bytes(struct view text, uint64_t *ret) MUST_USE;
/* "15m": a whole number and one of s, m, h, d, or none. */
bool conf_parse_seconds(struct view text, uint64_t *ret) MUST_USE;

#endif
