/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The log: what is shown was committed, whatever happens in between (D6, L4, L5, L7).
 */
#include "farm_rig.h"
#include "journal_private.h"

#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* An entry that no row belongs to. */
static void add_plan(struct rig *rig, const char *text)
{
    struct logentry entry = {.kind = LOG_PLAN, .sha256 = digest_of(view_text(text))};
    journal_add(rig->farm, &entry);
}

static int setup(void **state)
{
    struct rig *rig = rig_new();
    add_plan(rig, "first");
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    rig_free(rig);
    return 0;
}

static void must_start(struct rig *rig)
{
    struct diag diag = DIAG_INIT;
    if (rig_start(rig, &diag) < 0)
        fail_msg("%s", diag.text);
}

static int add_leaf(void *context, const struct db_log_entry *row)
{
    struct digest leaf = tlog_leaf(row->entry);
    tlog_append(context, &leaf, NULL, NULL);
    return 0;
}

/* The newest checkpoint is about exactly the rows, and the files give its root. */
static struct checkpoint expect_whole(struct rig *rig)
{
    struct checkpoint checkpoint;
    struct tlog_tree tree = {0};
    struct digest root;
    struct diag diag = DIAG_INIT;
    assert_true(journal_checkpoint(rig->farm, &checkpoint));
    assert_int_equal(checkpoint.size, journal_size(rig->farm));
    assert_int_equal(db_each_log_entry(rig->farm->db, 0, add_leaf, &tree, NULL), checkpoint.size);
    root = tlog_root(&tree);
    assert_true(digest_equal(&root, &checkpoint.root));
    if (tiledir_verify(rig->farm->journal->tiles.dirfd, checkpoint.size, &root, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_true(digest_equal(&root, &checkpoint.root));
    return checkpoint;
}

/* ---- crashes ---- */

/* In a process that dies behind a step of a publication: nothing is closed, nothing is finished. */
static void die_behind(struct rig *rig, int step, unsigned int entries)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct checkpoint checkpoint;
        CLEANUP_BUF struct buf note = BUF_INIT;
        struct diag diag = DIAG_INIT;
        if (rig_start(rig, &diag) < 0)
            _exit(1);
        for (unsigned int i = 0; i < entries; i++)
            add_plan(rig, "crash");
        if (step >= 0 && farm_flush(rig->farm, &diag) < 0)
            _exit(2);
        struct journal *journal = rig->farm->journal;
        if (step > 0 && journal_tiles_publish(&journal->tiles, buf_view(&journal->pending),
                                              (enum journal_step)(step - 1), &checkpoint, &note, &diag) < 0)
            _exit(3);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* -1: before the commit; 0: behind it; then behind each step of the publication. */
static void test_D6_a_crash_between_any_two_steps(void **state)
{
    static const unsigned int entries[] = {1, 3, 255, 256, 600};
    struct rig *rig = *state;
    rig_publish(rig);
    struct checkpoint before = expect_whole(rig);
    for (int step = -1; step <= JOURNAL_WRITTEN + 1; step++)
        for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
            uint64_t size = before.size + (step >= 0 ? entries[i] : 0);
            rig_stop(rig);
            die_behind(rig, step, entries[i]);
            must_start(rig);
            rig_publish(rig);
            struct checkpoint after = expect_whole(rig);
            assert_true(after.size >= size && after.size <= size + 2); /* what a start may have to log */
            before = after;
        }
}

static void remove_path(const struct rig *rig, const char *path)
{
    assert_int_equal(file_remove_tree(rig->dirfd, path, NULL), 0);
}

static void test_files_that_were_lost_are_made_again(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 300; i++)
        add_plan(rig, "many");
    rig_publish(rig);
    struct checkpoint before = expect_whole(rig);
    rig_stop(rig);
    remove_path(rig, "log/tile");
    must_start(rig);
    struct checkpoint after;
    assert_true(journal_checkpoint(rig->farm, &after));
    assert_true(after.size >= before.size);
    rig_publish(rig);
    before = expect_whole(rig);
    rig_stop(rig);
    remove_path(rig, "log");
    must_start(rig);
    after = expect_whole(rig);
    assert_true(digest_equal(&before.root, &after.root));
}

static void test_L7_an_altered_partial_tile_is_found(void **state)
{
    struct rig *rig = *state;
    rig_publish(rig);
    struct checkpoint before = expect_whole(rig);
    struct tile_path path = tiledir_path(0, 0, (unsigned int)before.size);
    CLEANUP_FREE char *name = mem_format("log/%s", path.text);
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    rig_stop(rig);
    assert_int_equal(file_read(rig->dirfd, name, 1 << 20, &bytes, NULL), 0);
    bytes.data[7] ^= 1;
    assert_int_equal(file_write(rig->dirfd, name, buf_view(&bytes), 0644, NULL), 0);
    must_start(rig);
    rig_publish(rig);
    expect_whole(rig);
}

