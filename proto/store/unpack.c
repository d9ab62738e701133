/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Unpack. libarchive takes archives apart; where and what is written is decided here, by plant.c.
 *
 * libarchive converts names from UTF-8 (pax headers, zip) into the charset of the locale, and in doing so composes them
 * (NFC), so that a name may come out with other bytes than it has in the archive and in git. In the C locale
 * the conversion fails for every name that is not ASCII, which for tar is just right: it then warns and hands out
 * the original bytes. So tar is read under the C locale and its warnings are ignored; zip, which hands out nothing then,
 * under C.UTF-8. Both are set for this thread alone, whatever the process has.
 *
 * Only filters inside the library are enabled: "all" would include some that run programs found in PATH.
 */
#include "unpack.h"

#include "buf.h"
#include "plant.h"
#include "unpack_private.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct unpacking {
    const struct unpack_job *job;
    struct archive *archive;
    struct plant plant;
    uint64_t bytes_left, members_left;
    int64_t newest;
    unsigned int root_mode;
    struct buf path, target; /* of the current member, after stripping */
    struct diag *diag;
};

static int refuse(struct unpacking *all, const char *member, const char *why)
{
    return diag_set(all->diag, FARM_E_REFUSED, "%s: %s", member, why);
}

/* Without "." and empty components and the first 'strip' ones; empty if nothing is left. */
static int clean_path(struct unpacking *all, const char *raw, struct buf *ret)
{
    struct view rest = view_text(raw), part;
    unsigned int strip = all->job->strip;
    buf_clear(ret);
    if (raw[0] == '/')
        return refuse(all, raw, "absolute path");
    while (view_split(&rest, '/', &part)) {
        if (part.size == 0 || view_equal(part, VIEW(".")))
            continue;
        if (view_equal(part, VIEW("..")))
            return refuse(all, raw, "\"..\" in the path");
        if (strip > 0) {
            strip--;
            continue;
        }
        if (ret->size > 0)
            buf_add_byte(ret, '/');
        buf_add_view(ret, part);
    }
    return ret->size < PATH_MAX ? 0 : refuse(all, raw, "path too long");
}

static int broken(struct unpacking *all, const char *what)
{
    const char *why = archive_error_string(all->archive);
    return diag_set(all->diag, FARM_E_SYNTAX, "%s: %s", what, why != NULL ? why : "cannot be read");
}

static int over_limit(struct unpacking *all, const char *member)
{
    return diag_set(all->diag, FARM_E_LIMIT, "%s: the archive unpacks to more than %" PRIu64 " bytes", member,
                    all->job->limits.bytes);
}

static int write_at(int fd, const char *data, size_t size, int64_t offset)
{
    while (size > 0) {
        ssize_t put = pwrite(fd, data, size, offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        data += put;
        offset += put;
        size -= (size_t)put;
    }
    return 0;
}

/* Blocks come in order, with gaps where a file is sparse. A gap counts: it is there once somebody copies the file. */
static int write_content(struct unpacking *all, const char *name, int64_t size, int fd)
{
    uint64_t end = 0;
    for (;;) {
        const void *data;
        size_t length;
        int64_t offset;
        int code = archive_read_data_block(all->archive, &data, &length, &offset);
        if (code == ARCHIVE_EOF)
            break;
        if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
            return broken(all, name);
        if (offset < 0 || (uint64_t)offset < end || (uint64_t)offset - end > all->bytes_left ||
            length > all->bytes_left - ((uint64_t)offset - end))
            return over_limit(all, name);
        all->bytes_left -= (uint64_t)offset - end + length;
        end = (uint64_t)offset + length;
        int result = write_at(fd, data, length, offset);
        if (result < 0)
            return diag_set(all->diag, result, "%s: write: %s", name, strerror(-result));
    }
    if (size <= (int64_t)end)
        return 0;
    if ((uint64_t)size - end > all->bytes_left)
        return over_limit(all, name);
    all->bytes_left -= (uint64_t)size - end;
    return ftruncate(fd, size) == 0 ? 0 : diag_errno(all->diag, "%s: set size", name);
}

static unsigned int mode_for(const struct unpacking *all, struct archive_entry *entry, unsigned int least)
{
    unsigned int mode = archive_entry_perm(entry);
    return all->job->base ? mode & 07777 : (mode & 0777) | least;
}

static int unpack_file(struct unpacking *all, struct archive_entry *entry)
{
    struct view path = buf_view(&all->path);
    int fd = -1;
    int result = plant_open_file(&all->plant, path, &fd, all->diag);
    if (result < 0)
        return result;
    result = write_content(all, all->path.data,
                           archive_entry_size_is_set(entry) ? archive_entry_size(entry) : 0, fd);
    int closed =
        plant_close_file(&all->plant, path, fd, mode_for(all, entry, 0600), result >= 0 ? all->diag : NULL);
    return result >= 0 ? closed : result;
}

static int unpack_hardlink(struct unpacking *all, const char *member, const char *target)
{
    int result = clean_path(all, target, &all->target);
    if (result < 0)
        return result;
    if (all->target.size == 0)
        return refuse(all, member, "hard link to something outside of what is unpacked");
    return plant_hardlink(&all->plant, buf_view(&all->path), buf_view(&all->target), all->diag);
}

static int unpack_link(struct unpacking *all, struct archive_entry *entry, const char *member)
{
    const char *target = archive_entry_symlink(entry);
    if (target == NULL || target[0] == '\0' || strlen(target) >= PATH_MAX)
        return refuse(all, member, "symbolic link without a usable target");
    return plant_link(&all->plant, buf_view(&all->path), view_text(target), all->diag);
}

static int unpack_by_type(struct unpacking *all, struct archive_entry *entry, const char *member)
{
    const char *hardlink = archive_entry_hardlink(entry);
    if (hardlink != NULL)
        return unpack_hardlink(all, member, hardlink);
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        return unpack_file(all, entry);
    case AE_IFDIR:
        return plant_dir(&all->plant, buf_view(&all->path), mode_for(all, entry, 0700), all->diag);
    case AE_IFLNK:
        return unpack_link(all, entry, member);
    default: /* libarchive's numbers, not an enum of ours */
        return all->job->base ? 0 : refuse(all, member, "device, socket or FIFO");
    }
}

