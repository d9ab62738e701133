/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "backup.h"

#include "file.h"
#include "json.h"
#include "moment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void backup_list_done(struct backup_list *list)
{
    for (size_t i = 0; i < list->nfiles; i++)
        free(list->files[i].path);
    free(list->files);
    free(list->missing);
    free(list->origin);
    free(list->software);
    *list = (struct backup_list)BACKUP_LIST_INIT;
}

void backup_list_add(struct backup_list *list, const char *path, uint64_t size, const struct digest *sha256)
{
    list->files = mem_reserve(list->files, &list->capacity, list->nfiles + 1, sizeof *list->files);
    list->files[list->nfiles++] =
        (struct backup_file){.path = mem_string(path), .size = size, .sha256 = *sha256};
}

struct backup_path backup_object_path(const struct digest *object)
{
    struct backup_path path;
    struct digest_hex hex = digest_hex(object);
    snprintf(path.text, sizeof path.text, BACKUP_STORE "/%.2s/%s", hex.text, hex.text + 2);
    return path;
}

/* ---- writing ---- */

void backup_list_write(const struct backup_list *list, struct buf *ret)
{
    json_t *files = json_array(), *missing = json_array();
    for (size_t i = 0; i < list->nfiles; i++)
        json_array_append_new(files, json_pack("{s:s, s:I, s:o}", "path", list->files[i].path, "size",
                                               (json_int_t)list->files[i].size, "sha256",
                                               json_digest(&list->files[i].sha256)));
    for (size_t i = 0; i < list->nmissing; i++)
        json_array_append_new(missing, json_digest(&list->missing[i]));
    json_t *document = json_pack(
        "{s:s, s:o, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:I, s:o, s:o}", "format", BACKUP_FORMAT,
        "coordinator", json_digest(&list->coordinator), "origin", list->origin, "software", list->software,
        "taken", moment_format(list->taken_ms).text, "schema", (json_int_t)list->schema, "log_size",
        (json_int_t)list->log_size, "objects", (json_int_t)list->nobjects, "store", (int)list->has_store,
        "share", (json_int_t)list->share, "files", files, "missing", missing);
    json_write(document, ret);
    buf_add_byte(ret, '\n');
    json_decref(document);
}

/* ---- reading ---- */

static int get_number(const json_t *document, const char *key, uint64_t *ret, struct diag *diag)
{
    int64_t number;
    int result = json_get_number(document, BACKUP_FILE, key, &number, diag);
    if (result >= 0 && number < 0)
        return diag_set(diag, FARM_E_SYNTAX, BACKUP_FILE ": %s: expected no negative number", key);
    if (result >= 0)
        *ret = (uint64_t)number;
    return result;
}

static int read_one_file(const json_t *row, struct backup_list *list, struct diag *diag)
{
    const char *path;
    struct digest sha256;
    uint64_t size = 0;
    int result = json_get_text(row, BACKUP_FILE, "path", &path, diag);
    if (result >= 0)
        result = get_number(row, "size", &size, diag);
    if (result >= 0)
        result = json_get_digest(row, BACKUP_FILE, "sha256", &sha256, diag);
    if (result >= 0 && !file_path_is_plain(view_text(path)))
        result = diag_set(diag, FARM_E_REFUSED,
                          BACKUP_FILE ": files: \"%s\" does not lie in the backup's directory", path);
    if (result >= 0)
        backup_list_add(list, path, size, &sha256);
    return result;
}

static int read_files(const json_t *document, struct backup_list *list, struct diag *diag)
{
    json_t *rows;
    int result = json_get_array(document, BACKUP_FILE, "files", &rows, diag);
    if (result >= 0 && json_array_size(rows) > BACKUP_FILES_MAX)
        result = diag_set(diag, FARM_E_LIMIT, BACKUP_FILE ": more than %d files", BACKUP_FILES_MAX);
    for (size_t i = 0; result >= 0 && i < json_array_size(rows); i++)
        result = read_one_file(json_array_get(rows, i), list, diag);
    return result;
}

static int read_missing(const json_t *document, struct backup_list *list, struct diag *diag)
{
    json_t *rows;
    int result = json_get_array(document, BACKUP_FILE, "missing", &rows, diag);
    for (size_t i = 0; result >= 0 && i < json_array_size(rows) && i < BACKUP_MISSING_MAX; i++) {
        struct digest digest;
        const char *text = json_string_value(json_array_get(rows, i));
        if (text == NULL || !digest_parse(view_text(text), &digest))
            return diag_set(diag, FARM_E_SYNTAX, BACKUP_FILE ": missing: expected digests");
        list->missing =
            mem_reserve(list->missing, &list->missing_capacity, list->nmissing + 1, sizeof *list->missing);
        list->missing[list->nmissing++] = digest;
    }
    return result;
}

static int read_header(const json_t *document, struct backup_list *list, struct diag *diag)
{
    const char *format, *origin = NULL, *software = NULL, *taken = NULL;
    uint64_t schema = 0;
    int result = json_get_text(document, BACKUP_FILE, "format", &format, diag);
    if (result >= 0 && strcmp(format, BACKUP_FORMAT) != 0)
        return diag_set(diag, FARM_E_UNSUPPORTED,
                        BACKUP_FILE ": format \"%s\"; this program reads " BACKUP_FORMAT, format);
    if (result >= 0)
        result = json_get_digest(document, BACKUP_FILE, "coordinator", &list->coordinator, diag);
    if (result >= 0)
        result = json_get_text(document, BACKUP_FILE, "origin", &origin, diag);
    if (result >= 0)
        result = json_get_text(document, BACKUP_FILE, "software", &software, diag);
    if (result >= 0)
        result = json_get_text(document, BACKUP_FILE, "taken", &taken, diag);
    if (result >= 0 && !moment_parse(view_text(taken), &list->taken_ms))
        result = diag_set(diag, FARM_E_SYNTAX, BACKUP_FILE ": taken: expected a time");
    if (result >= 0)
        result = get_number(document, "schema", &schema, diag);
    if (result >= 0)
        result = get_number(document, "log_size", &list->log_size, diag);
    if (result >= 0)
        result = get_number(document, "objects", &list->nobjects, diag);
    if (result >= 0)
        result = json_get_bool(document, BACKUP_FILE, "store", &list->has_store, diag);
    if (result >= 0 && json_object_get(document, "share") != NULL) /* older backups have none */
        result = get_number(document, "share", &list->share, diag);
    list->schema = (int64_t)schema;
    list->origin = origin != NULL ? mem_string(origin) : NULL;
    list->software = software != NULL ? mem_string(software) : NULL;
    return result;
}

int backup_list_parse(struct view text, struct backup_list *ret, struct diag *diag)
{
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP(backup_list_done) struct backup_list list = BACKUP_LIST_INIT;
    int result = json_read(text, BACKUP_FILE, BACKUP_FILE_MAX, &document, diag);
    if (result >= 0)
        result = read_header(document, &list, diag);
    if (result >= 0)
        result = read_files(document, &list, diag);
    if (result >= 0)
        result = read_missing(document, &list, diag);
    if (result < 0)
        return result;
    *ret = list;
    list = (struct backup_list)BACKUP_LIST_INIT;
    return 0;
}

int backup_list_read(int dirfd, struct backup_list *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = file_read(dirfd, BACKUP_FILE, BACKUP_FILE_MAX, &text, diag);
    return result < 0 ? result : backup_list_parse(buf_view(&text), ret, diag);
}
