/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Taking a note apart says nothing about who signed it: note_check() does, one key at a time, over the bytes as they came.
 * What other programs may write is accepted as C2SP allows it (names in UTF-8, signature types we do not know).
 */
#include "note.h"

#include "base64.h"

#include <assert.h>
#include <stdlib.h>

enum { KEYID_SIZE = 4, VKEY_MAX = NOTE_NAME_MAX + 64, TIME_SIZE = 8 };
#define DASH "\xe2\x80\x94 " /* U+2014 and a blank: begins each signature line */

/* --- keys --- */

bool note_name_is_valid(struct view name)
{
    return name.size > 0 && name.size <= NOTE_NAME_MAX && view_is_token(name) &&
           memchr(name.data, '+', name.size) == NULL;
}

static uint32_t read_u32(const void *bytes)
{
    const unsigned char *at = bytes;
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void add_u32(uint32_t number, struct buf *ret)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_add_byte(ret, (char)(number >> shift & 0xff));
}

uint32_t note_key_id(const struct note_key *key)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    buf_add_text(&text, key->name);
    buf_add_byte(&text, '\n');
    buf_add_byte(&text, (char)key->type);
    buf_add(&text, key->key.bytes, KEYS_PUBLIC_SIZE);
    struct digest digest = digest_of(buf_view(&text));
    return read_u32(digest.bytes);
}

void note_key_write(const struct note_key *key, struct buf *ret)
{
    char typed[1 + KEYS_PUBLIC_SIZE];
    typed[0] = (char)key->type;
    memcpy(typed + 1, key->key.bytes, KEYS_PUBLIC_SIZE);
    buf_add_format(ret, "%s+%08x+", key->name, note_key_id(key));
    base64_encode(view_of(typed, sizeof typed), ret);
}

static int bad_key(const char *what, struct diag *diag)
{
    return diag_set(diag, FARM_E_SYNTAX, "not a note verification key (name+id+base64): %s", what);
}

static int read_key_bytes(struct view text, struct note_key *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf typed = BUF_INIT;
    if (!base64_decode_standard(text, &typed) || typed.size != 1 + KEYS_PUBLIC_SIZE)
        return bad_key("the last part is not the base64 of a type and 32 bytes", diag);
    if (typed.data[0] != NOTE_ED25519 && typed.data[0] != NOTE_COSIGNATURE)
        return bad_key("its type is neither 1 (Ed25519) nor 4 (cosignature/v1)", diag);
    ret->type = (enum note_type)typed.data[0];
    memcpy(ret->key.bytes, typed.data + 1, KEYS_PUBLIC_SIZE);
    if (!keys_public_is_valid(&ret->key))
        return bad_key("no honest Ed25519 key generator makes this key", diag);
    return 0;
}

int note_key_parse(struct view vkey, struct note_key *ret, struct diag *diag)
{
    struct view rest = vkey, name, id;
    struct note_key key = {.name = ""};
    unsigned char bytes[KEYID_SIZE];
    if (vkey.size > VKEY_MAX || !view_split(&rest, '+', &name) || !note_name_is_valid(name))
        return bad_key("the name must be printable ASCII without blank and +", diag);
    memcpy(key.name, name.data, name.size);
    if (!view_split(&rest, '+', &id) || !hex_decode(id, bytes, sizeof bytes))
        return bad_key("the id must be 8 lower-case hex digits", diag);
    int result = read_key_bytes(rest, &key, diag);
    if (result < 0)
        return result;
    if (read_u32(bytes) != note_key_id(&key))
        return bad_key("the id is not the one of this name and key", diag);
    *ret = key;
    return 0;
}

/* --- taking a note apart --- */

static int bad_note(const char *what, struct diag *diag)
{
    return diag_set(diag, FARM_E_SYNTAX, "not a signed note: %s", what);
}

static bool has_control_bytes(struct view text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < ' ' && text.data[i] != '\n')
            return true;
    return false;
}