static int spend(struct unpacking *all, struct archive_entry *entry, const char *member)
{
    if (all->members_left == 0)
        return diag_set(all->diag, FARM_E_LIMIT, "%s: more than %" PRIu64 " members", member,
                        all->job->limits.members);
    all->members_left--;
    int64_t size = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : 0;
    if (size < 0 || (uint64_t)size > all->bytes_left)
        return over_limit(all, member);
    return 0;
}

static int unpack_member(struct unpacking *all, struct archive_entry *entry)
{
    const char *member = archive_entry_pathname(entry);
    if (member == NULL || member[0] == '\0')
        return diag_set(all->diag, FARM_E_SYNTAX, "a member without a usable name");
    int result = spend(all, entry, member);
    if (result >= 0)
        result = clean_path(all, member, &all->path);
    if (result < 0)
        return result;
    if (archive_entry_mtime_is_set(entry) && archive_entry_mtime(entry) > all->newest)
        all->newest = archive_entry_mtime(entry);
    if (all->path.size == 0) { /* the root itself, or above what is unpacked */
        if (archive_entry_filetype(entry) == AE_IFDIR && all->job->base)
            all->root_mode = mode_for(all, entry, 0);
        return 0;
    }
    result = plant_parents(&all->plant, buf_view(&all->path), all->diag);
    if (result >= 0)
        result = unpack_by_type(all, entry, member);
    return result == -EEXIST ? refuse(all, member, "something has that name already") : result;
}

static int unpack_members(struct unpacking *all)
{
    for (;;) {
        struct archive_entry *entry;
        int code = archive_read_next_header(all->archive, &entry);
        if (code == ARCHIVE_EOF)
            return 0;
        if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
            return broken(all, "archive");
        int result = unpack_member(all, entry);
        if (result < 0)
            return result;
    }
}

static void require(int code)
{
    if (code != ARCHIVE_OK &&
        code != ARCHIVE_WARN) /* exhaustion, or a library built without what Debian's has */
        abort();
}

static struct archive *new_reader(bool tar_only)
{
    struct archive *archive = archive_read_new();
    if (archive == NULL)
        abort(); /* exhaustion */
    require(archive_read_support_filter_gzip(archive));
    require(archive_read_support_filter_bzip2(archive));
    require(archive_read_support_filter_xz(archive));
    require(archive_read_support_filter_lzma(archive));
    require(archive_read_support_filter_lzip(archive));
    require(archive_read_support_filter_zstd(archive));
    require(archive_read_support_format_tar(archive));
    if (!tar_only)
        require(archive_read_support_format_zip(archive));
    return archive;
}

static int unpack_all(struct unpacking *all, int archive_fd)
{
    if (archive_read_open_fd(all->archive, archive_fd, 128 * 1024) != ARCHIVE_OK)
        return broken(all, "archive");
    int result = unpack_members(all);
    if (result >= 0)
        result = plant_finish(&all->plant, all->diag);
    if (result >= 0 && all->job->base && fchmod(all->job->dirfd, all->root_mode) < 0)
        result = diag_errno(all->diag, "mode of the root");
    return result;
}

static const char *locale_for(int archive_fd)
{
    char magic[2];
    bool zip =
        pread(archive_fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic && memcmp(magic, "PK", 2) == 0;
    return zip ? "C.UTF-8" : "C";
}

int unpack_run(int archive_fd, const struct unpack_job *job, int64_t *ret_newest, struct diag *diag)
{
    const char *wanted = locale_for(archive_fd);
    locale_t ours = newlocale(LC_ALL_MASK, wanted, (locale_t)0);
    if (ours == (locale_t)0)
        return diag_set(diag, FARM_E_UNAVAILABLE, "the locale %s is not installed", wanted);
    locale_t before = uselocale(ours);
    struct unpacking all = {.job = job,
                            .archive = new_reader(job->base),
                            .bytes_left = job->limits.bytes,
                            .members_left = job->limits.members,
                            .root_mode = 0755,
                            .diag = diag};
    plant_init(&all.plant, job->dirfd, job->epoch);
    int result = unpack_all(&all, archive_fd);
    plant_done(&all.plant);
    buf_done(&all.path);
    buf_done(&all.target);
    archive_read_free(all.archive);
    uselocale(before);
    freelocale(ours);
    if (result >= 0 && ret_newest != NULL)
        *ret_newest = all.newest;
    return result < 0 ? result : 0;
}

int unpack_archive(int archive_fd, int dirfd, unsigned int strip, struct unpack_limits limits, int64_t epoch,
                   int64_t *ret_newest, struct diag *diag)
{
    const struct unpack_job job = {.dirfd = dirfd, .strip = strip, .limits = limits, .epoch = epoch};
    return unpack_run(archive_fd, &job, ret_newest, diag);
}
