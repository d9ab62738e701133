/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fault run: an operation is done again and again, each time in a process of its own on a copy of the same state, with the fault at
 * another call; then a clean process opens what is left, checks it, and does the operation once more (D6).
 *
 *     program [--most N] [--seed N] [--op NAME] [--class NAME] [--kind NAME] [--k N] [--lie]
 *
 * --most: so many calls of each class, drawn by the seed, and always the first and the last; without it every one, until the
 * operation runs clean. A failure prints the command that does it again. --lie: no sync does anything, and each cut comes at the end; this must
 * fail, and ends with 0 if each operation was found out.
 */
#ifndef FARM_FAULT_RUN_H
#define FARM_FAULT_RUN_H

#include "diag.h"
#include "fault.h"

enum { FAULT_NOTES = 8192 };

/* In memory that the processes of one trial share: what the operation has promised. */
struct fault_trial {
    struct fault_plan plan;
    struct fault_report report;
    _Atomic bool finished; /* run() returned */
    _Atomic bool ending;   /* fault_ending() */
    int result;
    /* The operation's: what it acknowledged. */
    _Atomic uint64_t acknowledged;
    unsigned char notes[FAULT_NOTES];
};

struct fault_operation {
    const char *name;
    unsigned int classes; /* 1 << FAULT_...: it must call each of these, or the test fails */
    /* Once: makes the state that each trial begins with. */
    void (*prepare)(void);
    /* In a process of its own: opens the state, fault_arm(), and does it. An error is what would end the program or be told to its user. */
    int (*run)(struct fault_trial *trial, struct diag *diag);
    /* In a clean process after it: FAULT_EXPECT what must hold, whatever happened. Then does it again, which must succeed. */
    void (*check)(const struct fault_trial *trial);
    /* Classes whose number of calls depends on how threads meet: of the last quarter that was counted none is drawn. */
    unsigned int varying;
};

/* The directory where operations keep their state; it stays the same one. */
extern char fault_directory[64];
extern int fault_dirfd;

/* From here on calls count. */
void fault_arm(struct fault_trial *trial);
/* It was all done, and what follows closes down: a sync that fails from here on need not end the program any more. */
void fault_ending(struct fault_trial *trial);
/* Ends a process of the test, with the place and these words. */
void fault_fail(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
#define FAULT_EXPECT(condition, ...)                                                                         \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fault_fail(__FILE__, __LINE__, __VA_ARGS__);                                                     \
    } while (0)
/* Same for a call that must succeed. */
#define FAULT_MUST(call, diag)                                                                               \
    do {                                                                                                     \
        int fault_result_ = (call);                                                                          \
        FAULT_EXPECT(fault_result_ >= 0, "%s: %s", #call, diag_text(diag, fault_result_));                   \
    } while (0)

int fault_main(int argc, char **argv, const struct fault_operation *operations, size_t count);

#endif
