/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fault_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, SECTOR = 512, PAGES_MAX = 1 << 15, FILES_MAX = 4096, NAMES_MAX = 1 << 14 };

/* What a file's page was when it was last synced. */
struct page {
    uint64_t number;
    uint32_t size; /* bytes that the file had of it; 0: it ended before */
    bool poisoned; /* a sync of it failed: it is lost, unless it is written once more */
    unsigned char old[PAGE];
};

/* One with something in it that is not synced. */
struct dirty {
    dev_t device;
    ino_t inode;
    int fd; /* -1: free */
    uint64_t old_size;
    struct page *pages[PAGES_MAX / 8];
    size_t npages;
};

enum change_kind {
    CHANGE_MADE,
    CHANGE_MADE_DIRECTORY,
    CHANGE_REMOVED,
    CHANGE_REMOVED_DIRECTORY,
    CHANGE_RENAMED
};

/* One of names that is not synced; in order. */
struct change {
    enum change_kind kind;
    struct power_place place; /* of a rename: where it went */
    struct power_place from;
    ino_t inode; /* of what got or lost the name */
    int victim;  /* what was removed or replaced: its number in the attic; -1: nothing */
    bool gone;   /* synced since, or kept by the cut */
    bool kept;   /* by the cut */
};

/* The disk of this process: a test program runs one plan. */
static struct {
    struct dirty *files[FILES_MAX];
    size_t nfiles;
    struct change *changes;
    size_t nchanges;
    int attic;  /* the directory where links keep what loses its name: it cannot be named again otherwise */
    int victim; /* of the call that is under way */
    ino_t removed;
    int nvictims;
} disk;

static void __attribute__((noreturn)) die(const char *why)
{
    dprintf(STDERR_FILENO, "fault: the model of the disk fails: %s: %s\n", why, strerror(errno));
    syscall(SYS_exit_group, 70); /* not _exit(), which is the calls' */
    abort();
}

void power_begin(int attic)
{
    disk.attic = attic;
    disk.nvictims = 0;
    /* Mapped and not allocated: allocations are what is counted. */
    disk.changes = mmap(NULL, NAMES_MAX * sizeof *disk.changes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (disk.changes == MAP_FAILED)
        die("mmap");
    disk.nchanges = disk.nfiles = 0;
    disk.victim = -1;
}

/* ---- contents ---- */

static void *map_zeros(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    return memory;
}

static struct dirty *find_dirty(const struct stat *status)
{
    for (size_t i = 0; i < disk.nfiles; i++)
        if (disk.files[i] != NULL && disk.files[i]->inode == status->st_ino &&
            disk.files[i]->device == status->st_dev)
            return disk.files[i];
    return NULL;
}

static struct dirty *make_dirty(int fd, const struct stat *status)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (disk.nfiles == FILES_MAX)
        die("too many files");
    struct dirty *file = map_zeros(sizeof *file);
    file->device = status->st_dev;
    file->inode = status->st_ino;
    file->old_size = (uint64_t)status->st_size;
    file->fd = open(link, O_RDWR | O_CLOEXEC);
    if (file->fd < 0)
        die("open a file again");
    disk.files[disk.nfiles++] = file;
    return file;
}

static void keep_page(struct dirty *file, uint64_t number)
{
    for (size_t i = 0; i < file->npages; i++)
        if (file->pages[i]->number == number) {
            file->pages[i]->poisoned = false;
            return;
        }
    if (file->npages == sizeof file->pages / sizeof *file->pages)
        die("too many pages of one file");
    struct page *page = map_zeros(sizeof *page);
    page->number = number;
    uint64_t begin = number * PAGE;
    if (begin < file->old_size) {
        size_t size = file->old_size - begin < PAGE ? (size_t)(file->old_size - begin) : PAGE;
        ssize_t got = pread(file->fd, page->old, size, (off_t)begin);
        page->size = got > 0 ? (uint32_t)got : 0;
    }
    file->pages[file->npages++] = page;
}

void power_keep(int fd, uint64_t offset, uint64_t size)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return;
    struct dirty *file = find_dirty(&status);
    if (file == NULL)
        file = make_dirty(fd, &status);
    uint64_t present = (uint64_t)status.st_size > file->old_size ? (uint64_t)status.st_size : file->old_size;
    uint64_t end = size == UINT64_MAX ? present : offset + size;
    for (uint64_t number = offset / PAGE; number * PAGE < end; number++)
        keep_page(file, number);
}

static void forget_file(size_t at)
{
    struct dirty *file = disk.files[at];
    for (size_t i = 0; i < file->npages; i++)
        munmap(file->pages[i], sizeof *file->pages[i]);
    close(file->fd);
    munmap(file, sizeof *file);
    disk.files[at] = disk.files[--disk.nfiles];
}

static void poison_file(struct dirty *file)
{
    for (size_t i = 0; i < file->npages; i++)
        file->pages[i]->poisoned = true;
}

