/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzzing: each target is one file fuzz_NAME.c, which defines 'fuzz_target' and feeds a stranger's bytes to a real decoder. What
 * surrounds it (fuzz_one.c) is the same for all: LLVMFuzzerTestOneInput, and after each input the checks that hold everywhere: no
 * descriptor left open, no more heap than the target allows for an input of this size.
 *
 * A target states properties beside "no crash": FUZZ_CHECK(what must hold). What a decoder accepts is written again and read again;
 * what two ways of reading say must be the same; what was changed must be refused.
 *
 * With the preset "fuzz" a target is linked with libFuzzer, elsewhere with corpus_main.c, which runs the files of its corpus.
 */
#ifndef FARM_FUZZ_H
#define FARM_FUZZ_H

#include "buf.h"
#include "diag.h"

struct fuzz_target {
    void (*run)(struct view input);
    void (*setup)(void); /* once, before the first input: what may stay open or allocated; may be NULL */
    size_t input_max;    /* longer inputs teach nothing new, and are passed over; the fuzzer makes none */
    /* Heap at one time: heap_base + heap_factor * size of the input. Measured where AddressSanitizer is. */
    size_t heap_base, heap_factor;
};
extern const struct fuzz_target fuzz_target;

/* Ends the process, naming the property. */
#define FUZZ_CHECK(property)                                                                                 \
    do {                                                                                                     \
        if (!(property))                                                                                     \
            fuzz_fail(__FILE__, __LINE__, #property, NULL);                                                  \
    } while (0)
/* The same of a result that must be success; says what the diag says. */
#define FUZZ_OK(result, diag)                                                                                \
    do {                                                                                                     \
        int fuzz_result_ = (result);                                                                         \
        if (fuzz_result_ < 0)                                                                                \
            fuzz_fail(__FILE__, __LINE__, #result, diag_text(diag, fuzz_result_));                           \
    } while (0)
_Noreturn void fuzz_fail(const char *file, int line, const char *property, const char *detail);

/* A failure has a code of ours or an errno, and a sentence for people. */
void fuzz_check_refusal(int result, const struct diag *diag);
/* Both texts are the same bytes. */
void fuzz_check_same(const struct buf *first, const struct buf *second);

/* Takes one byte off the front (0 at the end): which of a target's decoders, or a small number. */
unsigned int fuzz_take_byte(struct view *input);
/* The next u16 (little endian) and so many bytes; what there is, if there are fewer. */
struct view fuzz_take_chunk(struct view *input);

/* An open file with these bytes, at its start. The caller closes it. */
int fuzz_file(struct view content);
/*
 * A directory that is empty now, but for names that begin with a dot, on a file system in memory if there is one; the same for the whole
 * run of the program. Borrowed. Call it in setup() first.
 */
int fuzz_scratch(void);
/* Its path, for functions that want one. Borrowed. */
const char *fuzz_scratch_path(void);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#endif
