/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * .igos.tar.gz files: unpacked in memory (libdeflate) and through a window (zlib) the answer is the same. The first byte says which payload is
 * expected.
 */
#include "fuzz.h"

#include "fuzz_canon.h"
#include "payload.h"

static struct digest tars[CANON_PAYLOADS];

static void setup(void)
{
    for (unsigned int i = 0; i < CANON_PAYLOADS; i++)
        tars[i] = digest_of(buf_view(&canon_payload(i)->tar));
}

static int verify(unsigned int number, int fd, uint64_t whole_max)
{
    const struct canon *canon = canon_payload(number);
    struct payload_gz expected = {.manifest = &canon->manifest,
                                  .pkginfo = canon->pkginfo.size > 0 ? canon->pkginfo : VIEW(""),
                                  .epoch = CANON_EPOCH,
                                  .tar = &tars[number],
                                  .whole_max = whole_max};
    struct diag diag = DIAG_INIT;
    int result = payload_verify_gz(fd, &expected, NULL, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    return result;
}

static void run(struct view input)
{
    unsigned int number = fuzz_take_byte(&input) % CANON_PAYLOADS;
    CLEANUP_CLOSE int fd = fuzz_file(input);
    int whole = verify(number, fd, 0), window = verify(number, fd, 1);
    FUZZ_CHECK((whole < 0) == (window < 0));
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 4 * 1024, .heap_base = 4 << 20, .heap_factor = 64};
