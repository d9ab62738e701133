/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Removing what a build left. See sandbox.h for why no namespace is needed.
 */
#include "sandbox.h"
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* The kernel leaves the overlay's work directory with mode 000; a build may leave anything. */
static int remove_enter(int dirfd, const char *name, const struct stat *st, void *arg)
{
    (void)arg;
    if ((st->st_mode & S_IRWXU) == S_IRWXU)
        return 0;
    return fchmodat(dirfd, name, S_IRWXU, 0) < 0 ? -errno : 0;
}

static int remove_entry(int dirfd, const char *name, const struct stat *st, void *arg)
{
    (void)st;
    (void)arg;
    return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_leave(int dirfd, const char *name, void *arg)
{
    (void)arg;
    return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int sandbox_remove_tree(int dirfd, const char *path, struct diag *diag)
{
    static const struct walk walk = {.enter = remove_enter, .entry = remove_entry, .leave = remove_leave};
    int error = walk_tree(dirfd, path, &walk);
    if (error >= 0 || error == -ENOENT)
        return 0;
    return diag_set(diag, error, "cannot remove the build directory %s: %s", path, farm_error_text(error));
}
