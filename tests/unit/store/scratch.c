/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scratch.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int scratch_setup(void **state)
{
    struct scratch *scratch = mem_zero(1, sizeof *scratch);
    scratch->path = mem_string(FARM_BINARY_DIR "/scratch-XXXXXX");
    assert_non_null(mkdtemp(scratch->path));
    scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(scratch->fd >= 0);
    umask(022);
    *state = scratch;
    return 0;
}

int scratch_teardown(void **state)
{
    struct scratch *scratch = *state;
    close(scratch->fd);
    int result = file_remove_tree(AT_FDCWD, scratch->path, NULL);
    free(scratch->path);
    free(scratch);
    return result;
}

void put_dir(int dirfd, const char *path, unsigned int mode)
{
    assert_int_equal(mkdirat(dirfd, path, 0700), 0);
    assert_int_equal(fchmodat(dirfd, path, mode, 0), 0);
}

void put_bytes(int dirfd, const char *path, struct view content, unsigned int mode)
{
    int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, content.data, content.size), 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

void put_file(int dirfd, const char *path, const char *content, unsigned int mode)
{
    put_bytes(dirfd, path, view_text(content), mode);
}

void put_link(int dirfd, const char *path, const char *target)
{
    assert_int_equal(symlinkat(target, dirfd, path), 0);
}

struct buf get_bytes(int dirfd, const char *path)
{
    struct buf content = BUF_INIT;
    struct diag diag = DIAG_INIT;
    assert_ok(file_read(dirfd, path, 1 << 30, &content, &diag), &diag);
    return content;
}