/* A known key with a bad signature: the whole note is refused, and the start with it. */
static void test_L4_a_checkpoint_with_a_bad_signature(void **state)
{
    struct rig *rig = *state;
    CLEANUP_BUF struct buf note = BUF_INIT;
    struct diag diag = DIAG_INIT;
    rig_publish(rig);
    rig_stop(rig);
    assert_int_equal(file_read(rig->dirfd, "log/checkpoint", NOTE_SIZE_MAX, &note, NULL), 0);
    char *signature = strstr(note.data, "\xe2\x80\x94");
    assert_non_null(signature);
    char *byte = strrchr(signature, ' ') + 20;
    *byte = *byte == 'A' ? 'B' : 'A';
    assert_int_equal(file_write(rig->dirfd, "log/checkpoint", buf_view(&note), 0644, NULL), 0);
    assert_int_equal(rig_start(rig, &diag), FARM_E_CORRUPT);
    assert_non_null(strstr(diag.text, "log/checkpoint is not a checkpoint"));
}

/* ---- publishing ---- */

static void test_one_a_second_unless_somebody_waits(void **state)
{
    struct rig *rig = *state;
    struct checkpoint first, second;
    rig_publish(rig);
    assert_true(journal_checkpoint(rig->farm, &first));
    assert_int_equal(journal_due(rig->farm), INT64_MAX); /* there is nothing to show */
    add_plan(rig, "one");
    rig_turn(rig);
    assert_true(journal_checkpoint(rig->farm, &second));
    assert_int_equal(second.size, first.size);
    int64_t wait = journal_due(rig->farm) - moment_steady_ms();
    assert_true(wait > 0 && wait <= 1000);
    rig_publish(rig);
    assert_true(journal_checkpoint(rig->farm, &second));
    assert_int_equal(second.size, first.size + 1);
}

static void test_after_a_silence_it_waits_for_more(void **state)
{
    struct rig *rig = *state;
    rig_publish(rig);
    rig->farm->journal->due_ms = moment_steady_ms() - 60 * 1000;
    add_plan(rig, "one");
    int64_t due = journal_due(rig->farm), wait = due - moment_steady_ms();
    assert_true(wait > 0 && wait <= 100);
    add_plan(rig, "another"); /* which does not put it off */
    assert_int_equal(journal_due(rig->farm), due);
}

static void test_L5_entries_that_come_while_one_is_published(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    struct checkpoint checkpoint = {.size = 0};
    for (int i = 0; i < 20; i++) {
        uint64_t before = checkpoint.size;
        add_plan(rig, "early");
        assert_int_equal(farm_flush(rig->farm, &diag), 0);
        rig->farm->journal->due_ms = 0;
        assert_int_equal(journal_turn(rig->farm, &diag), 0); /* it is under way */
        add_plan(rig, "late");
        rig_turn(rig);
        assert_true(journal_checkpoint(rig->farm, &checkpoint));
        assert_true(checkpoint.size > before);
        assert_true(checkpoint.size < journal_size(rig->farm)); /* the late one was not in it */
    }
    rig_publish(rig);
    expect_whole(rig);
}

static void published(struct farm *farm, void *context, int result)
{
    (void)farm;
    *(int *)context = result;
}

/* A full disk, say: who waits hears of it, and nothing is lost for later. */
static void test_a_publication_that_fails_is_made_up_for(void **state)
{
    struct rig *rig = *state;
    int result = 1;
    rig_publish(rig);
    assert_int_equal(unlinkat(rig->dirfd, "log/checkpoint", 0), 0);
    assert_int_equal(mkdirat(rig->dirfd, "log/checkpoint", 0755), 0);
    assert_int_equal(mkdirat(rig->dirfd, "log/checkpoint/in-the-way", 0755), 0);
    add_plan(rig, "one");
    journal_publish(rig->farm, published, &result);
    rig_turn(rig);
    assert_true(result < 0);
    remove_path(rig, "log/checkpoint");
    add_plan(rig, "two");
    rig_publish(rig);
    expect_whole(rig);
}

static void test_who_waits_when_it_ends_is_told(void **state)
{
    struct rig *rig = *state;
    int result = 1;
    add_plan(rig, "one");
    journal_publish(rig->farm, published, &result);
    rig_stop(rig);
    assert_true(result < 0);
}

/* ---- roots ---- */

static void test_a_root_that_names_another_log_is_refused(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    struct root *root = rig->keys->root;
    assert_int_equal(journal_check_root(rig->farm, root, &diag), 0);
    strcpy(root->log.key.name, "example.org/another");
    assert_int_equal(journal_check_root(rig->farm, root, &diag), FARM_E_CONFIG);
    assert_non_null(strstr(diag.text, "names the log example.org/another"));
    root->log.key = journal_key(rig->farm);
    root->log.key.key = *keys_public(rig->keys->enrolment);
    assert_int_equal(journal_check_root(rig->farm, root, &diag), FARM_E_CONFIG);
    root->log.present = false;
    assert_int_equal(journal_check_root(rig->farm, root, &diag), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_D6_a_crash_between_any_two_steps),
        TEST(test_files_that_were_lost_are_made_again),
        TEST(test_L7_an_altered_partial_tile_is_found),
        TEST(test_L4_a_checkpoint_with_a_bad_signature),
        TEST(test_one_a_second_unless_somebody_waits),
        TEST(test_after_a_silence_it_waits_for_more),
        TEST(test_L5_entries_that_come_while_one_is_published),
        TEST(test_a_publication_that_fails_is_made_up_for),
        TEST(test_who_waits_when_it_ends_is_told),
        TEST(test_a_root_that_names_another_log_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
