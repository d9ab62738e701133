/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gitpin_rig.h"

#include "file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void must(int r, const struct diag *diag)
{
    if (r < 0)
        fail_msg("%s", diag_text(diag, r));
}

int rig_setup(void **state)
{
    struct place *place = mem_zero(1, sizeof(*place));
    struct diag diag = DIAG_INIT;
    char template[] = "/tmp/farm-test-git.XXXXXX";
    must(gitpin_setup(&diag), &diag);
    place->directory = mem_string(mkdtemp(template));
    place->path = mem_format("%s/bare", place->directory);
    assert_int_equal(git_repository_init(&place->raw, place->path, 1), 0);
    assert_int_equal(git_repository_odb(&place->odb, place->raw), 0);
    *state = place;
    return 0;
}

int rig_teardown(void **state)
{
    struct place *place = *state;
    git_odb_free(place->odb);
    git_repository_free(place->raw);
    int r = file_remove_tree(AT_FDCWD, place->directory, NULL);
    free(place->directory);
    free(place->path);
    free(place);
    return r;
}

git_oid put_blob(struct place *place, struct view content)
{
    git_oid id;
    assert_int_equal(git_odb_write(&id, place->odb, content.data != NULL ? content.data : "", content.size,
                                   GIT_OBJECT_BLOB),
                     0);
    return id;
}

void add_entry(struct buf *tree, const char *mode, const char *name, const git_oid *id)
{
    buf_add_format(tree, "%s %s", mode, name);
    buf_add_byte(tree, '\0');
    buf_add(tree, id->id, GIT_OID_RAWSZ);
}

git_oid put_tree(struct place *place, const struct buf *tree)
{
    git_oid id;
    assert_int_equal(
        git_odb_write(&id, place->odb, tree->data != NULL ? tree->data : "", tree->size, GIT_OBJECT_TREE), 0);
    return id;
}

void put_commit(struct place *place, const git_oid *tree, char ret[65])
{
    struct buf text = BUF_INIT;
    char hex[GIT_OID_HEXSZ + 1];
    git_oid id;
    git_oid_tostr(hex, sizeof(hex), tree);
    buf_add_format(&text,
                   "tree %s\nauthor A <a@example.org> 1656438637 +0200\n"
                   "committer C <c@example.org> 1656438637 +0200\n\nmessage\n",
                   hex);
    assert_int_equal(git_odb_write(&id, place->odb, text.data, text.size, GIT_OBJECT_COMMIT), 0);
    git_oid_tostr(ret, GIT_OID_HEXSZ + 1, &id);
    buf_done(&text);
}

void commit_of_entry(struct place *place, const char *mode, const char *name, struct view content,
                     char ret[65])
{
    struct buf tree = BUF_INIT;
    git_oid blob = put_blob(place, content);
    add_entry(&tree, mode, name, &blob);
    git_oid root = put_tree(place, &tree);
    put_commit(place, &root, ret);
    buf_done(&tree);
}

void honest_commit(struct place *place, char ret[65])
{
    struct buf root = BUF_INIT, sub = BUF_INIT, empty = BUF_INIT;
    git_oid text = put_blob(place, VIEW("line\r\n$Id$ $Format:%H$\n")),
            script = put_blob(place, VIEW("#!/bin/sh\n"));
    git_oid link = put_blob(place, VIEW("../outside")), nothing = put_blob(place, VIEW(""));
    git_oid attributes = put_blob(place, VIEW("* text=auto eol=lf ident export-subst filter=evil\n"));
    git_oid lfs =
        put_blob(place, VIEW("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"));
    git_oid module = put_blob(place, VIEW("stands for a commit"));
    add_entry(&sub, "100755", "run.sh", &script);
    add_entry(&sub, "120000", "way", &link);
    git_oid sub_id = put_tree(place, &sub), empty_id = put_tree(place, &empty);
    add_entry(&root, "100644", ".gitattributes", &attributes);
    add_entry(&root, "100644", "big.bin", &lfs);
    add_entry(&root, "100644", "dir.txt", &text);
    add_entry(&root, "40000", "dir", &sub_id); /* behind dir.txt: directories sort as "dir/" */
    add_entry(&root, "40000", "hollow", &empty_id);
    add_entry(&root, "160000", "module", &module);
    add_entry(&root, "100664", "old-mode", &nothing);
    git_oid root_id = put_tree(place, &root);
    put_commit(place, &root_id, ret);
    buf_done(&root);
    buf_done(&sub);
    buf_done(&empty);
}

struct gitrepo *opened(const struct place *place)
{
    struct gitrepo *repo = NULL;
    struct diag diag = DIAG_INIT;
    must(gitrepo_open(place->path, &repo, &diag), &diag);
    return repo;
}

int inspect(const struct place *place, const char *commit, struct gitpin_info *ret, struct diag *diag)
{
    struct gitrepo *repo = opened(place);
    int r = gitrepo_inspect(repo, commit, GITPIN_LIMITS, ret, diag);
    gitrepo_close(repo);
    return r;
}

void expect_refused(struct place *place, const char *commit, const char *word)
{
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    int r = inspect(place, commit, &info, &diag);
    if (r != FARM_E_REFUSED || strstr(diag.text, word) == NULL)
        fail_msg("%d instead of refused for \"%s\": %s", r, word, diag.text);
}

int new_dir(const struct place *place, const char *name)
{
    CLEANUP_FREE char *path = mem_format("%s/%s", place->directory, name);
    assert_int_equal(mkdir(path, 0755), 0);
    return file_open_dir(AT_FDCWD, path, NULL);
}

int checkout_with(struct place *place, const char *commit, const struct digest *digest, const char *name,
                  struct diag *diag)
{
    CLEANUP_CLOSE int dirfd = new_dir(place, name);
    struct stat status;
    struct gitrepo *repo = opened(place);
    int r = gitrepo_checkout(repo, commit, digest, GITPIN_LIMITS, dirfd, 0, diag);
    gitrepo_close(repo);
    if (r < 0) /* refused means: nothing written */
        assert_true(fstat(dirfd, &status) == 0 && status.st_nlink == 2 &&
                    fstatat(dirfd, "a", &status, 0) < 0);
    return r;
}

char *pack_of(struct place *place, const char *commit, const char *name)
{
    char *path = mem_format("%s/%s", place->directory, name);
    struct diag diag = DIAG_INIT;
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct gitrepo *repo = opened(place);
    must(gitrepo_pack(repo, commit, fd, &diag), &diag);
    gitrepo_close(repo);
    return path;
}

int fetch(const char *url, const char *ref, const char *commit, const char *path, bool allow_file,
          struct diag *diag)
{
    const struct gitfetch what = {
        .url = url, .ref = ref, .commit = commit, .path = path, .allow_file = allow_file};
    return gitrepo_fetch(&what, diag);
}

bool run_git(const char *script, char *ret_line, size_t size)
{
    CLEANUP_FREE char *command =
        mem_format("env -i PATH=\"$PATH\" HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 sh -ec '%s'", script);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    bool any = fgets(ret_line, (int)size, pipe) != NULL;
    while (any && fgets(command, 2, pipe) != NULL) /* until its end */
        ;
    ret_line[any ? strcspn(ret_line, "\n") : 0] = '\0';
    return pclose(pipe) == 0 && any;
}
