/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Log: one line per event on standard error, "LEVEL message key=value ...".
 *
 * Under systemd (JOURNAL_STREAM set) the level is the journal's "<N>" prefix; elsewhere a time stamp stands in front.
 * Secrets and build output never go here.
 */
#ifndef FARM_LOG_H
#define FARM_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* "error", "warning", "info", "debug"; a negative value for anything else. */
int log_level_parse(const char *name);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
