/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * gitpin: honest trees give git's own digests; hostile repositories (G1 to G9) are refused and never run anything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "file.h"
#include "gitpin_private.h"
#include "treedigest.h"

#include <errno.h>
#include <fcntl.h>
#include <git2/sys/repository.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
    char *directory, *path; /* scratch, and a bare repository in it */
    git_repository *raw;    /* for writing what libgit2's own checks would not */
    git_odb *odb;
};

static void must(int r, const struct diag *diag)
{
    if (r < 0)
        fail_msg("%s", diag_text(diag, r));
}

static int setup(void **state)
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

static int teardown(void **state)
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

/* ---- writing objects ---- */

static git_oid put_blob(struct place *place, struct view content)
{
    git_oid id;
    assert_int_equal(git_odb_write(&id, place->odb, content.data != NULL ? content.data : "", content.size,
                                   GIT_OBJECT_BLOB),
                     0);
    return id;
}

static void add_entry(struct buf *tree, const char *mode, const char *name, const git_oid *id)
{
    buf_add_format(tree, "%s %s", mode, name);
    buf_add_byte(tree, '\0');
    buf_add(tree, id->id, GIT_OID_RAWSZ);
}

static git_oid put_tree(struct place *place, const struct buf *tree)
{
    git_oid id;
    assert_int_equal(
        git_odb_write(&id, place->odb, tree->data != NULL ? tree->data : "", tree->size, GIT_OBJECT_TREE), 0);
    return id;
}

/* The commit's id, in *ret. */
static void put_commit(struct place *place, const git_oid *tree, char ret[65])
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

/* A commit whose root holds one entry. */
static void commit_of_entry(struct place *place, const char *mode, const char *name, struct view content,
                            char ret[65])
{
    struct buf tree = BUF_INIT;
    git_oid blob = put_blob(place, content);
    add_entry(&tree, mode, name, &blob);
    git_oid root = put_tree(place, &tree);
    put_commit(place, &root, ret);
    buf_done(&tree);
}

static int fetch(const char *url, const char *ref, const char *commit, const char *path, bool allow_file,
                 struct diag *diag)
{
    const struct gitfetch what = {
        .url = url, .ref = ref, .commit = commit, .path = path, .allow_file = allow_file};
    return gitrepo_fetch(&what, diag);
}

static struct gitrepo *opened(const struct place *place)
{
    struct gitrepo *repo = NULL;
    struct diag diag = DIAG_INIT;
    must(gitrepo_open(place->path, &repo, &diag), &diag);
    return repo;
}

static int inspect(const struct place *place, const char *commit, struct gitpin_info *ret, struct diag *diag)
{
    struct gitrepo *repo = opened(place);
    int r = gitrepo_inspect(repo, commit, GITPIN_LIMITS, ret, diag);
    gitrepo_close(repo);
    return r;
}

/* A tree with all that an honest one may have. */
static void honest_commit(struct place *place, char ret[65])
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

/* ---- honest trees ---- */

static int new_dir(const struct place *place, const char *name)
{
    CLEANUP_FREE char *path = mem_format("%s/%s", place->directory, name);
    assert_int_equal(mkdir(path, 0755), 0);
    return file_open_dir(AT_FDCWD, path, NULL);
}

static void digests_and_reports_of_an_honest_tree(void **state)
{
    struct place *place = *state;
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    char commit[65];
    honest_commit(place, commit);
    must(inspect(place, commit, &info, &diag), &diag);
    assert_string_equal(info.commit, commit);
    assert_int_equal(info.epoch, 1656438637);
    assert_int_equal(info.gitlinks, 1);
    assert_int_equal(info.lfs_pointers, 1); /* G6 */
    assert_int_equal(info.entries, 7);
}

