/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fuzz_seeds DIRECTORY: writes DIRECTORY/<target>/seed-<name>. Run it after a format has changed or a target was added, then fuzz, then
 * minimise (tests/fuzz/run.sh). The fixtures are those of the unit tests, so this is a cmocka program.
 */
#include "seeds.h"

#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char *directory;

void seed_put(const char *target, const char *name, struct view content)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *parent = mem_format("%s/%s", directory, target);
    CLEANUP_FREE char *path = mem_format("%s/seed-%s", parent, name);
    if (file_make_dirs(AT_FDCWD, parent, 0755, &diag) < 0 ||
        file_write(AT_FDCWD, path, content, 0644, &diag) < 0)
        fail_msg("%s", diag.text);
}

void seed_add_chunk(struct buf *seed, struct view chunk)
{
    assert_true(chunk.size <= UINT16_MAX);
    buf_add_byte(seed, (char)(chunk.size & 0xff));
    buf_add_byte(seed, (char)(chunk.size >> 8));
    buf_add_view(seed, chunk);
}

static void write_seeds(void **state)
{
    (void)state;
    seeds_wire();
    seeds_text();
    seeds_release();
    seeds_signed();
    seeds_binary();
    seeds_state();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(write_seeds)};
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    directory = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
