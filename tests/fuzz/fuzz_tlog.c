/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Proofs of the log: the honest ones of a small log hold, and any other hash, number of hashes or position does not. The input: which
 * log, position and older size, then changes (which hash, which byte, what it becomes).
 */
#include "fuzz.h"

#include "fuzz_log.h"

enum { LOG_SIZE = 600 };

static struct fuzz_log *honest;

static void setup(void)
{
    honest = fuzz_log_new(LOG_SIZE);
}

static uint64_t take_number(struct view *input, uint64_t below)
{
    uint64_t number = fuzz_take_byte(input);
    number |= (uint64_t)fuzz_take_byte(input) << 8;
    return number % below;
}

/* 0xff adds a hash, 0xfe takes one away. */
static void change(struct tlog_proof *proof, struct view changes)
{
    while (changes.size >= 3) {
        unsigned int which = fuzz_take_byte(&changes), at = fuzz_take_byte(&changes) % DIGEST_SIZE;
        unsigned char value = (unsigned char)fuzz_take_byte(&changes);
        if (which == 0xff && proof->count < TLOG_PROOF_MAX)
            proof->hashes[proof->count++] = (struct digest){{value}};
        else if (which == 0xfe && proof->count > 0)
            proof->count--;
        else if (proof->count > 0)
            proof->hashes[which % proof->count].bytes[at] = value;
    }
}

static bool same_proof(const struct tlog_proof *a, const struct tlog_proof *b)
{
    return a->count == b->count && memcmp(a->hashes, b->hashes, a->count * sizeof a->hashes[0]) == 0;
}

static void try_inclusion(uint64_t size, uint64_t position, struct view changes)
{
    struct tlog_reader reader = fuzz_log_reader(honest);
    struct tlog_proof proof, changed;
    struct digest root = fuzz_log_root(honest, size), leaf;
    CLEANUP_BUF struct buf entry = BUF_INIT;
    struct diag diag = DIAG_INIT;
    FUZZ_OK(tlog_prove_inclusion(&reader, size, position, &proof, &diag), &diag);
    fuzz_log_entry(position, &entry);
    leaf = tlog_leaf(buf_view(&entry));
    changed = proof;
    change(&changed, changes);
    bool holds = tlog_check_inclusion(&changed, size, position, &leaf, &root, &diag) >= 0;
    FUZZ_CHECK(holds == same_proof(&proof, &changed));
    for (uint64_t other = 0; other < size && other < 40; other++)
        FUZZ_CHECK(other == position || tlog_check_inclusion(&changed, size, other, &leaf, &root, &diag) < 0);
}

static void try_consistency(uint64_t old_size, uint64_t size, struct view changes)
{
    struct tlog_reader reader = fuzz_log_reader(honest);
    struct tlog_proof proof, changed;
    struct digest old_root = fuzz_log_root(honest, old_size), root = fuzz_log_root(honest, size);
    struct diag diag = DIAG_INIT;
    FUZZ_OK(tlog_prove_consistency(&reader, old_size, size, &proof, &diag), &diag);
    changed = proof;
    change(&changed, changes);
    bool holds = tlog_check_consistency(&changed, old_size, &old_root, size, &root, &diag) >= 0;
    FUZZ_CHECK(holds == same_proof(&proof, &changed));
    if (old_size < size)
        FUZZ_CHECK(tlog_check_consistency(&changed, size, &root, old_size, &old_root, &diag) < 0);
}

static void run(struct view input)
{
    uint64_t size = 1 + take_number(&input, LOG_SIZE), position = take_number(&input, size);
    uint64_t old_size = 1 + take_number(&input, size);
    try_inclusion(size, position, input);
    try_consistency(old_size, size, input);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 256, .heap_base = 64 * 1024, .heap_factor = 16};