static void assert_file(int dirfd, const char *path, struct view content, mode_t mode)
{
    struct buf found = BUF_INIT;
    struct stat status;
    assert_int_equal(file_read(dirfd, path, 4096, &found, NULL), 0);
    assert_true(view_equal(buf_view(&found), content));
    assert_int_equal(fstatat(dirfd, path, &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(status.st_mode & 07777, mode);
    assert_int_equal(status.st_mtim.tv_sec, 12345);
    buf_done(&found);
}

/* G4: attributes, line ends, keywords and filters change nothing. */
static void g4_checkout_writes_raw_bytes(void **state)
{
    struct place *place = *state;
    struct gitpin_info info;
    struct digest on_disk;
    struct stat status;
    struct diag diag = DIAG_INIT;
    char commit[65], target[64];
    honest_commit(place, commit);
    must(inspect(place, commit, &info, &diag), &diag);
    CLEANUP_CLOSE int dirfd = new_dir(place, "out");
    mode_t old = umask(077);
    struct gitrepo *repo = opened(place);
    must(gitrepo_checkout(repo, commit, &info.tree_sha256, GITPIN_LIMITS, dirfd, 12345, &diag), &diag);
    gitrepo_close(repo);
    umask(old);
    assert_file(dirfd, "dir.txt", VIEW("line\r\n$Id$ $Format:%H$\n"), 0644);
    assert_file(dirfd, "dir/run.sh", VIEW("#!/bin/sh\n"), 0755);
    assert_file(dirfd, "old-mode", VIEW(""), 0644);
    assert_int_equal(readlinkat(dirfd, "dir/way", target, sizeof(target)), 10);
    assert_int_equal(fstatat(dirfd, "module", &status, 0), 0);
    assert_true(S_ISDIR(status.st_mode));
    assert_int_equal(fstatat(dirfd, "dir", &status, 0), 0);
    assert_int_equal(status.st_mtim.tv_sec, 12345);
    must(treedigest_of_dir(dirfd, &on_disk, &diag), &diag);
    assert_true(digest_equal(&on_disk, &info.tree_sha256));
}

/* Runs git(1) without anybody's configuration; the first line of its output. */
static bool run_git(const char *script, char *ret_line, size_t size)
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

/* FORMATS.md's oracle: git itself, in SHA-256 object format. */
static void tree_digest_is_gits_own(void **state)
{
    struct place *place = *state;
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    char commit[65], line[128];
    if (!run_git("git --version", line, sizeof(line)))
        skip(); /* no git here */
    honest_commit(place, commit);
    must(inspect(place, commit, &info, &diag), &diag);
    CLEANUP_CLOSE int dirfd = new_dir(place, "out");
    struct gitrepo *repo = opened(place);
    must(gitrepo_checkout(repo, commit, &info.tree_sha256, GITPIN_LIMITS, dirfd, 0, &diag), &diag);
    gitrepo_close(repo);
    CLEANUP_FREE char *script =
        mem_format("cd %s/out; git init -q --object-format=sha256 .; "
                   "echo \"* -text -filter -ident -working-tree-encoding\" > .git/info/attributes; "
                   "git -c core.autocrlf=false add -A -f 2>/dev/null; git write-tree",
                   place->directory);
    assert_true(run_git(script, line, sizeof(line)));
    assert_string_equal(line, digest_hex(&info.tree_sha256).text);
}

/* The real values of FORMATS.md, where somebody has that repository: FARM_TEST_REPOS names the directory it is in. */
static void rocr_runtime_has_the_documented_digest(void **state)
{
    static const char *const names[] = {"ROCR-Runtime", "ROCR-Runtime.git", "ROCm+ROCR-Runtime/repo"};
    const char *repos = getenv("FARM_TEST_REPOS");
    struct gitrepo *repo = NULL;
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    (void)state;
    for (size_t i = 0; repos != NULL && repo == NULL && i < ARRAY_SIZE(names); i++) {
        CLEANUP_FREE char *path = mem_format("%s/%s", repos, names[i]);
        if (gitrepo_open(path, &repo, &diag) < 0)
            repo = NULL;
    }
    if (repo == NULL) {
        print_message("skipped: set FARM_TEST_REPOS to a directory with ROCR-Runtime\n");
        skip();
    }
    must(gitrepo_inspect(repo, "dbc2f403d7a212fab737a3f7e1775bd9608d5496", GITPIN_LIMITS, &info, &diag),
         &diag);
    assert_string_equal(digest_hex(&info.tree_sha256).text,
                        "d6781a21ac7c056e415d94e0b7164aadf80379b7f1ee92e971890690a6c36599");
    assert_int_equal(info.epoch, 1656438637);
    gitrepo_close(repo);
}

/* ---- pins ---- */

static void g1_a_moved_ref_changes_nothing(void **state)
{
    struct place *place = *state;
    char first[65], second[65], found[65];
    struct gitpin_info before, after;
    struct diag diag = DIAG_INIT;
    git_reference *ref = NULL;
    git_oid id;
    commit_of_entry(place, "100644", "a", VIEW("one"), first);
    commit_of_entry(place, "100644", "a", VIEW("two"), second);
    must(inspect(place, first, &before, &diag), &diag);
    for (int i = 0; i < 2; i++) {
        git_oid_fromstr(&id, i == 0 ? first : second);
        assert_int_equal(git_reference_create(&ref, place->raw, "refs/tags/v1", &id, 1, NULL), 0);
        git_reference_free(ref);
    }
    struct gitrepo *repo = opened(place);
    must(gitrepo_resolve(repo, "v1", found, &diag), &diag);
    assert_string_equal(found, second);
    must(gitrepo_resolve(repo, "refs/tags/v1", found, &diag), &diag);
    assert_int_equal(gitrepo_resolve(repo, "v2", found, &diag), FARM_E_UNKNOWN);
    gitrepo_close(repo);
    must(inspect(place, first, &after, &diag), &diag);
    assert_true(digest_equal(&before.tree_sha256, &after.tree_sha256));
}

static int checkout_with(struct place *place, const char *commit, const struct digest *digest,
                         const char *name, struct diag *diag)
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

static void g2_g3_another_tree_or_mode_is_refused(void **state)
{
    struct place *place = *state;
    struct gitpin_info plain, exec;
    struct diag diag = DIAG_INIT;
    char commit[65], flipped[65];
    commit_of_entry(place, "100644", "a", VIEW("one"), commit);
    commit_of_entry(place, "100755", "a", VIEW("one"), flipped);
    must(inspect(place, commit, &plain, &diag), &diag);
    must(inspect(place, flipped, &exec, &diag), &diag);
    assert_false(digest_equal(&plain.tree_sha256, &exec.tree_sha256));
    assert_int_equal(checkout_with(place, flipped, &plain.tree_sha256, "x", &diag), FARM_E_DIGEST);
    assert_non_null(strstr(diag.text, digest_hex(&plain.tree_sha256).text));
    must(checkout_with(place, commit, &plain.tree_sha256, "y", &diag), &diag);
}

static void checkout_wants_an_empty_directory(void **state)
{
    struct place *place = *state;
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    char commit[65];
    commit_of_entry(place, "100644", "a", VIEW("one"), commit);
    must(inspect(place, commit, &info, &diag), &diag);
    CLEANUP_CLOSE int dirfd = new_dir(place, "out");
    assert_int_equal(symlinkat("/tmp", dirfd, "a"), 0);
    struct gitrepo *repo = opened(place);
    assert_int_equal(gitrepo_checkout(repo, commit, &info.tree_sha256, GITPIN_LIMITS, dirfd, 0, &diag),
                     FARM_E_STATE);
    gitrepo_close(repo);
}

static void absent_and_malformed_commits_are_named(void **state)
{
    struct place *place = *state;
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    assert_int_equal(inspect(place, "dbc2f403d7a212fab737a3f7e1775bd9608d5496", &info, &diag),
                     FARM_E_MISSING);
    assert_non_null(strstr(diag.text, "dbc2f403"));
    assert_int_equal(inspect(place, "main", &info, &diag), FARM_E_SYNTAX);
}

/* ---- G5: names and shapes that no honest tree has ---- */

static void expect_refused(struct place *place, const char *commit, const char *word)
{
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    int r = inspect(place, commit, &info, &diag);
    if (r != FARM_E_REFUSED || strstr(diag.text, word) == NULL)
        fail_msg("%d instead of refused for \"%s\": %s", r, word, diag.text);
}

static void g5_hostile_names_are_refused(void **state)
{
    static const char *const names[] = {".git",
                                        ".GIT",
                                        ".Git",
                                        "git~1",
                                        "GIT~2",
                                        "..",
                                        ".",
                                        "",
                                        "a/b",
                                        ".git.",
                                        ".git ",
                                        ".git . .",
                                        ".git::$INDEX_ALLOCATION",
                                        ".g\xe2\x80\x8cit",
                                        "\xef\xbb\xbf.git",
                                        ".gi\xe2\x81\xaft"};
    struct place *place = *state;
    char commit[65];
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        commit_of_entry(place, "100644", names[i], VIEW("x"), commit);
        expect_refused(place, commit, "tree entry");
        commit_of_entry(place, "120000", names[i], VIEW("/etc"), commit); /* a symlinked .git */
        expect_refused(place, commit, "tree entry");
    }
}

static void names_that_only_look_alike_are_fine(void **state)
{
    static const char *const names[] = {".gitignore", ".github", "git", "git~",
                                        "git~x",      ".git2",   "...", "a:b"};
    struct place *place = *state;
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    char commit[65];
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        commit_of_entry(place, "100644", names[i], VIEW("x"), commit);
        must(inspect(place, commit, &info, &diag), &diag);
    }
}

