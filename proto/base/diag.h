/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Errors: one table of codes, and the sentence that goes with a failure.
 *
 * A fallible function returns int: >= 0 is success, a negative errno or one of the codes below is failure.
 * The code decides what the program does (and its exit status); the diag, an optional last argument, says
 * it to a person: which file, line or rule, and what to do next. Outputs are untouched on failure.
 */
#ifndef FARM_DIAG_H
#define FARM_DIAG_H

#include "mem.h"

enum farm_error {
    FARM_E_USAGE = -4200, /* wrong command line */
    FARM_E_CONFIG,        /* a configuration or key file cannot be used */
    FARM_E_MISSING,       /* an input that must be there is not */
    FARM_E_UNAVAILABLE,   /* a peer, a mirror or a kernel feature is not there */
    FARM_E_LIMIT,         /* input over a fixed limit */
    FARM_E_SYNTAX,        /* malformed input */
    FARM_E_DIGEST,        /* bytes that are not the ones named */
    FARM_E_SIGNATURE,     /* a signature that does not verify, or by a key that does not count */
    FARM_E_REFUSED,       /* well formed, and against a rule */
    FARM_E_STATE,         /* not now: the thing is in another state */
    FARM_E_CORRUPT,       /* our own stored data is damaged */
    FARM_E_UNKNOWN,       /* nothing by that name */
    FARM_E_EXISTS,        /* already there, and different */
    FARM_E_STALE,         /* older than what was accepted before, or expired */
    FARM_E_FAILED,        /* the work was done and its result is a failure */
    FARM_E_TIMEOUT,       /* took longer than allowed */
    FARM_E_UNSUPPORTED,   /* a version, type or algorithm this program does not know */
    FARM_E_LAST           /* not an error: the end of the table */
};

/* Exit statuses that scripts rely on. */
enum { FARM_EXIT_OK = 0, FARM_EXIT_VIOLATION = 1, FARM_EXIT_CANNOT_RUN = 2 };

/* Static strings; for a negative errno the system's text. */
const char *farm_error_name(int error);
const char *farm_error_text(int error);
/* FARM_EXIT_*; an errno counts as "could not run". */
int farm_error_exit(int error);

/* Longest message kept; the rest is cut. A message is a sentence or two, not a report. */
enum { DIAG_TEXT_MAX = 1536 };

struct diag {
    int error; /* 0: nothing went wrong */
    char text[DIAG_TEXT_MAX];
};

#define DIAG_INIT                                                                                            \
    {                                                                                                        \
        0                                                                                                    \
    }

/*
 * Replaces the message and returns 'error', so that "return diag_set(d, ...)" reads as one thought. Control bytes but tab and newline become
 * '?', whoever's words they are.
 */
int diag_set(struct diag *diag, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* As diag_set for a system call that just failed: appends ": " and the text of errno; returns -errno. */
int diag_errno(struct diag *diag, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts "context: " in front while unwinding; keeps the code; returns it (diag->error, or 'error' if diag is NULL). */
int diag_wrap(struct diag *diag, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* For a message with a stranger's words, which may be shown on a terminal: whatever is not printable ASCII becomes '?'. */
void diag_plain(struct diag *diag);
/* The message, or the text of the code if nobody set one. Borrowed. */
const char *diag_text(const struct diag *diag, int error);

#if defined __clang_analyzer__ && !defined FARM_DIAG_SOURCE
#include <errno.h>
/* The analyzer does not look into other files; so it knows that what is returned is the error, and no success. */
#define diag_set(diag, error, ...)  (diag_set(diag, error, __VA_ARGS__), (error))
#define diag_wrap(diag, error, ...) (diag_wrap(diag, error, __VA_ARGS__), (error))
#define diag_errno(diag, ...)       (diag_errno(diag, __VA_ARGS__), -EIO)
#endif

#endif
