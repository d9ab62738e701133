/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the witness keeps: witness.json. */
#include "witness.h"

#include "file.h"
#include "json.h"
#include "statedir.h"

#include <errno.h>
#include <stdlib.h>

#define FORMAT "intergenos-witness/1"
static const char *const NAME = STATEDIR_WITNESS;

static json_t *log_json(const struct witness *witness)
{
    const struct checkpoint *kept = &witness->kept;
    if (kept->origin[0] == '\0')
        return json_null();
    json_t *json = json_object();
    json_object_set_new(json, "origin", json_string(kept->origin));
    json_object_set_new(json, "size", json_integer((json_int_t)kept->size));
    json_object_set_new(json, "root", json_digest(&kept->root));
    json_object_set_new(json, "note", json_view(view_text(witness->note != NULL ? witness->note : "")));
    return json;
}

static json_t *unproven_json(const struct witness_unproven *answer)
{
    char nonce[2 * STATEMENT_NONCE_SIZE + 1];
    json_t *json = json_object();
    hex_encode(answer->nonce.bytes, sizeof answer->nonce.bytes, nonce);
    json_object_set_new(json, "nonce", json_string(nonce));
    json_object_set_new(json, "envelope", json_digest(&answer->envelope));
    json_object_set_new(json, "job", json_digest(&answer->job));
    json_object_set_new(json, "position", json_integer((json_int_t)answer->position));
    json_object_set_new(json, "taken", json_boolean(answer->taken));
    json_object_set_new(json, "due", json_integer(answer->due));
    json_object_set_new(json, "early", json_integer(answer->early));
    return json;
}

void witness_write(const struct witness *witness, struct buf *ret)
{
    CLEANUP_JSON json_t *json = json_object();
    json_t *list = json_array();
    for (size_t i = 0; i < witness->nunproven; i++)
        json_array_append_new(list, unproven_json(&witness->unproven[i]));
    json_object_set_new(json, "format", json_string(FORMAT));
    json_object_set_new(json, "log", log_json(witness));
    json_object_set_new(json, "lost", json_integer((json_int_t)witness->lost));
    json_object_set_new(json, "unproven", list);
    json_write(json, ret);
}

static int get_count(const json_t *json, const char *key, int64_t most, uint64_t *ret, struct diag *diag)
{
    int64_t number;
    int error = json_get_number(json, NAME, key, &number, diag);
    if (error >= 0 && (number < 0 || number > most))
        error = diag_set(diag, FARM_E_SYNTAX, "%s: %s: out of range", NAME, key);
    if (error >= 0)
        *ret = (uint64_t)number;
    return error;
}

/* The note must say what stands beside it, or it would be no evidence when it is needed. */
static int check_note(const struct witness *witness, struct diag *diag)
{
    struct note note = NOTE_INIT;
    struct checkpoint checkpoint = {.size = 0};
    if (witness->note == NULL)
        return witness->kept.size == 0 ? 0
                                       : diag_set(diag, FARM_E_SYNTAX, "%s: log: the note is missing", NAME);
    int error = note_parse(view_text(witness->note), &note, diag);
    if (error < 0)
        return diag_wrap(diag, error, "%s: log: note", NAME);
    error = checkpoint_parse(note.text, &checkpoint, diag);
    note_done(&note);
    if (error >= 0 &&
        (strcmp(checkpoint.origin, witness->kept.origin) != 0 || checkpoint.size != witness->kept.size ||
         !digest_equal(&checkpoint.root, &witness->kept.root)))
        error = diag_set(diag, FARM_E_SYNTAX, "%s: log: the note is another checkpoint's", NAME);
    return error;
}

static int read_log(const json_t *json, struct witness *witness, struct diag *diag)
{
    static const char *const known[] = {"note", "origin", "root", "size", NULL};
    const json_t *log = json_object_get(json, "log");
    const char *origin, *note;
    if (json_is_null(log))
        return 0;
    if (!json_is_object(log))
        return diag_set(diag, FARM_E_SYNTAX, "%s: log: expected an object or null", NAME);
    int error = json_only_keys(log, NAME, known, diag);
    if (error >= 0)
        error = json_get_text(log, NAME, "origin", &origin, diag);
    if (error >= 0)
        error = json_get_text(log, NAME, "note", &note, diag);
    if (error >= 0)
        error = get_count(log, "size", INT64_MAX, &witness->kept.size, diag);
    if (error >= 0)
        error = json_get_digest(log, NAME, "root", &witness->kept.root, diag);
    if (error >= 0 && !note_name_is_valid(view_text(origin)))
        error = diag_set(diag, FARM_E_SYNTAX, "%s: log: origin: not the name of a log", NAME);
    if (error < 0)
        return error;
    memcpy(witness->kept.origin, origin, strlen(origin) + 1);
    witness->note = note[0] != '\0' ? mem_string(note) : NULL;
    return check_note(witness, diag);
}

