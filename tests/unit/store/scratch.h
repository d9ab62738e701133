/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the store's tests share: a temporary directory, files in it, and the vectors. Failures end the test. */
#ifndef FARM_TEST_SCRATCH_H
#define FARM_TEST_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* wants the four above */

#include "buf.h"
#include "diag.h"
#include "manifest.h"

struct scratch {
    char *path; /* absolute */
    int fd;
};

/* cmocka set-up and tear-down: *state is a struct scratch *. */
int scratch_setup(void **state);
int scratch_teardown(void **state);

void put_dir(int dirfd, const char *path, unsigned int mode);
void put_file(int dirfd, const char *path, const char *content, unsigned int mode);
void put_bytes(int dirfd, const char *path, struct view content, unsigned int mode);
void put_link(int dirfd, const char *path, const char *target);
struct buf get_bytes(int dirfd, const char *path);
int open_dir(int dirfd, const char *path);
bool exists(int dirfd, const char *path);
/* Repeatable bytes that do not compress. */
struct buf noise(size_t size, unsigned int seed);

/* A file of tests/vectors; the second decodes the .hex form. */
struct buf vector_text(const char *name);
struct buf vector_hex(const char *name);
/* The tree that payload.mtree describes, below dirfd. */
void put_vector_tree(int dirfd);

/* Runs a shell command in the directory; its exit status. */
int shell(int dirfd, const char *command);
/* Its output, without the last newline; fails if it fails. */
struct buf shell_output(int dirfd, const char *command);
bool have_program(const char *name);

struct manifest parse_manifest(const char *text);

/* Members as any packer, also a hostile one, might write them; the checksums are right. */
void tar_member(struct buf *tar, int64_t mtime, const char *name, char type, const char *link,
                unsigned int mode, const char *content);
void tar_end(struct buf *tar);

/* Runs the function in a child that has another user and group id; its result, or -1 if we are not root. */
enum { OTHER_ID = 54321 };
int as_other_user(int (*function)(void *context), void *context);

/* Fails with the message that the code under test gave. */
#define assert_ok(call, found)                                                                               \
    do {                                                                                                     \
        int assert_ok_ = (int)(call);                                                                        \
        if (assert_ok_ < 0)                                                                                  \
            fail_msg("%s: %s", #call, diag_text(found, assert_ok_));                                         \
    } while (0)
/* Fails unless the message has 'part'. */
#define assert_error(call, wanted, found, part)                                                              \
    do {                                                                                                     \
        *(found) = (struct diag)DIAG_INIT;                                                                   \
        int assert_error_ = (int)(call);                                                                     \
        if (assert_error_ != (wanted) || strstr((found)->text, part) == NULL)                                \
            fail_msg("%s: got %d (%s), \"%s\"", #call, assert_error_, farm_error_name(assert_error_),        \
                     (found)->text);                                                                         \
    } while (0)

#endif
