/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz_git.h"

#include "file.h"
#include "fuzz.h"

#include <git2/sys/mempack.h>
#include <sys/mman.h>
#include <unistd.h>

struct objects {
    git_odb *odb;
    git_oid ids[FUZZ_GIT_OBJECTS_MAX];
    size_t count;
    git_oid commit;
    bool has_commit;
};

/* Places are taken modulo; before the first object everything names the null id. */
static const git_oid *object_at(const struct objects *objects, unsigned int place)
{
    static const git_oid none;
    return objects->count > 0 ? &objects->ids[place % objects->count] : &none;
}

static void make_tree(const struct objects *objects, struct view list, struct buf *ret)
{
    struct view entry;
    while (list.size > 0 && view_split(&list, '\0', &entry)) {
        buf_add_view(ret, entry);
        if (list.size == 0)
            return; /* cut off: no NUL, no id */
        buf_add_byte(ret, '\0');
        buf_add(ret, object_at(objects, fuzz_take_byte(&list))->id, GIT_OID_RAWSZ);
    }
}

static void make_commit(const struct objects *objects, struct view text, struct buf *ret)
{
    char hex[GIT_OID_HEXSZ + 1];
    git_oid_tostr(hex, sizeof hex, object_at(objects, fuzz_take_byte(&text)));
    buf_add_format(ret, "tree %s\n", hex);
    buf_add_view(ret, text);
}

static void add_object(struct objects *objects, unsigned int kind, struct view chunk)
{
    static const git_object_t types[] = {GIT_OBJECT_BLOB, GIT_OBJECT_TREE, GIT_OBJECT_COMMIT};
    CLEANUP_BUF struct buf content = BUF_INIT;
    git_oid id;
    if (kind == 1)
        make_tree(objects, chunk, &content);
    else if (kind == 2)
        make_commit(objects, chunk, &content);
    else
        buf_add_view(&content, chunk);
    if (git_odb_write(&id, objects->odb, content.data != NULL ? content.data : "", content.size,
                      types[kind]) < 0)
        return;
    objects->ids[objects->count++] = id;
    if (kind == 2) {
        objects->commit = id;
        objects->has_commit = true;
    }
}

void fuzz_git_make(struct view list, struct gitrepo **ret, char ret_commit[65])
{
    struct objects objects = {.count = 0};
    git_odb_backend *memory = NULL;
    git_repository *repo = NULL;
    struct diag diag = DIAG_INIT;
    FUZZ_OK(gitpin_setup(&diag), &diag);
    FUZZ_CHECK(git_odb_new(&objects.odb) == 0 && git_mempack_new(&memory) == 0);
    FUZZ_CHECK(git_odb_add_backend(objects.odb, memory, 1000) == 0);
    FUZZ_CHECK(git_repository_wrap_odb(&repo, objects.odb) == 0);
    while (list.size > 0 && objects.count < FUZZ_GIT_OBJECTS_MAX) {
        unsigned int kind = fuzz_take_byte(&list) % 3;
        add_object(&objects, kind, fuzz_take_chunk(&list));
    }
    ret_commit[0] = '\0';
    if (objects.has_commit)
        git_oid_tostr(ret_commit, GIT_OID_HEXSZ + 1, &objects.commit);
    git_odb_free(objects.odb);
    FUZZ_OK(gitrepo_adopt(repo, ret, &diag), &diag);
}

static void add(struct buf *list, char kind, struct view chunk)
{
    buf_add_byte(list, kind);
    buf_add_byte(list, (char)(chunk.size & 0xff));
    buf_add_byte(list, (char)(chunk.size >> 8));
    buf_add_view(list, chunk);
}

void fuzz_git_example(struct buf *ret)
{
    static const char inner[] = "100644 a\0\0"
                                "100755 b\0\1"
                                "120000 c\0\0";
    static const char root[] = "100644 .gitmodules\0\2"
                               "100644 f\0\0"
                               "40000 sub\0\3"
                               "160000 third\0\0";
    add(ret, 0, VIEW("first\n"));
    add(ret, 0, VIEW("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"));
    add(ret, 0, VIEW("[submodule \"third\"]\n\tpath = third\n\turl = https://a.org/third\n"));
    add(ret, 1, view_of(inner, sizeof inner - 1));
    add(ret, 1, view_of(root, sizeof root - 1));
    add(ret, 2,
        VIEW("\4author A <a@a.org> 1656438637 +0200\ncommitter C <c@a.org> 1656438637 +0200\n\nmessage\n"));
}

void fuzz_git_pack(struct view list, struct buf *ret)
{
    struct gitrepo *repo = NULL;
    char commit[65];
    struct diag diag = DIAG_INIT;
    CLEANUP_CLOSE int fd = memfd_create("pack", MFD_CLOEXEC);
    fuzz_git_make(list, &repo, commit);
    FUZZ_OK(gitrepo_pack(repo, commit, fd, &diag), &diag);
    FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0);
    FUZZ_OK(file_read_fd(fd, "pack", 1 << 20, ret, &diag), &diag);
    ret->size -= GIT_OID_RAWSZ;
    gitrepo_close(repo);
}