static void g5_hostile_shapes_are_refused(void **state)
{
    struct place *place = *state;
    git_oid blob = put_blob(place, VIEW("x")), tree;
    struct buf one = BUF_INIT, two = BUF_INIT, three = BUF_INIT, four = BUF_INIT;
    char commit[65];
    add_entry(&one, "100644", "a", &blob);
    add_entry(&one, "100644", "a", &blob);
    tree = put_tree(place, &one);
    put_commit(place, &tree, commit);
    expect_refused(place, commit, "duplicate");
    git_oid sub = put_tree(place, &(struct buf)BUF_INIT);
    add_entry(&two, "100644", "a", &blob);
    add_entry(&two, "100644", "a.b", &blob); /* stands between the file a and the directory a/ */
    add_entry(&two, "40000", "a", &sub);
    tree = put_tree(place, &two);
    put_commit(place, &tree, commit);
    expect_refused(place, commit, "duplicate");
    add_entry(&three, "100644", "b", &blob);
    add_entry(&three, "100644", "a", &blob);
    tree = put_tree(place, &three);
    put_commit(place, &tree, commit);
    expect_refused(place, commit, "sorted");
    buf_add_text(&four, "100644 cut");
    tree = put_tree(place, &four);
    put_commit(place, &tree, commit);
    expect_refused(place, commit, "malformed");
    buf_done(&one);
    buf_done(&two);
    buf_done(&three);
    buf_done(&four);
}

