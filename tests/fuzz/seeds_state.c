/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files of state directories: what a verifier and a worker keep. */
#include "seeds.h"

#include "alarm.h"
#include "fuzz_key.h"
#include "fuzz_log.h"
#include "fuzz_summary.h"
#include "spool.h"
#include "tally.h"
#include "witness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define PIN  "0102030000000000000000000000000000000000000000000000000000000000"
#define WHEN "\"2026-11-22T00:00:00Z\""

static void put_state(unsigned char which, const char *name, struct view text)
{
    CLEANUP_BUF struct buf seed = BUF_INIT;
    buf_add_byte(&seed, (char)which);
    buf_add_view(&seed, text);
    seed_put("workerstate", name, buf_view(&seed));
}

static void put_alarm(void)
{
    struct alarm alarm = ALARM_NONE;
    CLEANUP_BUF struct buf text = BUF_INIT;
    alarm_set(&alarm, ALARM_FORK, "120 entries", "119 entries\n", VIEW("kept\n"), VIEW("shown\n"));
    alarm_write(&alarm, &text);
    put_state(0, "alarm", buf_view(&text));
    alarm_done(&alarm);
}

static void put_spooled(void)
{
    struct spool_entry entry = {.node = (char *)"extra/a", .envelope = (char *)"{}"};
    CLEANUP_BUF struct buf text = BUF_INIT;
    spool_entry_write(&entry, &text);
    put_state(1, "spool", buf_view(&text));
}

static void put_tally(void)
{
    struct tally tally = {.since_ms = 1795366000000, .accepted = 3};
    const struct tally_slot slots[] = {{"building", "extra/a", PIN, 1000}};
    const struct tally_now now = {"attic", "alice", "a:1",         "running", "connected", "",
                                  "",      "",      1795366000000, 0,         slots,       1};
    CLEANUP_BUF struct buf text = BUF_INIT;
    tally_add_refusal(&tally, 1795366000000, "extra/a", "why");
    tally_write(&tally, &now, &text);
    put_state(2, "status", buf_view(&text));
}

static void put_gate(void)
{
    seed_put("gatestate", "one",
             VIEW("{\"directory\":\"" PIN
                  "\",\"directory_version\":1,\"format\":\"intergenos-verify-state/2\","
                  "\"log\":{\"origin\":\"fuzz/log\",\"root\":\"" PIN "\",\"size\":1234},\"release\":\"" PIN
                  "\",\"root\":\"" PIN "\",\"root_version\":1,\"sequence\":1,\"time\":" WHEN "}"));
    seed_put("gatestate", "old",
             VIEW("{\"directory\":\"" PIN
                  "\",\"directory_version\":1,\"format\":\"intergenos-verify-state/1\",\"release\":\"" PIN
                  "\",\"root\":\"" PIN "\",\"root_version\":1,\"sequence\":1,\"time\":" WHEN "}"));
}

static void put_trust(const char *name, struct view file)
{
    CLEANUP_BUF struct buf seed = BUF_INIT;
    seed_add_chunk(&seed, file);
    seed_add_chunk(&seed, VIEW("{}"));
    buf_add_text(&seed, "{}");
    seed_put("trust", name, buf_view(&seed));
}

static void put_trusts(void)
{
    put_trust("none", VIEW("{\"directory\":null,\"format\":\"intergenos-worker-trust/1\",\"pinned\":\"" PIN
                           "\",\"root\":null,\"seen\":" WHEN "}"));
    put_trust("directory",
              VIEW("{\"directory\":{\"compromised_from\":-1,\"digest\":\"" PIN "\",\"entry_expires\":" WHEN
                   ",\"expires\":" WHEN ",\"listed\":true,\"root\":2,\"version\":5},\"format\":"
                   "\"intergenos-worker-trust/1\",\"pinned\":\"" PIN "\",\"root\":null,\"seen\":" WHEN "}"));
}

static void sign(struct fuzz_log *log, uint64_t size, struct buf *ret, struct checkpoint *ret_checkpoint)
{
    *ret_checkpoint =
        (struct checkpoint){.origin = "fuzz/log", .size = size, .root = fuzz_log_root(log, size)};
    assert_int_equal(note_sign_checkpoint(ret_checkpoint, fuzz_key(), ret, NULL), 0);
}

/* A log that has grown from 100 to 300 entries. */
static void put_witness(void)
{
    struct fuzz_log *log = fuzz_log_new(300);
    struct tlog_reader reader = fuzz_log_reader(log);
    struct tlog_proof proof;
    struct checkpoint shown;
    struct witness witness = WITNESS_INIT;
    CLEANUP_BUF struct buf kept = BUF_INIT, note = BUF_INIT, file = BUF_INIT, seed = BUF_INIT;
    sign(log, 100, &kept, &witness.kept);
    sign(log, 300, &note, &shown);
    witness.note = kept.data;
    witness_write(&witness, &file);
    assert_int_equal(tlog_prove_consistency(&reader, 100, 300, &proof, NULL), 0);
    seed_add_chunk(&seed, buf_view(&file));
    seed_add_chunk(&seed, buf_view(&note));
    seed_add_chunk(&seed, view_of(proof.hashes, proof.count * DIGEST_SIZE));
    seed_add_chunk(&seed, VIEW_NONE);
    seed_put("witness", "grown", buf_view(&seed));
    buf_clear(&seed);
    seed_add_chunk(&seed, buf_view(&file));
    seed_add_chunk(&seed, buf_view(&kept));
    seed_put("witness", "same", buf_view(&seed));
    fuzz_log_free(log);
}

static void put_summary(void)
{
    struct vsa_inputs inputs = fuzz_summary();
    CLEANUP_BUF struct buf text = BUF_INIT;
    assert_int_equal(vsa_sign(&inputs, fuzz_key(), &text, NULL), 0);
    seed_put("vsa", "both", buf_view(&text));
}

void seeds_state(void)
{
    put_alarm();
    put_spooled();
    put_tally();
    put_gate();
    put_trusts();
    put_witness();
    put_summary();
}
