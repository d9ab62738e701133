/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "suites.h"

#include "base64.h"
#include "enrol.h"
#include "file.h"
#include "json.h"
#include "sandbox.h"
#include "statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[64], state_path[96];
static FILE *out;

static int set_up(void **state)
{
    (void)state;
    strcpy(path, "/tmp/farm-enrol-XXXXXX");
    if (mkdtemp(path) == NULL)
        return -1;
    snprintf(state_path, sizeof state_path, "%s/worker", path);
    out = fopen("/dev/null", "w");
    return out != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    fclose(out);
    return file_remove_tree(AT_FDCWD, path, NULL);
}

static struct enrol enrol_of(void)
{
    struct enrol enrol = {
        .state = state_path,
        .wish = {.join = {.endpoint = "farm.example.org:7100"}, .operator_name = "alice", .name = "attic"}};
    enrol.wish.join.curve[0] = 1;
    return enrol;
}

static void read_file(const char *name, struct buf *ret)
{
    CLEANUP_FREE char *file = mem_format("%s/%s", state_path, name);
    assert_int_equal(file_read(AT_FDCWD, file, 65536, ret, NULL), 0);
}

static void run(const struct enrol *enrol)
{
    struct diag diag = DIAG_INIT;
    if (enrol_run(enrol, out, &diag) < 0)
        fail_msg("%s", diag.text);
}

