/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * corpus_main: runs a target once over each file of its corpus, as an ordinary test. Names the file before it runs it, so that a
 * failure says which one it was. An empty or missing corpus is a failure.
 */
#include "file.h"
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { CORPUS_FILE_MAX = 1 << 20 }; /* bytes; far above any target's input_max */

/* In a block of exactly its size, so that AddressSanitizer sees a read behind its end. */
static void run_file(int dirfd, const char *path)
{
    CLEANUP_BUF struct buf content = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = file_read(dirfd, path, CORPUS_FILE_MAX, &content, &diag);
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", path, diag_text(&diag, result));
        exit(1);
    }
    printf("%s\n", path);
    fflush(stdout);
    uint8_t *exact = mem_copy(content.data, content.size);
    LLVMFuzzerTestOneInput(exact, content.size);
    free(exact);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS-DIRECTORY | FILE\n", argv[0]);
        return 2;
    }
    LLVMFuzzerInitialize(&argc, &argv);
    CLEANUP_CLOSE int dirfd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0 && errno == ENOTDIR) {
        run_file(AT_FDCWD, argv[1]);
        return 0;
    }
    struct dirent **files;
    int count = dirfd < 0 ? -1 : scandirat(dirfd, ".", &files, is_visible, alphasort);
    if (count <= 0) {
        fprintf(stderr, "%s: no corpus there; tests/fuzz/run.sh makes one\n", argv[1]);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        run_file(dirfd, files[i]->d_name);
        free(files[i]);
    }
    free(files);
    return 0;
}
