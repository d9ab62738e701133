/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Health: what a doctor finds. A table of checks is run from top to bottom; each gives one line: what it looked at, how it is, what
 * that means, and what to do if it is not good. A check never repairs anything.
 *
 * Also the checks that both programs have: directories, secrets, disk, clock, descriptors (health_machine.c).
 */
#ifndef FARM_HEALTH_H
#define FARM_HEALTH_H

#include "buf.h"
#include "diag.h"
#include "json.h"

#include <stdbool.h>
#include <stdio.h>

enum health_level {
    HEALTH_OK,
    HEALTH_NONE, /* nothing to look at here, and that is no fault */
    HEALTH_WARN, /* goes on, but somebody should act */
    HEALTH_FAIL  /* does not work, or is not safe */
};
const char *health_level_name(enum health_level level);

/* What one check found. It begins as HEALTH_OK without text. */
struct health_note {
    const char *name; /* of the check; borrowed */
    enum health_level level;
    struct buf text, remedy;
};

/* One row of a table. 'context' is the doctor's own. */
struct health_check {
    const char *name; /* a word or two: what people look for */
    void (*run)(void *context, struct health_note *ret);
};

struct health_report {
    struct health_note *notes;
    size_t count, capacity;
};
#define HEALTH_REPORT_INIT                                                                                   \
    {                                                                                                        \
        .notes = NULL                                                                                        \
    }

void health_run(const struct health_check *checks, size_t count, void *context, struct health_report *ret);
void health_report_done(struct health_report *report);
/* "ok    name: text", and below it what to do. Control bytes are replaced: some of it is read from files. */
void health_print(const struct health_report *report, FILE *out);
/* {"checks":[{"check","level","text","do"}],"worst":"ok"}; a new reference. */
json_t *health_json(const struct health_report *report);
/* FARM_EXIT_OK with warnings, too; FARM_EXIT_VIOLATION if a check failed. */
int health_exit(const struct health_report *report);

/* For checks: set the level (never to a better one) and the text; the remedy may be NULL. */
void health_say(struct health_note *note, enum health_level level, const char *remedy, const char *format,
                ...) __attribute__((format(printf, 4, 5)));
/* HEALTH_FAIL with the diag's sentence, which names file and remedy. */
void health_fail(struct health_note *note, int error, const struct diag *diag);

/* ---- checks that both programs have ---- */

/* Only its owner may look into it, and that is who asks, or root does. */
void health_check_directory(struct health_note *note, int dirfd, const char *path);
/* A secret is a regular file, its directory's owner's, closed to all others. */
void health_check_secret(struct health_note *note, int dirfd, const char *name);
/* Fails with less than 'reserve' bytes free, warns below twice that; likewise below 1 and 5 of 100 inodes. */
void health_check_disk(struct health_note *note, int dirfd, uint64_t reserve);
/* The same as numbers, pure. */
struct health_disk {
    uint64_t free_bytes, reserve_bytes, inodes,
        free_inodes; /* inodes 0: the file system does not count them */
};
void health_judge_disk(struct health_note *note, const struct health_disk *disk);
/* The clock is behind the newest time that was seen (wall, ms; 0: none), or nothing keeps it right. */
void health_check_clock(struct health_note *note, int64_t now_ms, int64_t seen_ms);
/* The last change of a file, or 0. */
int64_t health_time_of(int dirfd, const char *path);
/* What expires when: fails behind it, warns in the last 'days' before. */
void health_check_expiry(struct health_note *note, const char *what, int64_t now_ms, int64_t expires_ms,
                         int days, const char *remedy);
/* Appends the kernel's name and release, "Linux 6.1.0". */
void health_add_kernel(struct buf *ret);
/* Warns if a program may have fewer than 'wanted' files and connections open. */
void health_judge_descriptors(struct health_note *note, uint64_t limit, uint64_t wanted);
/* Can somebody be reached there ("host:port") within two seconds? 0 or an error with the reason. */
int health_connect(const char *address, struct diag *diag) MUST_USE;
/* Could a program listen there ("host:port")? 0 or an error with the reason. */
int health_can_listen(const char *address, struct diag *diag) MUST_USE;

#endif
