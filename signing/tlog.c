/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Both kinds of proof are lists of subtree hashes. Making one is to walk from the root to a place and to note the subtree that is
 * left aside at each fork (struct range); its hashes are then fetched and the list is turned round, since proofs begin at the leaf.
 * Checking follows RFC 9162, 2.1.3.2 and 2.1.4.2 (the hashes are those of RFC 6962), which use up the sizes together with the
 * list: what is too short or too long is found by counting and not by luck.
 */
#include "tlog.h"

#include <assert.h>

enum { LEAF_PREFIX = 0, NODE_PREFIX = 1 };

struct digest tlog_leaf(struct view entry)
{
    assert(entry.size <= TLOG_ENTRY_MAX);
    char bytes[1 + TLOG_ENTRY_MAX];
    bytes[0] = LEAF_PREFIX;
    if (entry.size > 0)
        memcpy(bytes + 1, entry.data, entry.size);
    return digest_of(view_of(bytes, 1 + entry.size));
}

struct digest tlog_node(const struct digest *left, const struct digest *right)
{
    unsigned char bytes[1 + 2 * DIGEST_SIZE];
    bytes[0] = NODE_PREFIX;
    memcpy(bytes + 1, left->bytes, DIGEST_SIZE);
    memcpy(bytes + 1 + DIGEST_SIZE, right->bytes, DIGEST_SIZE);
    return digest_of(view_of(bytes, sizeof bytes));
}

void tlog_append(struct tlog_tree *tree, const struct digest *leaf,
                 void (*visit)(void *context, unsigned int level, uint64_t index, const struct digest *hash),
                 void *context)
{
    assert(tree->size < UINT64_MAX);
    struct digest hash = *leaf;
    unsigned int level = 0;
    if (visit != NULL)
        visit(context, 0, tree->size, &hash);
    for (; (tree->size >> level & 1) != 0; level++) {
        hash = tlog_node(&tree->nodes[level], &hash);
        if (visit != NULL)
            visit(context, level + 1, tree->size >> (level + 1), &hash);
    }
    tree->nodes[level] = hash;
    tree->size++;
}

struct digest tlog_root(const struct tlog_tree *tree)
{
    if (tree->size == 0)
        return digest_of(VIEW_NONE);
    unsigned int level = (unsigned int)__builtin_ctzll(tree->size);
    struct digest hash = tree->nodes[level];
    while (++level < TLOG_LEVELS)
        if ((tree->size >> level & 1) != 0)
            hash = tlog_node(&tree->nodes[level], &hash);
    return hash;
}

int tlog_tree_at(const struct tlog_reader *reader, uint64_t size, struct tlog_tree *ret, struct diag *diag)
{
    struct tlog_tree tree = {.size = size};
    for (unsigned int level = TLOG_LEVELS; level-- > 0;) {
        if ((size >> level & 1) == 0)
            continue;
        int result = reader->read(reader->context, level, (size >> level) - 1, &tree.nodes[level], diag);
        if (result < 0)
            return result;
    }
    *ret = tree;
    return 0;
}

int tlog_root_at(const struct tlog_reader *reader, uint64_t size, struct digest *ret, struct diag *diag)
{
    struct tlog_tree tree;
    int result = tlog_tree_at(reader, size, &tree, diag);
    if (result < 0)
        return result;
    *ret = tlog_root(&tree);
    return 0;
}

/* --- making proofs --- */

/* The leaves from 'from' up to, without, 'to'; 'from' is a multiple of a power of two that is at least as long. */
struct range {
    uint64_t from, to;
};
struct ranges {
    struct range items[TLOG_PROOF_MAX];
    size_t count;
};

static void note_range(struct ranges *ranges, uint64_t from, uint64_t to)
{
    ranges->items[ranges->count++] = (struct range){from, to};
}

/* Where RFC 6962 splits a tree: the largest power of two below the number of its leaves, which is at least 2. */
static uint64_t split_of(uint64_t leaves)
{
    return UINT64_C(1) << (63 - __builtin_clzll(leaves - 1));
}

/*
 * Goes down from the tree of 'size' to 'goal', the leaf or the right edge of an older tree, noting what is left aside.
 * Stops at a subtree that ends at the goal; returns it.
 */
static struct range descend(uint64_t size, struct range goal, struct ranges *ret)
{
    struct range at = {0, size};
    while (at.to != goal.to || at.from < goal.from) {
        uint64_t middle = at.from + split_of(at.to - at.from);
        if (goal.to <= middle) {
            note_range(ret, middle, at.to);
            at.to = middle;
        } else {
            note_range(ret, at.from, middle);
            at.from = middle;
        }
    }
    return at;
}

/* As tlog_root, of a subtree: its perfect parts stand at the bits of its length. */
static int range_hash(const struct tlog_reader *reader, struct range range, struct digest *ret,
                      struct diag *diag)
{
    uint64_t length = range.to - range.from;
    unsigned int level = (unsigned int)__builtin_ctzll(length);
    struct digest hash, left;
    int result = reader->read(reader->context, level, (range.to >> level) - 1, &hash, diag);
    while (result >= 0 && ++level < TLOG_LEVELS) {
        if ((length >> level & 1) == 0)
            continue;
        result = reader->read(reader->context, level, (range.to >> level) - 1, &left, diag);
        if (result >= 0)
            hash = tlog_node(&left, &hash);
    }
    if (result < 0)
        return result;
    *ret = hash;
    return 0;
}

