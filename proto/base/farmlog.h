/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Log: one line per event on standard error. An event is a message, which says what happened in the same words each time, and
 * fields, which say to whom:
 *
 *     log_event(LOG_LEVEL_INFO, "lease granted", log_text(FIELD_NODE, node), log_text(FIELD_WORKER, worker));
 *
 *     text   2026-11-22T16:45:38Z INFO  lease granted node=extra/one worker=birch-1
 *     json   {"time":"2026-11-22T16:45:38Z","level":"info","message":"lease granted","node":"extra/one","worker":"birch-1"}
 *
 * Keys are one list (below), so that the same thing has the same name everywhere; docs/OPERATORS.md says what each means, and a
 * test compares the two. Values may come from strangers. In text a value stands bare if it consists of letters, digits and
 * ._:/@+,- alone; otherwise it is a JSON string. A message is never bare either if it has a "=" in it, begins with a quotation mark,
 * or has a control byte. So nothing that is quoted can end early, begin another field, another line, or draw on a terminal, and
 * whoever splits a line at " key=" finds what was meant.
 *
 * Under systemd (JOURNAL_STREAM set) the level is the journal's "<N>" prefix, and the text format leaves out time and level; the journal
 * has them. Secrets and build output never go here.
 */
#ifndef FARM_LOG_H
#define FARM_LOG_H

#include "buf.h"
#include "digest.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Who and what: first those that name something, then what is said of it. Names are in farmlog.c. */
enum log_key {
    FIELD_END, /* of the fields */
    FIELD_JOB,
    FIELD_NODE,
    FIELD_PLAN,
    FIELD_LEASE,
    FIELD_WORKER,
    FIELD_OPERATOR,
    FIELD_OBJECT,
    FIELD_RELEASE,
    FIELD_ROUND,
    FIELD_SLOT,
    FIELD_PHASE,
    FIELD_STATE,
    FIELD_FATE,
    FIELD_KIND,
    FIELD_TYPE,
    FIELD_VERSION,
    FIELD_ENTRIES,
    FIELD_POSITION,
    FIELD_PAYLOAD,
    FIELD_COUNT,
    FIELD_BYTES,
    FIELD_DURATION,
    FIELD_UNTIL,
    FIELD_PATH,
    FIELD_ADDRESS,
    FIELD_VERB,
    FIELD_LEVEL,
    FIELD_REASON
};
enum { FIELD_KEYS = FIELD_REASON + 1 };
/* "worker"; NULL for FIELD_END. */
const char *log_key_name(enum log_key key);

/* A text is borrowed until the event is written; a digest or number is kept in the field. */
struct log_field {
    enum log_key key;
    bool bare; /* a number: without quotation marks in JSON */
    const char *text;
    char room[2 * DIGEST_SIZE + 1];
};
/* NULL is written as an empty value. */
struct log_field log_text(enum log_key key, const char *text);
struct log_field log_number(enum log_key key, int64_t number);
/* All 64 digits: what stands in the database and in every listing. */
struct log_field log_digest(enum log_key key, const struct digest *digest);
/* The same of other 32 bytes, a lease's nonce. */
struct log_field log_bytes(enum log_key key, const unsigned char bytes[DIGEST_SIZE]);

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_format(enum log_format format);
/* "error", "warning", "info", "debug"; a negative value for anything else. */
int log_level_parse(const char *name);
const char *log_level_name(enum log_level level);
/* "text", "json"; a negative value for anything else. */
int log_format_parse(const char *name);

/* An event with fields; at least one. */
#define log_event(level, message, ...)                                                                       \
    log_write(level, message, (const struct log_field[]){__VA_ARGS__, {.key = FIELD_END}})
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/* An event of the program itself, which is about nobody: a message alone. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* One line as it would be written, for tests; 'journal': under systemd. Appends. */
void log_compose(enum log_format format, bool journal, int64_t wall_ms, enum log_level level,
                 const char *message, const struct log_field *fields, struct buf *ret);

#endif
