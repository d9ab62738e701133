/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The state file:
 *
 *     {"directory":"<hex>","directory_version":1,"format":"intergenos-verify-state/2",
 *      "log":{"origin":"...","root":"<hex>","size":1234},"release":"<hex>","root":"<hex>","root_version":1,"sequence":1,"time":"..."}
 *
 * "log" is null until a cosigned checkpoint was seen. Version 1, without "log", is still read. Damaged is refused, not forgotten:
 * forgetting is what an attacker wants.
 */
#include "verify.h"

#include "docjson.h"
#include "file.h"
#include "jsonsame.h"

#include <errno.h>

#define STATE_FORMAT   "intergenos-verify-state/2"
#define STATE_FORMAT_1 "intergenos-verify-state/1"

enum { STATE_SIZE_MAX = 4096 };

static json_t *log_json(const struct checkpoint *log)
{
    if (log->size == 0)
        return json_null();
    return json_pack("{s:s, s:o, s:I}", "origin", log->origin, "root", json_digest(&log->root), "size",
                     (json_int_t)log->size);
}

static json_t *state_json(const struct verify_state *state, const char *format)
{
    json_t *value =
        json_pack("{s:s, s:I, s:o, s:I, s:o, s:I, s:o, s:o}", "format", format, "root_version",
                  (json_int_t)state->root_version, "root", json_digest(&state->root), "directory_version",
                  (json_int_t)state->directory_version, "directory", json_digest(&state->directory),
                  "sequence", (json_int_t)state->sequence, "release", json_digest(&state->release), "time",
                  docjson_time_value(state->time_ms));
    if (strcmp(format, STATE_FORMAT) == 0)
        json_object_set_new(value, "log", log_json(&state->log));
    return value;
}

static int read_log(const json_t *document, const char *path, struct checkpoint *ret, struct diag *diag)
{
    json_t *log;
    const char *origin;
    int64_t size;
    int result;
    if (json_is_null(json_object_get(document, "log")))
        return 0;
    if ((result = json_get_object(document, path, "log", &log, diag)) < 0 ||
        (result = json_get_text(log, path, "origin", &origin, diag)) < 0 ||
        (result = json_get_number(log, path, "size", &size, diag)) < 0 ||
        (result = json_get_digest(log, path, "root", &ret->root, diag)) < 0)
        return result;
    if (size < 1 || !note_name_is_valid(view_text(origin)))
        return diag_set(diag, FARM_E_SYNTAX, "%s: \"log\" is no checkpoint", path);
    memcpy(ret->origin, origin, strlen(origin) + 1);
    ret->size = (uint64_t)size;
    return 0;
}

static int parse(struct view text, const char *path, struct verify_state *ret, struct diag *diag)
{
    CLEANUP_JSON json_t *document = NULL;
    struct verify_state state = {0};
    const char *format;
    int result;
    if ((result = json_read(text, path, STATE_SIZE_MAX, &document, diag)) < 0 ||
        (result = json_get_text(document, path, "format", &format, diag)) < 0)
        return result;
    bool old = strcmp(format, STATE_FORMAT_1) == 0;
    if ((result = docjson_format(document, path, old ? STATE_FORMAT_1 : STATE_FORMAT, diag)) < 0 ||
        (result = old ? 0 : read_log(document, path, &state.log, diag)) < 0 ||
        (result = json_get_number(document, path, "root_version", &state.root_version, diag)) < 0 ||
        (result = json_get_digest(document, path, "root", &state.root, diag)) < 0 ||
        (result = json_get_number(document, path, "directory_version", &state.directory_version, diag)) < 0 ||
        (result = json_get_digest(document, path, "directory", &state.directory, diag)) < 0 ||
        (result = json_get_number(document, path, "sequence", &state.sequence, diag)) < 0 ||
        (result = json_get_digest(document, path, "release", &state.release, diag)) < 0 ||
        (result = docjson_time(document, path, "time", &state.time_ms, diag)) < 0)
        return result;
    CLEANUP_JSON json_t *again = state_json(&state, format);
    if ((result = json_same(document, again, path, diag)) < 0)
        return result;
    *ret = state;
    return 0;
}

int verify_state_read(int dirfd, const char *path, struct verify_state *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = file_read(dirfd, path, STATE_SIZE_MAX, &text, diag);
    if (result == -ENOENT) {
        *ret = (struct verify_state){0};
        return 0;
    }
    if (result < 0)
        return result;
    if (parse(buf_view(&text), path, ret, diag) < 0)
        return diag_wrap(diag, FARM_E_CONFIG,
                         "the state file is damaged; restore it from a copy (without it an old release "
                         "could pass as new)");
    return 0;
}

int verify_state_write(int dirfd, const char *path, const struct verify_state *state, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *value = state_json(state, STATE_FORMAT);
    json_write(value, &text);
    buf_add_byte(&text, '\n');
    return file_write(dirfd, path, buf_view(&text), 0644, diag);
}