int open_dir(int dirfd, const char *path)
{
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

bool exists(int dirfd, const char *path)
{
    struct stat status;
    return fstatat(dirfd, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

struct buf noise(size_t size, unsigned int seed)
{
    struct buf data = BUF_INIT;
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    char *to = buf_room(&data, size);
    for (size_t i = 0; i < size; i++) { /* xorshift64 */
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        to[i] = (char)(x >> 24);
    }
    data.size = size;
    return data;
}

struct buf vector_text(const char *name)
{
    CLEANUP_FREE char *path = mem_format("%s/tests/vectors/%s", FARM_SOURCE_DIR, name);
    return get_bytes(AT_FDCWD, path);
}

struct buf vector_hex(const char *name)
{
    CLEANUP_BUF struct buf text = vector_text(name);
    struct buf data = BUF_INIT;
    struct view rest = buf_view(&text), line;
    while (view_split(&rest, '\n', &line)) {
        struct view words = line, word;
        uint64_t count;
        view_split(&words, ' ', &word);
        if (view_equal(word, VIEW("zeros"))) {
            assert_true(view_decimal(words, &count));
            memset(buf_room(&data, count), 0, count);
            data.size += count;
        } else {
            assert_true(hex_decode(word, buf_room(&data, word.size / 2), word.size / 2));
            data.size += word.size / 2;
        }
    }
    return data;
}

void put_vector_tree(int dirfd)
{
    char deep[128] = "long/", *end = deep + 5;
    memset(end, 'd', 90);
    char name[160], target[102];
    fchmod(dirfd, 0755);
    put_dir(dirfd, "etc", 0755);
    put_dir(dirfd, "tmp", 01777);
    put_dir(dirfd, "long", 0755);
    put_dir(dirfd, deep, 0755);
    put_dir(dirfd, "usr", 0755);
    put_dir(dirfd, "usr/bin", 0755);
    put_dir(dirfd, "usr/bin-x", 0755);
    put_dir(dirfd, "usr/share", 0755);
    put_file(dirfd, "etc/empty", "", 0);
    put_file(dirfd, "usr/bin/tool", "#!/bin/sh\nexit 0\n", 0755);
    struct buf su = BUF_INIT;
    for (int i = 0; i < 512; i++)
        buf_add_byte(&su, 'S');
    put_bytes(dirfd, "usr/bin/su", buf_view(&su), 04755);
    buf_done(&su);
    put_file(dirfd, "usr/share/a b#c\\d=e~\177", "odd bytes\n", 0644);
    put_file(dirfd, "usr/share/\303\251", "composed\n", 0644);
    put_file(dirfd, "usr/share/e\314\201", "decomposed\n", 0644);
    put_file(dirfd, "usr/share/\377\n", "not UTF-8\n", 0644);
    snprintf(name, sizeof name, "%s/n1", deep);
    put_file(dirfd, name, "1", 0400);
    snprintf(name, sizeof name, "%s/n22", deep);
    put_file(dirfd, name, "22", 0644);
    put_link(dirfd, "bin", "usr/bin");
    put_link(dirfd, "usr/bin/sh", "tool");
    put_link(dirfd, "etc/mtab", "/proc/self/mounts");
    put_link(dirfd, "usr/share/l=", "a b\\#");
    memset(target, 'x', 100);
    target[100] = '\0';
    put_link(dirfd, "long/l100", target);
    memset(target, 'y', 101);
    target[101] = '\0';
    put_link(dirfd, "long/l101", target);
    assert_int_equal(fchmodat(dirfd, deep, 02750, 0), 0);
    assert_int_equal(fchmodat(dirfd, "usr/bin", 0555, 0), 0);
}

int shell(int dirfd, const char *command)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (fchdir(dirfd) == 0)
            execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

struct buf shell_output(int dirfd, const char *command)
{
    /* Beside the directory, not in it: the command may list what is there. */
    CLEANUP_FREE char *name = mem_format("../output-%d", getpid());
    CLEANUP_FREE char *line = mem_format("{ %s\n} > %s", command, name);
    int status = shell(dirfd, line);
    struct buf output = get_bytes(dirfd, name);
    unlinkat(dirfd, name, 0);
    if (status != 0)
        fail_msg("%s: exit %d", command, status);
    if (output.size > 0 && output.data[output.size - 1] == '\n')
        output.data[--output.size] = '\0';
    return output;
}

bool have_program(const char *name)
{
    CLEANUP_FREE char *line = mem_format("command -v %s >/dev/null", name);
    return system(line) == 0;
}

struct manifest parse_manifest(const char *text)
{
    struct manifest manifest;
    struct diag diag = DIAG_INIT;
    assert_ok(manifest_parse(view_text(text), &manifest, &diag), &diag);
    return manifest;
}

void tar_member(struct buf *tar, int64_t mtime, const char *name, char type, const char *link,
                unsigned int mode, const char *content)
{
    char head[512] = {0};
    memcpy(head, name, strlen(name) < 100 ? strlen(name) : 100);
    snprintf(head + 100, 8, "%07o", mode & 07777);
    memcpy(head + 108, "0000000\0000000000", 16);
    snprintf(head + 124, 12, "%011o", (unsigned int)strlen(content) & 0777777);
    snprintf(head + 136, 12, "%011o", (unsigned int)mtime);
    head[156] = type;
    memcpy(head + 157, link, strlen(link) < 100 ? strlen(link) : 100);
    memcpy(head + 257, "ustar\00000", 8);
    memcpy(head + 329, "0000000\0000000000", 16);
    memset(head + 148, ' ', 8);
    unsigned int sum = 0;
    for (size_t i = 0; i < sizeof head; i++)
        sum += (unsigned char)head[i];
    snprintf(head + 148, 8, "%06o", sum & 0777777);
    buf_add(tar, head, sizeof head);
    buf_add_text(tar, content);
    while (tar->size % 512 != 0)
        buf_add_byte(tar, '\0');
}

void tar_end(struct buf *tar)
{
    memset(buf_room(tar, 1024), 0, 1024);
    tar->size += 1024;
}

int as_other_user(int (*function)(void *context), void *context)
{
    if (geteuid() != 0)
        return -1;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(setgid(OTHER_ID) == 0 && setuid(OTHER_ID) == 0 ? function(context) : 125);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
