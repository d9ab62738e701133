/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Golden tests: text files with an input and what must come out of it.
 *
 *     # a comment says what the case is about
 *     ...input, in whatever form the test reads...
 *     EXPECT
 *     ...output, byte for byte...
 *
 * A test program is one function from input to output and golden_main. Run with a directory (all its *.txt)
 * or with files.
 * "--update" writes what came out behind EXPECT instead of comparing: for review in the next diff, never for
 * silence.
 */
#ifndef FARM_GOLDEN_H
#define FARM_GOLDEN_H

#include "buf.h"

/* Appends the output for one input; comment lines are still in it. Must not depend on anything else. */
typedef void golden_run(struct view input, struct buf *ret);

/* The exit status of the program: 0 all equal, 1 some differ, 2 nothing to run. */
int golden_main(int argc, char **argv, golden_run *run);

#endif
