/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The bytes: for each package, does the manifest hash to the agreed payload, and is the archive exactly the canonical tar of that
 * manifest, byte for byte? And does release.json say of it what the votes say?
 */
#include "verify_private.h"

#include "parallel.h"
#include "payload.h"
#include "pkginfo.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Rooms that are free; as many are made as threads work at once. */
struct rooms {
    pthread_mutex_t lock;
    struct payload_room **free;
    size_t nfree;
};

static struct payload_room *take_room(struct rooms *rooms)
{
    pthread_mutex_lock(&rooms->lock);
    struct payload_room *room = rooms->nfree > 0 ? rooms->free[--rooms->nfree] : NULL;
    pthread_mutex_unlock(&rooms->lock);
    return room != NULL ? room : payload_room_new();
}

static void give_room(struct rooms *rooms, struct payload_room *room)
{
    pthread_mutex_lock(&rooms->lock);
    rooms->free = mem_grow(rooms->free, rooms->nfree + 1, sizeof *rooms->free);
    rooms->free[rooms->nfree++] = room;
    pthread_mutex_unlock(&rooms->lock);
}

struct work {
    struct verify_run *run;
    struct rooms rooms;
    size_t
        *order; /* of the packages: the largest archive first, or one thread would have it alone at the end */
};

struct check {
    struct verify_run *run;
    struct rooms *rooms;
    const struct release_package *package;
    const struct verify_job *job;
    struct verify_package *shown;
};

static bool same_operators(const struct release_package *package, const struct verify_job *job)
{
    bool same = package->noperators == job->noperators;
    for (size_t i = 0; same && i < job->noperators; i++)
        same = strcmp(package->operators[i], job->operators[i]) == 0;
    return same;
}

static void check_rules(const struct check *check)
{
    const struct rules *rules = &check->job->rules;
    const char *name = check->package->name;
    if (rules->hold && !verify_is_waived(check->run, check->package, WAIVER_HOLD))
        verify_problem(
            check->run, RELEASE_FILE, "hold",
            "the policy holds %s: it is released only with a waiver that the release managers signed", name);
    if (rules->evidence && !verify_is_waived(check->run, check->package, WAIVER_EVIDENCE))
        verify_problem(
            check->run, RELEASE_FILE, "evidence",
            "the policy asks for evidence from hardware for %s; this version of the release format carries "
            "none, so it needs a waiver that the release managers signed",
            name);
    if (rules->quorum == 1 && !root_allows_unverified(check->run->root, name))
        verify_problem(check->run, RELEASE_FILE, "unverified",
                       "%s has a quorum of 1 and the trust root does not list it under "
                       "\"unverified\"",
                       name);
}

/* What is derived from the policy and the tier is compared, since tools and people go by it. */
static void check_labels(const struct check *check)
{
    const struct release_package *package = check->package;
    const char *gpu = check->job->rules.evidence ? "not-validated" : "none";
    if (strcmp(package->gpu, gpu) != 0)
        verify_problem(check->run, RELEASE_FILE, "label",
                       "%s: its GPU path is \"%s\", the policy makes it \"%s\"", package->name, package->gpu,
                       gpu);
    if (strcmp(package->phase, package->tier) != 0)
        verify_problem(check->run, RELEASE_FILE, "label",
                       "%s: its phase is \"%s\", that of its tier is \"%s\"", package->name, package->phase,
                       package->tier);
}

static void check_verdict(const struct check *check)
{
    const struct verify_job *job = check->job;
    const struct release_package *package = check->package;
    check->shown->operators = job->verdict.operators;
    check->shown->anchors = job->verdict.anchors;
    check->shown->dissent = job->verdict.dissent;
    check->shown->unverified = job->rules.quorum == 1;
    check_rules(check);
    check_labels(check);
    if (!job->agreed || !digest_equal(&job->payload, &package->payload))
        verify_problem(check->run, RELEASE_FILE, "no-agreement", "%s: nobody agreed on the payload %s",
                       package->name, digest_hex(&package->payload).text);
    else if (!digest_equal(&job->tar, &package->tar))
        verify_problem(check->run, RELEASE_FILE, "tar",
                       "%s: the operators attested another tar than the release names", package->name);
    else if (!same_operators(package, job) || package->dissent != job->verdict.dissent)
        verify_problem(check->run, RELEASE_FILE, "support",
                       "%s: the release lists other operators or another dissent than the votes "
                       "give (%u behind it, %u against)",
                       package->name, job->verdict.operators, job->verdict.dissent);
}