static void g5_unknown_modes_and_swapped_types_are_refused(void **state)
{
    static const char *const modes[] = {"100777", "104755", "040000", "60000", "0", "100644x", ""};
    struct place *place = *state;
    char commit[65];
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        commit_of_entry(place, modes[i], "a", VIEW("x"), commit);
        expect_refused(place, commit, "mode");
    }
    commit_of_entry(place, "40000", "a", VIEW("x"), commit); /* a blob where a directory should be */
    expect_refused(place, commit, "type");
}

static void g5_hostile_gitmodules_are_refused(void **state)
{
    static const char *const texts[] = {
        "[submodule \"a\"]\n\tpath = a\n\turl = -u./payload\n", "[submodule \"a\"]\n\tpath = \"-x\"\n",
        "[submodule \"../../x\"]\n\tpath = x\n", "[submodule \"a\"]\n\tupdate = !touch /tmp/x\n"};
    struct place *place = *state;
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    char commit[65];
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        commit_of_entry(place, "100644", ".gitmodules", view_text(texts[i]), commit);
        expect_refused(place, commit, ".gitmodules:");
    }
    commit_of_entry(place, "120000", ".gitmodules", VIEW("elsewhere"), commit);
    expect_refused(place, commit, "symlink");
    commit_of_entry(place, "100644", ".gitmodules",
                    VIEW("[submodule \"a\"]\n\tpath = a\n\turl = https://example.org/a\n"), commit);
    must(inspect(place, commit, &info, &diag), &diag);
}

