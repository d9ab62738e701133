/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * D6, what a worker keeps: its keys and configuration (init), answers in the spool, the trust root, the witness's checkpoint. None of it
 * goes back behind what was told to somebody, and a file that is there is whole: a worker refuses damaged ones, and would not start.
 */
#include "fault_run.h"

#include "enrol.h"
#include "farm_fixture.h"
#include "file.h"
#include "spool.h"
#include "statedir.h"
#include "trust.h"
#include "watched_log.h"
#include "witness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void prepare_statedir(void)
{
    struct diag diag = DIAG_INIT;
    FAULT_MUST(statedir_fill(fault_dirfd, &diag), &diag);
}

/* ---- init ---- */

static char worker_path[96];
static FILE *nowhere;

static void prepare_init(void)
{
    snprintf(worker_path, sizeof worker_path, "%s/worker", fault_directory);
    nowhere = fopen("/dev/null", "w");
    FAULT_EXPECT(nowhere != NULL, "/dev/null");
}

static int init(struct diag *diag)
{
    struct enrol enrol = {
        .state = worker_path,
        .wish = {.join = {.endpoint = "farm.example.org:7100"}, .operator_name = "alice", .name = "attic"}};
    enrol.wish.join.curve[0] = 1;
    return enrol_run(&enrol, nowhere, diag);
}

/* What the owner takes to the farm; it must stay this worker's. */
static void read_request(struct buf *ret)
{
    CLEANUP_FREE char *path = mem_format("%s/" STATEDIR_REQUEST, worker_path);
    struct diag diag = DIAG_INIT;
    FAULT_MUST(file_read(AT_FDCWD, path, FAULT_NOTES, ret, &diag), &diag);
}

static int run_init(struct fault_trial *trial, struct diag *diag)
{
    CLEANUP_BUF struct buf request = BUF_INIT;
    fault_arm(trial);
    int result = init(diag);
    if (result < 0)
        return result;
    fault_end();
    read_request(&request);
    memcpy(trial->notes, request.data, request.size);
    atomic_store(&trial->acknowledged, request.size);
    return 0;
}

static void check_init(const struct fault_trial *trial)
{
    CLEANUP_BUF struct buf request = BUF_INIT, key = BUF_INIT;
    struct diag diag = DIAG_INIT;
    struct identity *identity = NULL;
    CLEANUP_CLOSE int fd = -1;
    bool acknowledged = atomic_load(&trial->acknowledged) > 0;
    FAULT_EXPECT(!acknowledged || statedir_open(worker_path, &fd, &diag) >= 0, "%s", diag.text);
    mem_close_p(&fd);
    FAULT_MUST(init(&diag), &diag);
    read_request(&request);
    FAULT_EXPECT(!acknowledged || (request.size == atomic_load(&trial->acknowledged) &&
                                   memcmp(request.data, trial->notes, request.size) == 0),
                 "it is another worker now");
    FAULT_MUST(statedir_open(worker_path, &fd, &diag), &diag);
    /* Root's worker becomes a user of its own, whose key it is by now. */
    FAULT_EXPECT(fchownat(fd, STATEDIR_KEY, geteuid(), getegid(), 0) == 0, STATEDIR_KEY " is not there");
    FAULT_MUST(identity_read(fd, STATEDIR_KEY, &identity, &diag), &diag);
    char hex[2 * KEYS_PUBLIC_SIZE + 1];
    hex_encode(keys_public(identity_keys(identity))->bytes, KEYS_PUBLIC_SIZE, hex);
    FAULT_EXPECT(strstr(request.data, hex) != NULL, "the request names other keys than " STATEDIR_KEY);
    identity_free(identity);
}

/* ---- spool ---- */

enum { ANSWERS = 3 };

static struct spool_entry spool_entry(unsigned char number)
{
    struct spool_entry entry = {.failure = FAILURE_NONE,
                                .node = (char *)"extra/zlib",
                                .envelope = (char *)"{\"payload\":\"\\\"x\\\"\"}"};
    memset(entry.nonce.bytes, number, sizeof entry.nonce.bytes);
    entry.job = digest_of(view_of(&number, 1));
    entry.manifest = entry.tar = entry.log = entry.job;
    return entry;
}

static int run_spool(struct fault_trial *trial, struct diag *diag)
{
    int result = 0;
    fault_arm(trial);
    for (unsigned char i = 0; result >= 0 && i < ANSWERS; i++) {
        struct spool_entry entry = spool_entry(i);
        result = spool_put(fault_dirfd, &entry, diag);
        if (result >= 0)
            atomic_fetch_or(&trial->acknowledged, (uint64_t)1 << i);
    }
    struct spool_entry first = spool_entry(0);
    return result >= 0 ? spool_remove(fault_dirfd, &first.nonce, diag) : result;
}

