/* SPDX-License-Identifier: GPL-3.0-or-later */
#define FARM_DIAG_SOURCE /* the functions themselves stand here */
#include "diag.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int error;
    const char *name;
    const char *text;
    int exit;
} table[] = {
    {FARM_E_USAGE, "usage", "wrong usage", FARM_EXIT_CANNOT_RUN},
    {FARM_E_CONFIG, "config", "configuration cannot be used", FARM_EXIT_CANNOT_RUN},
    {FARM_E_MISSING, "missing", "a required input is missing", FARM_EXIT_CANNOT_RUN},
    {FARM_E_UNAVAILABLE, "unavailable", "not available", FARM_EXIT_CANNOT_RUN},
    {FARM_E_LIMIT, "limit", "over a limit", FARM_EXIT_VIOLATION},
    {FARM_E_SYNTAX, "syntax", "malformed input", FARM_EXIT_VIOLATION},
    {FARM_E_DIGEST, "digest", "digest mismatch", FARM_EXIT_VIOLATION},
    {FARM_E_SIGNATURE, "signature", "signature not accepted", FARM_EXIT_VIOLATION},
    {FARM_E_REFUSED, "refused", "refused by a rule", FARM_EXIT_VIOLATION},
    {FARM_E_STATE, "state", "not possible in this state", FARM_EXIT_VIOLATION},
    {FARM_E_CORRUPT, "corrupt", "stored data is damaged", FARM_EXIT_VIOLATION},
    {FARM_E_UNKNOWN, "unknown", "unknown name", FARM_EXIT_CANNOT_RUN},
    {FARM_E_EXISTS, "exists", "already exists and differs", FARM_EXIT_VIOLATION},
    {FARM_E_STALE, "stale", "older than what was accepted before", FARM_EXIT_VIOLATION},
    {FARM_E_FAILED, "failed", "failed", FARM_EXIT_VIOLATION},
    {FARM_E_TIMEOUT, "timeout", "timed out", FARM_EXIT_VIOLATION},
    {FARM_E_UNSUPPORTED, "unsupported", "not supported", FARM_EXIT_CANNOT_RUN},
};

_Static_assert(ARRAY_SIZE(table) == FARM_E_LAST - FARM_E_USAGE, "every code has a row");

static int table_index(int error)
{
    return error >= FARM_E_USAGE && error < FARM_E_LAST ? error - FARM_E_USAGE : -1;
}

const char *farm_error_name(int error)
{
    int row = table_index(error);
    return row >= 0 ? table[row].name : "system";
}

const char *farm_error_text(int error)
{
    int row = table_index(error);
    return row >= 0 ? table[row].text : strerror(-error);
}

int farm_error_exit(int error)
{
    int row = table_index(error);
    if (error >= 0)
        return FARM_EXIT_OK;
    return row >= 0 ? table[row].exit : FARM_EXIT_CANNOT_RUN;
}

/* Messages quote what they refuse, and are shown on terminals: an escape sequence in it stays harmless. Lines and tabs are our own. */
static void disarm(char *text)
{
    for (char *c = text; *c != '\0'; c++)
        if (((unsigned char)*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7f)
            *c = '?';
}

int diag_set(struct diag *diag, int error, const char *format, ...)
{
    if (diag == NULL)
        return error;
    va_list args;
    va_start(args, format);
    char text[DIAG_TEXT_MAX]; /* apart, since the arguments may point into diag->text */
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    disarm(text);
    memcpy(diag->text, text, sizeof text);
    diag->error = error;
    return error;
}

int diag_errno(struct diag *diag, const char *format, ...)
{
    int error = errno > 0 ? -errno : -EIO;
    if (diag == NULL)
        return error;
    va_list args;
    va_start(args, format);
    char text[DIAG_TEXT_MAX];
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return diag_set(diag, error, "%s: %s", text, strerror(-error));
}

int diag_wrap(struct diag *diag, int error, const char *format, ...)
{
    if (diag == NULL)
        return error;
    va_list args;
    va_start(args, format);
    char text[DIAG_TEXT_MAX];
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return diag_set(diag, error, "%s: %s", text, diag->error != 0 ? diag->text : farm_error_text(error));
}

void diag_plain(struct diag *diag)
{
    if (diag == NULL)
        return;
    for (char *c = diag->text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
            *c = '?';
}

const char *diag_text(const struct diag *diag, int error)
{
    return diag != NULL && diag->error != 0 ? diag->text : farm_error_text(error);
}
