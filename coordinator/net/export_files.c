/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What belongs into an export. On the loop's thread what rows and state files say; in the pool what follows from the evidence. */
#include "export.h"

#include "file.h"
#include "journal.h"
#include "vsa.h"

#include <errno.h>
#include <stdlib.h>

static struct export_file *add_file(struct export *export, char *path)
{
    export->files = mem_reserve(export->files, &export->capacity, export->nfiles + 1, sizeof *export->files);
    struct export_file *file = &export->files[export->nfiles++];
    *file = (struct export_file){.path = path};
    return file;
}

void export_add_text(struct export *export, char *path, struct view text)
{
    buf_add_view(&add_file(export, path)->text, text);
}

void export_add_object(struct export *export, char *path, const struct digest *object)
{
    struct export_file *file = add_file(export, path);
    file->object = *object;
    file->is_object = true;
}

void export_note(struct export *export, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    export->notes = mem_grow(export->notes, export->nnotes + 1, sizeof *export->notes);
    export->notes[export->nnotes++] = mem_vformat(format, args);
    va_end(args);
}

void export_free(struct export *export)
{
    for (size_t i = 0; i < export->nfiles; i++) {
        free(export->files[i].path);
        buf_done(&export->files[i].text);
    }
    for (size_t i = 0; i < export->nnotes; i++)
        free(export->notes[i]);
    free(export->notes);
    free(export->files);
    free(export->to);
    free(export->temp);
    free(export->phase);
    release_free(export->release);
    evidence_done(&export->evidence);
    buf_done(&export->root);
    buf_done(&export->last_bundle);
    verify_result_done(&export->verified);
    free(export);
}

/* ---- on the loop's thread ---- */

static int add_tree_file(struct farm *farm, struct export *export, const struct farm_plan *plan,
                         const char *from, const char *to, struct diag *diag)
{
    CLEANUP_FREE char *tree = plans_tree_path(&plan->plan->tree.sha256);
    CLEANUP_FREE char *path = mem_format("%s/%s", tree, from);
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = file_read(farm->state_dirfd, path, RELEASE_SIZE_MAX, &text, diag);
    if (result >= 0)
        export_add_text(export, mem_string(to), buf_view(&text));
    return result;
}

static int add_root(struct farm *farm, struct export *export, int64_t version, struct digest *ret_digest,
                    struct diag *diag)
{
    CLEANUP_FREE char *path = mem_format(RELEASE_ROOT_FORMAT, (long long)version);
    struct buf text = BUF_INIT;
    char **signatures = NULL;
    size_t nsignatures = 0;
    int result = trust_chain_get(farm, version, &text, &signatures, &nsignatures, diag);
    if (result < 0)
        return diag_wrap(diag, result, "trust root version %lld", (long long)version);
    export_add_text(export, mem_string(path), buf_view(&text));
    for (size_t i = 0; i < nsignatures; i++) {
        export_add_text(export, mem_format("%s.sig.d/%zu.sig", path, i), view_text(signatures[i]));
        free(signatures[i]);
    }
    free(signatures);
    buf_done(&export->root);
    export->root = text; /* the last one stays */
    *ret_digest = digest_of(buf_view(&text));
    return 0;
}

/*
 * From the first on, so that who trusts any of them can follow; and to the release's own and no further, since by a later one people must
 * sign anew.
 */
static int add_roots(struct farm *farm, struct export *export, struct diag *diag)
{
    struct digest digest = {{0}};
    int64_t newest = farm->root != NULL ? farm->root->version : 0;
    int result = 0;
    for (int64_t version = 1; result >= 0 && version <= newest; version++) {
        result = add_root(farm, export, version, &digest, diag);
        if (result >= 0 && digest_equal(&digest, &export->release->root))
            return 0;
    }
    return result < 0
               ? result
               : diag_set(diag, FARM_E_MISSING,
                          "release %s was drafted under a trust root (%s) that was never installed here",
                          export->release->name, digest_hex(&export->release->root).text);
}