/* As a bit for each answer. */
static uint64_t load_spool(void)
{
    struct spool_entry **entries = NULL;
    struct diag diag = DIAG_INIT;
    size_t count = 0;
    uint64_t found = 0;
    FAULT_MUST(spool_load(fault_dirfd, &entries, &count, &diag), &diag);
    for (size_t i = 0; i < count; i++) {
        struct spool_entry expected = spool_entry(entries[i]->nonce.bytes[0]);
        FAULT_EXPECT(digest_equal(&expected.job, &entries[i]->job) &&
                         strcmp(expected.envelope, entries[i]->envelope) == 0,
                     "another answer than was put");
        found |= (uint64_t)1 << entries[i]->nonce.bytes[0];
        spool_entry_free(entries[i]);
    }
    free(entries);
    return found;
}

static void check_spool(const struct fault_trial *trial)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *damaged = mem_format("ls %s/spool | grep -q damaged", fault_directory);
    uint64_t wanted = atomic_load(&trial->acknowledged) & ~(uint64_t)1; /* the first one is being removed */
    uint64_t found = load_spool();
    FAULT_EXPECT((found & wanted) == wanted, "an answer that was kept is gone: %#llx of %#llx",
                 (unsigned long long)found, (unsigned long long)wanted);
    FAULT_EXPECT(system(damaged) != 0, "an answer was there in part");
    for (unsigned char i = 0; i < ANSWERS; i++) {
        struct spool_entry entry = spool_entry(i);
        FAULT_MUST(spool_put(fault_dirfd, &entry, &diag), &diag);
    }
    FAULT_EXPECT(load_spool() == (1 << ANSWERS) - 1, "not every answer can be put");
}

/* ---- trust: the chain of roots, saved after each ---- */

enum { ROOTS = 4 };

static struct farm_fixture *farm;
static struct trust_self self;

struct shown_root {
    struct buf text;
    char *signatures[2];
};
static struct shown_root roots[ROOTS];

static void prepare_trust(void)
{
    prepare_statedir();
    farm = farm_fixture_new();
    for (size_t i = 0; i < ROOTS; i++) {
        farm->root->version = (int64_t)i + 1;
        root_write(farm->root, &roots[i].text);
        for (size_t k = 0; k < 2; k++)
            roots[i].signatures[k] =
                farm_fixture_sign(farm->people[k], SSHSIG_NAMESPACE_ROOT, buf_view(&roots[i].text));
    }
    self = (struct trust_self){.worker = "alpha-1",
                               .operator_name = "alpha",
                               .ed25519 = *keys_public(identity_keys(farm->workers[0])),
                               .curve = identity_curve_public(farm->workers[0]),
                               .pinned = digest_of(buf_view(&roots[0].text))};
}

static struct trust *open_trust(void)
{
    struct diag diag = DIAG_INIT;
    struct trust *trust = NULL;
    FAULT_MUST(trust_open(fault_dirfd, &self, &trust, &diag), &diag);
    return trust;
}

/* Is shown version 'version', believes it, keeps it. */
static int follow(struct trust *trust, size_t version, struct diag *diag)
{
    const struct shown_root *root = &roots[version - 1];
    const struct view signatures[] = {view_text(root->signatures[0]), view_text(root->signatures[1])};
    struct trust_finding finding = TRUST_FINDING_INIT;
    struct trust_answer answer = {.newest = ROOTS + 1,
                                  .version = version,
                                  .root = buf_view(&root->text),
                                  .signatures = signatures,
                                  .nsignatures = ARRAY_SIZE(signatures)};
    trust_on_answer(trust, &answer, FIXTURE_NOW, &finding);
    FAULT_EXPECT(finding.move == TRUST_ASK && finding.changed, "version %zu: %s", version, finding.why.text);
    trust_finding_done(&finding);
    return trust_save(trust, fault_dirfd, diag);
}

static int run_trust(struct fault_trial *trial, struct diag *diag)
{
    struct trust *trust = open_trust();
    int result = 0;
    fault_arm(trial);
    for (size_t version = 1; result >= 0 && version <= ROOTS; version++) {
        result = follow(trust, version, diag);
        if (result >= 0)
            atomic_store(&trial->acknowledged, version);
    }
    return result;
}

