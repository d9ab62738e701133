/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tree against a model that follows RFC 6962's own recursive text; and proofs against every way to damage them. */
#include "log_test.h"

#include <stdlib.h>

enum { ALL_SIZES = 300, LARGE = 5000 };

static struct digest *leaves; /* LARGE of them; filled once by main() */

/* RFC 6962's well-known roots of 0 to 8 entries, as Certificate Transparency's own tests have them. */
static void test_published_roots(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } entries[] = {{"", 0},
                   {"\x00", 1},
                   {"\x10", 1},
                   {"\x20\x21", 2},
                   {"\x30\x31", 2},
                   {"\x40\x41\x42\x43", 4},
                   {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
                   {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16}};
    static const char *const roots[] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                                        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                                        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                                        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                                        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                                        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                                        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                                        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                                        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
    struct tlog_tree tree = {.size = 0};
    (void)state;
    for (size_t i = 0;; i++) {
        struct digest root = tlog_root(&tree);
        assert_string_equal(digest_hex(&root).text, roots[i]);
        if (i == ARRAY_SIZE(entries))
            break;
        struct digest leaf = tlog_leaf(view_of(entries[i].bytes, entries[i].size));
        tlog_append(&tree, &leaf, NULL, NULL);
    }
}

struct seen {
    uint64_t count, size;
};

static void see(void *context, unsigned int level, uint64_t index, const struct digest *hash)
{
    struct seen *seen = context;
    struct digest expected = model_root(leaves, index << level, (index + 1) << level);
    assert_int_equal((index + 1) << level, seen->size); /* it ends where the tree ends now */
    assert_digest_equal(*hash, expected);
    seen->count++;
}

static void test_append_and_root(void **state)
{
    struct tlog_tree tree = {.size = 0};
    struct seen seen = {0, 0};
    (void)state;
    for (uint64_t n = 0; n <= ALL_SIZES; n++) {
        struct digest expected = model_root(leaves, 0, n), root = tlog_root(&tree);
        assert_int_equal(tree.size, n);
        assert_digest_equal(root, expected);
        seen.size = n + 1;
        tlog_append(&tree, &leaves[n], see, &seen);
    }
    uint64_t subtrees = 0;
    for (uint64_t n = ALL_SIZES + 1; n > 0; n /= 2)
        subtrees += n;
    assert_int_equal(seen.count, subtrees); /* each perfect subtree once */
}

static void test_tree_at(void **state)
{
    struct tlog_tree grown = {.size = 0};
    struct diag diag = DIAG_INIT;
    (void)state;
    for (uint64_t n = 0; n <= ALL_SIZES; n++) {
        struct model model = {leaves, n, 0};
        struct tlog_reader reader = model_reader(&model);
        struct tlog_tree tree;
        struct digest root, expected = tlog_root(&grown);
        assert_ok(&diag, tlog_tree_at(&reader, n, &tree, &diag));
        assert_int_equal(model.reads, __builtin_popcountll(n));
        assert_ok(&diag, tlog_root_at(&reader, n, &root, &diag));
        assert_digest_equal(root, expected);
        tlog_append(&tree, &leaves[n], NULL, NULL); /* and goes on as if it had never stopped */
        tlog_append(&grown, &leaves[n], NULL, NULL);
        root = tlog_root(&tree);
        expected = tlog_root(&grown);
        assert_digest_equal(root, expected);
    }
}

static void assert_proof(const struct tlog_proof *proof, const struct tlog_proof *expected)
{
    assert_int_equal(proof->count, expected->count);
    assert_memory_equal(proof->hashes, expected->hashes, proof->count * sizeof *proof->hashes);
}