static int fetch_proof(const struct tlog_reader *reader, const struct ranges *ranges, struct tlog_proof *ret,
                       struct diag *diag)
{
    struct tlog_proof proof = {.count = 0};
    for (size_t i = ranges->count; i-- > 0;) {
        int result = range_hash(reader, ranges->items[i], &proof.hashes[proof.count++], diag);
        if (result < 0)
            return result;
    }
    *ret = proof;
    return 0;
}

static int position_refused(uint64_t position, uint64_t size, struct diag *diag)
{
    return diag_set(diag, FARM_E_REFUSED, "position %llu is not in a log of %llu entries",
                    (unsigned long long)position, (unsigned long long)size);
}

static int shrunken(uint64_t old_size, uint64_t size, struct diag *diag)
{
    return diag_set(diag, FARM_E_REFUSED, "a log of %llu entries cannot have grown to one of %llu",
                    (unsigned long long)old_size, (unsigned long long)size);
}

int tlog_prove_inclusion(const struct tlog_reader *reader, uint64_t size, uint64_t position,
                         struct tlog_proof *ret, struct diag *diag)
{
    if (position >= size)
        return position_refused(position, size, diag);
    struct ranges ranges = {.count = 0};
    descend(size, (struct range){position, position + 1}, &ranges);
    return fetch_proof(reader, &ranges, ret, diag);
}

int tlog_prove_consistency(const struct tlog_reader *reader, uint64_t old_size, uint64_t size,
                           struct tlog_proof *ret, struct diag *diag)
{
    if (old_size == 0)
        return diag_set(diag, FARM_E_REFUSED,
                        "there is no consistency proof from an empty log: it needs none");
    if (old_size > size)
        return shrunken(old_size, size, diag);
    struct ranges ranges = {.count = 0};
    struct range edge = descend(size, (struct range){0, old_size}, &ranges);
    if (edge.from != 0) /* else it is the whole old tree, whose root the checker has */
        note_range(&ranges, edge.from, edge.to);
    return fetch_proof(reader, &ranges, ret, diag);
}

/* --- checking proofs --- */

static int proof_refused(const char *what, const struct tlog_proof *proof, struct diag *diag)
{
    return diag_set(diag, FARM_E_REFUSED, "the %s proof does not hold (%zu hashes): %s", what, proof->count,
                    "it was altered, or is about another entry, size or log");
}

/* Where a check stands: the place on the old edge (or of the leaf) and the last place of the tree, one level up each step. */
struct climb {
    uint64_t first, last;
};

static void climb_up(struct climb *at)
{
    at->first >>= 1;
    at->last >>= 1;
}

/* Whether the next hash stands on the left; goes up past the levels where a right edge has no sibling. */
static bool climb_left(struct climb *at)
{
    bool left = (at->first & 1) != 0 || at->first == at->last;
    while (left && (at->first & 1) == 0 && at->first != 0)
        climb_up(at);
    climb_up(at);
    return left;
}

int tlog_check_inclusion(const struct tlog_proof *proof, uint64_t size, uint64_t position,
                         const struct digest *leaf, const struct digest *root, struct diag *diag)
{
    if (position >= size)
        return position_refused(position, size, diag);
    struct climb at = {position, size - 1};
    struct digest hash = *leaf;
    for (size_t i = 0; i < proof->count; i++) {
        if (at.last == 0)
            return proof_refused("inclusion", proof, diag);
        hash = climb_left(&at) ? tlog_node(&proof->hashes[i], &hash) : tlog_node(&hash, &proof->hashes[i]);
    }
    return at.last == 0 && digest_equal(&hash, root) ? 0 : proof_refused("inclusion", proof, diag);
}

/* 0 < old_size < size. */
static bool grew(const struct tlog_proof *proof, uint64_t old_size, const struct digest *old_root,
                 uint64_t size, const struct digest *root)
{
    struct climb at = {old_size - 1, size - 1};
    bool perfect =
        (old_size & (old_size - 1)) == 0; /* then its root is a node of the tree, and not in the list */
    if (proof->count == 0 && !perfect)
        return false;
    while ((at.first & 1) != 0)
        climb_up(&at);
    struct digest old_hash = perfect ? *old_root : proof->hashes[0], hash = old_hash;
    for (size_t i = perfect ? 0 : 1; i < proof->count; i++) {
        const struct digest *next = &proof->hashes[i];
        if (at.last == 0)
            return false;
        bool left = climb_left(&at);
        if (left)
            old_hash = tlog_node(next, &old_hash);
        hash = left ? tlog_node(next, &hash) : tlog_node(&hash, next);
    }
    return at.last == 0 && digest_equal(&old_hash, old_root) && digest_equal(&hash, root);
}

int tlog_check_consistency(const struct tlog_proof *proof, uint64_t old_size, const struct digest *old_root,
                           uint64_t size, const struct digest *root, struct diag *diag)
{
    if (old_size > size)
        return shrunken(old_size, size, diag);
    bool holds;
    if (size == 0) { /* only one tree is empty */
        struct digest empty = digest_of(VIEW_NONE);
        holds = proof->count == 0 && digest_equal(root, &empty);
    } else if (old_size == 0) {
        holds = proof->count == 0;
    } else if (old_size == size) {
        holds = proof->count == 0 && digest_equal(old_root, root);
    } else {
        holds = grew(proof, old_size, old_root, size, root);
    }
    return holds ? 0 : proof_refused("consistency", proof, diag);
}