/* ---- limits ---- */

static void g8_limits_hold_for_bytes_entries_and_depth(void **state)
{
    struct place *place = *state;
    struct gitpin_info info;
    char commit[65];
    git_oid id = put_blob(place, VIEW("0123456789"));
    /* Ten times ten times ... : a tree of ten thousand million files from eleven objects. */
    for (int level = 0; level < 10; level++) {
        struct buf tree = BUF_INIT;
        for (int i = 0; i < 10; i++) {
            char name[2] = {(char)('0' + i), '\0'};
            add_entry(&tree, level == 0 ? "100644" : "40000", name, &id);
        }
        id = put_tree(place, &tree);
        buf_done(&tree);
    }
    put_commit(place, &id, commit);
    struct gitrepo *repo = opened(place);
    assert_int_equal(gitrepo_inspect(repo, commit, (struct gitpin_limits){1 << 20, 5000}, &info, NULL),
                     FARM_E_LIMIT);
    assert_int_equal(gitrepo_inspect(repo, commit, (struct gitpin_limits){4096, 1 << 20}, &info, NULL),
                     FARM_E_LIMIT);
    for (int level = 0; level < 200; level++) {
        struct buf tree = BUF_INIT;
        add_entry(&tree, "40000", "d", &id);
        id = put_tree(place, &tree);
        buf_done(&tree);
    }
    put_commit(place, &id, commit);
    assert_int_equal(gitrepo_inspect(repo, commit, GITPIN_LIMITS, &info, NULL), FARM_E_LIMIT);
    gitrepo_close(repo);
}

/* ---- packs ---- */

static char *pack_of(struct place *place, const char *commit, const char *name)
{
    char *path = mem_format("%s/%s", place->directory, name);
    struct diag diag = DIAG_INIT;
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct gitrepo *repo = opened(place);
    must(gitrepo_pack(repo, commit, fd, &diag), &diag);
    gitrepo_close(repo);
    return path;
}

static void a_pack_carries_one_commit_exactly(void **state)
{
    struct place *place = *state;
    struct gitpin_info here, there;
    struct gitrepo *repo = NULL;
    struct stat status;
    struct diag diag = DIAG_INIT;
    char commit[65], other[65];
    honest_commit(place, commit);
    commit_of_entry(place, "100644", "a", VIEW("not in the pack"), other);
    must(inspect(place, commit, &here, &diag), &diag);
    CLEANUP_FREE char *pack = pack_of(place, commit, "one.pack");
    CLEANUP_FREE char *scratch = mem_format("%s/scratch/inner", place->directory);
    must(gitrepo_open_pack(pack, scratch, &repo, &diag), &diag);
    must(gitrepo_inspect(repo, commit, GITPIN_LIMITS, &there, &diag), &diag);
    assert_memory_equal(&here.tree_sha256, &there.tree_sha256, sizeof(here.tree_sha256));
    assert_int_equal(here.entries, there.entries);
    assert_int_equal(gitrepo_inspect(repo, other, GITPIN_LIMITS, &there, &diag), FARM_E_MISSING);
    CLEANUP_CLOSE int dirfd = new_dir(place, "out");
    must(gitrepo_checkout(repo, commit, &here.tree_sha256, GITPIN_LIMITS, dirfd, 0, &diag), &diag);
    assert_int_equal(stat(scratch, &status), 0);
    gitrepo_close(repo);
    assert_true(stat(scratch, &status) < 0 && errno == ENOENT);
}

