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

/* For fuzz_trust.c: a worker that believes this root is shown it again, and the directory. */
static void put_trust(const struct release_fixture *fixture)
{
    CLEANUP_BUF struct buf root = BUF_INIT, workers = BUF_INIT, file = BUF_INIT, seed = BUF_INIT;
    struct digest pinned = {{1, 2, 3}};
    struct diag diag = DIAG_INIT;
    if (file_read(fixture->release_dirfd, "root/1.root.json", 1 << 16, &root, &diag) < 0 ||
        file_read(fixture->release_dirfd, RELEASE_WORKERS, 1 << 16, &workers, &diag) < 0)
        fail_msg("%s", diag.text);
    CLEANUP_JSON json_t *json =
        json_pack("{s:n, s:s, s:o, s:o, s:s}", "directory", "format", "intergenos-worker-trust/1", "pinned",
                  json_digest(&pinned), "root", json_view(buf_view(&root)), "seen", "2026-11-22T00:00:00Z");
    json_write(json, &file);
    seed_add_chunk(&seed, buf_view(&file));
    seed_add_chunk(&seed, buf_view(&root));
    buf_add_view(&seed, buf_view(&workers));
    seed_put("trust", "root", buf_view(&seed));
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
    put_trust(fixture);
    release_fixture_free(fixture);
}
