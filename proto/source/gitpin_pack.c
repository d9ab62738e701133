/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Packs: one commit, its trees and its blobs, written for others and read from others.
 */
#include "gitpin_private.h"

#include "file.h"
#include "moment.h"
#include "treedigest.h"

#include <errno.h>
#include <fcntl.h>
#include <git2/sys/repository.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- writing ---- */

struct packing {
    git_packbuilder *builder;
    int out_fd;
    int result; /* of the writes */
};

static int insert_step(void *context, const struct gitpin_visit *at, struct diag *diag)
{
    struct packing *packing = context;
    if (at->step != STEP_ENTER && at->step != STEP_BLOB)
        return 0;
    CLEANUP_FREE char *path = view_string(at->path);
    /* Objects that are there already are skipped by libgit2. */
    return git_packbuilder_insert(packing->builder, at->id, path) < 0
               ? gitpin_error(diag, FARM_E_FAILED, "collecting the objects of a commit")
               : 0;
}

static int write_part(void *data, size_t size, void *context)
{
    struct packing *packing = context;
    packing->result = file_write_all(packing->out_fd, data, size);
    return packing->result;
}

/*
 * No deltas: one tree has little to gain from them, searching takes minutes for a large one, and a reader of a pack without
 * deltas needs no memory for them. libgit2 takes the setting only from a configuration file, so it gets one.
 */
static int set_no_deltas(struct gitrepo *repo, int *ret_fd, struct diag *diag)
{
    static const char text[] = "[core]\n\tbigFileThreshold = 1\n";
    git_config *config = NULL;
    CLEANUP_CLOSE int fd = memfd_create("gitconfig", MFD_CLOEXEC);
    if (fd < 0 || file_write_all(fd, text, sizeof(text) - 1) < 0)
        return diag_errno(diag, "packing");
    CLEANUP_FREE char *path = mem_format("/proc/self/fd/%d", fd);
    int r = git_config_new(&config);
    if (r >= 0)
        r = git_config_add_file_ondisk(config, path, GIT_CONFIG_LEVEL_APP, NULL, 0);
    if (r >= 0)
        r = git_repository_set_config(repo->repo, config);
    git_config_free(config);
    if (r < 0)
        return gitpin_error(diag, FARM_E_FAILED, "packing");
    *ret_fd = STEAL_FD(fd);
    return 0;
}

static int unset_config(struct gitrepo *repo)
{
    git_config *nothing = NULL;
    int r = git_config_new(&nothing);
    if (r >= 0)
        r = git_repository_set_config(repo->repo, nothing);
    git_config_free(nothing);
    return r;
}

static int write_pack(struct gitrepo *repo, git_commit *commit, struct packing *packing, struct diag *diag)
{
    if (git_packbuilder_new(&packing->builder, repo->repo) < 0)
        return gitpin_error(diag, FARM_E_FAILED, "packing");
    git_packbuilder_set_threads(packing->builder, 1);
    if (git_packbuilder_insert(packing->builder, git_commit_id(commit), NULL) < 0)
        return gitpin_error(diag, FARM_E_FAILED, "packing the commit");
    int r = gitpin_walk(repo, commit, GITPIN_LIMITS, insert_step, packing, diag);
    if (r < 0)
        return r;
    r = git_packbuilder_foreach(packing->builder, write_part, packing);
    if (packing->result < 0)
        return diag_set(diag, packing->result, "writing the pack: %s", strerror(-packing->result));
    return r < 0 ? gitpin_error(diag, FARM_E_FAILED, "writing the pack") : 0;
}

int gitrepo_pack(struct gitrepo *repo, const char *commit, int out_fd, struct diag *diag)
{
    struct packing packing = {.out_fd = out_fd};
    git_commit *object = NULL;
    CLEANUP_CLOSE int config_fd = -1;
    int r = gitpin_commit(repo, commit, &object, diag);
    if (r < 0)
        return r;
    r = set_no_deltas(repo, &config_fd, diag);
    if (r >= 0)
        r = write_pack(repo, object, &packing, diag);
    git_packbuilder_free(packing.builder);
    git_commit_free(object);
    if (unset_config(repo) < 0 && r >= 0)
        r = gitpin_error(diag, FARM_E_FAILED, "packing");
    return r < 0 ? diag_wrap(diag, r, "commit %s", commit) : 0;
}

/* ---- reading (G8) ---- */

enum {
    SLICE = 1024 * 1024,          /* given to libgit2 at a time; the time is looked at in between */
    INDEX_MS_MAX = 15 * 60 * 1000 /* llvm-project's 200 MB take less than a minute */
};