static int read_unproven(const json_t *json, struct witness_unproven *ret, struct diag *diag)
{
    static const char *const known[] = {"due",   "early",    "envelope", "job",
                                        "nonce", "position", "taken",    NULL};
    const char *nonce;
    uint64_t due = 0, early = 0;
    if (!json_is_object(json))
        return diag_set(diag, FARM_E_SYNTAX, "%s: unproven: expected objects", NAME);
    int error = json_only_keys(json, NAME, known, diag);
    if (error >= 0)
        error = json_get_text(json, NAME, "nonce", &nonce, diag);
    if (error >= 0 && !hex_decode(view_text(nonce), ret->nonce.bytes, sizeof ret->nonce.bytes))
        error = diag_set(diag, FARM_E_SYNTAX, "%s: nonce: expected 64 hex digits", NAME);
    if (error >= 0)
        error = json_get_digest(json, NAME, "envelope", &ret->envelope, diag);
    if (error >= 0)
        error = json_get_digest(json, NAME, "job", &ret->job, diag);
    if (error >= 0)
        error = get_count(json, "position", INT64_MAX, &ret->position, diag);
    if (error >= 0)
        error = json_get_bool(json, NAME, "taken", &ret->taken, diag);
    if (error >= 0)
        error = get_count(json, "due", UINT32_MAX, &due, diag);
    if (error >= 0)
        error = get_count(json, "early", UINT32_MAX, &early, diag);
    ret->due = (uint32_t)due;
    ret->early = (uint32_t)early;
    return error;
}

static int read_list(const json_t *json, struct witness *witness, struct diag *diag)
{
    json_t *list, *item;
    size_t index;
    int error = json_get_array(json, NAME, "unproven", &list, diag);
    if (error < 0)
        return error;
    if (json_array_size(list) > WITNESS_UNPROVEN_MAX)
        return diag_set(diag, FARM_E_LIMIT, "%s: unproven: more than %d answers", NAME, WITNESS_UNPROVEN_MAX);
    witness->unproven = mem_zero(json_array_size(list) + 1, sizeof *witness->unproven);
    witness->capacity = json_array_size(list) + 1;
    json_array_foreach(list, index, item)
    {
        error = read_unproven(item, &witness->unproven[index], diag);
        if (error < 0)
            return error;
        witness->nunproven++;
    }
    return 0;
}

int witness_parse(struct view text, struct witness *ret, struct diag *diag)
{
    static const char *const known[] = {"format", "log", "lost", "unproven", NULL};
    CLEANUP_JSON json_t *json = NULL;
    struct witness witness = WITNESS_INIT;
    const char *format;
    int error = json_read(text, NAME, WITNESS_FILE_MAX, &json, diag);
    if (error >= 0)
        error = json_only_keys(json, NAME, known, diag);
    if (error >= 0)
        error = json_get_text(json, NAME, "format", &format, diag);
    if (error >= 0 && strcmp(format, FORMAT) != 0)
        error = diag_set(diag, FARM_E_UNSUPPORTED, "%s: format \"%.40s\" is not " FORMAT, NAME, format);
    if (error >= 0)
        error = get_count(json, "lost", INT64_MAX, &witness.lost, diag);
    if (error >= 0)
        error = read_log(json, &witness, diag);
    if (error >= 0)
        error = read_list(json, &witness, diag);
    if (error < 0) {
        witness_done(&witness);
        return error;
    }
    *ret = witness;
    return 0;
}

int witness_load(int state_dirfd, struct witness *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int error = file_read(state_dirfd, STATEDIR_WITNESS, WITNESS_FILE_MAX, &text, diag);
    if (error == -ENOENT) {
        *ret = (struct witness)WITNESS_INIT;
        return 0;
    }
    if (error >= 0)
        error = witness_parse(buf_view(&text), ret, diag);
    return error < 0
               ? diag_wrap(
                     diag, error,
                     "what this worker saw of the log cannot be read, and is not forgotten by itself (to "
                     "begin anew: farm-worker alarm clear --forget)")
               : 0;
}

int witness_save(int state_dirfd, const struct witness *witness, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    witness_write(witness, &text);
    return file_write(state_dirfd, STATEDIR_WITNESS, buf_view(&text), 0600, diag);
}