static void the_same_commit_packs_to_the_same_bytes(void **state)
{
    struct place *place = *state;
    struct buf a = BUF_INIT, b = BUF_INIT;
    char commit[65];
    honest_commit(place, commit);
    CLEANUP_FREE char *one = pack_of(place, commit, "one.pack");
    CLEANUP_FREE char *two = pack_of(place, commit, "two.pack");
    assert_int_equal(file_read(AT_FDCWD, one, 1 << 20, &a, NULL), 0);
    assert_int_equal(file_read(AT_FDCWD, two, 1 << 20, &b, NULL), 0);
    assert_true(view_equal(buf_view(&a), buf_view(&b)));
    buf_done(&a);
    buf_done(&b);
}

/* Every byte of a pack stands under a checksum: whichever is changed, nothing of it is believed. */
static void damaged_packs_are_refused(void **state)
{
    struct place *place = *state;
    struct buf good = BUF_INIT;
    struct gitrepo *repo = NULL;
    struct diag diag = DIAG_INIT;
    char commit[65];
    honest_commit(place, commit);
    CLEANUP_FREE char *path = pack_of(place, commit, "one.pack");
    CLEANUP_FREE char *scratch = mem_format("%s/scratch", place->directory);
    assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &good, NULL), 0);
    for (size_t i = 0; i < good.size; i += 7) {
        CLEANUP_FREE char *bad = mem_copy(good.data, good.size);
        bad[i] ^= 0x10;
        must(file_write(AT_FDCWD, path, view_of(bad, good.size), 0600, &diag), &diag);
        assert_true(gitrepo_open_pack(path, scratch, &repo, &diag) < 0);
        must(file_write(AT_FDCWD, path, view_of(good.data, i), 0600, &diag), &diag); /* truncated */
        assert_true(gitrepo_open_pack(path, scratch, &repo, &diag) < 0);
    }
    assert_null(repo);
    buf_done(&good);
}

/* G8: a pack that announces four thousand million objects, and one whose object claims four gigabytes. */
static void g8_pack_bombs_are_refused(void **state)
{
    struct place *place = *state;
    struct gitrepo *repo = NULL;
    struct diag diag = DIAG_INIT;
    char commit[65];
    commit_of_entry(place, "100644", "a", VIEW("x"), commit);
    CLEANUP_FREE char *path = pack_of(place, commit, "one.pack");
    CLEANUP_FREE char *scratch = mem_format("%s/scratch", place->directory);
    struct buf pack = BUF_INIT;
    must(file_read(AT_FDCWD, path, 1 << 20, &pack, &diag), &diag);
    memcpy(pack.data + 8, "\x7f\xff\xff\xff", 4);
    must(file_write(AT_FDCWD, path, buf_view(&pack), 0600, &diag), &diag);
    assert_int_equal(gitrepo_open_pack(path, scratch, &repo, &diag), FARM_E_LIMIT);
    memcpy(pack.data + 8, "\0\0\0\1", 4);
    pack.size = 12;
    buf_add(&pack, "\xbf\xff\xff\xff\xff\xff\x7f", 7); /* a blob of 2^46 bytes */
    buf_add(&pack, "\x78\x9c\x03\x00\x00\x00\x00\x01", 8);
    must(file_write(AT_FDCWD, path, buf_view(&pack), 0600, &diag), &diag);
    assert_true(gitrepo_open_pack(path, scratch, &repo, &diag) < 0);
    buf_done(&pack);
}

/* ---- G7: nothing in a repository runs ---- */

static void write_script(const struct place *place, const char *name, const char *marker)
{
    CLEANUP_FREE char *path = mem_format("%s/%s", place->path, name);
    CLEANUP_FREE char *text = mem_format("#!/bin/sh\ntouch %s\n", marker);
    struct diag diag = DIAG_INIT;
    must(file_write(AT_FDCWD, path, view_text(text), 0755, &diag), &diag);
}

