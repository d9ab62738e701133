/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lease_sources.h"

#include "file.h"
#include "gitpin.h"
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fixed modes: the umask of whoever started the worker must not reach a build. */
static int make_dir(int dirfd, const char *parent, const char *name, int *ret_fd, struct diag *diag)
{
    CLEANUP_FREE char *path = mem_format("%s/%s", parent, name);
    if (mkdirat(dirfd, path, 0755) < 0)
        return diag_errno(diag, "%s: create directory", path);
    CLEANUP_CLOSE int fd = file_open_dir(dirfd, path, diag);
    if (fd < 0)
        return fd;
    if (fchmod(fd, 0755) < 0)
        return diag_errno(diag, "%s: chmod", path);
    *ret_fd = STEAL_FD(fd);
    return 0;
}

static int set_times(int dirfd, const char *name, int64_t epoch, struct diag *diag)
{
    struct timespec times[2] = {{.tv_sec = epoch}, {.tv_sec = epoch}};
    return utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? diag_errno(diag, "%s: set its time", name)
                                                                  : 0;
}

/* Our own codes are about the source (refused, malformed, too large); an errno is about this machine. */
static enum failure_kind kind_of(int error)
{
    enum { ERRNO_LAST = -4095 }; /* of the kernel */
    return error < ERRNO_LAST ? FAILURE_BUILD : FAILURE_INFRASTRUCTURE;
}

struct layout {
    struct lease *lease;
    int state_dirfd, sources_fd, src_fd;
    enum failure_kind kind; /* of what is being done now */
};

static const struct digest *object_of(const struct lease *lease, const struct spec_source *source)
{
    for (size_t i = 0; i < lease->nsources; i++)
        if (digest_equal(&lease->sources[i].pin, &source->digest) &&
            !digest_is_zero(&lease->sources[i].object))
            return &lease->sources[i].object;
    return NULL;
}