/* The header's count comes before libgit2 makes tables for it. Every tree entry may bring a tree or a blob of its own. */
static int check_header(int fd, struct diag *diag)
{
    unsigned char header[12];
    uint64_t max = 2 * GITPIN_LIMITS.entries;
    if (pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        memcmp(header, "PACK\0\0\0\2", 8) != 0)
        return diag_set(diag, FARM_E_SYNTAX, "not a git pack of version 2");
    uint64_t count =
        (uint64_t)header[8] << 24 | (uint64_t)header[9] << 16 | (uint64_t)header[10] << 8 | header[11];
    if (count > max)
        return diag_set(diag, FARM_E_LIMIT, "the pack announces %llu objects, the limit is %llu",
                        (unsigned long long)count, (unsigned long long)max);
    return 0;
}

static int append_all(git_indexer *indexer, int fd, git_indexer_progress *progress, struct diag *diag)
{
    CLEANUP_FREE char *slice = mem_alloc(SLICE);
    int64_t end = moment_steady_ms() + INDEX_MS_MAX;
    ssize_t n;
    while ((n = read(fd, slice, SLICE)) > 0) {
        if (git_indexer_append(indexer, slice, (size_t)n, progress) < 0)
            return gitpin_error(diag, FARM_E_SYNTAX, "not a git pack");
        if (moment_steady_ms() > end)
            return diag_set(diag, FARM_E_LIMIT, "indexing takes longer than %d s", INDEX_MS_MAX / 1000);
    }
    return n < 0 ? diag_errno(diag, "reading the pack") : 0;
}

static int index_fd(int fd, const char *pack_dir, struct diag *diag)
{
    git_indexer_progress progress = {0};
    git_indexer *indexer = NULL;
    int r = check_header(fd, diag);
    if (r < 0)
        return r;
    if (git_indexer_new(&indexer, pack_dir, 0600, NULL, NULL) < 0)
        return gitpin_error(diag, FARM_E_FAILED, "indexing the pack");
    r = append_all(indexer, fd, &progress, diag);
    if (r >= 0 && git_indexer_commit(indexer, &progress) < 0)
        r = gitpin_error(diag, FARM_E_SYNTAX, "not a whole git pack");
    git_indexer_free(indexer);
    return r;
}

static int index_pack(const char *pack_path, const char *pack_dir, struct diag *diag)
{
    struct stat status;
    CLEANUP_CLOSE int fd = open(pack_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return diag_errno(diag, "opening");
    if ((uint64_t)status.st_size > GITPIN_LIMITS.bytes)
        return diag_set(diag, FARM_E_LIMIT, "%lld bytes, the limit is %llu", (long long)status.st_size,
                        (unsigned long long)GITPIN_LIMITS.bytes);
    return index_fd(fd, pack_dir, diag);
}

static int open_odb(const char *scratch_dir, struct gitrepo **ret, struct diag *diag)
{
    CLEANUP_FREE char *objects = mem_format("%s/objects", scratch_dir);
    git_odb *odb = NULL;
    git_repository *repo = NULL;
    if (git_odb_open(&odb, objects) < 0 || git_repository_wrap_odb(&repo, odb) < 0) {
        git_odb_free(odb);
        return gitpin_error(diag, FARM_E_FAILED, "opening the indexed pack");
    }
    git_odb_free(odb); /* the repository holds it */
    return gitrepo_adopt(repo, ret, diag);
}

static int open_pack(const char *pack_path, const char *scratch_dir, struct gitrepo **ret, struct diag *diag)
{
    CLEANUP_FREE char *pack_dir = mem_format("%s/objects/pack", scratch_dir);
    int r = file_remove_tree(AT_FDCWD, scratch_dir, diag);
    if (r >= 0)
        r = file_make_dirs(AT_FDCWD, pack_dir, 0700, diag);
    if (r >= 0)
        r = index_pack(pack_path, pack_dir, diag);
    if (r >= 0)
        r = open_odb(scratch_dir, ret, diag);
    return r;
}

int gitrepo_open_pack(const char *pack_path, const char *scratch_dir, struct gitrepo **ret, struct diag *diag)
{
    int r = gitpin_setup(diag);
    if (r < 0)
        return r;
    if ((r = open_pack(pack_path, scratch_dir, ret, diag)) < 0) {
        (void)!file_remove_tree(AT_FDCWD, scratch_dir, NULL);
        return diag_wrap(diag, r, "%s", pack_path);
    }
    (*ret)->scratch = mem_string(scratch_dir);
    return 0;
}