static void check_inclusion(uint64_t size, uint64_t position)
{
    struct model model = {leaves, size, 0};
    struct tlog_reader reader = model_reader(&model);
    struct tlog_proof proof, expected = {.count = 0};
    struct diag diag = DIAG_INIT;
    struct digest root = model_root(leaves, 0, size);
    assert_ok(&diag, tlog_prove_inclusion(&reader, size, position, &proof, &diag));
    model_inclusion(leaves, 0, size, position, &expected);
    assert_proof(&proof, &expected);
    assert_ok(&diag, tlog_check_inclusion(&proof, size, position, &leaves[position], &root, &diag));
}

static void check_consistency(uint64_t old_size, uint64_t size)
{
    struct model model = {leaves, size, 0};
    struct tlog_reader reader = model_reader(&model);
    struct tlog_proof proof, expected = {.count = 0};
    struct diag diag = DIAG_INIT;
    struct digest old_root = model_root(leaves, 0, old_size), root = model_root(leaves, 0, size);
    assert_ok(&diag, tlog_prove_consistency(&reader, old_size, size, &proof, &diag));
    model_consistency(leaves, old_size, size, &expected);
    assert_proof(&proof, &expected);
    assert_ok(&diag, tlog_check_consistency(&proof, old_size, &old_root, size, &root, &diag));
}

/* The model is quadratic, so of the sizes between only some positions; the small ones have all. */
static void test_inclusion(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= ALL_SIZES; size++)
        for (uint64_t position = 0; position < size; position += size <= 40 ? 1 : 1 + size / 5)
            check_inclusion(size, position);
    for (uint64_t size = 41; size <= ALL_SIZES; size++)
        check_inclusion(size, size - 1);
}

static void test_consistency(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= ALL_SIZES; size++)
        for (uint64_t old_size = 1; old_size <= size; old_size += size <= 40 ? 1 : 1 + size / 5)
            check_consistency(old_size, size);
    for (uint64_t size = 41; size <= ALL_SIZES; size++)
        check_consistency(size - 1, size);
}

static void test_large_random(void **state)
{
    uint64_t random = 7;
    (void)state;
    for (int i = 0; i < 40; i++) {
        uint64_t size = 1 + log_random(&random) % LARGE;
        check_inclusion(size, log_random(&random) % size);
        check_consistency(1 + log_random(&random) % size, size);
    }
}

/* Trees that no memory holds: all leaves are equal, so each level has one hash. */
static int uniform_read(void *context, unsigned int level, uint64_t index, struct digest *ret,
                        struct diag *diag)
{
    (void)index;
    (void)diag;
    *ret = ((const struct digest *)context)[level];
    return 0;
}

static void test_huge(void **state)
{
    struct digest levels[TLOG_LEVELS] = {leaves[0]};
    struct tlog_reader reader = {uniform_read, levels};
    struct diag diag = DIAG_INIT;
    uint64_t random = 3;
    (void)state;
    for (size_t i = 1; i < TLOG_LEVELS; i++)
        levels[i] = tlog_node(&levels[i - 1], &levels[i - 1]);
    for (int i = 0; i < 2000; i++) {
        uint64_t size = log_random(&random) >> (i % 50);
        size += size == 0;
        uint64_t position = log_random(&random) % size, old_size = position + 1;
        struct tlog_proof proof;
        struct digest root, old_root;
        assert_ok(&diag, tlog_root_at(&reader, size, &root, &diag));
        assert_ok(&diag, tlog_root_at(&reader, old_size, &old_root, &diag));
        assert_ok(&diag, tlog_prove_inclusion(&reader, size, position, &proof, &diag));
        assert_ok(&diag, tlog_check_inclusion(&proof, size, position, &leaves[0], &root, &diag));
        assert_ok(&diag, tlog_prove_consistency(&reader, old_size, size, &proof, &diag));
        assert_ok(&diag, tlog_check_consistency(&proof, old_size, &old_root, size, &root, &diag));
    }
    struct tlog_proof proof;
    struct digest root;
    assert_ok(&diag, tlog_root_at(&reader, UINT64_MAX, &root, &diag));
    assert_ok(&diag, tlog_prove_inclusion(&reader, UINT64_MAX, UINT64_MAX - 1, &proof, &diag));
    assert_ok(&diag, tlog_check_inclusion(&proof, UINT64_MAX, UINT64_MAX - 1, &leaves[0], &root, &diag));
}