/* A directory below src, made if it is missing; "." and NULL are src itself. */
static int open_into(struct layout *layout, const char *into, int *ret_fd, struct diag *diag)
{
    bool here = into == NULL || strcmp(into, ".") == 0;
    if (!here && !file_path_is_plain(view_text(into)))
        return diag_set(diag, FARM_E_REFUSED,
                        "\"%.200s\", where a source shall be unpacked, is not a plain path", into);
    int error = here ? 0 : file_make_dirs(layout->src_fd, into, 0755, diag);
    if (error < 0)
        return error;
    int fd = openat(layout->src_fd, here ? "." : into, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return diag_errno(diag, "%s: open directory", here ? "." : into);
    *ret_fd = fd;
    return 0;
}

static int unpack_into(struct layout *layout, const char *filename, const char *into, struct diag *diag)
{
    int64_t epoch = layout->lease->spec->epoch;
    CLEANUP_CLOSE int target = -1;
    CLEANUP_CLOSE int fd = openat(layout->sources_fd, filename, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int error = fd < 0 ? diag_errno(diag, "open") : open_into(layout, into, &target, diag);
    if (error >= 0)
        error = unpack_archive(fd, target, 1, UNPACK_LIMITS_SOURCE, epoch, NULL, diag);
    if (error >= 0)
        error = set_times(target, ".", epoch, diag);
    layout->kind = kind_of(error);
    return error < 0 ? diag_wrap(diag, error, "%s", filename) : 0;
}

/* sources/ is flat: two sources or patches of one name are the recipe's fault, and fail alike everywhere. */
static int check_free(struct layout *layout, const char *name, struct diag *diag)
{
    if (faccessat(layout->sources_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    layout->kind = FAILURE_BUILD;
    return diag_set(diag, FARM_E_REFUSED,
                    "two sources or patches are called \"%.200s\", and they lie in one directory: rename one",
                    name);
}

/* A file in sources/, by digest, with fixed mode and time. */
static int put_file(struct layout *layout, const char *filename, const struct digest *digest,
                    struct diag *diag)
{
    if (!file_path_is_plain(view_text(filename)) || strchr(filename, '/') != NULL) {
        layout->kind = FAILURE_BUILD;
        return diag_set(diag, FARM_E_REFUSED, "the source's file name \"%.200s\" is not one", filename);
    }
    if (check_free(layout, filename, diag) < 0)
        return FARM_E_REFUSED;
    layout->kind = FAILURE_NONE;
    int error = fetch_file(&layout->lease->fetch, digest, STORE_OBJECT_MAX, filename, layout->sources_fd,
                           filename, diag);
    if (error < 0)
        return error;
    layout->kind = FAILURE_INFRASTRUCTURE;
    if (fchmodat(layout->sources_fd, filename, 0644, 0) < 0)
        return diag_errno(diag, "%s: chmod", filename);
    return set_times(layout->sources_fd, filename, layout->lease->spec->epoch, diag);
}

static int lay_archive(struct layout *layout, const struct spec_source *source, bool first, struct diag *diag)
{
    int error = put_file(layout, source->filename, &source->digest, diag);
    if (error >= 0 && (first || source->into != NULL))
        error = unpack_into(layout, source->filename, source->into, diag);
    return error;
}

static int check_out(struct layout *layout, const struct spec_source *source, const char *pack,
                     struct diag *diag)
{
    CLEANUP_FREE char *scratch = mem_format("%s/source.git", layout->lease->dir);
    struct gitrepo *repo = NULL;
    CLEANUP_CLOSE int fd = -1;
    int error = open_into(layout, source->into, &fd, diag);
    layout->kind = error < 0 ? kind_of(error) : FAILURE_NONE;
    if (error >= 0)
        error = gitrepo_open_pack(pack, scratch, &repo,
                                  diag); /* a pack that is not one was offered wrongly: goes back */
    if (error >= 0)
        error = gitrepo_checkout(repo, source->commit, &source->digest, GITPIN_LIMITS, fd,
                                 layout->lease->spec->epoch, diag);
    gitrepo_close(repo);
    if (error >= 0)
        error = set_times(fd, ".", layout->lease->spec->epoch, diag);
    return error;
}

static int lay_git(struct layout *layout, const struct spec_source *source, struct diag *diag)
{
    const struct digest *object = object_of(layout->lease, source);
    layout->kind = FAILURE_NONE;
    if (object == NULL)
        return diag_set(
            diag, FARM_E_MISSING,
            "the lease offers no pack of the git source %.12s, and a worker fetches none from upstream: "
            "the farm's operator starts the plan again (farmctl build), which fetches and stores it",
            source->commit);
    CLEANUP_FREE char *pack = mem_format("%s/source.pack", layout->lease->dir);
    int error = fetch_file(&layout->lease->fetch, object, STORE_OBJECT_MAX, "a git source",
                           layout->state_dirfd, pack, diag);
    if (error >= 0)
        error = check_out(layout, source, pack, diag);
    unlinkat(layout->state_dirfd, pack, 0);
    return error < 0 ? diag_wrap(diag, error, "git source %.12s", source->commit) : 0;
}

static int lay_all(struct layout *layout, struct diag *diag)
{
    const struct spec *spec = layout->lease->spec;
    int error = 0;
    for (size_t i = 0; error >= 0 && i < spec->nsources; i++) {
        switch (spec->sources[i].kind) {
        case PIN_GIT:
            error = lay_git(layout, &spec->sources[i], diag);
            break;
        case PIN_ARCHIVE:
            error = lay_archive(layout, &spec->sources[i], i == 0, diag);
            break;
        }
    }
    return error;
}

/* bundled_deps: the source whose url or file name contains the name. */
static int lay_bundle(struct layout *layout, const struct spec_bundle *bundle, struct diag *diag)
{
    const struct spec *spec = layout->lease->spec;
    const struct package *package = layout->lease->package;
    for (size_t i = 0; i < spec->nsources; i++) {
        const char *filename = spec->sources[i].filename;
        bool named = filename != NULL && strstr(filename, bundle->name) != NULL;
        bool linked =
            filename != NULL && i < package->npins && strstr(package->pins[i].url, bundle->name) != NULL;
        if (named || linked)
            return unpack_into(layout, filename, bundle->dest, diag);
    }
    layout->kind = FAILURE_BUILD;
    return diag_set(diag, FARM_E_REFUSED, "bundled_deps: no source has \"%.200s\" in its url or file name",
                    bundle->name);
}

static int copy_patch(struct layout *layout, const char *file, const char *to, struct diag *diag)
{
    enum { PATCH_MAX = 64 * 1024 * 1024 }; /* bytes; the largest kernel patches have 5 MiB */
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_FREE char *from =
        mem_format("%s/%s/%s", layout->lease->tree.path, layout->lease->package->recipe->path, file);
    int error = file_read(layout->state_dirfd, from, PATCH_MAX, &text, diag);
    if (error < 0)
        return error;
    CLEANUP_CLOSE int fd =
        openat(layout->sources_fd, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return diag_errno(diag, "%s: create", to);
    if (fchmod(fd, 0644) < 0)
        return diag_errno(diag, "%s: chmod", to);
    error = file_write_all(fd, text.data, text.size);
    if (error < 0)
        return diag_set(diag, error, "%s: write: %s", to, farm_error_text(error));
    return set_times(layout->sources_fd, to, layout->lease->spec->epoch, diag);
}

/* Among the sources, where recipes look for them, and where the patch step finds them too (lease_build.c
 * binds it twice). */
static int lay_patch(struct layout *layout, const struct spec_patch *patch, struct diag *diag)
{
    const char *slash = strrchr(patch->file, '/');
    const char *name = slash != NULL ? slash + 1 : patch->file;
    if (patch->has_sha256)
        return put_file(layout, name, &patch->sha256, diag);
    if (check_free(layout, name, diag) < 0)
        return FARM_E_REFUSED;
    layout->kind = FAILURE_INFRASTRUCTURE;
    return copy_patch(layout, patch->file, name, diag);
}

static int lay_extras(struct layout *layout, struct diag *diag)
{
    const struct spec *spec = layout->lease->spec;
    int error = 0;
    for (size_t i = 0; error >= 0 && i < spec->nbundles; i++)
        error = lay_bundle(layout, &spec->bundles[i], diag);
    for (size_t i = 0; error >= 0 && i < spec->npatches; i++)
        error = lay_patch(layout, &spec->patches[i], diag);
    return error;
}

/* The directories' own times last: laying files in changes them. */
static int finish_times(const struct layout *layout, int work_fd, struct diag *diag)
{
    int64_t epoch = layout->lease->spec->epoch;
    int error = set_times(work_fd, "src", epoch, diag);
    if (error >= 0)
        error = set_times(layout->sources_fd, ".", epoch, diag);
    return error;
}

int lease_sources_lay(struct lease *lease, int state_dirfd, enum failure_kind *ret_kind, struct diag *diag)
{
    CLEANUP_CLOSE int work = -1;
    CLEANUP_CLOSE int sources = -1;
    CLEANUP_CLOSE int src = -1;
    int error = make_dir(state_dirfd, lease->dir, "work", &work, diag);
    if (error >= 0)
        error = make_dir(state_dirfd, lease->dir, "sources", &sources, diag);
    if (error >= 0)
        error = make_dir(work, ".", "src", &src, diag);
    if (error < 0) {
        *ret_kind = FAILURE_INFRASTRUCTURE;
        return error;
    }
    struct layout layout = {lease, state_dirfd, sources, src, FAILURE_NONE};
    error = lay_all(&layout, diag);
    if (error >= 0)
        error = lay_extras(&layout, diag);
    if (error < 0) {
        *ret_kind = layout.kind;
        return error;
    }
    *ret_kind = FAILURE_INFRASTRUCTURE;
    return finish_times(&layout, work, diag);
}
