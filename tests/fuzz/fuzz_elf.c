/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ELF files that a build made: everything that is named lies within the file and is one text. */
#include "fuzz.h"

#include "elfneed.h"
#include "ldpath.h"

#include <stdlib.h>

static void check_text(struct view file, struct view text)
{
    FUZZ_CHECK(text.size == 0 || (text.data >= file.data && text.data + text.size <= file.data + file.size));
    FUZZ_CHECK(text.size == 0 || memchr(text.data, '\0', text.size) == NULL);
}

static void check_need(struct view file, const struct elfneed *need)
{
    struct ldpath path = {0};
    check_text(file, need->interpreter);
    check_text(file, need->rpath);
    check_text(file, need->runpath);
    check_text(file, need->soname);
    for (size_t i = 0; i < need->nneeded; i++)
        check_text(file, need->needed[i]);
    ldpath_add_run(&path, need->runpath, "/usr/lib");
    for (size_t i = 0; i < path.count; i++)
        FUZZ_CHECK(path.dirs[i][0] == '/');
    ldpath_done(&path);
}

static void run(struct view input)
{
    struct elfneed *need = mem_zero(1, sizeof *need);
    struct diag diag = DIAG_INIT;
    if (input.size >= ELFNEED_HEADER)
        (void)elfneed_is_native(view_of(input.data, ELFNEED_HEADER));
    int result = elfneed_read(input, need, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    else
        check_need(input, need);
    free(need);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 256 * 1024, .heap_factor = 64};
