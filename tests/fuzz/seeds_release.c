/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a release holds, from the release fixture: plan, specs, manifests, statements, receipts, roots, directory, signatures. */
#include "seeds.h"

#include "file.h"
#include "release_fixture.h"
#include "vsa.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Every file of a directory of the release, or the one file. */
static void put_file(const struct release_fixture *fixture, const char *target, const char *path)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    if (file_read(fixture->release_dirfd, path, 1 << 20, &text, &diag) < 0)
        fail_msg("%s", diag.text);
    const char *slash = strrchr(path, '/');
    CLEANUP_FREE char *name = mem_format("%.12s", slash != NULL ? slash + 1 : path);
    seed_put(target, name, buf_view(&text));
}

static void put_directory(const struct release_fixture *fixture, const char *target, const char *path)
{
    int fd = openat(fixture->release_dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fdopendir(fd);
    assert_non_null(directory);
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.') {
            CLEANUP_FREE char *file = mem_format("%s/%s", path, entry->d_name);
            put_file(fixture, target, file);
        }
    closedir(directory);
}

void seeds_release(void)
{
    struct release_fixture *fixture = release_fixture_new(NULL);
    release_fixture_write(fixture);
    put_file(fixture, "plan", RELEASE_PLAN);
    put_directory(fixture, "spec", RELEASE_SPECS);
    put_directory(fixture, "manifest", RELEASE_MANIFESTS);
    put_file(fixture, "manifest", RELEASE_BASE);
    put_file(fixture, "release", RELEASE_FILE);
    put_file(fixture, "root", "root/1.root.json");
    put_file(fixture, "directory", RELEASE_WORKERS);
    put_directory(fixture, "receipt", RELEASE_RECEIPTS);
    put_directory(fixture, "dsse", RELEASE_SUMMARIES);
    put_directory(fixture, "sshkey", RELEASE_KEYS);
    release_fixture_free(fixture);
}