static void makes_a_worker(void **state)
{
    (void)state;
    struct enrol enrol = enrol_of();
    CLEANUP_BUF struct buf request = BUF_INIT;
    CLEANUP_BUF struct buf key = BUF_INIT;
    CLEANUP_BUF struct buf again = BUF_INIT;
    CLEANUP_JSON json_t *json = NULL;
    struct stat status;
    run(&enrol);
    assert_int_equal(stat(state_path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    read_file(STATEDIR_REQUEST, &request);
    read_file(STATEDIR_KEY, &key);
    assert_int_equal(json_read(buf_view(&request), "request", 4096, &json, NULL), 0);
    static const char *const known[] = {"curve", "ed25519", "facts", "operator", "worker", NULL};
    assert_int_equal(json_only_keys(json, "request", known, NULL), 0);
    assert_string_equal(json_string_value(json_object_get(json, "worker")), "attic");
    assert_string_equal(json_string_value(json_object_get(json, "operator")), "alice");
    run(&enrol); /* the same again changes nothing */
    read_file(STATEDIR_KEY, &again);
    assert_string_equal(key.data, again.data);
}

/* One line to paste, and the request itself again. */
static void code_is_the_request(void **state)
{
    (void)state;
    struct enrol enrol = enrol_of();
    CLEANUP_BUF struct buf request = BUF_INIT, code = BUF_INIT, back = BUF_INIT;
    run(&enrol);
    read_file(STATEDIR_REQUEST, &request);
    enrol_write_code(buf_view(&request), &code);
    assert_true(view_starts(buf_view(&code), VIEW(ENROL_CODE)));
    assert_true(view_is_token(buf_view(&code)));
    assert_true(base64_decode_standard(view_text(code.data + strlen(ENROL_CODE)), &back));
    buf_add_byte(&back, '\n');
    assert_string_equal(back.data, request.data);
}

/* What the owner is told holds everything that the next step needs. */
static void tells_the_code(void **state)
{
    (void)state;
    struct enrol enrol = enrol_of();
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf request = BUF_INIT, code = BUF_INIT;
    CLEANUP_FREE char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    int error = enrol_run(&enrol, stream, &diag);
    fclose(stream);
    assert_int_equal(error, 0);
    read_file(STATEDIR_REQUEST, &request);
    enrol_write_code(buf_view(&request), &code);
    CLEANUP_FREE char *command = mem_format("farm-sign entry init --request %s --operator-key", code.data);
    assert_non_null(strstr(text, command));
    assert_non_null(strstr(text, state_path));
    assert_non_null(strstr(text, "trust root: none is pinned"));
}

static void never_overwrites(void **state)
{
    (void)state;
    struct enrol enrol = enrol_of();
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf before = BUF_INIT;
    CLEANUP_BUF struct buf after = BUF_INIT;
    run(&enrol);
    read_file(STATEDIR_CONF, &before);
    enrol.wish.operator_name = "bob";
    assert_int_equal(enrol_run(&enrol, out, &diag), FARM_E_EXISTS);
    read_file(STATEDIR_CONF, &after);
    assert_string_equal(before.data, after.data);
}

/* Killed between the keys and worker.conf: the same keys are used when it is done again. */
static void goes_on_where_it_was_cut(void **state)
{
    (void)state;
    struct enrol enrol = enrol_of();
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf before = BUF_INIT;
    CLEANUP_BUF struct buf after = BUF_INIT;
    CLEANUP_FREE char *conf = mem_format("%s/" STATEDIR_CONF, state_path);
    run(&enrol);
    read_file(STATEDIR_KEY, &before);
    assert_int_equal(unlink(conf), 0);
    if (geteuid() == 0) /* the keys were handed to the build user, and only their owner may read them */
        assert_int_equal(file_remove_tree(AT_FDCWD, state_path, NULL), 0);
    run(&enrol);
    read_file(STATEDIR_KEY, &after);
    if (geteuid() != 0)
        assert_string_equal(before.data, after.data);
    assert_int_equal(unlink(conf), 0);
    if (geteuid() == 0)
        return;
    enrol.wish.name = "other";
    assert_int_equal(enrol_run(&enrol, out, &diag), FARM_E_EXISTS);
}

static void root_must_be_the_pinned_one(void **state)
{
    (void)state;
    struct enrol enrol = enrol_of();
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *file = mem_format("%s/root.json", path);
    assert_int_equal(file_write(AT_FDCWD, file, VIEW("{}"), 0600, NULL), 0);
    enrol.root_file = file;
    assert_int_equal(enrol_run(&enrol, out, &diag),
                     FARM_E_SYNTAX); /* the join string names none, and this is none */
    enrol.wish.join.root = digest_of(VIEW("{ }"));
    assert_int_equal(enrol_run(&enrol, out, &diag), FARM_E_DIGEST);
    enrol.wish.join.root = digest_of(VIEW("{}"));
    assert_int_equal(enrol_run(&enrol, out, &diag), FARM_E_SYNTAX);
    assert_int_equal(access(state_path, F_OK), 0);
    CLEANUP_FREE char *conf = mem_format("%s/" STATEDIR_CONF, state_path);
    assert_int_equal(access(conf, F_OK), -1);
}

static void names(void **state)
{
    (void)state;
    static const char *const cases[][3] = {{"alice", "Attic.home.lan", "alice-attic"},
                                           {"alice", "", "alice"},
                                           {"alice", "__", "alice"},
                                           {"a", "x_y", "a-x-y"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_FREE char *name = enrol_default_name(cases[i][0], cases[i][1]);
        assert_string_equal(name, cases[i][2]);
        assert_true(identity_name_is_valid(view_text(name)));
    }
}

static void one_at_a_time(void **state)
{
    (void)state;
    struct enrol enrol = enrol_of();
    struct diag diag = DIAG_INIT;
    pid_t pid;
    int lock = -1, second = -1;
    run(&enrol);
    CLEANUP_CLOSE int fd = file_open_dir(AT_FDCWD, state_path, NULL);
    assert_int_equal(statedir_running(fd, &pid, &diag), FARM_E_STATE);
    assert_int_equal(statedir_lock(fd, &lock, &diag), 0);
    assert_int_equal(statedir_lock(fd, &second, &diag), FARM_E_STATE);
    assert_int_equal(statedir_running(fd, &pid, &diag), 0);
    assert_int_equal(pid, getpid());
    close(lock);
    assert_int_equal(statedir_running(fd, &pid, &diag), FARM_E_STATE);
}

enum { STRANGER = 54321 };

/* In a child that is somebody else: 0 if statedir_open says whose directory it is. */
static int open_as_stranger(void)
{
    struct diag diag = DIAG_INIT;
    int fd;
    CLEANUP_FREE char *owner = mem_format("belongs to uid %u", (unsigned)geteuid());
    if (setresgid(STRANGER, STRANGER, STRANGER) < 0 || setresuid(STRANGER, STRANGER, STRANGER) < 0)
        return 2;
    return statedir_open(state_path, &fd, &diag) == -EACCES && strstr(diag.text, owner) != NULL ? 0 : 1;
}

static void names_the_owner_of_a_directory(void **state)
{
    (void)state;
    struct enrol enrol = enrol_of();
    struct diag diag = DIAG_INIT;
    int status;
    if (geteuid() != 0)
        skip(); /* only root can be two users */
    assert_int_equal(statedir_create(enrol.state, &status, &diag), 0);
    CLEANUP_CLOSE int fd = status;
    assert_int_equal(chmod(path, 0755), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(open_as_stranger());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    /* And root does not take a user's directory away. */
    assert_int_equal(chown(state_path, STRANGER, STRANGER), 0);
    assert_int_equal(statedir_hand_over(fd, false, &diag), FARM_E_CONFIG);
    assert_non_null(strstr(diag.text, "belongs to uid 54321"));
}

/* A package's tmpfiles or an administrator made the directory for the build user; init is root's. */
static void fills_a_directory_of_the_build_user(void **state)
{
    struct enrol enrol = enrol_of();
    struct stat status;
    unsigned uid, gid;
    static const char *const names[] = {"worker.conf", "worker.key", "builds", "spool", "roots", "trees"};
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root has a build user beside itself */
    assert_int_equal(sandbox_build_ids(NULL, &uid, &gid, NULL), 0);
    assert_int_equal(mkdir(state_path, 0700), 0);
    assert_int_equal(chown(state_path, uid, gid), 0);
    run(&enrol);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP_FREE char *file = mem_format("%s/%s", state_path, names[i]);
        assert_int_equal(lstat(file, &status), 0);
        assert_int_equal(status.st_uid, uid);
    }
}

int suite_enrol(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(makes_a_worker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(code_is_the_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_the_code, set_up, tear_down),
        cmocka_unit_test_setup_teardown(never_overwrites, set_up, tear_down),
        cmocka_unit_test_setup_teardown(goes_on_where_it_was_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(root_must_be_the_pinned_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_the_owner_of_a_directory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fills_a_directory_of_the_build_user, set_up, tear_down),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests_name("enrol", tests, NULL, NULL);
}
