/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The order of the stages, and what they all use. The stages are listed in verify_private.h. */
#include "verify.h"

#include "docjson.h"
#include "file.h"
#include "shown.h"
#include "verify_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void verify_problem(struct verify_run *run, const char *file, const char *rule, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    CLEANUP_FREE char *raw = mem_vformat(format, args);
    va_end(args);
    CLEANUP_FREE char *text = shown_text(raw);
    CLEANUP_FREE char *shown = shown_text(file);
    pthread_mutex_lock(&run->lock);
    problems_add(&run->result->problems, shown, 0, rule, "%s", text);
    pthread_mutex_unlock(&run->lock);
}

void verify_failure(struct verify_run *run, const char *file, const char *rule, int error,
                    const struct diag *diag)
{
    verify_problem(run, file, rule, "%s", diag_text(diag, error));
}

void verify_note(struct verify_run *run, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    CLEANUP_FREE char *raw = mem_vformat(format, args);
    va_end(args);
    char *text = shown_text(raw);
    struct verify_result *result = run->result;
    pthread_mutex_lock(&run->lock);
    if (result->nnotes < PROBLEMS_MAX) {
        result->notes = mem_grow(result->notes, result->nnotes + 1, sizeof *result->notes);
        result->notes[result->nnotes++] = STEAL(text);
    } else {
        run->notes_dropped++;
    }
    pthread_mutex_unlock(&run->lock);
    free(text);
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Threads found them in any order; the same release gives the same notes. */
static void sort_notes(struct verify_run *run)
{
    struct verify_result *result = run->result;
    if (result->nnotes > 0)
        qsort(result->notes, result->nnotes, sizeof(char *), by_text);
    if (run->notes_dropped == 0)
        return;
    free(result->notes[result->nnotes - 1]);
    result->notes[result->nnotes - 1] = mem_format("%zu more notes are not shown.", run->notes_dropped + 1);
}

bool verify_read(struct verify_run *run, const char *file, size_t limit, struct buf *ret)
{
    struct diag diag = DIAG_INIT;
    int result = file_read(run->options->dirfd, file, limit, ret, &diag);
    if (result < 0)
        verify_failure(run, file, result == -ENOENT ? "missing" : "unreadable", result, &diag);
    return result >= 0;
}

bool verify_exists(const struct verify_run *run, const char *file)
{
    return faccessat(run->options->dirfd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool verify_read_digest(struct verify_run *run, const char *file, size_t limit, const struct digest *digest,
                        const char *who, struct buf *ret)
{
    if (!verify_read(run, file, limit, ret))
        return false;
    struct digest found = digest_of(buf_view(ret));
    if (digest_equal(&found, digest))
        return true;
    verify_problem(run, file, "digest", "these bytes have SHA-256 %s, %s names %s", digest_hex(&found).text,
                   who, digest_hex(digest).text);
    return false;
}

static int is_signature(const struct dirent *entry)
{
    return view_ends(view_text(entry->d_name), VIEW(".sig"));
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* An absent directory is no signature at all; whoever counts them says so. */
void verify_signatures(struct verify_run *run, const char *directory, char ***ret, size_t *ret_count)
{
    struct dirent **entries = NULL;
    int found = scandirat(run->options->dirfd, directory, &entries, is_signature, by_bytes);
    char **texts = mem_zero(ROOT_SIGNATURES_MAX, sizeof *texts);
    size_t count = 0;
    for (int i = 0; i < found; i++) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        CLEANUP_FREE char *path = mem_format("%s/%s", directory, entries[i]->d_name);
        if (count == ROOT_SIGNATURES_MAX)
            verify_problem(run, path, "too-many-signatures", "more than %d signatures", ROOT_SIGNATURES_MAX);
        else if (verify_read(run, path, SSHSIG_ARMOR_MAX, &text))
            texts[count++] = buf_steal(&text);
        free(entries[i]);
    }
    free(entries);
    *ret = texts;
    *ret_count = count;
}

struct verify_job *verify_find_job(struct verify_run *run, const struct digest *key)
{
    size_t low = 0, high = run->njobs;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = digest_compare(&run->jobs[middle].spec->key, key);
        if (order == 0)
            return &run->jobs[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static int check_options(const struct verify_options *options, struct diag *diag)
{
    static const char *const phases[] = {"bootloader", "image", "ukis-verity"};
    if (options->phase == NULL)
        return 0;
    size_t i = 0;
    while (i < ARRAY_SIZE(phases) && strcmp(options->phase, phases[i]) != 0)
        i++;
    if (i == ARRAY_SIZE(phases))
        return diag_set(diag, FARM_E_USAGE,
                        "%s: no phase with a gate; there are bootloader, image and ukis-verity",
                        options->phase);
    if (options->state == NULL)
        return diag_set(
            diag, FARM_E_USAGE,
            "a phase needs a state file (--state FILE): without it an old release would pass as new");
    return 0;
}

static void check_phase(struct verify_run *run)
{
    if (run->options->phase == NULL)
        return;
    if (strcmp(run->options->phase, "ukis-verity") == 0)
        verify_problem(run, "seal.json", "seal-missing",
                       "the phase ukis-verity uses what the seal covers, and there is no signed "
                       "seal.json; this version makes none yet"); /* S16 */
    if (run->options->root == NULL)
        verify_note(
            run, "No chroot was compared (--root): what passed are the archives, not an installed system.");
}

static void add_standing_notes(struct verify_run *run)
{
    if (run->options->state == NULL)
        verify_note(run, "Freshness not checked: no state file (--state) was given, so an old release would "
                         "look the same.");
    for (size_t i = 0; run->release != NULL && i < run->release->nheld; i++)
        verify_note(run, "Held, not released: %s (%s).", run->release->held[i].name,
                    run->release->held[i].reason);
    for (size_t i = 0; run->release != NULL && i < run->release->npackages; i++)
        if (strcmp(run->release->packages[i].gpu, "none") != 0)
            verify_note(run, "%s: its GPU path is %s.", run->release->packages[i].name,
                        run->release->packages[i].gpu);
}

static void describe_packages(struct verify_run *run)
{
    struct verify_result *result = run->result;
    result->name = mem_string(run->release->name);
    result->release = run->release->digest;
    result->sequence = run->release->sequence;
    result->npackages = run->release->npackages;
    result->packages = mem_zero(result->npackages + 1, sizeof *result->packages);
    for (size_t i = 0; i < result->npackages; i++) {
        const struct release_package *package = &run->release->packages[i];
        result->packages[i] = (struct verify_package){.id = mem_format("%s/%s", package->tier, package->name),
                                                      .version = mem_string(package->version),
                                                      .job = package->job,
                                                      .payload = package->payload,
                                                      .passed = true};
    }
}

static int run_stages(struct verify_run *run, struct diag *diag)
{
    int result = verify_trust(run, diag);
    if (result <= 0)
        return result;
    describe_packages(run);
    if (verify_inputs(run)) {
        verify_log(run);
        verify_receipts(run);
        verify_waivers(run);
        verify_packages(run);
        verify_summaries(run);
        verify_files(run);
        result = verify_extra(run, diag);
    }
    check_phase(run);
    return result;
}

static void job_done(struct verify_job *job)
{
    spec_free(job->spec);
    free(job->file);
    receipt_done(&job->evidence);
    free(job->logged); /* the leases are the run's */
    free(job->answers);
    free(job->verdicts);
    free(job->dependencies);
    docjson_free_strings(job->operators, job->noperators);
}

static void leases_done(struct map *leases)
{
    size_t cursor = 0;
    struct view nonce;
    void *value;
    while (leases != NULL && map_next(leases, &cursor, &nonce, &value)) {
        struct logged_lease *lease = value;
        free(lease->worker);
        free(lease->operator_name);
        free(lease->answers);
        free(lease);
    }
    map_free(leases);
}

static void run_done(struct verify_run *run)
{
    for (size_t i = 0; i < run->njobs; i++)
        job_done(&run->jobs[i]);
    leases_done(run->leases);
    free(run->jobs);
    free(run->origins);
    free(run->witnesses);
    free(run->points);
    free(run->waived);
    map_free(run->signers);
    map_free(run->payloads);
    map_free(run->key_files);
    map_free(run->nodes);
    plan_free(run->plan);
    policy_free(run->policy);
    release_free(run->release);
    directory_free(run->directory);
    root_free(run->root);
    pthread_mutex_destroy(&run->lock);
}

int verify_release(const struct verify_options *options, struct verify_result *ret, struct diag *diag)
{
    *ret = (struct verify_result)VERIFY_RESULT_INIT;
    struct verify_run run = {.options = options, .result = ret, .now_ms = options->now_ms};
    int result = check_options(options, diag);
    if (result < 0)
        return result;
    pthread_mutex_init(&run.lock, NULL);
    if (options->state != NULL && options->state->time_ms > run.now_ms)
        run.now_ms = options->state->time_ms; /* C2: a clock set back does not make anything fresh */
    result = run_stages(&run, diag);
    add_standing_notes(&run);
    sort_notes(&run);
    run_done(&run);
    problems_sort(&ret->problems);
    if (result < 0)
        return result;
    if (ret->problems.count > 0)
        return diag_set(diag, FARM_E_REFUSED, "%zu problems", ret->problems.count + ret->problems.dropped);
    return 0;
}

void verify_result_done(struct verify_result *result)
{
    for (size_t i = 0; i < result->npackages; i++) {
        free(result->packages[i].id);
        free(result->packages[i].version);
        free(result->packages[i].weakest);
    }
    docjson_free_strings(result->notes, result->nnotes);
    free(result->packages);
    free(result->name);
    problems_done(&result->problems);
    *result = (struct verify_result)VERIFY_RESULT_INIT;
}
