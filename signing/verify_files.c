/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Nothing else lies in the release: what nobody checked must not be there to be picked up by a later phase (S11). */
#include "verify_private.h"

#include "docjson.h"
#include "file.h"
#include "tiledir.h"
#include "vsa.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* log/tile/entries/x001/... is the deepest: three digits of a bundle's number on each level, and one for the part. */
enum { FILES_DEPTH_MAX = 12 };
enum { HANDOFF_SIZE_MAX = 16 * 1024 }; /* six members */

struct known {
    struct verify_run *run;
    struct map *paths;
};

static void know(struct known *known, const char *path)
{
    map_set(known->paths, view_text(path), known);
}

static void know_package(struct known *known, const struct release_package *package)
{
    CLEANUP_FREE char *archive = release_path(RELEASE_ARTIFACTS, package, ".igos.tar.gz");
    CLEANUP_FREE char *manifest = release_path(RELEASE_MANIFESTS, package, ".mtree");
    CLEANUP_FREE char *receipt = release_path(RELEASE_RECEIPTS, package, ".intoto.jsonl");
    CLEANUP_FREE char *summary = release_path(RELEASE_SUMMARIES, package, ".vsa.jsonl");
    know(known, archive);
    know(known, manifest);
    know(known, receipt);
    know(known, summary);
}

static void know_bundle(struct known *known, uint64_t index, unsigned int width)
{
    struct tile_path tile = tiledir_path(TILEDIR_ENTRIES, index, width);
    CLEANUP_FREE char *path = mem_format("%s/%s", RELEASE_LOG, tile.text);
    know(known, path);
}

/* The checkpoint, and the bundles of exactly its size; hash tiles are derived, and not asked for. */
static void know_log(struct known *known)
{
    uint64_t size = verify_log_size(known->run);
    if (!known->run->has_log)
        return;
    know(known, VERIFY_CHECKPOINT);
    for (uint64_t i = 0; i < size / TILE_WIDTH && known->run->replayed; i++)
        know_bundle(known, i, TILE_WIDTH);
    if (size % TILE_WIDTH > 0)
        know_bundle(known, size / TILE_WIDTH, (unsigned int)(size % TILE_WIDTH));
}

static void know_keys(struct known *known)
{
    size_t cursor = 0;
    struct view file;
    void *key;
    while (map_next(known->run->key_files, &cursor, &file, &key))
        map_set(known->paths, file, known);
    if (!known->run->has_log)
        know(known, RELEASE_KEYS "/coordinator.pem"); /* a note was made of what it is worth */
}

static void know_all(struct known *known)
{
    const struct verify_run *run = known->run;
    static const char *const fixed[] = {RELEASE_FILE, RELEASE_WORKERS,          RELEASE_POLICY, RELEASE_PLAN,
                                        RELEASE_BASE, RELEASE_ARCHIVE_MANIFEST, RELEASE_HANDOFF};
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        know(known, fixed[i]);
    if (!digest_is_zero(&run->plan->lock))
        know(known, RELEASE_LOCK);
    for (int64_t version = 1; version <= run->root_versions; version++) {
        CLEANUP_FREE char *root = mem_format(RELEASE_ROOT_FORMAT, (long long)version);
        know(known, root);
    }
    for (size_t i = 0; i < run->njobs; i++)
        know(known, run->jobs[i].file);
    for (size_t i = 0; i < run->release->npackages; i++)
        know_package(known, &run->release->packages[i]);
    know_log(known);
    know_keys(known);
}

/* What people sign: the release and its roots. */
static bool is_signed(const struct known *known, struct view document)
{
    struct view roots = VIEW("root/"), suffix = VIEW(".root.json");
    bool root = view_starts(document, roots) && view_ends(document, suffix);
    return (root || view_equal(document, VIEW(RELEASE_FILE))) && map_get(known->paths, document) != NULL;
}

/* "<document>.sig.d/<anything>.sig" */
static bool is_signature(const struct known *known, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct view directory = view_of(path, slash != NULL ? (size_t)(slash - path) : 0),
                suffix = VIEW(".sig.d");
    if (slash == NULL || !view_ends(view_text(slash), VIEW(".sig")) || !view_ends(directory, suffix))
        return false;
    return is_signed(known, view_of(directory.data, directory.size - suffix.size));
}

static void walk(struct known *known, int dirfd, const char *prefix, int depth);

