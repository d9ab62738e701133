/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is signed by the fuzzers' own key: envelopes, statements, log entries, notes, proofs, SSHSIG, key files. */
#include "seeds.h"

#include "dsse.h"
#include "enrol.h"
#include "file.h"
#include "fuzz_key.h"
#include "fuzz_log.h"
#include "identity.h"
#include "logentry.h"
#include "logproof.h"
#include "sshsig.h"
#include "statement.h"
#include "waiver.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW    ((int64_t)1795366000000)
#define COMMIT "dbc2f403d7a212fab737a3f7e1775bd9608d5496"

static void must(int result, const struct diag *diag)
{
    if (result < 0)
        fail_msg("%s", diag_text(diag, result));
}

static struct statement statement_of(enum failure_kind failure)
{
    static const struct statement_source sources[] = {{.git = true, .name = ".", .commit = COMMIT},
                                                      {.name = "a.tar.gz"}};
    static const struct statement_dependency dependencies[] = {{.name = "zlib"}};
    static const struct statement_fact facts[] = {{"cpu", "AuthenticAMD"}, {"kernel", "6.1"}};
    return (struct statement){.failure = failure,
                              .package = "a",
                              .version = "1.2",
                              .release = "1",
                              .tier = "extra",
                              .kind = "package",
                              .tree_url = "https://a.org/t",
                              .tree_commit = COMMIT,
                              .sources = sources,
                              .nsources = ARRAY_SIZE(sources),
                              .dependencies = dependencies,
                              .ndependencies = ARRAY_SIZE(dependencies),
                              .worker = "attic",
                              .operator_name = "alice",
                              .started_ms = NOW,
                              .finished_ms = NOW + 5000,
                              .facts = facts,
                              .nfacts = ARRAY_SIZE(facts)};
}

static void put_statement(enum failure_kind failure)
{
    struct statement statement = statement_of(failure);
    CLEANUP_BUF struct buf text = BUF_INIT, envelope = BUF_INIT;
    struct diag diag = DIAG_INIT;
    statement_write(&statement, &text);
    must(statement_sign(&statement, fuzz_key(), &envelope, &diag), &diag);
    seed_put("statement", failure_kind_name(failure), buf_view(&text));
    seed_put("dsse", failure_kind_name(failure), buf_view(&envelope));
}

static void put_entries(void)
{
    for (int kind = 0; kind < LOG_OTHER; kind++) {
        struct logentry entry = {.kind = (enum logentry_kind)kind,
                                 .at_ms = NOW,
                                 .worker = "attic",
                                 .operator_name = "alice",
                                 .state = "answered",
                                 .name = "a",
                                 .verdict = VERDICT_AGREED,
                                 .round = 1,
                                 .operators = 2,
                                 .version = 1};
        CLEANUP_BUF struct buf text = BUF_INIT;
        logentry_write(&entry, &text);
        seed_put("logentry", logentry_kind_name(entry.kind), buf_view(&text));
    }
}

static void put_notes(void)
{
    struct note_key log = {.name = "fuzz/log", .type = NOTE_ED25519, .key = *keys_public(fuzz_key())};
    struct note_key witness = {.name = "op/worker", .type = NOTE_COSIGNATURE, .key = log.key};
    struct checkpoint checkpoint = {.origin = "fuzz/log", .size = 7, .root = digest_of(VIEW("r"))};
    CLEANUP_BUF struct buf key = BUF_INIT, text = BUF_INIT, note = BUF_INIT;
    struct signature signature;
    struct diag diag = DIAG_INIT;
    note_key_write(&log, &key);
    checkpoint_write(&checkpoint, &text);
    must(note_sign_checkpoint(&checkpoint, fuzz_key(), &note, &diag), &diag);
    seed_put("note", "key", buf_view(&key));
    seed_put("note", "checkpoint", buf_view(&text));
    seed_put("note", "signed", buf_view(&note));
    must(note_cosign(&checkpoint, NOW / 1000, fuzz_key(), &signature, &diag), &diag);
    note_write_cosignature(&witness, NOW / 1000, &signature, &note);
    seed_put("note", "cosigned", buf_view(&note));
}

