/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz_log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum { LEVELS = 16 };

struct fuzz_log {
    uint64_t size;
    struct digest *hashes[LEVELS]; /* of the perfect subtrees, by level and index */
};

void fuzz_log_entry(uint64_t position, struct buf *ret)
{
    buf_add_format(ret, "entry %" PRIu64, position);
}

static void keep_hash(void *context, unsigned int level, uint64_t index, const struct digest *hash)
{
    struct fuzz_log *log = context;
    log->hashes[level][index] = *hash;
}

struct fuzz_log *fuzz_log_new(uint64_t size)
{
    struct fuzz_log *log = mem_zero(1, sizeof *log);
    struct tlog_tree tree = {0};
    assert(size < (uint64_t)1 << (LEVELS - 1));
    log->size = size;
    for (int level = 0; level < LEVELS; level++)
        log->hashes[level] = mem_zero((size_t)(size >> level) + 1, sizeof(struct digest));
    for (uint64_t i = 0; i < size; i++) {
        CLEANUP_BUF struct buf entry = BUF_INIT;
        fuzz_log_entry(i, &entry);
        struct digest leaf = tlog_leaf(buf_view(&entry));
        tlog_append(&tree, &leaf, keep_hash, log);
    }
    return log;
}

struct fuzz_log *fuzz_log_free(struct fuzz_log *log)
{
    if (log == NULL)
        return NULL;
    for (int level = 0; level < LEVELS; level++)
        free(log->hashes[level]);
    free(log);
    return NULL;
}

static int read_hash(void *context, unsigned int level, uint64_t index, struct digest *ret, struct diag *diag)
{
    struct fuzz_log *log = context;
    if (level >= LEVELS || index >= log->size >> level)
        return diag_set(diag, FARM_E_MISSING, "no such hash");
    *ret = log->hashes[level][index];
    return 0;
}

struct tlog_reader fuzz_log_reader(struct fuzz_log *log)
{
    return (struct tlog_reader){read_hash, log};
}

struct digest fuzz_log_root(struct fuzz_log *log, uint64_t size)
{
    struct tlog_reader reader = fuzz_log_reader(log);
    struct digest root;
    int result = tlog_root_at(&reader, size, &root, NULL);
    assert(result >= 0);
    (void)result;
    return root;
}
