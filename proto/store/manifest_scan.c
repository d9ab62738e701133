/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Manifest scan: a directory on disk becomes a manifest. First the walk, then the hashing, on several cores. */
#include "manifest.h"
#include "treehash.h"
#include "treewalk.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

struct scan {
    struct manifest manifest;
    uid_t uid; /* of the root directory: everything must have the same owner */
    gid_t gid;
};

static bool attribute_is_ignored(const char *name)
{
    /* The first are left by the overlay that a build writes into; the second is what the host's policy put there,
     * which no build can choose. */
    static const char overlay[] = "user.overlay.";
    return strncmp(name, overlay, sizeof overlay - 1) == 0 || strcmp(name, "security.selinux") == 0;
}

/* listxattr(2) has no dirfd form before Linux 6.13, hence the way through /proc. */
static int check_attributes(const struct treewalk_entry *entry, struct diag *diag)
{
    char names[4096]; /* ext4 has room for less; XFS' 64 KiB would not be only ours */
    CLEANUP_FREE char *path = mem_format("/proc/self/fd/%d/%s", entry->parent_fd, entry->name);
    ssize_t size = llistxattr(path, names, sizeof names);
    if (size < 0 && errno == ENOTSUP)
        return 0;
    if (size < 0 && errno == ERANGE)
        return manifest_refuse(entry->path, "has extended attributes, which payloads cannot carry", diag);
    if (size < 0)
        return diag_errno(diag, "%.*s: list extended attributes", VIEW_ARG(entry->path));
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
        if (attribute_is_ignored(names + at))
            continue;
        CLEANUP_FREE char *why = mem_format(
            "has the extended attribute %.100s, which payloads cannot carry%s", names + at,
            strcmp(names + at, "security.capability") == 0 ? " (declare capabilities in the recipe)" : "");
        return manifest_refuse(entry->path, why, diag);
    }
    return 0;
}

static int check_owner(const struct scan *scan, const struct treewalk_entry *entry, struct diag *diag)
{
    const struct stat *status = entry->status;
    if (status->st_uid == scan->uid && status->st_gid == scan->gid)
        return 0;
    CLEANUP_FREE char *why = mem_format("owned by %u:%u; everything in a payload belongs to root: %u:%u here",
                                        status->st_uid, status->st_gid, scan->uid, scan->gid);
    return manifest_refuse(entry->path, why, diag);
}

static int add_link(struct scan *scan, const struct treewalk_entry *entry, struct diag *diag)
{
    CLEANUP_FREE char *target = NULL;
    int result = treewalk_read_link(entry, &target, diag);
    if (result < 0)
        return result;
    manifest_add(
        &scan->manifest,
        &(struct entry){.path = entry->path, .type = ENTRY_LINK, .mode = 0777, .link = view_text(target)});
    return TREEWALK_GO_ON;
}

static int visit(void *context, const struct treewalk_entry *entry, struct diag *diag)
{
    struct scan *scan = context;
    mode_t mode = entry->status->st_mode;
    if (scan->manifest.count > MANIFEST_ENTRIES_MAX)
        return diag_set(diag, FARM_E_REFUSED, "more than %d entries", MANIFEST_ENTRIES_MAX);
    if (!S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode)) {
        CLEANUP_FREE char *why = mem_format("is a %s, which payloads cannot carry", treewalk_type(mode));
        return manifest_refuse(entry->path, why, diag);
    }
    int result = check_owner(scan, entry, diag);
    if (result >= 0)
        result = check_attributes(entry, diag);
    if (result < 0)
        return result;
    if (S_ISLNK(mode))
        return add_link(scan, entry, diag);
    struct entry found = {.path = entry->path, .type = ENTRY_DIR, .mode = mode & 07777};
    if (S_ISREG(mode)) {
        found.type = ENTRY_FILE;
        found.size = (uint64_t)entry->status->st_size;
    }
    manifest_add(&scan->manifest, &found);
    return TREEWALK_GO_ON;
}

static int scan_tree(int dirfd, struct scan *scan, struct diag *diag)
{
    struct stat status;
    if (fstat(dirfd, &status) < 0)
        return diag_errno(diag, "stat of the tree");
    scan->uid = status.st_uid;
    scan->gid = status.st_gid;
    manifest_add(&scan->manifest,
                 &(struct entry){.path = VIEW(""), .type = ENTRY_DIR, .mode = status.st_mode & 07777});
    int result = treewalk(dirfd, visit, scan, diag);
    return result >= 0 ? manifest_seal(&scan->manifest, diag) : result;
}

static int hash_files(int dirfd, struct manifest *manifest, struct diag *diag)
{
    CLEANUP_FREE struct treehash_job *jobs = mem_zero(manifest->count, sizeof *jobs);
    size_t count = 0;
    for (size_t i = 0; i < manifest->count; i++)
        if (manifest->entries[i].type == ENTRY_FILE)
            jobs[count++] =
                (struct treehash_job){.path = manifest->entries[i].path, .size = manifest->entries[i].size};
    int result = treehash(dirfd, jobs, count, false, diag);
    for (size_t i = 0, job = 0; result >= 0 && i < manifest->count; i++)
        if (manifest->entries[i].type == ENTRY_FILE)
            manifest->entries[i].sha256 = jobs[job++].ret;
    return result;
}

int manifest_scan(int dirfd, struct manifest *ret, struct diag *diag)
{
    struct scan scan = {0};
    int result = scan_tree(dirfd, &scan, diag);
    if (result >= 0)
        result = hash_files(dirfd, &scan.manifest, diag);
    if (result < 0) {
        manifest_done(&scan.manifest);
        return result;
    }
    *ret = scan.manifest;
    return 0;
}