static void g7_hooks_and_configured_programs_never_run(void **state)
{
    struct place *place = *state;
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    struct stat status;
    char commit[65];
    CLEANUP_FREE char *marker = mem_format("%s/it-ran", place->directory);
    CLEANUP_FREE char *config = mem_format("%s/config", place->path);
    CLEANUP_FREE char *hooks = mem_format("%s/hooks", place->path);
    honest_commit(place, commit);
    must(file_make_dirs(AT_FDCWD, hooks, 0755, &diag), &diag);
    write_script(place, "hooks/post-checkout", marker);
    write_script(place, "hooks/evil", marker);
    CLEANUP_FREE char *text =
        mem_format("[core]\n\tbare = true\n\tfsmonitor = %s/hooks/evil\n\tsshCommand = %s/hooks/evil\n"
                   "\tautocrlf = true\n[filter \"evil\"]\n\tsmudge = %s/hooks/evil\n\trequired\n"
                   "[include]\n\tpath = /nonexistent\n[uploadpack]\n\tpackObjectsHook = %s/hooks/evil\n",
                   place->path, place->path, place->path, place->path);
    must(file_write(AT_FDCWD, config, view_text(text), 0644, &diag), &diag);
    must(inspect(place, commit, &info, &diag), &diag);
    must(checkout_with(place, commit, &info.tree_sha256, "out", &diag), &diag);
    CLEANUP_FREE char *pack = pack_of(place, commit, "one.pack");
    CLEANUP_FREE char *copy = mem_format("%s/copy", place->directory);
    git_reference *ref = NULL;
    git_oid id;
    git_oid_fromstr(&id, commit);
    assert_int_equal(git_reference_create(&ref, place->raw, "refs/heads/main", &id, 1, NULL), 0);
    git_reference_free(ref);
    must(fetch(place->path, "main", commit, copy, true, &diag), &diag);
    assert_true(stat(marker, &status) < 0);
}

/* A repository with broken configuration, of another owner, is still only objects to us. */
static void configuration_and_owner_do_not_matter(void **state)
{
    struct place *place = *state;
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    char commit[65];
    CLEANUP_FREE char *config = mem_format("%s/config", place->path);
    honest_commit(place, commit);
    must(file_write(AT_FDCWD, config, VIEW("[broken\n"), 0644, &diag), &diag);
    if (getuid() == 0)
        assert_int_equal(chown(place->path, 12345, 12345), 0);
    must(inspect(place, commit, &info, &diag), &diag);
}

static void a_work_tree_is_opened_by_its_directory(void **state)
{
    struct place *place = *state;
    struct gitrepo *repo = NULL;
    struct diag diag = DIAG_INIT;
    char commit[65], found[65], line[128];
    if (!run_git("git --version", line, sizeof(line)))
        skip();
    CLEANUP_FREE char *work = mem_format("%s/work", place->directory);
    CLEANUP_FREE char *script = mem_format(
        "git init -q %s; cd %s; echo hi > f; git add f; git -c user.name=a -c user.email=a@b commit -q -m x; "
        "git worktree add -q -b side ../side; git rev-parse HEAD",
        work, work);
    assert_true(run_git(script, commit, sizeof(commit)));
    must(gitrepo_open(work, &repo, &diag), &diag);
    must(gitrepo_resolve(repo, "HEAD", found, &diag), &diag);
    assert_string_equal(found, commit);
    gitrepo_close(repo);
    CLEANUP_FREE char *side = mem_format("%s/side", place->directory); /* its .git is a file */
    must(gitrepo_open(side, &repo, &diag), &diag);
    must(gitrepo_resolve(repo, "HEAD", found, &diag), &diag);
    assert_string_equal(found, commit);
    gitrepo_close(repo);
}

/* ---- G9: where fetching may go ---- */

