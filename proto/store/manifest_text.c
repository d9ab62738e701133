/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Manifest text: one writer, and a reader that accepts only what the writer would have written.
 *
 * The reader takes a line apart loosely, writes the entry again and compares the bytes. So there is one definition of
 * the canonical form, and no variation of it (case, spacing, escapes, leading zeros) can be forgotten here.
 */
#include "manifest.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct view HEADER = {"#mtree\n", 7};

static const char *const type_names[] = {[ENTRY_DIR] = "dir", [ENTRY_FILE] = "file", [ENTRY_LINK] = "link"};

static bool needs_escape(unsigned char byte)
{
    return byte < 0x21 || byte > 0x7e || byte == '#' || byte == '\\' || byte == '=';
}

void manifest_escape(struct view raw, struct buf *ret)
{
    char *to = buf_room(ret, 4 * raw.size);
    for (size_t i = 0; i < raw.size; i++) {
        unsigned char byte = (unsigned char)raw.data[i];
        if (needs_escape(byte)) {
            *to++ = '\\';
            *to++ = (char)('0' + (byte >> 6));
            *to++ = (char)('0' + (byte >> 3 & 7));
            *to++ = (char)('0' + (byte & 7));
        } else {
            *to++ = (char)byte;
        }
    }
    *to = '\0';
    ret->size = (size_t)(to - ret->data);
}

static bool unescape(struct view text, struct buf *ret)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '\\') {
            buf_add_byte(ret, text.data[i]);
            continue;
        }
        unsigned int byte = 0;
        for (size_t k = 1; k <= 3; k++) {
            if (i + k >= text.size || text.data[i + k] < '0' || text.data[i + k] > '7')
                return false;
            byte = byte << 3 | (unsigned int)(text.data[i + k] - '0');
        }
        if (byte > 0xff)
            return false;
        buf_add_byte(ret, (char)byte);
        i += 3;
    }
    return true;
}

static void write_entry(const struct entry *entry, struct buf *ret)
{
    buf_add_byte(ret, '.');
    if (entry->path.size > 0) {
        buf_add_byte(ret, '/');
        manifest_escape(entry->path, ret);
    }
    buf_add_format(ret, " type=%s mode=%04o uid=0 gid=0", type_names[entry->type], entry->mode);
    switch (entry->type) {
    case ENTRY_DIR:
        break;
    case ENTRY_FILE:
        buf_add_format(ret, " size=%" PRIu64 " sha256digest=%s", entry->size,
                       digest_hex(&entry->sha256).text);
        break;
    case ENTRY_LINK:
        buf_add_text(ret, " link=");
        manifest_escape(entry->link, ret);
        break;
    }
    buf_add_byte(ret, '\n');
}

void manifest_write(const struct manifest *manifest, struct buf *ret)
{
    buf_add_view(ret, HEADER);
    for (size_t i = 0; i < manifest->count; i++)
        write_entry(&manifest->entries[i], ret);
}

struct digest manifest_digest(const struct manifest *manifest)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    manifest_write(manifest, &text);
    return digest_of(buf_view(&text));
}

/* What one line is read into; reused for all lines. */
struct line {
    struct buf path, link, again;
    struct entry entry;
};

static void line_done(struct line *line)
{
    buf_done(&line->path);
    buf_done(&line->link);
    buf_done(&line->again);
}

/* Takes " key=value" off the front. */
static bool next_value(struct view *rest, struct view key, struct view *ret)
{
    struct view field;
    if (!view_split(rest, ' ', &field) || !view_starts(field, key))
        return false;
    *ret = view_of(field.data + key.size, field.size - key.size);
    return true;
}

static bool parse_type(struct view name, enum entry_type *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(type_names); i++)
        if (view_equal(name, view_text(type_names[i]))) {
            *ret = (enum entry_type)i;
            return true;
        }
    return false;
}

static bool parse_mode(struct view text, unsigned int *ret)
{
    unsigned int mode = 0;
    if (text.size != 4)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '7')
            return false;
        mode = mode << 3 | (unsigned int)(text.data[i] - '0');
    }
    *ret = mode;
    return true;
}