/* Unicode's white space beyond ASCII (property White_Space), in UTF-8. */
static bool begins_with_wide_space(struct view text)
{
    static const char *const spaces[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80",
                                         "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84",
                                         "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88",
                                         "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9",
                                         "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
    for (size_t i = 0; i < ARRAY_SIZE(spaces); i++)
        if (view_starts(text, view_text(spaces[i])))
            return true;
    return false;
}

/* Of somebody else: any name that C2SP allows. The text is UTF-8 without control bytes and the name ends at a blank. */
static bool is_somebodys_name(struct view name)
{
    if (name.size == 0 || memchr(name.data, '+', name.size) != NULL)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (begins_with_wide_space(view_of(name.data + i, name.size - i)))
            return false;
    return true;
}

/* The text ends with the last line that is not empty before the last empty one; behind that stand signatures. */
static bool split_note(struct view bytes, struct view *ret_text, struct view *ret_signatures)
{
    static const char blank[] = "\n\n";
    const char *last = NULL;
    for (size_t i = 0; i + 1 < bytes.size; i++)
        if (memcmp(bytes.data + i, blank, 2) == 0)
            last = bytes.data + i;
    if (last == NULL)
        return false;
    *ret_text = view_of(bytes.data, (size_t)(last + 1 - bytes.data));
    *ret_signatures = view_of(last + 2, bytes.size - ret_text->size - 1);
    return ret_signatures->size > 0 && view_ends(*ret_signatures, VIEW("\n"));
}

/* 'room' gets the decoded bytes and never moves: it is as large as the text. */
static bool parse_signature(struct view line, struct buf *room, struct note_signature *ret)
{
    struct view rest = line, name;
    size_t before = room->size;
    if (!view_starts(line, VIEW(DASH)))
        return false;
    rest = view_of(line.data + sizeof DASH - 1, line.size - (sizeof DASH - 1));
    if (!view_split(&rest, ' ', &name) || !is_somebodys_name(name) || !base64_decode_standard(rest, room) ||
        room->size - before <= KEYID_SIZE)
        return false;
    *ret =
        (struct note_signature){name, read_u32(room->data + before),
                                view_of(room->data + before + KEYID_SIZE, room->size - before - KEYID_SIZE)};
    return true;
}

static int parse_signatures(struct view lines, struct note *note, struct buf *room, struct diag *diag)
{
    size_t count = 0;
    for (size_t i = 0; i < lines.size; i++)
        count += lines.data[i] == '\n';
    if (count > NOTE_SIGNATURES_MAX)
        return diag_set(diag, FARM_E_LIMIT, "a note with %zu signatures; the limit is %d", count,
                        NOTE_SIGNATURES_MAX);
    buf_room(room, lines.size + 4 * (count + 1)); /* each decoding asks for a little more than it needs */
    note->signatures = mem_zero(count, sizeof *note->signatures);
    for (struct view line; note->nsignatures < count; note->nsignatures++)
        if (!view_split(&lines, '\n', &line) ||
            !parse_signature(line, room, &note->signatures[note->nsignatures]))
            return bad_note("a line behind the last empty one is no signature line", diag);
    return 0;
}

int note_parse(struct view bytes, struct note *ret, struct diag *diag)
{
    struct note note = NOTE_INIT;
    struct view signatures;
    CLEANUP_BUF struct buf room = BUF_INIT;
    if (bytes.size > NOTE_SIZE_MAX)
        return diag_set(diag, FARM_E_LIMIT, "a note of %zu bytes; the limit is %d", bytes.size,
                        NOTE_SIZE_MAX);
    if (!view_is_utf8(bytes) || has_control_bytes(bytes))
        return bad_note("it must be UTF-8 without control bytes", diag);
    if (!split_note(bytes, &note.text, &signatures))
        return bad_note("it must end with an empty line and signature lines", diag);
    int result = parse_signatures(signatures, &note, &room, diag);
    if (result < 0) {
        note_done(&note);
        return result;
    }
    note.room = buf_steal(&room);
    *ret = note;
    return 0;
}

void note_done(struct note *note)
{
    free(note->signatures);
    free(note->room);
    *note = (struct note)NOTE_INIT;
}

/* --- checking and writing signatures --- */

/* The time in front of a cosignature's bytes; a larger one is not a time (tlog-cosignature). */
static bool read_time(struct view bytes, uint64_t *ret)
{
    uint64_t time_s = (uint64_t)read_u32(bytes.data) << 32 | read_u32(bytes.data + 4);
    *ret = time_s;
    return time_s <= INT64_MAX;
}

static bool check_signature(const struct note *note, const struct note_key *key, struct view bytes,
                            uint64_t *ret_time)
{
    CLEANUP_BUF struct buf message = BUF_INIT;
    struct signature signature;
    uint64_t time_s = 0;
    size_t before = key->type == NOTE_COSIGNATURE ? TIME_SIZE : 0;
    if (bytes.size != before + KEYS_SIGNATURE_SIZE || (before > 0 && !read_time(bytes, &time_s)))
        return false;
    if (before > 0)
        buf_add_format(&message, NOTE_COSIGNATURE_HEAD, (unsigned long long)time_s);
    buf_add_view(&message, note->text);
    memcpy(signature.bytes, bytes.data + before, KEYS_SIGNATURE_SIZE);
    *ret_time = time_s;
    return keys_verify(&key->key, buf_view(&message), &signature);
}

int note_check(const struct note *note, const struct note_key *key, uint64_t *ret_time, struct diag *diag)
{
    uint32_t id = note_key_id(key);
    uint64_t latest = 0, time_s = 0;
    int found = 0;
    for (size_t i = 0; i < note->nsignatures; i++) {
        const struct note_signature *signature = &note->signatures[i];
        if (signature->keyid != id || !view_equal(signature->name, view_text(key->name)))
            continue;
        if (!check_signature(note, key, signature->bytes, &time_s))
            return diag_set(
                diag, FARM_E_SIGNATURE,
                "the note bears a signature by %s that does not verify: it was altered, or forged",
                key->name);
        latest = time_s > latest ? time_s : latest;
        found = 1;
    }
    if (found && ret_time != NULL)
        *ret_time = latest;
    return found;
}

void note_write_signature(const struct note_key *key, struct view signature, struct buf *ret)
{
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    assert(note_name_is_valid(view_text(key->name)));
    add_u32(note_key_id(key), &bytes);
    buf_add_view(&bytes, signature);
    buf_add_format(ret, DASH "%s ", key->name);
    base64_encode(buf_view(&bytes), ret);
    buf_add_byte(ret, '\n');
}