static void visit(struct known *known, int dirfd, const char *prefix, const char *name, int depth)
{
    CLEANUP_FREE char *path = mem_format("%s%s", prefix, name);
    struct stat status;
    if (fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        verify_problem(known->run, path, "unreadable", "%s", strerror(errno));
    } else if (S_ISDIR(status.st_mode) && depth < FILES_DEPTH_MAX) {
        CLEANUP_FREE char *below = mem_format("%s/", path);
        CLEANUP_CLOSE int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0)
            walk(known, fd, below, depth + 1);
        else
            verify_problem(known->run, path, "unreadable", "%s", strerror(errno));
    } else if (!S_ISREG(status.st_mode)) {
        verify_problem(known->run, path, "not-a-file", "a release holds regular files and nothing else");
    } else if (map_get(known->paths, view_text(path)) == NULL && !is_signature(known, path)) {
        verify_problem(known->run, path, "extra-file", "nothing in the release names this file; remove it");
    }
}

static void walk(struct known *known, int dirfd, const char *prefix, int depth)
{
    int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
    if (stream == NULL) {
        verify_problem(known->run, prefix, "unreadable", "%s", strerror(errno));
        if (copy >= 0)
            close(copy);
        return;
    }
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(known, dirfd, prefix, entry->d_name, depth);
    closedir(stream);
}

static void check_archive_manifest(struct verify_run *run)
{
    enum { MANIFEST_TEXT_MAX = 64 * 1024 * 1024 }; /* 300 bytes for each of PLAN_NODES_MAX packages */
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf expected = BUF_INIT;
    if (!verify_read(run, RELEASE_ARCHIVE_MANIFEST, MANIFEST_TEXT_MAX, &text))
        return;
    release_archive_manifest(run->release, &run->release->digest, &expected);
    if (!view_equal(buf_view(&text), buf_view(&expected)))
        verify_problem(run, RELEASE_ARCHIVE_MANIFEST, "archive-manifest",
                       "not the text that follows from release.json");
}

static int parse_handoff(struct verify_run *run, struct view text, struct diag *diag)
{
    CLEANUP_JSON json_t *document = NULL;
    const char *phase, *name;
    struct digest digest;
    int64_t sequence, verified_ms;
    int result;
    if ((result = json_read(text, RELEASE_HANDOFF, HANDOFF_SIZE_MAX, &document, diag)) < 0 ||
        (result = docjson_format(document, RELEASE_HANDOFF, RELEASE_HANDOFF_FORMAT, diag)) < 0 ||
        (result = json_get_text(document, RELEASE_HANDOFF, "phase", &phase, diag)) < 0 ||
        (result = json_get_text(document, RELEASE_HANDOFF, "release", &name, diag)) < 0 ||
        (result = json_get_digest(document, RELEASE_HANDOFF, "release_sha256", &digest, diag)) < 0 ||
        (result = json_get_number(document, RELEASE_HANDOFF, "sequence", &sequence, diag)) < 0 ||
        (result = docjson_time(document, RELEASE_HANDOFF, "verified", &verified_ms, diag)) < 0)
        return result;
    const struct release *release = run->release;
    if (!digest_equal(&digest, &release->digest) || strcmp(name, release->name) != 0 ||
        sequence != release->sequence)
        return diag_set(diag, FARM_E_REFUSED, "it was written for another release");
    if (run->options->phase != NULL && strcmp(phase, run->options->phase) != 0)
        return diag_set(diag, FARM_E_REFUSED, "it was checked for another phase than %s",
                        run->options->phase);
    return 0;
}

/* Only in a hand-off. It proves nothing (everything is checked again here), but it must not say something else. */
static void check_handoff(struct verify_run *run)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    if (faccessat(run->options->dirfd, RELEASE_HANDOFF, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ||
        !verify_read(run, RELEASE_HANDOFF, HANDOFF_SIZE_MAX, &text))
        return;
    int result = parse_handoff(run, buf_view(&text), &diag);
    if (result < 0)
        verify_failure(run, RELEASE_HANDOFF, "handoff", result, &diag);
}

void verify_files(struct verify_run *run)
{
    struct known known = {.run = run, .paths = map_new()};
    know_all(&known);
    walk(&known, run->options->dirfd, "", 0);
    map_free(known.paths);
    check_archive_manifest(run);
    check_handoff(run);
}
