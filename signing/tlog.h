/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tlog: the Merkle tree of a transparency log, and proofs about it. Pure: hashes in, hashes out.
 *
 * Leaf SHA256(00 || entry), node SHA256(01 || left || right), empty tree SHA256(""): RFC 6962, section 2.1. Positions count from 0.
 * Hashes of perfect subtrees are named by (level, index): level 0 are the leaves, (level, index) covers the leaves from
 * index * 2^level on, 2^level of them.
 */
#ifndef FARM_TLOG_H
#define FARM_TLOG_H

#include "diag.h"
#include "digest.h"

enum {
    TLOG_LEVELS = 64,
    TLOG_ENTRY_MAX = 65535, /* C2SP tlog-tiles: an entry's length is a uint16 */
    TLOG_PROOF_MAX = 2 * TLOG_LEVELS
};

struct digest tlog_leaf(struct view entry);
struct digest tlog_node(const struct digest *left, const struct digest *right);

/* A tree that grows: the roots of its perfect subtrees, by level; bit l of size says whether nodes[l] is set. Plain data: copy it. */
struct tlog_tree {
    uint64_t size;
    struct digest nodes[TLOG_LEVELS];
};
/*
 * Adds a leaf, O(1) hashes on average. 'visit' (may be NULL) gets each perfect subtree that becomes complete, the leaf
 * itself (level 0) first.
 */
void tlog_append(struct tlog_tree *tree, const struct digest *leaf,
                 void (*visit)(void *context, unsigned int level, uint64_t index, const struct digest *hash),
                 void *context);
struct digest tlog_root(const struct tlog_tree *tree);

/* Where stored hashes come from. A negative result (with diag) ends the call that asked. */
struct tlog_reader {
    int (*read)(void *context, unsigned int level, uint64_t index, struct digest *ret, struct diag *diag);
    void *context;
};

/* RFC 6962, 2.1.1 and 2.1.2, in their order. */
struct tlog_proof {
    struct digest hashes[TLOG_PROOF_MAX];
    size_t count;
};

/* FARM_E_REFUSED for positions or sizes that cannot be; what the reader says is handed on. */
int tlog_root_at(const struct tlog_reader *reader, uint64_t size, struct digest *ret,
                 struct diag *diag) MUST_USE;
/* The frontier of the tree at 'size', to go on appending. */
int tlog_tree_at(const struct tlog_reader *reader, uint64_t size, struct tlog_tree *ret,
                 struct diag *diag) MUST_USE;
int tlog_prove_inclusion(const struct tlog_reader *reader, uint64_t size, uint64_t position,
                         struct tlog_proof *ret, struct diag *diag) MUST_USE;
/* 1 <= old_size <= size; equal sizes give an empty proof. */
int tlog_prove_consistency(const struct tlog_reader *reader, uint64_t old_size, uint64_t size,
                           struct tlog_proof *ret, struct diag *diag) MUST_USE;

/* FARM_E_REFUSED, also for a proof that is too short or too long (L6). */
int tlog_check_inclusion(const struct tlog_proof *proof, uint64_t size, uint64_t position,
                         const struct digest *leaf, const struct digest *root, struct diag *diag) MUST_USE;
/* old_size 0 is consistent with everything and needs an empty proof; a size below old_size is refused (L2). */
int tlog_check_consistency(const struct tlog_proof *proof, uint64_t old_size, const struct digest *old_root,
                           uint64_t size, const struct digest *root, struct diag *diag) MUST_USE;

#endif