static void check_trust(const struct fault_trial *trial)
{
    struct diag diag = DIAG_INIT;
    struct trust *trust = open_trust();
    uint64_t known = trust_asks(trust), acknowledged = atomic_load(&trial->acknowledged);
    FAULT_EXPECT(known >= acknowledged, "root %llu was kept, and %llu is there (K4)",
                 (unsigned long long)acknowledged, (unsigned long long)known);
    for (size_t version = known + 1; version <= ROOTS; version++)
        FAULT_MUST(follow(trust, version, &diag), &diag);
    trust_close(trust);
    trust = open_trust();
    FAULT_EXPECT(trust_root(trust) != NULL && trust_root(trust)->version == ROOTS,
                 "the last root was not kept");
    trust_close(trust);
}

/* ---- witness: acknowledgements and checkpoints, saved before anything is said ---- */

enum { STEPS = 4 };
#define ORIGIN "intergenos-farm/test"

static struct watched_log history;
static struct root_log root_log;

static void prepare_witness(void)
{
    prepare_statedir();
    watched_log_init(&history, ORIGIN, 1);
    for (unsigned char i = 0; i < STEPS; i++) {
        (void)watched_log_add_answer(&history, LOG_ENVELOPE, i);
        watched_log_grow(&history, 3);
    }
    root_log = watched_log_root(&history);
}

static uint64_t entry_of_step(size_t step)
{
    return 4 * step; /* an answer and three of others */
}

/* The acknowledgement of an answer, kept; then a checkpoint that proves it, kept. */
static int watch(struct witness *witness, size_t step, struct diag *diag)
{
    struct witness_finding finding = WITNESS_FINDING_INIT, proven = WITNESS_FINDING_INIT;
    struct witness_ack ack = {watched_nonce((unsigned char)step),
                              watched_envelope((unsigned char)step),
                              1 + entry_of_step(step),
                              true,
                              {{0}}};
    struct witness_ask asked;
    witness_on_ack(witness, &ack, &finding);
    witness_finding_done(&finding);
    int result = witness_save(fault_dirfd, witness, diag);
    if (result < 0)
        return result;
    witness_make_ask(witness, &asked);
    struct watched_answer *answer = watched_log_answer(&history, &asked, entry_of_step(step + 1));
    witness_on_answer(witness, &root_log, &asked, &answer->answer, &proven);
    FAULT_EXPECT(proven.move == WITNESS_COSIGN, "step %zu: move %d: %s", step, (int)proven.move,
                 proven.why.text);
    watched_answer_free(answer);
    witness_finding_done(&proven);
    return witness_save(fault_dirfd, witness, diag);
}

static int run_witness(struct fault_trial *trial, struct diag *diag)
{
    struct witness witness = WITNESS_INIT;
    int result = 0;
    strcpy(witness.kept.origin, ORIGIN);
    fault_arm(trial);
    for (size_t step = 0; result >= 0 && step < STEPS; step++) {
        result = watch(&witness, step, diag);
        if (result >= 0)
            atomic_store(&trial->acknowledged, witness.kept.size);
    }
    return result;
}

static void check_witness(const struct fault_trial *trial)
{
    struct diag diag = DIAG_INIT;
    struct witness witness = WITNESS_INIT;
    FAULT_MUST(witness_load(fault_dirfd, &witness, &diag), &diag);
    FAULT_EXPECT(witness.kept.size >= atomic_load(&trial->acknowledged),
                 "%llu entries were cosigned, and %llu are known: another history could be cosigned",
                 (unsigned long long)atomic_load(&trial->acknowledged),
                 (unsigned long long)witness.kept.size);
    strcpy(witness.kept.origin, ORIGIN);
    for (size_t step = (size_t)witness.kept.size / 4; step < STEPS; step++)
        FAULT_MUST(watch(&witness, step, &diag), &diag);
    witness_done(&witness);
    FAULT_MUST(witness_load(fault_dirfd, &witness, &diag), &diag);
    FAULT_EXPECT(witness.kept.size == entry_of_step(STEPS) && witness.nunproven == 0,
                 "not all of it was kept");
    witness_done(&witness);
}

int main(int argc, char **argv)
{
    enum { CLASSES = FAULT_DISK | 1 << FAULT_ALLOC };
    static const struct fault_operation operations[] = {
        {"worker-init", CLASSES, prepare_init, run_init, check_init, 0},
        {"spool", CLASSES, prepare_statedir, run_spool, check_spool, 0},
        {"trust", CLASSES, prepare_trust, run_trust, check_trust, 0},
        {"witness", CLASSES, prepare_witness, run_witness, check_witness, 0},
    };
    return fault_main(argc, argv, operations, ARRAY_SIZE(operations));
}
