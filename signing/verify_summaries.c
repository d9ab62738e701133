/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * summaries/ and keys/: the farm's word for other people's tools. Nothing is decided by them; but whoever has such a tool believes
 * them, so each must be exactly what follows from the release and its receipts, signed by the log's key, and each PEM file the key that root
 * or directory name. An export without them is complete all the same, and a note says so.
 */
#include "verify_private.h"

#include "parallel.h"
#include "vsa.h"

#include <stdlib.h>

enum {
    SUMMARY_SIZE_MAX = 2 * DSSE_ENVELOPE_MAX + 2, /* two lines */
    PEM_SIZE_MAX = 1024                           /* one key is 113 bytes */
};
#define COORDINATOR_PEM RELEASE_KEYS "/coordinator.pem"

/* ---- keys ---- */

static void expect_worker(struct verify_run *run, const char *worker)
{
    const struct directory_entry *entry = directory_find(run->directory, worker);
    if (entry == NULL)
        return; /* its answers count for nothing, and nobody says what its key is */
    CLEANUP_FREE char *file = mem_format("%s/%s.pem", RELEASE_KEYS, worker);
    map_set(run->key_files, view_text(file), (void *)&entry->ed25519);
}

/* Whose answer stands in a receipt. */
static void expect_workers(struct verify_run *run)
{
    for (size_t i = 0; i < run->njobs; i++) {
        const struct receipt *evidence = &run->jobs[i].evidence;
        for (size_t k = 0; run->jobs[i].used && k < evidence->nleases; k++)
            if (evidence->leases[k].outcome == OUTCOME_ANSWERED ||
                evidence->leases[k].outcome == OUTCOME_LATE)
                expect_worker(run, evidence->leases[k].worker);
    }
}

static bool read_key(struct verify_run *run, const char *file, struct public_key *ret)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    if (!verify_read(run, file, PEM_SIZE_MAX, &text))
        return false;
    int result = keys_public_read_pem(buf_view(&text), ret, &diag);
    if (result < 0)
        verify_failure(run, file, "key", result, &diag);
    return result >= 0;
}

static void check_key(struct verify_run *run, const char *file, const struct public_key *expected)
{
    struct public_key found;
    if (read_key(run, file, &found) && !keys_public_equal(&found, expected))
        verify_problem(run, file, "key", "this is another key than the one that %s names",
                       strcmp(file, COORDINATOR_PEM) == 0 ? "the trust root" : "the worker directory");
}

static void check_keys(struct verify_run *run)
{
    size_t cursor = 0;
    struct view file;
    void *key;
    expect_workers(run);
    if (run->has_log)
        map_set(run->key_files, VIEW(COORDINATOR_PEM), &run->root->log.key.key);
    while (map_next(run->key_files, &cursor, &file, &key)) {
        CLEANUP_FREE char *path = view_string(file);
        check_key(run, path, key);
    }
}

/* ---- summaries ---- */

struct signer {
    struct verify_run *run;
    struct public_key key;
    const char *name; /* behind VSA_VERIFIER */
};

static struct digest *envelopes_of(const struct verify_job *job, size_t *ret_count)
{
    const struct receipt *evidence = &job->evidence; /* sorted by digest */
    struct digest *digests = mem_zero(evidence->nenvelopes + 1, sizeof *digests);
    for (size_t i = 0; i < evidence->nenvelopes; i++)
        digests[i] = evidence->envelopes[i].digest;
    *ret_count = evidence->nenvelopes;
    return digests;
}

static void check_summary(void *context, size_t index)
{
    const struct signer *signer = context;
    struct verify_run *run = signer->run;
    const struct release_package *package = &run->release->packages[index];
    const struct verify_job *job = verify_find_job(run, &package->job);
    CLEANUP_FREE char *file = release_path(RELEASE_SUMMARIES, package, ".vsa.jsonl");
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    if (job == NULL || !verify_read(run, file, SUMMARY_SIZE_MAX, &text))
        return;
    struct vsa_inputs inputs = {.release = run->release,
                                .package = package,
                                .verifier = signer->name,
                                .verified_ms = run->release->created_ms};
    CLEANUP_FREE struct digest *envelopes = envelopes_of(job, &inputs.nenvelopes);
    inputs.envelopes = envelopes;
    int result = vsa_check(buf_view(&text), file, &inputs, &signer->key, &diag);
    if (result < 0)
        verify_failure(run, file, "summary", result, &diag);
}

static void check_summaries(struct verify_run *run)
{
    struct signer signer = {.run = run};
    struct digest_hex hex;
    if (run->has_log) {
        signer.key = run->root->log.key.key;
        signer.name = run->root->log.key.name;
    } else {
        if (!read_key(run, COORDINATOR_PEM, &signer.key))
            return;
        struct digest id = keys_id(&signer.key);
        hex = digest_hex(&id);
        signer.name = hex.text;
        verify_note(run, "The summaries are signed by " COORDINATOR_PEM
                         ", a key that the trust root does not name: they "
                         "prove nothing to others.");
    }
    parallel_each(run->release->npackages, run->options->threads, check_summary, &signer);
}

void verify_summaries(struct verify_run *run)
{
    run->key_files = map_new();
    if (verify_exists(run, RELEASE_KEYS))
        check_keys(run);
    if (verify_exists(run, RELEASE_SUMMARIES))
        check_summaries(run);
    else
        verify_note(run, "There are no summaries for other tools in this export.");
}
