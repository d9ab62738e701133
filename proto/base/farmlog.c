/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "farmlog.h"

#include "buf.h"
#include "moment.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_int current_level = LOG_LEVEL_INFO;

static const struct {
    const char *name;
    const char *label;
    int journal; /* syslog priority */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", "ERROR", 3},
    [LOG_LEVEL_WARNING] = {"warning", "WARN ", 4},
    [LOG_LEVEL_INFO] = {"info", "INFO ", 6},
    [LOG_LEVEL_DEBUG] = {"debug", "DEBUG", 7},
};

void log_set_level(enum log_level level)
{
    current_level = level;
}

enum log_level log_get_level(void)
{
    return (enum log_level)current_level;
}

int log_level_parse(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
        if (strcmp(levels[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* What strangers put into a message shall not draw on the terminal or forge a line. */
static void replace_control_bytes(struct buf *line)
{
    for (size_t i = 0; i < line->size; i++)
        if ((unsigned char)line->data[i] < 0x20 || line->data[i] == 0x7f)
            line->data[i] = '?';
}

void log_line(enum log_level level, const char *format, ...)
{
    if ((int)level > current_level)
        return;
    CLEANUP_BUF struct buf line = BUF_INIT;
    if (getenv("JOURNAL_STREAM") != NULL)
        buf_add_format(&line, "<%d>", levels[level].journal);
    else
        buf_add_format(&line, "%s %s ", moment_format(moment_wall_ms()).text, levels[level].label);
    va_list args;
    va_start(args, format);
    CLEANUP_FREE char *text = mem_vformat(format, args);
    va_end(args);
    buf_add_text(&line, text);
    replace_control_bytes(&line);
    buf_add_byte(&line, '\n');
    ssize_t ignored = write(STDERR_FILENO, line.data, line.size); /* one write: lines of threads do not mix */
    (void)ignored;
}