static int add_inputs(struct farm *farm, struct export *export, const struct farm_plan *plan,
                      struct diag *diag)
{
    int result = add_tree_file(farm, export, plan, "farm/policy.yml", RELEASE_POLICY, diag);
    if (result >= 0 && !digest_is_zero(&plan->plan->lock))
        result = add_tree_file(farm, export, plan, "farm/farm.lock", RELEASE_LOCK, diag);
    export_add_object(export, mem_string(RELEASE_PLAN), &plan->id);
    export_add_object(export, mem_string(RELEASE_BASE), &plan->plan->base);
    export_add_object(export, mem_string(RELEASE_WORKERS),
                      &export->release->workers); /* as when it was drafted */
    return result;
}

static int add_signature(void *context, const char *signer, const char *signature)
{
    export_add_text(context, mem_format(RELEASE_SIGNATURES "/%.16s.sig", signer), view_text(signature));
    return 0;
}

static void add_packages(struct export *export)
{
    for (size_t i = 0; i < export->release->npackages; i++) {
        const struct release_package *package = &export->release->packages[i];
        export_add_object(export, release_path(RELEASE_ARTIFACTS, package, ".igos.tar.gz"),
                          &package->archive_sha256);
        export_add_object(export, release_path(RELEASE_MANIFESTS, package, ".mtree"), &package->payload);
    }
}

/* Below the release's own checkpoint; without one, below the newest. */
static int gather_evidence(struct farm *farm, struct export *export, struct farm_plan *plan,
                           struct diag *diag)
{
    struct checkpoint checkpoint = export->release->log;
    if (!export->release->has_log && !journal_checkpoint(farm, &checkpoint))
        return diag_set(diag, FARM_E_STATE, "the transparency log has no checkpoint yet; try again");
    return evidence_collect(farm, plan, export->release, checkpoint.size, &export->evidence, diag);
}

int export_gather(struct farm *farm, struct export *export, struct farm_plan *plan, struct diag *diag)
{
    CLEANUP_BUF struct buf manifest = BUF_INIT;
    export_add_object(export, mem_string(RELEASE_FILE), &export->digest);
    release_archive_manifest(export->release, &export->digest, &manifest);
    export_add_text(export, mem_string(RELEASE_ARCHIVE_MANIFEST), buf_view(&manifest));
    add_packages(export);
    int result = db_each_signature_of(farm->db, export->release->name, add_signature, export, diag);
    if (result >= 0)
        result = add_roots(farm, export, diag);
    if (result >= 0)
        result = plans_load_tree(farm, plan, diag);
    if (result >= 0)
        result = add_inputs(farm, export, plan, diag);
    if (result >= 0)
        result = export_gather_log(farm, export, diag);
    return result < 0 ? result : gather_evidence(farm, export, plan, diag);
}

/* ---- in the pool ---- */

struct exporting {
    struct export *export;
    const struct export_writer *writer;
    struct directory *directory;
    struct map *jobs;    /* "tier/name" -> struct evidence_job */
    bool *used;          /* by job: it belongs to the closure of a released package */
    struct map *workers; /* name -> entry: whose answers stand in a receipt */
};

static int find_job(const struct exporting *exporting, const struct release_package *package, size_t *ret,
                    struct diag *diag)
{
    CLEANUP_FREE char *id = mem_format("%s/%s", package->tier, package->name);
    const struct evidence_job *job = map_get(exporting->jobs, view_text(id));
    if (job == NULL)
        return diag_set(diag, FARM_E_CORRUPT, "%s is in the release, but not in its plan", id);
    *ret = (size_t)(job - exporting->export->evidence.jobs);
    return 0;
}

static bool same_operators(const struct evidence_job *job, const struct release_package *package)
{
    bool same = job->noperators == package->noperators;
    for (size_t i = 0; same && i < job->noperators; i++)
        same = strcmp(job->operators[i], package->operators[i]) == 0;
    return same;
}