/* --- damaged proofs --- */

/* Everything that one check depends on. */
struct claim {
    struct tlog_proof proof;
    uint64_t size, place; /* position, or old size */
    struct digest first;  /* leaf, or old root */
    struct digest root;
};
typedef int check(const struct claim *claim);

static int try_inclusion(const struct claim *claim)
{
    return tlog_check_inclusion(&claim->proof, claim->size, claim->place, &claim->first, &claim->root, NULL);
}

static int try_consistency(const struct claim *claim)
{
    return tlog_check_consistency(&claim->proof, claim->place, &claim->first, claim->size, &claim->root,
                                  NULL);
}

static struct claim inclusion_claim(uint64_t size, uint64_t position)
{
    struct claim claim = {.size = size, .place = position, .first = leaves[position]};
    model_inclusion(leaves, 0, size, position, &claim.proof);
    claim.root = model_root(leaves, 0, size);
    return claim;
}

static struct claim consistency_claim(uint64_t size, uint64_t old_size)
{
    struct claim claim = {.size = size, .place = old_size, .first = model_root(leaves, 0, old_size)};
    model_consistency(leaves, old_size, size, &claim.proof);
    claim.root = model_root(leaves, 0, size);
    return claim;
}

static void refuse(check *try, struct claim claim)
{
    assert_int_equal(try(&claim), FARM_E_REFUSED);
}

static void refuse_lengths(check *try, const struct claim *good)
{
    struct claim bad = *good;
    while (bad.proof.count > 0) { /* shorter, from the end */
        bad.proof.count--;
        refuse(try, bad);
    }
    for (size_t at = 0; at < good->proof.count; at++) { /* one left out, one twice */
        bad = *good;
        memmove(&bad.proof.hashes[at], &bad.proof.hashes[at + 1], (good->proof.count - at - 1) * DIGEST_SIZE);
        bad.proof.count--;
        refuse(try, bad);
        bad = *good;
        memmove(&bad.proof.hashes[at + 1], &bad.proof.hashes[at], (good->proof.count - at) * DIGEST_SIZE);
        bad.proof.count++;
        refuse(try, bad);
    }
    static const size_t more[] = {1, 2, TLOG_LEVELS, TLOG_PROOF_MAX};
    bad = *good;
    for (size_t i = 0; i < ARRAY_SIZE(more); i++) { /* longer */
        while (bad.proof.count < good->proof.count + more[i] && bad.proof.count < TLOG_PROOF_MAX)
            bad.proof.hashes[bad.proof.count++] = good->root;
        refuse(try, bad);
    }
}

static void refuse_content(check *try, const struct claim *good)
{
    for (size_t at = 0; at < good->proof.count; at++) {
        struct claim bad = *good;
        bad.proof.hashes[at].bytes[at] ^= 1;
        refuse(try, bad);
        for (size_t with = at + 1; with < good->proof.count; with++) {
            bad = *good;
            bad.proof.hashes[at] = good->proof.hashes[with];
            bad.proof.hashes[with] = good->proof.hashes[at];
            refuse(try, bad);
        }
    }
    struct claim bad = *good;
    bad.root.bytes[31] ^= 0x80;
    refuse(try, bad);
    bad = *good;
    bad.first.bytes[0] ^= 1;
    refuse(try, bad);
}

static void test_L6_damaged_inclusion(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= 40; size++)
        for (uint64_t position = 0; position < size; position++) {
            struct claim good = inclusion_claim(size, position), bad = good;
            assert_int_equal(try_inclusion(&good), 0);
            refuse_lengths(try_inclusion, &good);
            refuse_content(try_inclusion, &good);
            for (bad.place = 0; bad.place < size + 3; bad.place++) /* of another position, or of none */
                if (bad.place != position)
                    refuse(try_inclusion, bad);
        }
}