static int open_archive(const struct check *check, const char *file)
{
    struct stat status;
    int fd =
        openat(check->run->options->dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        verify_problem(check->run, file, "missing", "the archive cannot be opened as a regular file");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if ((uint64_t)status.st_size != check->package->archive_size)
        verify_problem(check->run, file, "size", "%lld bytes, the release names %llu",
                       (long long)status.st_size, (unsigned long long)check->package->archive_size);
    return fd;
}

static void check_archive(const struct check *check, const struct manifest *manifest)
{
    CLEANUP_FREE char *file = release_path(RELEASE_ARTIFACTS, check->package, ".igos.tar.gz");
    CLEANUP_CLOSE int fd = open_archive(check, file);
    CLEANUP_BUF struct buf pkginfo = BUF_INIT;
    struct diag diag = DIAG_INIT;
    if (fd < 0)
        return;
    pkginfo_write(check->job->spec, manifest, &pkginfo);
    struct payload_gz expected = {.manifest = manifest,
                                  .pkginfo = buf_view(&pkginfo),
                                  .epoch = check->job->spec->epoch,
                                  .tar = &check->package->tar,
                                  .archive = &check->package->archive_sha256};
    struct payload_room *room = take_room(check->rooms);
    int result = payload_verify_gz(fd, &expected, room, &diag);
    give_room(check->rooms, room);
    if (result < 0) /* S7, or A8, A9 */
        verify_failure(check->run, file, result == FARM_E_CORRUPT ? "digest" : "archive", result, &diag);
}

/* A7: who runs such a file gets its owner's rights, which is root. Only where the policy says so for this package. */
static void check_setuid(const struct check *check, const char *file, const struct manifest *manifest)
{
    enum { SETUID_OR_SETGID = 06000 };
    for (size_t i = 0; i < manifest->count && !check->job->rules.setuid; i++) {
        const struct entry *entry = &manifest->entries[i];
        if (entry->type == ENTRY_FILE && (entry->mode & SETUID_OR_SETGID) != 0)
            verify_problem(check->run, file, "setuid",
                           "/%.*s has mode %04o, and the policy does not say \"setuid: allowed\" for %s",
                           VIEW_ARG(entry->path), entry->mode, check->package->name);
    }
}

static void check_manifest(const struct check *check)
{
    CLEANUP_FREE char *file = release_path(RELEASE_MANIFESTS, check->package, ".mtree");
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP(manifest_done) struct manifest manifest = MANIFEST_INIT;
    struct diag diag = DIAG_INIT;
    if (!verify_read_digest(check->run, file, MANIFEST_SIZE_MAX, &check->package->payload, RELEASE_FILE,
                            &text))
        return;
    int result = manifest_parse(buf_view(&text), &manifest, &diag);
    if (result < 0)
        verify_failure(check->run, file, "manifest", result, &diag);
    else {
        check_setuid(check, file, &manifest);
        check_archive(check, &manifest);
    }
}

static void check_package(void *context, size_t at)
{
    struct work *work = context;
    struct verify_run *run = work->run;
    size_t index = work->order[at];
    struct check check = {.run = run,
                          .rooms = &work->rooms,
                          .package = &run->release->packages[index],
                          .shown = &run->result->packages[index]};
    check.job = verify_find_job(run, &check.package->job);
    if (check.job == NULL)
        return; /* said by verify_inputs */
    check_verdict(&check);
    check_manifest(&check);
}

/* A package passed if no problem names its files or, in release.json, its name. */
static bool concerns(const struct problem *problem, const struct release_package *package)
{
    CLEANUP_FREE char *stem = mem_format("/%s-%s.", package->name, package->version);
    CLEANUP_FREE char *spec = mem_format("%s/%s.json", RELEASE_SPECS, digest_hex(&package->job).text);
    size_t length = strlen(package->name);
    const char *at = strstr(problem->text, package->name);
    bool named = at != NULL && (at == problem->text || at[-1] == ' ' || at[-1] == '/') &&
                 (at[length] == ':' || at[length] == ' ' || at[length] == '\0');
    return strstr(problem->file, stem) != NULL || strcmp(problem->file, spec) == 0 ||
           (named && strcmp(problem->file, RELEASE_FILE) == 0);
}

static void mark_failed(struct verify_run *run)
{
    const struct problems *problems = &run->result->problems;
    for (size_t i = 0; i < run->result->npackages; i++)
        for (size_t k = 0; k < problems->count && run->result->packages[i].passed; k++)
            run->result->packages[i].passed = !concerns(&problems->items[k], &run->release->packages[i]);
}

static int by_size(const void *left, const void *right, void *context)
{
    const struct release_package *packages = context;
    uint64_t a = packages[*(const size_t *)left].archive_size,
             b = packages[*(const size_t *)right].archive_size;
    return a > b ? -1 : a < b ? 1 : 0;
}

void verify_packages(struct verify_run *run)
{
    CLEANUP_FREE size_t *order = mem_zero(run->release->npackages + 1, sizeof *order);
    struct work work = {.run = run, .rooms = {.lock = PTHREAD_MUTEX_INITIALIZER}, .order = order};
    for (size_t i = 0; i < run->release->npackages; i++)
        order[i] = i;
    qsort_r(order, run->release->npackages, sizeof *order, by_size, run->release->packages);
    parallel_each(run->release->npackages, run->options->threads, check_package, &work);
    while (work.rooms.nfree > 0)
        payload_room_free(work.rooms.free[--work.rooms.nfree]);
    free(work.rooms.free);
    pthread_mutex_destroy(&work.rooms.lock);
    mark_failed(run);
}