/* What people signed is what the rows still say: nobody edited them since (D1, D4). */
static int check_package(const struct evidence_job *job, const struct release_package *package,
                         struct diag *diag)
{
    if (job->agreed && digest_equal(&job->key, &package->job) &&
        digest_equal(&job->payload, &package->payload) && digest_equal(&job->tar, &package->tar) &&
        same_operators(job, package) && job->dissent == package->dissent)
        return 0;
    return diag_set(
        diag, FARM_E_CORRUPT,
        "%s: the answers that the database holds below the release's checkpoint do not give what "
        "release.json says of it (%s, %u operators, %u dissent); the database was changed, or the "
        "release was drafted by another coordinator",
        job->id, verdict_state_name(job->verdict), job->support, job->dissent);
}

static int check_packages(const struct exporting *exporting, struct diag *diag)
{
    const struct release *release = exporting->export->release;
    size_t at = 0;
    int result = 0;
    for (size_t i = 0; result >= 0 && i < release->npackages; i++) {
        result = find_job(exporting, &release->packages[i], &at, diag);
        if (result >= 0)
            result = check_package(&exporting->export->evidence.jobs[at], &release->packages[i], diag);
    }
    return result;
}

/* S15: it, and each job that it was built with. */
static int use_job(struct exporting *exporting, size_t at, const struct evidence_job *user, struct diag *diag)
{
    const struct evidence_job *job = &exporting->export->evidence.jobs[at];
    if (exporting->used[at])
        return 0;
    if (!job->agreed)
        return diag_set(
            diag, FARM_E_STATE,
            "%s was built with %s, which is not released itself, and nobody agrees on that any more: "
            "draft a new release",
            user->id, job->id);
    exporting->used[at] = true;
    for (size_t i = 0; i < job->nanswers; i++) {
        const struct evidence_lease *lease = evidence_find_lease(job, &job->answers[i].nonce);
        const struct directory_entry *entry =
            lease != NULL ? directory_find(exporting->directory, lease->worker) : NULL;
        if (entry != NULL)
            map_set(exporting->workers, view_text(entry->worker), (void *)entry);
    }
    return 0;
}

static int use_closure(struct exporting *exporting, size_t at, struct diag *diag)
{
    const struct evidence_job *job = &exporting->export->evidence.jobs[at];
    int result = use_job(exporting, at, job, diag);
    for (size_t i = 0; result >= 0 && i < job->nclosure; i++)
        result = use_job(exporting, job->closure[i], job, diag);
    return result;
}

static int write_summary(const struct exporting *exporting, const struct evidence_job *job,
                         const struct release_package *package, struct diag *diag)
{
    const struct release *release = exporting->export->release;
    struct digest key = keys_id(keys_public(exporting->export->keys));
    size_t nenvelopes;
    CLEANUP_FREE struct digest *envelopes = evidence_envelopes(job, &nenvelopes);
    CLEANUP_FREE char *path = release_path(RELEASE_SUMMARIES, package, ".vsa.jsonl");
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest_hex hex = digest_hex(&key);
    struct vsa_inputs inputs = {.release = release,
                                .package = package,
                                .verifier = release->has_log ? release->log.origin : hex.text,
                                .verified_ms = release->created_ms,
                                .envelopes = envelopes,
                                .nenvelopes = nenvelopes};
    int result = vsa_sign(&inputs, exporting->export->keys, &text, diag);
    return result < 0 ? result
                      : exporting->writer->text(exporting->writer->context, path, buf_view(&text), diag);
}

static int write_receipt(struct exporting *exporting, size_t at, const struct release_package *package,
                         struct diag *diag)
{
    CLEANUP_FREE char *path = release_path(RELEASE_RECEIPTS, package, ".intoto.jsonl");
    CLEANUP_BUF struct buf receipt = BUF_INIT;
    int result = evidence_receipt(&exporting->export->evidence, at, &receipt, diag);
    return result < 0 ? result
                      : exporting->writer->text(exporting->writer->context, path, buf_view(&receipt), diag);
}