/* An inclusion proof alone does not fix the size (the checkpoint does, with the root), but that of the last entry does. */
static void test_L6_other_sizes(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= 40; size++)
        for (uint64_t other = 1; other <= 45; other++) {
            if (other == size)
                continue;
            struct claim in = inclusion_claim(size, size / 2);
            in.root = model_root(leaves, 0, other);
            refuse(try_inclusion, in);
            in = inclusion_claim(size, size - 1);
            in.size = other;
            refuse(try_inclusion, in);
            struct claim grown = consistency_claim(size, (size + 1) / 2);
            grown.root = model_root(leaves, 0, other);
            refuse(try_consistency, grown);
        }
}

static void test_L6_damaged_consistency(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= 40; size++)
        for (uint64_t old_size = 1; old_size <= size; old_size++) {
            struct claim good = consistency_claim(size, old_size), bad = good;
            assert_int_equal(try_consistency(&good), 0);
            refuse_lengths(try_consistency, &good);
            refuse_content(try_consistency, &good);
            for (bad.place = 1; bad.place < size + 3; bad.place++) {
                if (bad.place == old_size)
                    continue;
                bad.first = good.first;
                refuse(try_consistency, bad);
            }
        }
}

/* An old tree that is no beginning of the new one: no proof whatever joins them, least of all the true one. */
static void test_L1_fork(void **state)
{
    struct digest forked[40];
    (void)state;
    memcpy(forked, leaves, sizeof forked);
    for (uint64_t size = 2; size <= 40; size++)
        for (uint64_t old_size = 1; old_size < size; old_size++) {
            struct claim claim = consistency_claim(size, old_size);
            forked[old_size - 1].bytes[3] ^= 4;
            claim.first = model_root(forked, 0, old_size);
            refuse(try_consistency, claim);
            forked[old_size - 1].bytes[3] ^= 4;
        }
}

static void test_L2_shrunken(void **state)
{
    struct claim claim = consistency_claim(40, 33);
    struct model model = {leaves, 40, 0};
    struct tlog_reader reader = model_reader(&model);
    struct diag diag = DIAG_INIT;
    (void)state;
    struct digest first = claim.first;
    claim.first = claim.root;
    claim.root = first;
    claim.place = 40;
    claim.size = 33;
    refuse(try_consistency, claim);
    assert_int_equal(tlog_prove_consistency(&reader, 40, 33, &claim.proof, &diag), FARM_E_REFUSED);
    assert_non_null(strstr(diag.text, "40 entries cannot have grown to one of 33"));
}

static void test_empty_and_equal(void **state)
{
    struct claim claim = {.size = 5, .root = model_root(leaves, 0, 5)};
    (void)state;
    assert_int_equal(try_consistency(&claim), 0); /* from nothing, whatever is said to be its root */
    claim.proof.count = 1;
    refuse(try_consistency, claim);
    claim = (struct claim){.size = 0, .root = digest_of(VIEW_NONE)};
    assert_int_equal(try_consistency(&claim), 0);
    claim.root = leaves[0]; /* an empty tree has one root */
    refuse(try_consistency, claim);
    claim = (struct claim){.size = 5, .place = 5, .first = leaves[0], .root = leaves[1]};
    refuse(try_consistency, claim);
    claim.first = claim.root;
    assert_int_equal(try_consistency(&claim), 0);
    claim.proof.count = 1;
    refuse(try_consistency, claim);
    claim = (struct claim){.size = 0, .first = leaves[0], .root = leaves[0]};
    refuse(try_inclusion, claim);
}