static bool parse_path(struct view text, struct line *line)
{
    buf_clear(&line->path);
    if (view_equal(text, VIEW(".")))
        text = VIEW("./");
    if (!view_starts(text, VIEW("./")) || !unescape(view_of(text.data + 2, text.size - 2), &line->path))
        return false;
    line->entry.path = buf_view(&line->path);
    return true;
}

static bool parse_rest(struct view *rest, struct line *line)
{
    struct view value;
    struct entry *entry = &line->entry;
    switch (entry->type) {
    case ENTRY_DIR:
        return true;
    case ENTRY_FILE:
        return next_value(rest, VIEW("size="), &value) && view_decimal(value, &entry->size) &&
               next_value(rest, VIEW("sha256digest="), &value) && digest_parse(value, &entry->sha256);
    case ENTRY_LINK:
        buf_clear(&line->link);
        if (!next_value(rest, VIEW("link="), &value) || !unescape(value, &line->link))
            return false;
        entry->link = buf_view(&line->link);
        return true;
    }
    abort();
}

static bool parse_line(struct view text, struct line *line)
{
    struct view rest = text, value;
    line->entry = (struct entry){0};
    return view_split(&rest, ' ', &value) && parse_path(value, line) &&
           next_value(&rest, VIEW("type="), &value) && parse_type(value, &line->entry.type) &&
           next_value(&rest, VIEW("mode="), &value) && parse_mode(value, &line->entry.mode) &&
           next_value(&rest, VIEW("uid="), &value) && next_value(&rest, VIEW("gid="), &value) &&
           parse_rest(&rest, line);
}

/* Whatever parse_line let through (a uid of 5, bytes behind the last field) shows here. */
static bool is_canonical(struct view text, struct line *line)
{
    buf_clear(&line->again);
    write_entry(&line->entry, &line->again);
    return view_equal(view_of(line->again.data, line->again.size - 1), text);
}

static int parse_lines(struct view rest, struct manifest *manifest, struct line *line, struct diag *diag)
{
    struct view text;
    for (size_t number = 2; rest.size > 0; number++) {
        if (manifest->count >= MANIFEST_ENTRIES_MAX)
            return diag_set(diag, FARM_E_LIMIT, "manifest:%zu: more than %d entries", number,
                            MANIFEST_ENTRIES_MAX);
        if (memchr(rest.data, '\n', rest.size) == NULL)
            return diag_set(diag, FARM_E_SYNTAX, "manifest:%zu: the last line does not end", number);
        view_split(&rest, '\n', &text);
        if (!parse_line(text, line) || !is_canonical(text, line))
            return diag_set(diag, FARM_E_SYNTAX, "manifest:%zu: not in canonical form: %.*s", number,
                            text.size < 200 ? (int)text.size : 200, text.data);
        if (manifest->count > 0 &&
            view_compare(manifest->entries[manifest->count - 1].path, line->entry.path) >= 0)
            return diag_set(diag, FARM_E_SYNTAX, "manifest:%zu: out of order or listed twice: %.*s", number,
                            text.size < 200 ? (int)text.size : 200, text.data);
        manifest_add(manifest, &line->entry);
    }
    return 0;
}

int manifest_parse(struct view text, struct manifest *ret, struct diag *diag)
{
    if (text.size > MANIFEST_SIZE_MAX)
        return diag_set(diag, FARM_E_LIMIT, "manifest: %zu bytes, the limit is %zu", text.size,
                        MANIFEST_SIZE_MAX);
    if (!view_starts(text, HEADER))
        return diag_set(diag, FARM_E_SYNTAX, "manifest:1: the first line is not \"#mtree\"");
    struct manifest manifest = MANIFEST_INIT;
    struct line line = {0};
    int result =
        parse_lines(view_of(text.data + HEADER.size, text.size - HEADER.size), &manifest, &line, diag);
    line_done(&line);
    if (result >= 0)
        result = manifest_seal(&manifest, diag);
    if (result < 0) {
        manifest_done(&manifest);
        return result;
    }
    *ret = manifest;
    return 0;
}
