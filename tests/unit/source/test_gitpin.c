/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * gitpin: honest trees give git's own digests, a pin names one tree for ever (G1 to G4, G6), and nothing in a repository runs (G7).
 */
#include "gitpin_rig.h"

#include "file.h"
#include "treedigest.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- honest trees ---- */

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
        TEST(g7_hooks_and_configured_programs_never_run),
        TEST(configuration_and_owner_do_not_matter),
        TEST(a_work_tree_is_opened_by_its_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