static void test_requests_that_cannot_be(void **state)
{
    struct model model = {leaves, 10, 0};
    struct tlog_reader reader = model_reader(&model);
    struct tlog_proof proof = {.count = 77};
    struct diag diag = DIAG_INIT;
    (void)state;
    assert_int_equal(tlog_prove_inclusion(&reader, 10, 10, &proof, &diag), FARM_E_REFUSED);
    assert_string_equal(diag.text, "position 10 is not in a log of 10 entries");
    assert_int_equal(tlog_prove_inclusion(&reader, 0, 0, &proof, &diag), FARM_E_REFUSED);
    assert_int_equal(tlog_prove_consistency(&reader, 0, 10, &proof, &diag), FARM_E_REFUSED);
    assert_int_equal(proof.count, 77); /* untouched */
    assert_int_equal(model.reads, 0);
}

static int failing_read(void *context, unsigned int level, uint64_t index, struct digest *ret,
                        struct diag *diag)
{
    unsigned int *left = context;
    (void)level, (void)index;
    *ret = leaves[0];
    return (*left)-- > 0 ? 0 : diag_set(diag, FARM_E_CORRUPT, "the tile is gone");
}

static void test_reader_fails(void **state)
{
    (void)state;
    for (unsigned int good = 0; good < 3; good++) {
        unsigned int left = good;
        struct tlog_reader reader = {failing_read, &left};
        struct tlog_proof proof = {.count = 77};
        struct tlog_tree tree = {.size = 77};
        struct digest root = {{77}};
        struct diag diag = DIAG_INIT;
        assert_int_equal(tlog_prove_inclusion(&reader, 13, 2, &proof, &diag), FARM_E_CORRUPT);
        assert_string_equal(diag.text, "the tile is gone");
        left = good;
        assert_int_equal(tlog_prove_consistency(&reader, 11, 15, &proof, &diag), FARM_E_CORRUPT);
        left = good;
        assert_int_equal(tlog_root_at(&reader, 15, &root, &diag), FARM_E_CORRUPT);
        left = good;
        assert_int_equal(tlog_tree_at(&reader, 15, &tree, &diag), FARM_E_CORRUPT);
        assert_int_equal(proof.count, 77);
        assert_int_equal(tree.size, 77);
        assert_int_equal(root.bytes[0], 77);
    }
}

/* A leaf that looks like a node, or the other way round, has another hash: the prefixes keep them apart. */
static void test_domains(void **state)
{
    struct digest left = leaves[0], right = leaves[1], inner = tlog_node(&left, &right);
    char text[1 + 2 * DIGEST_SIZE] = {1};
    (void)state;
    memcpy(text + 1, left.bytes, DIGEST_SIZE);
    memcpy(text + 1 + DIGEST_SIZE, right.bytes, DIGEST_SIZE);
    struct digest leaf = tlog_leaf(view_of(text + 1, sizeof text - 1));
    assert_false(digest_equal(&leaf, &inner));
    leaf = tlog_leaf(view_of(text, sizeof text));
    assert_false(digest_equal(&leaf, &inner));
    CLEANUP_FREE char *longest = mem_zero(1, TLOG_ENTRY_MAX + 1);
    leaf = tlog_leaf(view_of(longest + 1, TLOG_ENTRY_MAX));
    struct digest plain = digest_of(view_of(longest, TLOG_ENTRY_MAX + 1));
    assert_digest_equal(leaf, plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_roots),
        cmocka_unit_test(test_append_and_root),
        cmocka_unit_test(test_tree_at),
        cmocka_unit_test(test_inclusion),
        cmocka_unit_test(test_consistency),
        cmocka_unit_test(test_large_random),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_L6_damaged_inclusion),
        cmocka_unit_test(test_L6_other_sizes),
        cmocka_unit_test(test_L6_damaged_consistency),
        cmocka_unit_test(test_L1_fork),
        cmocka_unit_test(test_L2_shrunken),
        cmocka_unit_test(test_empty_and_equal),
        cmocka_unit_test(test_requests_that_cannot_be),
        cmocka_unit_test(test_reader_fails),
        cmocka_unit_test(test_domains),
    };
    leaves = mem_zero(LARGE, sizeof *leaves);
    for (uint64_t i = 0; i < LARGE; i++)
        leaves[i] = log_leaf(i);
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    free(leaves);
    return result;
}