/* All but what a sync has lost before. */
static void sync_file(size_t at)
{
    struct dirty *file = disk.files[at];
    size_t kept = 0;
    for (size_t i = 0; i < file->npages; i++) {
        if (file->pages[i]->poisoned)
            file->pages[kept++] = file->pages[i];
        else
            munmap(file->pages[i], sizeof *file->pages[i]);
    }
    file->npages = kept;
    if (kept == 0)
        forget_file(at);
}

/* ---- names ---- */

static struct change *add_change(enum change_kind kind, struct power_place place)
{
    if (disk.nchanges == NAMES_MAX)
        die("too many names");
    struct change *change = &disk.changes[disk.nchanges++];
    *change = (struct change){.kind = kind, .place = place, .from = {.dirfd = -1}, .victim = -1};
    struct stat status;
    if (fstatat(place.dirfd, place.name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        change->inode = status.st_ino;
    return change;
}

void power_made(struct power_place place, bool directory)
{
    add_change(directory ? CHANGE_MADE_DIRECTORY : CHANGE_MADE, place);
}

static int keep_victim(const struct power_place *place)
{
    char name[16];
    snprintf(name, sizeof name, "%d", disk.nvictims);
    if (linkat(place->dirfd, place->name, disk.attic, name, 0) < 0)
        return -1; /* not there, or a directory, which is empty if it goes */
    return disk.nvictims++;
}

void power_removing(const struct power_place *place)
{
    struct stat status;
    disk.victim = keep_victim(place);
    disk.removed = fstatat(place->dirfd, place->name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

void power_removed(struct power_place place, bool directory, bool happened)
{
    if (!happened) {
        close(place.dirfd);
        return;
    }
    struct change *change = add_change(directory ? CHANGE_REMOVED_DIRECTORY : CHANGE_REMOVED, place);
    change->victim = disk.victim;
    change->inode = disk.removed;
}

void power_renamed(struct power_place from, struct power_place to, bool happened)
{
    if (!happened) {
        close(from.dirfd);
        close(to.dirfd);
        return;
    }
    struct change *change = add_change(CHANGE_RENAMED, to);
    change->from = from;
    change->victim = disk.victim;
}

/* ---- synced ---- */

/* NULL: everywhere. A sync that fails loses no names: they are in the file system's journal, and the next one has them still. */
static void sync_names(const struct stat *status)
{
    for (size_t i = 0; i < disk.nchanges; i++) {
        struct change *change = &disk.changes[i];
        if (status == NULL ||
            (change->place.directory == status->st_ino && change->place.device == status->st_dev))
            change->gone = true;
    }
}

void power_synced(int fd, bool poisoned)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return;
    if (S_ISDIR(status.st_mode) && !poisoned)
        sync_names(&status);
    for (size_t i = 0; i < disk.nfiles; i++) {
        struct dirty *file = disk.files[i];
        if (file->inode != status.st_ino || file->device != status.st_dev)
            continue;
        poisoned ? poison_file(file) : sync_file(i);
        break;
    }
}

void power_synced_all(bool poisoned)
{
    if (!poisoned)
        sync_names(NULL);
    for (size_t i = disk.nfiles; i-- > 0;)
        poisoned ? poison_file(disk.files[i]) : sync_file(i);
}

/* ---- the power goes ---- */

enum { LOSE_ALL, IN_ORDER, ANY, LOSE_PAGES, MODES };

/* Small and the same everywhere, so that a seed replays: xorshift32 (Marsaglia 2003). */
static uint32_t next_number(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void put_bytes(int fd, const void *bytes, size_t size, uint64_t offset)
{
    if (size > 0 && pwrite(fd, bytes, size, (off_t)offset) != (ssize_t)size)
        die("take a page back");
}

static void garbage(unsigned char *bytes, size_t size, uint32_t *random)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)next_number(random);
}

/* 'end': how long the file will be. */
static void lose_page(const struct dirty *file, const struct page *page, uint64_t end, int mode,
                      uint32_t *random)
{
    unsigned char bytes[PAGE] = {0};
    uint64_t begin = page->number * PAGE;
    size_t size = begin >= end ? 0 : end - begin < PAGE ? (size_t)(end - begin) : PAGE;
    size_t from = 0;
    memcpy(bytes, page->old, page->size);
    if (mode == ANY || mode == IN_ORDER) {
        uint32_t luck = next_number(random) % 4;
        if (luck == 0)
            return; /* it had got there */
        if (luck == 1)
            from = next_number(random) % (PAGE / SECTOR) * SECTOR; /* some sectors of it had */
        if (luck == 2 && mode == ANY && page->size < size)
            garbage(bytes + page->size, size - page->size, random);
    }
    if (from < size)
        put_bytes(file->fd, bytes + from, size - from, begin + from);
}

static void lose_contents(const struct dirty *file, int mode, uint32_t *random)
{
    struct stat status;
    if (fstat(file->fd, &status) < 0)
        return;
    uint64_t size = (uint64_t)status.st_size;
    bool old_size = mode == LOSE_ALL || next_number(random) % 2 == 0;
    if (mode == LOSE_PAGES)
        old_size = next_number(random) % 2 == 0;
    uint64_t end = old_size || size < file->old_size ? file->old_size : size;
    if (fchmod(file->fd, status.st_mode | S_IWUSR) < 0 || ftruncate(file->fd, (off_t)end) < 0)
        die("give a file its size back");
    for (size_t i = 0; i < file->npages; i++)
        lose_page(file, file->pages[i], end, file->pages[i]->poisoned ? LOSE_ALL : mode, random);
    fchmod(file->fd, status.st_mode);
}

static void remove_below(int dirfd, const char *name)
{
    char command[2 * PAGE], path[PAGE], link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0)
        die("name of a directory");
    path[size] = '\0';
    snprintf(command, sizeof command, "rm -rf -- '%s/%s'", path, name);
    if (system(command) != 0)
        die(command);
}

/* The directory was removed since, and that is on the disk: what was in it matters no more. */
static bool is_gone(int dirfd)
{
    struct stat status;
    return fstat(dirfd, &status) == 0 && status.st_nlink == 0;
}

static void give_back(const struct change *change)
{
    char name[16];
    snprintf(name, sizeof name, "%d", change->victim);
    if (change->victim >= 0 && linkat(disk.attic, name, change->place.dirfd, change->place.name, 0) < 0 &&
        errno != EEXIST && !is_gone(change->place.dirfd))
        die("give a name back");
}

/* Another one takes its place, also for what was removed from it before. */
static void give_directory_back(const struct change *change)
{
    const struct power_place *place = &change->place;
    mkdirat(place->dirfd, place->name, 0755);
    int fd = openat(place->dirfd, place->name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; fd >= 0 && i < disk.nchanges; i++)
        if (disk.changes[i].place.directory == change->inode && disk.changes[i].place.device == place->device)
            disk.changes[i].place.dirfd = fd;
}

static void undo(const struct change *change)
{
    const struct power_place *place = &change->place;
    switch (change->kind) {
    case CHANGE_MADE:
        unlinkat(place->dirfd, place->name, 0);
        break;
    case CHANGE_MADE_DIRECTORY:
        remove_below(place->dirfd, place->name);
        break;
    case CHANGE_REMOVED:
        give_back(change);
        break;
    case CHANGE_REMOVED_DIRECTORY:
        give_directory_back(change);
        break;
    case CHANGE_RENAMED:
        if (renameat(place->dirfd, place->name, change->from.dirfd, change->from.name) < 0 && errno != ENOENT)
            die("take a rename back");
        give_back(change);
        break;
    }
}

static bool same_name(const struct power_place *a, const struct power_place *b)
{
    return a->dirfd >= 0 && b->dirfd >= 0 && a->directory == b->directory && a->device == b->device &&
           strcmp(a->name, b->name) == 0;
}

/* Does a later change that stays, or was synced, stand on this one? (A directory that loses its name takes what was synced in it along.) */
static bool is_needed(size_t at)
{
    const struct change *change = &disk.changes[at];
    for (size_t i = at + 1; i < disk.nchanges; i++) {
        const struct change *later = &disk.changes[i];
        if (!later->gone)
            continue;
        if (same_name(&later->place, &change->place) || same_name(&later->from, &change->place) ||
            same_name(&later->place, &change->from) || same_name(&later->from, &change->from) ||
            (later->inode != 0 && later->inode == change->inode) ||
            (change->kind == CHANGE_MADE_DIRECTORY && later->kept && later->place.directory == change->inode))
            return true;
    }
    return false;
}

/* From the newest to the oldest. What stays becomes "gone" from the list, so that is_needed() sees it. */
static void lose_names(int mode, uint32_t *random)
{
    size_t unsynced = 0;
    for (size_t i = 0; i < disk.nchanges; i++)
        unsynced += !disk.changes[i].gone;
    size_t lost = unsynced > 0 ? next_number(random) % (unsynced + 1) : 0; /* IN_ORDER: so many */
    for (size_t i = disk.nchanges; i-- > 0;) {
        struct change *change = &disk.changes[i];
        if (change->gone)
            continue;
        bool keep = mode == LOSE_PAGES || (mode == ANY && next_number(random) % 2 == 0);
        if (mode == IN_ORDER)
            keep = lost == 0 || lost-- == 0;
        if (is_needed(i))
            keep = true;
        if (keep)
            change->gone = change->kept = true;
        else
            undo(change);
    }
}

void power_cut(unsigned int seed)
{
    uint32_t random = seed * 2654435761u + 1;
    int mode = (int)(seed % MODES);
    next_number(&random);
    for (size_t i = 0; i < disk.nfiles; i++)
        lose_contents(disk.files[i], mode, &random);
    lose_names(mode, &random);
}