static int write_package(struct exporting *exporting, const struct release_package *package,
                         struct diag *diag)
{
    const struct evidence *evidence = &exporting->export->evidence;
    size_t at = 0;
    int result = find_job(exporting, package, &at, diag);
    if (result >= 0)
        result = use_closure(exporting, at, diag);
    if (result >= 0)
        result = write_receipt(exporting, at, package, diag);
    return result < 0 ? result : write_summary(exporting, &evidence->jobs[at], package, diag);
}

static int write_specs(struct exporting *exporting, struct diag *diag)
{
    const struct evidence *evidence = &exporting->export->evidence;
    int result = 0;
    for (size_t i = 0; result >= 0 && i < evidence->njobs; i++) {
        if (!exporting->used[i])
            continue;
        const struct digest *key = &evidence->jobs[i].key;
        CLEANUP_FREE char *path = mem_format(RELEASE_SPECS "/%s.json", digest_hex(key).text);
        result = exporting->writer->object(exporting->writer->context, path, key, diag);
    }
    return result;
}

static int write_key(const struct exporting *exporting, const char *name, const struct public_key *key,
                     struct diag *diag)
{
    CLEANUP_FREE char *path = mem_format(RELEASE_KEYS "/%s.pem", name);
    CLEANUP_BUF struct buf pem = BUF_INIT;
    keys_public_write_pem(key, &pem);
    return exporting->writer->text(exporting->writer->context, path, buf_view(&pem), diag);
}

static int write_keys(const struct exporting *exporting, struct diag *diag)
{
    size_t cursor = 0;
    struct view name;
    void *value;
    int result = write_key(exporting, "coordinator", keys_public(exporting->export->keys), diag);
    while (result >= 0 && map_next(exporting->workers, &cursor, &name, &value)) {
        const struct directory_entry *entry = value;
        result = write_key(exporting, entry->worker, &entry->ed25519, diag);
    }
    return result;
}

static int write_all(struct exporting *exporting, struct diag *diag)
{
    const struct release *release = exporting->export->release;
    int result = check_packages(exporting, diag);
    for (size_t i = 0; result >= 0 && i < release->npackages; i++)
        result = write_package(exporting, &release->packages[i], diag);
    if (result >= 0)
        result = write_specs(exporting, diag);
    return result < 0 ? result : write_keys(exporting, diag);
}

static int judge(struct export *export, struct directory **ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *root = NULL;
    int result = store_get(export->store, &export->release->workers, DIRECTORY_SIZE_MAX, &text, diag);
    if (result >= 0)
        result = root_parse(buf_view(&export->root), "the trust root", &root, diag);
    if (result >= 0)
        result = evidence_read_log(&export->evidence, export->state_dirfd, diag);
    if (result >= 0)
        result = directory_parse(buf_view(&text), RELEASE_WORKERS, ret, diag);
    if (result >= 0)
        evidence_judge(&export->evidence, *ret, root);
    return result;
}

int export_write_evidence(struct export *export, const struct export_writer *writer, struct diag *diag)
{
    struct exporting exporting = {.export = export, .writer = writer};
    int result = judge(export, &exporting.directory, diag);
    if (result < 0)
        return result;
    exporting.used = mem_zero(export->evidence.njobs + 1, sizeof *exporting.used);
    exporting.workers = map_new();
    exporting.jobs = map_new();
    for (size_t i = 0; i < export->evidence.njobs; i++)
        map_set(exporting.jobs, view_text(export->evidence.jobs[i].id), &export->evidence.jobs[i]);
    result = write_all(&exporting, diag);
    map_free(exporting.jobs);
    map_free(exporting.workers);
    free(exporting.used);
    directory_free(exporting.directory);
    return result;
}
