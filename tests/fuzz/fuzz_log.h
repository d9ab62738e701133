/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A log in memory for the fuzzers: the same entries in every run, all hashes by the real tree. */
#ifndef FARM_FUZZ_LOG_H
#define FARM_FUZZ_LOG_H

#include "buf.h"
#include "tlog.h"

struct fuzz_log;
struct fuzz_log *fuzz_log_new(uint64_t size);
struct fuzz_log *fuzz_log_free(struct fuzz_log *log); /* accepts NULL, returns NULL */
/* Appends the bytes of the entry at this position. */
void fuzz_log_entry(uint64_t position, struct buf *ret);
struct tlog_reader fuzz_log_reader(struct fuzz_log *log); /* borrowed */
struct digest fuzz_log_root(struct fuzz_log *log, uint64_t size);

#endif