static void put_proof(const char *name, uint64_t size, uint64_t position)
{
    struct fuzz_log *log = fuzz_log_new(size);
    CLEANUP(logproof_done) struct logproof proof = {.position = position};
    struct checkpoint checkpoint = {.origin = "fuzz/log", .size = size, .root = fuzz_log_root(log, size)};
    struct tlog_reader reader = fuzz_log_reader(log);
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    fuzz_log_entry(position, &proof.entry);
    must(tlog_prove_inclusion(&reader, size, position, &proof.proof, &diag), &diag);
    must(note_sign_checkpoint(&checkpoint, fuzz_key(), &proof.note, &diag), &diag);
    logproof_write(&proof, &text);
    seed_put("logproof", name, buf_view(&text));
    fuzz_log_free(log);
}

static void put_waiver(void)
{
    struct waiver waiver = {.package = (char *)"extra/a",
                            .version = (char *)"1.2",
                            .reason = (char *)"because",
                            .created_ms = NOW,
                            .expires_ms = NOW + 1000000};
    CLEANUP_BUF struct buf text = BUF_INIT, file = BUF_INIT, armored = BUF_INIT;
    struct diag diag = DIAG_INIT;
    waiver_write(&waiver, &text);
    seed_put("waiver", "text", buf_view(&text));
    must(sshsig_sign(fuzz_key(), SSHSIG_NAMESPACE_WAIVER, buf_view(&text), &armored, &diag), &diag);
    waiver_add_signature(&waiver, buf_view(&armored));
    CLEANUP_JSON json_t *value = waiver_json(&waiver);
    json_write(value, &file);
    seed_put("waiver", "file", buf_view(&file));
    free(waiver.signatures[0]);
    free(waiver.signatures);
}

static void put_key_file(int dirfd, const char *path, const char *name)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    must(file_read(dirfd, path, 16 * 1024, &text, &diag), &diag);
    seed_put("sshkey", name, buf_view(&text));
}

static void put_keys(void)
{
    char place[] = "/tmp/farm-fuzz-seeds.XXXXXX";
    CLEANUP_BUF struct buf pem = BUF_INIT, armored = BUF_INIT;
    struct identity *identity = identity_generate("attic", true);
    struct diag diag = DIAG_INIT;
    assert_non_null(mkdtemp(place));
    CLEANUP_CLOSE int dirfd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(ssh_private_key_write(fuzz_key(), "fuzz", dirfd, "key", &diag), &diag);
    must(identity_write(identity, dirfd, "machine", &diag), &diag);
    put_key_file(dirfd, "key", "private");
    put_key_file(dirfd, "key.pub", "public");
    put_key_file(dirfd, "machine", "machine");
    keys_public_write_pem(keys_public(fuzz_key()), &pem);
    seed_put("sshkey", "pem", buf_view(&pem));
    must(sshsig_sign(fuzz_key(), SSHSIG_NAMESPACE_RELEASE, VIEW("a text\n"), &armored, &diag), &diag);
    seed_put("sshsig", "good", buf_view(&armored));
    must(file_remove_tree(AT_FDCWD, place, &diag), &diag);
    identity_free(identity);
}

static void put_request(void)
{
    struct facts facts = {.cpu_vendor = "AuthenticAMD", .kernel = "6.1"};
    struct identity *identity = identity_generate("attic", true);
    CLEANUP_BUF struct buf request = BUF_INIT, code = BUF_INIT;
    enrol_write_request(identity, "alice", &facts, "cellar", &request);
    enrol_write_code(buf_view(&request), &code);
    seed_put("request", "json", buf_view(&request));
    seed_put("request", "code", buf_view(&code));
    identity_free(identity);
}

void seeds_signed(void)
{
    put_statement(FAILURE_NONE);
    put_statement(FAILURE_ASSERTION);
    put_entries();
    put_notes();
    put_proof("first", 1, 0);
    put_proof("some", 300, 77);
    put_waiver();
    put_keys();
    put_request();
    seed_put("sshwire", "strings", view_of("\0\0\0\3abc\0\0\0\0\0\0\1\0", 15));
    seed_put("sshwire", "base64", VIEW("QUJDRA=="));
    seed_put("sshwire", "armor", VIEW("-----BEGIN A TEST-----\nQUJD\n-----END A TEST-----\n"));
}