static void g9_urls_are_refused_unless_configured(void **state)
{
    static const char *const urls[] = {"file:///srv/repo",
                                       "/srv/repo",
                                       "ext::sh -c touch% /tmp/x",
                                       "ssh://git@example.org/x",
                                       "git://example.org/x",
                                       "http://example.org/x",
                                       "https://user:password@example.org/x",
                                       "https:///x",
                                       "https://127.0.0.1/x",
                                       "https://localhost/x",
                                       "https://10.1.2.3/x",
                                       "https://[::1]/x",
                                       "https://169.254.169.254/latest",
                                       "-uhttps://x/y",
                                       "https://example.org/\nx",
                                       "https://192.168.0.1:443/x",
                                       "HTTPS://example.org/x"};
    struct place *place = *state;
    CLEANUP_FREE char *copy = mem_format("%s/copy", place->directory);
    struct stat status;
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        struct diag diag = DIAG_INIT;
        int r = fetch(urls[i], NULL, NULL, copy, false, &diag);
        if (r != FARM_E_REFUSED)
            fail_msg("%s: %d %s", urls[i], r, diag.text);
    }
    assert_int_equal(fetch("ext::sh", NULL, NULL, copy, true, NULL), FARM_E_REFUSED);
    assert_true(stat(copy, &status) < 0);
}

static void fetching_finds_the_commit_by_ref_or_without(void **state)
{
    struct place *place = *state;
    struct diag diag = DIAG_INIT;
    struct gitpin_info info;
    struct gitrepo *repo = NULL;
    git_reference *ref = NULL;
    git_oid id;
    char commit[65];
    CLEANUP_FREE char *url = mem_format("file://%s", place->path);
    CLEANUP_FREE char *copy = mem_format("%s/a/b/copy", place->directory);
    honest_commit(place, commit);
    git_oid_fromstr(&id, commit);
    assert_int_equal(git_reference_create(&ref, place->raw, "refs/heads/topic", &id, 1, NULL), 0);
    git_reference_free(ref);
    /* The ref of the pin is gone; the commit is on another one. */
    must(fetch(url, "refs/tags/gone", commit, copy, true, &diag), &diag);
    must(gitrepo_open(copy, &repo, &diag), &diag);
    must(gitrepo_inspect(repo, commit, GITPIN_LIMITS, &info, &diag), &diag);
    gitrepo_close(repo);
    must(fetch(url, "topic", "topic", copy, true, &diag), &diag);
    /* It is there: no network, so a dead URL does not matter. */
    must(fetch("file:///nowhere", NULL, commit, copy, true, &diag), &diag);
    assert_int_equal(fetch(url, NULL, "1111111111111111111111111111111111111111", copy, true, &diag),
                     FARM_E_MISSING);
    assert_non_null(strstr(diag.text, "on no branch or tag"));
    assert_int_equal(fetch("file:///nowhere", NULL, NULL, copy, true, &diag), FARM_E_UNAVAILABLE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(digests_and_reports_of_an_honest_tree),
        TEST(g4_checkout_writes_raw_bytes),
        TEST(tree_digest_is_gits_own),
        TEST(rocr_runtime_has_the_documented_digest),
        TEST(g1_a_moved_ref_changes_nothing),
        TEST(g2_g3_another_tree_or_mode_is_refused),
        TEST(checkout_wants_an_empty_directory),
        TEST(absent_and_malformed_commits_are_named),
        TEST(g5_hostile_names_are_refused),
        TEST(names_that_only_look_alike_are_fine),
        TEST(g5_hostile_shapes_are_refused),
        TEST(g5_unknown_modes_and_swapped_types_are_refused),
        TEST(g5_hostile_gitmodules_are_refused),
        TEST(g8_limits_hold_for_bytes_entries_and_depth),
        TEST(a_pack_carries_one_commit_exactly),
        TEST(the_same_commit_packs_to_the_same_bytes),
        TEST(damaged_packs_are_refused),
        TEST(g8_pack_bombs_are_refused),
        TEST(g7_hooks_and_configured_programs_never_run),
        TEST(configuration_and_owner_do_not_matter),
        TEST(a_work_tree_is_opened_by_its_directory),
        TEST(g9_urls_are_refused_unless_configured),
        TEST(fetching_finds_the_commit_by_ref_or_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
