/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tar headers: POSIX.1-1988 ustar, with POSIX.1-2001 pax records where ustar has no room. */
#include "tarhead.h"

#include <inttypes.h>
#include <stdio.h>

struct ustar {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], padding[12];
};
_Static_assert(sizeof(struct ustar) == TAR_BLOCK, "a header is one block");

enum { NAME_SIZE = 100 };
#define SIZE_IN_HEADER ((uint64_t)1 << 33) /* eleven octal digits hold less than that */

/* 'width' - 1 digits and a NUL. */
static void put_octal(char *field, size_t width, uint64_t value)
{
    field[width - 1] = '\0';
    for (size_t i = width - 1; i-- > 0; value >>= 3)
        field[i] = (char)('0' + (value & 7));
}

static void put_text(char field[NAME_SIZE], struct view text)
{
    if (text.size > 0)
        memcpy(field, text.data, text.size < NAME_SIZE ? text.size : NAME_SIZE);
}

static void put_checksum(struct ustar *head)
{
    memset(head->checksum, ' ', sizeof head->checksum);
    unsigned int sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += ((const unsigned char *)head)[i];
    put_octal(head->checksum, 7, sum); /* six digits and NUL; the eighth byte stays a space */
}

struct fields {
    struct view name, link;
    unsigned int mode;
    uint64_t size;
    int64_t epoch;
    char type;
};

static void add_header(const struct fields *fields, struct buf *ret)
{
    struct ustar head;
    memset(&head, 0, sizeof head);
    put_text(head.name, fields->name);
    put_octal(head.mode, sizeof head.mode, fields->mode);
    put_octal(head.uid, sizeof head.uid, 0);
    put_octal(head.gid, sizeof head.gid, 0);
    put_octal(head.size, sizeof head.size, fields->size < SIZE_IN_HEADER ? fields->size : 0);
    put_octal(head.mtime, sizeof head.mtime, (uint64_t)fields->epoch);
    head.type = fields->type;
    put_text(head.link, fields->link);
    memcpy(head.magic, "ustar", sizeof head.magic);
    memcpy(head.version, "00", sizeof head.version);
    put_octal(head.major, sizeof head.major, 0);
    put_octal(head.minor, sizeof head.minor, 0);
    put_checksum(&head);
    buf_add(ret, &head, sizeof head);
}

/* "<length> <key>=<value>\n", where the length counts its own digits too. */
static void add_record(struct buf *records, const char *key, struct view value)
{
    size_t rest = strlen(key) + value.size + 3, length = rest;
    for (size_t before = 0; before != length;) {
        before = length;
        length = rest + (size_t)snprintf(NULL, 0, "%zu", before);
    }
    buf_add_format(records, "%zu %s=", length, key);
    buf_add_view(records, value);
    buf_add_byte(records, '\n');
}

static void add_zeros(struct buf *ret, size_t size)
{
    memset(buf_room(ret, size), 0, size);
    ret->size += size;
}

static void add_pax(const struct fields *fields, struct buf *ret)
{
    CLEANUP_BUF struct buf records = BUF_INIT;
    if (fields->link.size > NAME_SIZE)
        add_record(&records, "linkpath", fields->link);
    if (fields->name.size > NAME_SIZE)
        add_record(&records, "path", fields->name);
    if (fields->size >= SIZE_IN_HEADER) {
        char digits[24];
        int length = snprintf(digits, sizeof digits, "%" PRIu64, fields->size);
        add_record(&records, "size", view_of(digits, (size_t)length));
    }
    if (records.size == 0)
        return;
    const struct fields pax = {.name = VIEW("././@PaxHeader"),
                               .mode = 0644,
                               .size = records.size,
                               .epoch = fields->epoch,
                               .type = 'x'};
    add_header(&pax, ret);
    buf_add_view(ret, buf_view(&records));
    add_zeros(ret, tarhead_padding(records.size));
}

void tarhead_entry(const struct entry *entry, int64_t epoch, struct buf *ret)
{
    static const char types[] = {[ENTRY_DIR] = '5', [ENTRY_FILE] = '0', [ENTRY_LINK] = '2'};
    CLEANUP_BUF struct buf name = BUF_INIT;
    buf_add_text(&name, "./");
    buf_add_view(&name, entry->path);
    if (entry->type == ENTRY_DIR)
        buf_add_byte(&name, '/');
    const struct fields fields = {
        .name = buf_view(&name),
        .link = entry->type == ENTRY_LINK ? entry->link : VIEW_NONE,
        .mode = entry->mode,
        .size = entry->type == ENTRY_FILE ? entry->size : 0,
        .epoch = epoch,
        .type = types[entry->type],
    };
    add_pax(&fields, ret);
    add_header(&fields, ret);
}

void tarhead_pkginfo(uint64_t size, int64_t epoch, struct buf *ret)
{
    add_header(
        &(struct fields){.name = VIEW(".PKGINFO"), .mode = 0644, .size = size, .epoch = epoch, .type = '0'},
        ret);
}

static bool get_octal(const char field[12], uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 11; i++) {
        if (field[i] < '0' || field[i] > '7')
            return false;
        value = value << 3 | (uint64_t)(field[i] - '0');
    }
    *ret = value;
    return true;
}

bool tarhead_read_mtime(const char block[TAR_BLOCK], int64_t *ret_epoch)
{
    uint64_t value;
    if (!get_octal(block + offsetof(struct ustar, mtime), &value))
        return false;
    *ret_epoch = (int64_t)value;
    return true;
}

bool tarhead_read_size(const char block[TAR_BLOCK], uint64_t *ret_size)
{
    return get_octal(block + offsetof(struct ustar, size), ret_size);
}

bool tarhead_is_pkginfo(const char block[TAR_BLOCK])
{
    return memcmp(block, ".PKGINFO", sizeof ".PKGINFO") == 0;
}

const char *tarhead_field(size_t offset)
{
    static const struct {
        size_t end;
        const char *name;
    } fields[] = {
        {offsetof(struct ustar, mode), "name"},
        {offsetof(struct ustar, uid), "mode"},
        {offsetof(struct ustar, gid), "uid"},
        {offsetof(struct ustar, size), "gid"},
        {offsetof(struct ustar, mtime), "size"},
        {offsetof(struct ustar, checksum), "mtime"},
        {offsetof(struct ustar, type), "checksum"},
        {offsetof(struct ustar, link), "type"},
        {offsetof(struct ustar, magic), "linkname"},
        {offsetof(struct ustar, user), "magic"},
        {offsetof(struct ustar, major), "user or group name"},
        {offsetof(struct ustar, prefix), "device number"},
        {TAR_BLOCK, "prefix or padding"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (offset < fields[i].end)
            return fields[i].name;
    return "extended header";
}

bool tarhead_in_checksum(size_t offset)
{
    return offset >= offsetof(struct ustar, checksum) && offset < offsetof(struct ustar, type);
}
