/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What targets share: taking an input apart, files and directories for decoders that want those. */
#include "fuzz.h"

#include "file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void fuzz_check_refusal(int result, const struct diag *diag)
{
    FUZZ_CHECK(result < 0 && result > -5000);
    FUZZ_CHECK(diag->error == result && diag->text[0] != '\0');
    FUZZ_CHECK(strnlen(diag->text, DIAG_TEXT_MAX) < DIAG_TEXT_MAX);
}

void fuzz_check_same(const struct buf *first, const struct buf *second)
{
    if (!view_equal(buf_view(first), buf_view(second))) {
        fprintf(stderr, "first:  %.*s\nsecond: %.*s\n", VIEW_ARG(buf_view(first)),
                VIEW_ARG(buf_view(second)));
        fuzz_fail(__FILE__, __LINE__, "both texts are the same", NULL);
    }
}

unsigned int fuzz_take_byte(struct view *input)
{
    if (input->size == 0)
        return 0;
    unsigned int byte = (unsigned char)input->data[0];
    *input = view_of(input->data + 1, input->size - 1);
    return byte;
}

struct view fuzz_take_chunk(struct view *input)
{
    size_t size = fuzz_take_byte(input);
    size |= (size_t)fuzz_take_byte(input) << 8;
    if (size > input->size)
        size = input->size;
    struct view chunk = view_of(input->data, size);
    *input = view_of(input->data + size, input->size - size);
    return chunk;
}

int fuzz_file(struct view content)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && file_write_all(fd, content.data, content.size) >= 0);
    FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static struct {
    char path[256];
    int fd;
} scratch = {.fd = -1};

static void remove_scratch(void)
{
    (void)!file_remove_tree(AT_FDCWD, scratch.path, NULL);
}

static void make_scratch(void)
{
    const char *place = getenv("TMPDIR");
    if (place == NULL)
        place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(scratch.path, sizeof scratch.path, "%s/farm-fuzz.XXXXXX", place);
    FUZZ_CHECK(mkdtemp(scratch.path) != NULL);
    scratch.fd = file_open_dir(AT_FDCWD, scratch.path, NULL);
    FUZZ_CHECK(scratch.fd >= 0);
    atexit(remove_scratch);
}

static void empty_scratch(void)
{
    int fd = openat(scratch.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fdopendir(fd);
    FUZZ_CHECK(directory != NULL);
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            FUZZ_CHECK(file_remove_tree(scratch.fd, entry->d_name, NULL) >= 0);
    closedir(directory);
}

int fuzz_scratch(void)
{
    if (scratch.fd < 0)
        make_scratch();
    empty_scratch();
    return scratch.fd;
}

const char *fuzz_scratch_path(void)
{
    return scratch.path;
}
