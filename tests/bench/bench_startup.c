/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bench_startup: what a coordinator's distrust of its own database costs at start, per 10,000 results: really signed answers of two
 * operators to 5,000 jobs, with leases, votes, verdicts and the log's entries, in a real database.
 *
 *   startup_all        farm_open() to the first turn, all of the below and the sockets
 *   startup_journal    the log recomputed from its rows, compared with the checkpoint, all tiles verified
 *   startup_audit      every envelope hashed, its signature verified (on all cores), its statement parsed and held against its row;
 *                      votes and verdicts recomputed
 *   startup_log        rows and log against each other
 *
 * The reference, in the same run: as many plain Ed25519 verifications (libsodium's) of that size, on one core. JSON lines
 * (bench.h), of seconds; "_cpu" is processor time.
 */
#include "farm_rig.h"

#include "bench.h"

#include <getopt.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { RESULTS = 10000, JOBS_A_TURN = 250 };

/* Wall time, and processor time of all threads: what others do on the machine shows in the first alone. */
struct spent {
    double wall, cpu;
};

static struct spent now(void)
{
    return (struct spent){bench_wall(), bench_cpu()};
}

static struct spent since(struct spent start)
{
    struct spent end = now();
    return (struct spent){end.wall - start.wall, end.cpu - start.cpu};
}

static void must(int result, const struct diag *diag)
{
    if (result >= 0)
        return;
    fprintf(stderr, "bench_startup: %s\n", diag_text(diag, result));
    exit(1);
}

static void print(const char *name, struct spent value, struct spent plain)
{
    CLEANUP_FREE char *cpu = mem_format("%s_cpu", name);
    bench_print(name, value.wall, "s", value.wall / plain.wall, "plain verifications on one processor");
    bench_print(cpu, value.cpu, "s", value.cpu / plain.cpu, "plain verifications on one processor");
}

/* ---- the rows, as the coordinator writes them ---- */

static struct digest name_of(const char *what, size_t number)
{
    CLEANUP_FREE char *text = mem_format("%s %zu", what, number);
    return digest_of(view_text(text));
}

static uint64_t log_nonce(struct rig *rig, enum logentry_kind kind, const struct digest *nonce,
                          const struct digest *job, const struct digest *sha256)
{
    struct logentry entry = {.kind = kind, .state = "answered"};
    if (sha256 != NULL) {
        entry.sha256 = *sha256;
        entry.job = *job;
    }
    memcpy(entry.nonce.bytes, nonce->bytes, sizeof entry.nonce.bytes);
    return journal_add(rig->farm, &entry);
}

static void put_lease(struct rig *rig, const struct digest *job, const struct digest *nonce, size_t worker)
{
    struct logentry entry = {.kind = LOG_LEASE,
                             .job = *job,
                             .round = 1,
                             .worker = fixture_workers[worker],
                             .operator_name = fixture_operators[worker]};
    memcpy(entry.nonce.bytes, nonce->bytes, sizeof entry.nonce.bytes);
    struct db_lease row = {.nonce = *nonce,
                           .job = *job,
                           .round = 1,
                           .worker = fixture_workers[worker],
                           .operator_name = fixture_operators[worker],
                           .state = "live",
                           .granted_ms = 1,
                           .deadline_ms = 2,
                           .position = (int64_t)journal_add(rig->farm, &entry)};
    db_put_lease(farm_write(rig->farm), &row);
}

/* Returns the envelope's size. */
static size_t put_answer(struct rig *rig, const struct digest *job, const struct digest *nonce, size_t worker)
{
    const struct rig_package *package = &rig->packages[RIG_APPB];
    struct rig_answer answer = {.package = RIG_APPB, .nonce = *nonce, .job = job};
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    rig_sign(rig, worker, &answer, &envelope);
    struct digest digest = digest_of(buf_view(&envelope));
    struct db_attestation row = {.digest = digest,
                                 .nonce = *nonce,
                                 .payload = package->payload.manifest,
                                 .tar = package->payload.tar,
                                 .log = digest_of(VIEW("log")),
                                 .failure = "none",
                                 .fate = "counted",
                                 .duration_ms = 1,
                                 .received_ms = 2,
                                 .position = (int64_t)log_nonce(rig, LOG_ENVELOPE, nonce, job, &digest),
                                 .envelope = buf_view(&envelope)};
    struct db_vote vote = {
        .job = *job, .attestation = digest, .round = 1, .operator_name = fixture_operators[worker]};
    struct db *db = farm_write(rig->farm);
    db_put_attestation(db, &row);
    db_put_vote(db, &vote);
    db_end_lease(db, nonce, "answered", "", 2);
    (void)log_nonce(rig, LOG_LEASE_END, nonce, NULL, NULL);
    return envelope.size;
}

static void put_verdict(struct rig *rig, const struct digest *job)
{
    struct db_verdict row = {.job = *job,
                             .payload = rig->packages[RIG_APPB].payload.manifest,
                             .round = 1,
                             .operators = 2,
                             .state = "agreed",
                             .decided_ms = 3};
    struct logentry entry = {.kind = LOG_VERDICT,
                             .job = *job,
                             .payload = row.payload,
                             .round = 1,
                             .operators = 2,
                             .verdict = VERDICT_AGREED};
    row.settled_size = journal_add(rig->farm, &entry) + 1;
    db_put_verdict(farm_write(rig->farm), &row);
}

static size_t put_job(struct rig *rig, size_t number)
{
    struct digest job = name_of("job", number), nonces[2];
    size_t size = 0;
    db_put_job(farm_write(rig->farm), &job, "extra/appb", 1);
    for (size_t i = 0; i < 2; i++) {
        nonces[i] = name_of("nonce", 2 * number + i);
        put_lease(rig, &job, &nonces[i], i);
    }
    for (size_t i = 0; i < 2; i++)
        size = put_answer(rig, &job, &nonces[i], i);
    put_verdict(rig, &job);
    return size;
}

static size_t fill(struct rig *rig, size_t jobs)
{
    size_t size = 0;
    for (size_t i = 0; i < jobs; i++) {
        size = put_job(rig, i);
        if (i % JOBS_A_TURN == 0)
            rig_turn(rig);
    }
    rig_publish(rig);
    return size;
}

/* ---- measuring ---- */

static struct spent reference(struct rig *rig, size_t count, size_t size)
{
    const struct key_pair *keys = identity_keys(rig->keys->workers[0]);
    CLEANUP_FREE char *bytes = mem_zero(size, 1);
    struct signature signature;
    struct diag diag = DIAG_INIT;
    must(keys_sign(keys, view_of(bytes, size), &signature, &diag), &diag);
    struct spent start = now();
    for (size_t i = 0; i < count; i++)
        if (crypto_sign_verify_detached(signature.bytes, (unsigned char *)bytes, size,
                                        keys_public(keys)->bytes) < 0)
            abort();
    return since(start);
}

static struct spent timed(struct rig *rig, int (*work)(struct farm *farm, struct diag *diag))
{
    struct diag diag = DIAG_INIT;
    struct spent start = now();
    must(work(rig->farm, &diag), &diag);
    return since(start);
}

static int reopen_journal(struct farm *farm, struct diag *diag)
{
    return journal_open(farm, diag);
}

static void measure(size_t results)
{
    struct rig *rig = rig_new();
    struct diag diag = DIAG_INIT;
    size_t size = fill(rig, results / 2);
    uint64_t entries = journal_size(rig->farm);
    struct spent plain = reference(rig, results, size);
    bench_print("startup_reference", plain.wall, "s", 0, NULL);
    bench_print("startup_results", (double)results, "results", 0, NULL);
    bench_print("startup_envelope", (double)size, "bytes", 0, NULL);
    bench_print("startup_log_entries", (double)entries, "entries", 0, NULL);
    rig_stop(rig);
    struct spent start = now();
    must(rig_start(rig, &diag), &diag);
    print("startup_all", since(start), plain);
    journal_close(rig->farm);
    print("startup_journal", timed(rig, reopen_journal), plain);
    print("startup_audit", timed(rig, startup_audit), plain);
    print("startup_log", timed(rig, startup_check_log), plain);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"results", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
    size_t results = RESULTS;
    for (int option; (option = getopt_long(argc, argv, "r:", options, NULL)) != -1;) {
        if (option != 'r')
            return FARM_EXIT_CANNOT_RUN;
        results = strtoul(optarg, NULL, 10);
    }
    measure(results);
    return FARM_EXIT_OK;
}
