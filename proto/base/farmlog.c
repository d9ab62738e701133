/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "farmlog.h"

#include "buf.h"
#include "moment.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_int current_level = LOG_LEVEL_INFO;
static atomic_int current_format = LOG_FORMAT_TEXT;

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

static const char *const formats[] = {[LOG_FORMAT_TEXT] = "text", [LOG_FORMAT_JSON] = "json"};

static const char *const keys[FIELD_KEYS] = {
    [FIELD_JOB] = "job",         [FIELD_NODE] = "node",
    [FIELD_PLAN] = "plan",       [FIELD_LEASE] = "lease",
    [FIELD_WORKER] = "worker",   [FIELD_OPERATOR] = "operator",
    [FIELD_OBJECT] = "object",   [FIELD_RELEASE] = "release",
    [FIELD_ROUND] = "round",     [FIELD_SLOT] = "slot",
    [FIELD_PHASE] = "phase",     [FIELD_STATE] = "state",
    [FIELD_FATE] = "fate",       [FIELD_KIND] = "kind",
    [FIELD_TYPE] = "type",       [FIELD_VERSION] = "version",
    [FIELD_ENTRIES] = "entries", [FIELD_POSITION] = "position",
    [FIELD_PAYLOAD] = "payload", [FIELD_COUNT] = "count",
    [FIELD_BYTES] = "bytes",     [FIELD_DURATION] = "duration_ms",
    [FIELD_UNTIL] = "until",     [FIELD_PATH] = "path",
    [FIELD_ADDRESS] = "address", [FIELD_VERB] = "verb",
    [FIELD_LEVEL] = "log_level", [FIELD_REASON] = "reason",
};

const char *log_key_name(enum log_key key)
{
    return keys[key];
}

void log_set_level(enum log_level level)
{
    current_level = level;
}

enum log_level log_get_level(void)
{
    return (enum log_level)current_level;
}

void log_set_format(enum log_format format)
{
    current_format = format;
}

int log_level_parse(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
        if (strcmp(levels[i].name, name) == 0)
            return (int)i;
    return -1;
}

const char *log_level_name(enum log_level level)
{
    return levels[level].name;
}

int log_format_parse(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (strcmp(formats[i], name) == 0)
            return (int)i;
    return -1;
}

struct log_field log_text(enum log_key key, const char *text)
{
    return (struct log_field){.key = key, .text = text != NULL ? text : ""};
}

struct log_field log_number(enum log_key key, int64_t number)
{
    struct log_field field = {.key = key, .bare = true};
    snprintf(field.room, sizeof field.room, "%" PRId64, number);
    return field;
}

struct log_field log_bytes(enum log_key key, const unsigned char bytes[DIGEST_SIZE])
{
    struct log_field field = {.key = key};
    hex_encode(bytes, DIGEST_SIZE, field.room);
    return field;
}

struct log_field log_digest(enum log_key key, const struct digest *digest)
{
    return log_bytes(key, digest->bytes);
}

/* ---- one line ---- */

static struct view field_value(const struct log_field *field)
{
    return view_text(field->text != NULL ? field->text : field->room);
}

static bool is_control(unsigned char byte)
{
    return byte < 0x20 || byte == 0x7f;
}

/*
 * As a JSON string, in ASCII where it matters: control bytes, and of text that is not ASCII everything that is no UTF-8 or could draw
 * (C1 controls) or turn the line around (U+2028 to U+202E, U+2066 to U+2069), leave as escapes.
 */
static void add_quoted(struct buf *line, struct view text)
{
    bool utf8 = view_is_utf8(text);
    buf_add_byte(line, '"');
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        unsigned char next = i + 1 < text.size ? (unsigned char)text.data[i + 1] : 0;
        unsigned char last = i + 2 < text.size ? (unsigned char)text.data[i + 2] : 0;
        bool marks = byte == 0xe2 && ((next == 0x80 && last >= 0xa8 && last <= 0xae) ||
                                      (next == 0x81 && last >= 0xa6 && last <= 0xa9));
        if (byte == '"' || byte == '\\') {
            buf_add_byte(line, '\\');
            buf_add_byte(line, (char)byte);
        } else if (byte == '\n') {
            buf_add_text(line, "\\n");
        } else if (is_control(byte)) {
            buf_add_format(line, "\\u%04x", (unsigned int)byte);
        } else if (byte >= 0x80 && !utf8) {
            buf_add_text(line, "\\ufffd");
        } else if (byte == 0xc2 && next < 0xa0) {
            buf_add_format(line, "\\u%04x", (unsigned int)next);
            i++;
        } else if (marks) {
            buf_add_format(line, "\\u20%02x", (unsigned int)(last & 0x3f) + (next == 0x81 ? 0x40U : 0U));
            i += 2;
        } else {
            buf_add_byte(line, (char)byte);
        }
    }
    buf_add_byte(line, '"');
}

static bool is_bare_value(struct view text)
{
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        bool letter =
            (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
        if (!letter && strchr("._:/@+,-", byte) == NULL)
            return false;
    }
    return text.size > 0;
}

static bool is_bare_message(struct view text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte == '=' || byte >= 0x80 || is_control(byte))
            return false;
    }
    return text.size > 0 && text.data[0] != '"';
}

static void compose_text(struct buf *line, struct view message, const struct log_field *fields)
{
    if (is_bare_message(message))
        buf_add_view(line, message);
    else
        add_quoted(line, message);
    for (const struct log_field *field = fields; field->key != FIELD_END; field++) {
        struct view value = field_value(field);
        buf_add_format(line, " %s=", keys[field->key]);
        if (is_bare_value(value))
            buf_add_view(line, value);
        else
            add_quoted(line, value);
    }
}

static void compose_json(struct buf *line, const char *time, const char *level, struct view message,
                         const struct log_field *fields)
{
    buf_add_format(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", time, level);
    add_quoted(line, message);
    for (const struct log_field *field = fields; field->key != FIELD_END; field++) {
        buf_add_format(line, ",\"%s\":", keys[field->key]);
        if (field->bare)
            buf_add_view(line, field_value(field));
        else
            add_quoted(line, field_value(field));
    }
    buf_add_byte(line, '}');
}

void log_compose(enum log_format format, bool journal, int64_t wall_ms, enum log_level level,
                 const char *message, const struct log_field *fields, struct buf *ret)
{
    struct moment_text time = moment_format(wall_ms);
    if (journal)
        buf_add_format(ret, "<%d>", levels[level].journal);
    else if (format == LOG_FORMAT_TEXT)
        buf_add_format(ret, "%s %s ", time.text, levels[level].label);
    if (format == LOG_FORMAT_TEXT)
        compose_text(ret, view_text(message), fields);
    else
        compose_json(ret, time.text, levels[level].name, view_text(message), fields);
    buf_add_byte(ret, '\n');
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    if ((int)level > current_level)
        return;
    CLEANUP_BUF struct buf line = BUF_INIT;
    log_compose((enum log_format)current_format, getenv("JOURNAL_STREAM") != NULL, moment_wall_ms(), level,
                message, fields, &line);
    ssize_t ignored = write(STDERR_FILENO, line.data, line.size); /* one write: lines of threads do not mix */
    (void)ignored;
}

void log_line(enum log_level level, const char *format, ...)
{
    static const struct log_field none[] = {{.key = FIELD_END}};
    if ((int)level > current_level)
        return;
    va_list args;
    va_start(args, format);
    CLEANUP_FREE char *text = mem_vformat(format, args);
    va_end(args);
    log_write(level, text, none);
}
