/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fault: the k-th call of a class fails, is cut short, or is the last one of this process, with or without the power going.
 *
 * write(), fsync(), rename(), malloc(), sqlite3_step(), send() and the like are defined in the test program itself: fault_write.c,
 * fault_name.c and so on, by the classes below; fault_plan.c says which call is hit. A symbol of the program goes before that of every
 * shared library, so that the calls of libsqlite3, libzstd and libzmq come by here too; no preload is needed, and the address sanitizer,
 * which insists on being the first library, watches the error paths. Only files below one directory count, and only between fault_begin()
 * and fault_end().
 *
 * The power. What is written is in the page cache until its file is synced, a name until its directory is. fault_power.c keeps what
 * was there before, page by page and name by name, and when the power goes takes back a selection by the seed:
 *
 *     seed % 4 == 0   everything that was not synced is gone
 *                1    names are lost in order (a journalling file system), the newest first; pages of a file each by chance
 *                2    each page is there, is not, is torn at a sector, or (behind the old end of the file) is zeros or garbage; each name by chance,
 *                     but for those that a later one that stays depends on
 *                3    names stay and pages are lost: what delayed allocation does to a rename without an fsync
 *
 * So do SQLite's crash tests (test6.c there: "each write since the last sync is written, dropped or trashed"), and ALICE, which found what
 * applications believe of file systems and may not (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014). As there, the
 * contents of a synced file are safe, and its name is not, until its directory was synced. Not modelled: a rename between two
 * directories is lost or kept as a whole, as on every journalling file system; memory maps that are written (SQLite's -shm, which it makes
 * anew); a disk that loses what it said is safe (that is "lie", and the tests must find it).
 *
 * A sync that fails poisons what it should have brought to the disk: the kernel calls those pages clean, no later sync writes them, and
 * when the power goes at the end they are gone (the "fsync surprise"), unless they were written once more. So whoever goes on after it
 * loses what he acknowledges.
 */
#ifndef FARM_FAULT_H
#define FARM_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum fault_class {
    FAULT_WRITE, /* write, pwrite, writev, ftruncate, fallocate, copy_file_range */
    FAULT_SYNC,  /* fsync, fdatasync, syncfs */
    FAULT_NAME,  /* open with O_CREAT, rename, link, unlink, mkdir, rmdir, symlink */
    FAULT_ALLOC, /* malloc, calloc, realloc, and what the libraries do with them */
    FAULT_STEP,  /* sqlite3_step, sqlite3_exec */
    FAULT_SEND,  /* send, sendmsg, sendto, zmq_send, zmq_msg_send */
    FAULT_CLASSES
};
extern const char *const fault_class_names[FAULT_CLASSES];
enum { FAULT_DISK = 1 << FAULT_WRITE | 1 << FAULT_SYNC | 1 << FAULT_NAME };

enum fault_kind {
    FAULT_NONE,  /* count only */
    FAULT_ERROR, /* this call fails */
    FAULT_FULL,  /* this call and every later one that needs room: ENOSPC */
    FAULT_SHORT, /* half is written, and said so */
    FAULT_KILL,  /* the process ends before the call: kill -9 */
    FAULT_POWER, /* and the power goes */
    FAULT_KINDS
};
extern const char *const fault_kind_names[FAULT_KINDS];

/* How a process ended that the plan ended; no other exit status of ours. */
enum { FAULT_EXIT_KILLED = 91 };

struct fault_plan {
    unsigned int classes; /* 1 << FAULT_...; those that are counted for k */
    enum fault_kind kind;
    uint64_t k; /* from 1; larger than there are calls: FAULT_POWER comes at the end */
    unsigned int seed;
    bool lie; /* sync says success and does nothing */
};

enum { FAULT_CALL_MAX = 300 };

/* Lies in memory that the parent shares. */
struct fault_report {
    _Atomic uint64_t counted; /* calls of the plan's classes */
    _Atomic bool hit;
    char call[FAULT_CALL_MAX]; /* the one that was hit */
};

/* From here on calls count. 'directory': absolute, without links in it; it exists. Everything in it is on the disk. */
void fault_begin(const char *directory, const struct fault_plan *plan, struct fault_report *report);
/* Counts no more; what is not synced stays so. */
void fault_end(void);
/* How a process of a test ends: if its plan was a sync that fails or the power, it goes now. */
void fault_exit(int status) __attribute__((noreturn));

#endif
