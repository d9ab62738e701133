/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the store lost (D8): who finds it, what the core is told, what brings it back, and what people read of it. */
#include "farm_rig.h"

#include "missing.h"
#include "outputs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const size_t two[] = {RIG_ALPHA, RIG_BETA};

/* "liba" is agreed by alpha and beta, who have leases for "appb"; the coordinator runs. */
static int setup(void **state)
{
    struct rig *rig = rig_new();
    rig_build(rig, two, 2);
    rig_agree(rig, RIG_LIBA, RIG_ALPHA, RIG_BETA);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

/* --- objects come and go --- */

static char *path_of(const struct rig *rig, const struct digest *object)
{
    struct digest_hex hex = digest_hex(object);
    return mem_format("%s/store/objects/%.2s/%s", rig->path, hex.text, hex.text + 2);
}

static void take_away(const struct rig *rig, const struct digest *object)
{
    CLEANUP_FREE char *path = path_of(rig, object);
    CLEANUP_FREE char *aside = mem_format("%s/%s", rig->path, digest_hex(object).text);
    assert_int_equal(rename(path, aside), 0);
}

static void put_back(const struct rig *rig, const struct digest *object)
{
    CLEANUP_FREE char *path = path_of(rig, object);
    CLEANUP_FREE char *aside = mem_format("%s/%s", rig->path, digest_hex(object).text);
    assert_int_equal(rename(aside, path), 0);
}

/* The rig has a few names without objects; these are the others. */
static json_t *find_report(struct rig *rig, const struct digest *object)
{
    CLEANUP_JSON json_t *report = missing_report(rig->farm);
    size_t index;
    json_t *row;
    json_array_foreach(report, index, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "object")), digest_hex(object).text) == 0)
            return json_incref(row);
    }
    return NULL;
}

static bool is_listed(struct rig *rig, const struct digest *object)
{
    CLEANUP_JSON json_t *row = find_report(rig, object);
    return row != NULL;
}

static void expect_report(struct rig *rig, const struct digest *object, bool by_itself, const char *words)
{
    CLEANUP_JSON json_t *row = find_report(rig, object);
    const char *text = row != NULL ? json_string_value(json_object_get(row, "do")) : "it is not listed";
    if (strstr(text, words) == NULL)
        fail_msg("expected \"%s\" in: %s", words, text);
    assert_int_equal(json_is_true(json_object_get(row, "by_itself")), by_itself);
}

/* --- looking --- */

static struct core_node_view view_of_node(struct rig *rig, size_t package)
{
    struct core_node_view view = {0};
    assert_true(core_node(rig->farm->core, &rig->plan, package, &view));
    return view;
}

static size_t count_lost(struct rig *rig)
{
    struct core_counts counts;
    core_count(rig->farm->core, &counts);
    return counts.lost;
}

static void look(struct rig *rig)
{
    missing_hurry(rig->farm);
    missing_turn(rig->farm);
    rig_turn(rig);
}

/* The plan has ended. */
static void leave_memory(struct rig *rig)
{
    rig->farm->config.plan_memory = 0;
    rig->farm->forget_due_ms = 0;
    plans_forget_turn(rig->farm);
    assert_int_equal(core_plan_count(rig->farm->core), 0);
    rig->farm->config.plan_memory = 3600;
}

static void answer(struct rig *rig, size_t worker, size_t package)
{
    struct rig_answer given = {.package = package, .nonce = rig_lease(rig, worker), .finished_ms = 7};
    wire_free(rig_answer(rig, worker, &given));
}

/* The payload of liba, with which appb was built and agreed on, is lost, and it is noticed. */
static const struct digest *lose_liba(struct rig *rig)
{
    const struct digest *tar = &rig->packages[RIG_LIBA].payload.tar;
    rig_agree(rig, RIG_APPB, RIG_ALPHA, RIG_BETA);
    take_away(rig, tar);
    missing_add(rig->farm, tar);
    rig_turn(rig);
    return tar;
}

/* --- tests --- */

static void test_D8_an_agreed_payload_is_asked_for_and_healed_by_the_first_answer(void **state)
{
    struct rig *rig = *state;
    const struct digest *tar = lose_liba(rig);
    assert_int_equal(count_lost(rig), 1);
    assert_true(view_of_node(rig, RIG_LIBA).lost);
    assert_int_equal(view_of_node(rig, RIG_LIBA).round, 2);
    expect_report(rig, tar, true, "built again: the job is running, in round 2");
    put_back(rig, tar); /* the worker's upload */
    answer(rig, RIG_ALPHA, RIG_LIBA);
    assert_int_equal(count_lost(rig), 0);
    assert_int_equal(view_of_node(rig, RIG_LIBA).state, NODE_AGREED);
    assert_int_equal(view_of_node(rig, RIG_APPB).round, 1);
    look(rig);
    assert_false(is_listed(rig, tar));
}

/* Manifest and tar: it is back when both are. */
static void test_D8_both_objects_of_a_payload(void **state)
{
    struct rig *rig = *state;
    const struct payload *payload = &rig->packages[RIG_LIBA].payload;
    take_away(rig, &payload->manifest);
    take_away(rig, &payload->tar);
    missing_add(rig->farm, &payload->manifest);
    missing_add(rig->farm, &payload->tar);
    missing_add(rig->farm, &payload->tar);
    put_back(rig, &payload->tar);
    look(rig);
    assert_false(is_listed(rig, &payload->tar));
    assert_int_equal(count_lost(rig), 1);
    put_back(rig, &payload->manifest);
    look(rig);
    assert_int_equal(count_lost(rig), 0);
    assert_int_equal(view_of_node(rig, RIG_LIBA).state, NODE_AGREED);
}

/* An answer whose files were lost between its check and now is no promise. */
static void test_D8_an_answer_without_its_files_is_asked_for_again(void **state)
{
    struct rig *rig = *state;
    lose_liba(rig);
    struct rig_answer given = {.package = RIG_LIBA, .nonce = rig_lease(rig, RIG_ALPHA), .finished_ms = 7};
    struct wire_message *ack = rig_answer(rig, RIG_ALPHA, &given);
    assert_int_equal(ack->result_ack->code, WIRE_ACK_AGAIN);
    wire_free(ack);
    assert_int_equal(count_lost(rig), 1);
}

/* A restart finds it before it grants anything, and begins no further round. */
static void test_D8_a_restart_finds_it_again(void **state)
{
    struct rig *rig = *state;
    const struct digest *manifest = &rig->packages[RIG_LIBA].payload.manifest;
    rig_stop(rig);
    take_away(rig, manifest);
    rig_restart(rig);
    assert_true(view_of_node(rig, RIG_LIBA).lost);
    assert_int_equal(view_of_node(rig, RIG_LIBA).round, 2);
    assert_int_equal(view_of_node(rig, RIG_APPB).state, NODE_WAITING);
    rig_hello(rig, RIG_ALPHA);
    rig_turn(rig);
    assert_int_equal(view_of_node(rig, RIG_LIBA).live_leases, 1);
    rig_restart(rig);
    assert_true(view_of_node(rig, RIG_LIBA).lost);
    assert_int_equal(view_of_node(rig, RIG_LIBA).round, 2);
    put_back(rig, manifest);
    rig_restart(rig);
    assert_false(view_of_node(rig, RIG_LIBA).lost);
    assert_false(is_listed(rig, manifest));
}

/* What a worker was promised and could not be given. */
static void test_D8_a_worker_asked_in_vain(void **state)
{
    struct rig *rig = *state;
    const struct digest *tar = &rig->packages[RIG_LIBA].payload.tar;
    struct digest nobodys = digest_of(VIEW("nobody's")), absent[4];
    access_absent(rig->farm->access, tar); /* it is there, after all */
    access_absent(rig->farm->access, &nobodys);
    missing_turn(rig->farm);
    assert_false(is_listed(rig, tar) || is_listed(rig, &nobodys));
    take_away(rig, tar);
    access_absent(rig->farm->access, tar);
    access_absent(rig->farm->access, tar);
    missing_turn(rig->farm);
    assert_int_equal(count_lost(rig), 1);
    assert_int_equal(access_take_absent(rig->farm->access, absent, ARRAY_SIZE(absent)), 0);
}

/* Its plan ended a while ago: it is brought back, and the job is asked for. */
static void test_D8_a_plan_that_left_memory_comes_back(void **state)
{
    struct rig *rig = *state;
    const struct digest *tar = &rig->packages[RIG_LIBA].payload.tar;
    rig_agree(rig, RIG_APPB, RIG_ALPHA, RIG_BETA);
    leave_memory(rig);
    take_away(rig, tar);
    missing_add(rig->farm, tar);
    expect_report(rig, tar, true, "its plan ended a while ago");
    look(rig);
    assert_int_equal(core_plan_count(rig->farm->core), 1);
    assert_int_equal(count_lost(rig), 1);
    expect_report(rig, tar, true, "built again: the job is running");
}

/* What nobody brings back by itself. */
static void test_D8_what_a_person_reads(void **state)
{
    struct rig *rig = *state;
    const struct digest *tar = &rig->packages[RIG_LIBA].payload.tar;
    struct digest log = digest_of(VIEW("log"));
    struct core_event cancel = {.type = CORE_PLAN_CANCEL, .plan = rig->plan};
    answer(rig, RIG_ALPHA, RIG_APPB); /* one of two: nothing is agreed */
    take_away(rig, &log);
    missing_add(rig->farm, &log);
    expect_report(rig, &log, false, "a build log");
    take_away(rig, &rig->packages[RIG_APPB].payload.tar);
    missing_add(rig->farm, &rig->packages[RIG_APPB].payload.tar);
    expect_report(rig, &rig->packages[RIG_APPB].payload.tar, false, "an answer that is not agreed on");
    take_away(rig, tar);
    missing_add(rig->farm, tar);
    assert_int_equal(count_lost(rig), 1);
    assert_int_equal(farm_feed(rig->farm, &cancel, NULL), 0);
    expect_report(rig, tar, false, "its plan was cancelled: farmctl build");
}

/* What nobody needs and nobody can bring back is listed until somebody accepts that; of all else it is refused. */
static void test_D8_a_loss_is_accepted(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    const struct digest *agreed = &rig->packages[RIG_LIBA].payload.tar,
                        *other = &rig->packages[RIG_APPB].payload.tar;
    struct digest log = digest_of(VIEW("log")), spec = view_of_node(rig, RIG_APPB).key;
    answer(rig, RIG_ALPHA, RIG_APPB); /* one of two: nothing is agreed */
    assert_int_equal(missing_accept(rig->farm, &log, &diag), FARM_E_UNKNOWN);
    const struct digest *lost[] = {&log, agreed, other, &spec};
    for (size_t i = 0; i < ARRAY_SIZE(lost); i++) {
        take_away(rig, lost[i]);
        missing_add(rig->farm, lost[i]);
    }
    assert_int_equal(missing_accept(rig->farm, agreed, &diag), FARM_E_REFUSED);
    assert_int_equal(missing_accept(rig->farm, &spec, &diag), FARM_E_REFUSED);
    assert_int_equal(missing_accept(rig->farm, &log, &diag), 0);
    outputs_add(rig->farm->outputs, &spec, other, other);
    assert_int_equal(missing_accept(rig->farm, other, &diag), 0);
    assert_false(
        outputs_knows(rig->farm->outputs, &spec, other, other)); /* the next answer with it keeps it */
    assert_int_equal(count_lost(rig), 1);
    rig_turn(rig);
    rig_restart(rig);
    assert_true(is_listed(rig, agreed));
    assert_false(is_listed(rig, &log));
    assert_false(is_listed(rig, other));
}

/* Its plan is in the core, or comes back for it. */
static void test_D8_a_spec_is_derived_again(void **state)
{
    struct rig *rig = *state;
    struct digest spec = view_of_node(rig, RIG_APPB).key;
    CLEANUP_BUF struct buf before = BUF_INIT, after = BUF_INIT;
    struct diag diag = DIAG_INIT;
    assert_int_equal(store_get(rig->farm->store, &spec, SPEC_SIZE_MAX, &before, &diag), 0);
    take_away(rig, &spec);
    missing_add(rig->farm, &spec);
    expect_report(rig, &spec, true, "made again by itself");
    look(rig);
    look(rig);
    assert_false(is_listed(rig, &spec));
    assert_int_equal(store_get(rig->farm->store, &spec, SPEC_SIZE_MAX, &after, &diag), 0);
    assert_true(view_equal(buf_view(&before), buf_view(&after)));
    struct core_event cancel = {.type = CORE_PLAN_CANCEL, .plan = rig->plan};
    assert_int_equal(farm_feed(rig->farm, &cancel, NULL), 0);
    leave_memory(rig);
    take_away(rig, &spec);
    missing_add(rig->farm, &spec);
    expect_report(rig, &spec, false, "a plan that was cancelled: farmctl build");
}

static int count_object(void *context, const struct digest *object)
{
    (void)object;
    ++*(size_t *)context;
    return 0;
}

static size_t count_objects(const struct rig *rig)
{
    static const struct digest first;
    size_t n = 0;
    assert_true(db_each_object(rig->farm->db, &first, -1, count_object, &n, NULL) >= 0);
    return n;
}

static void take_back(struct rig *rig, size_t worker)
{
    struct diag diag = DIAG_INIT;
    const char *name = fixture_workers[worker];
    db_set_worker_state(farm_write(rig->farm), name, "revoked");
    assert_true(revocation_void(rig->farm, name, 0, "revoked", &diag) > 0);
    rig_turn(rig);
}

/* What its key was made of is not agreed on at present: nothing else is made in its name, and it comes back with that. */
static void test_D8_a_spec_waits_for_its_inputs(void **state)
{
    struct rig *rig = *state;
    struct digest spec = view_of_node(rig, RIG_APPB).key;
    (void)rig_lease(rig, RIG_ALPHA); /* of appb; it answers the next one */
    take_back(rig, RIG_BETA);
    assert_true(view_of_node(rig, RIG_APPB).keyed && !view_of_node(rig, RIG_LIBA).has_payload);
    take_away(rig, &spec);
    missing_add(rig->farm, &spec);
    size_t objects = count_objects(rig);
    look(rig);
    look(rig);
    assert_int_equal(count_objects(rig), objects);
    assert_true(is_listed(rig, &spec));
    rig_hello(rig, RIG_GAMMA);
    rig_turn(rig);
    answer(rig, RIG_ALPHA, RIG_LIBA); /* in another round */
    answer(rig, RIG_GAMMA, RIG_LIBA);
    assert_int_equal(view_of_node(rig, RIG_LIBA).state, NODE_AGREED);
    struct core_node_view appb = view_of_node(rig, RIG_APPB);
    assert_true(digest_equal(&appb.key, &spec));
    look(rig);
    look(rig);
    assert_false(is_listed(rig, &spec));
}

/* The plan's node has another key by now: the answers to the old one stay as evidence, and need no spec. */
static void test_D8_a_spec_of_no_plan_as_it_stands(void **state)
{
    struct rig *rig = *state;
    struct digest old = digest_of(VIEW("an earlier spec of appb"));
    CLEANUP_FREE char *holder = mem_format("plan:%s", digest_hex(&rig->plan).text);
    db_put_job(farm_write(rig->farm), &old, view_of_node(rig, RIG_APPB).id, 1);
    db_put_reference(rig->farm->db, &old, holder);
    missing_add(rig->farm, &old);
    look(rig);
    expect_report(rig, &old, false, "not part of any plan as it stands now");
}

/* Whoever checks an answer finds it gone: the worker is asked to send it again, and then it is there. */
static void test_D8_an_answer_finds_its_spec_gone(void **state)
{
    struct rig *rig = *state;
    struct digest spec = view_of_node(rig, RIG_APPB).key;
    struct rig_answer given = {.package = RIG_APPB, .nonce = rig_lease(rig, RIG_ALPHA), .finished_ms = 7};
    CLEANUP_FREE char *path = path_of(rig, &spec);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 0), 0);
    struct wire_message *ack = rig_answer(rig, RIG_ALPHA, &given);
    assert_int_equal(ack->result_ack->code, WIRE_ACK_AGAIN);
    wire_free(ack);
    missing_turn(rig->farm);
    assert_true(store_has(rig->farm->store, &spec));
    ack = rig_answer(rig, RIG_ALPHA, &given);
    assert_int_equal(ack->result_ack->code, WIRE_ACK_ACCEPTED);
    wire_free(ack);
}

/* A power failure may leave anything under the name of what was not synced; a start with its plan puts that right. */
static void test_D8_a_torn_spec_is_replaced_at_the_start(void **state)
{
    struct rig *rig = *state;
    struct digest spec = view_of_node(rig, RIG_APPB).key;
    CLEANUP_FREE char *path = path_of(rig, &spec);
    CLEANUP_BUF struct buf after = BUF_INIT;
    struct diag diag = DIAG_INIT;
    rig_stop(rig);
    assert_int_equal(unlink(path), 0);
    rig_restart(rig);
    assert_true(store_has(rig->farm->store, &spec));
    assert_false(is_listed(rig, &spec)); /* not even for a moment: it is what a power failure does */
    rig_stop(rig);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 0), 0);
    rig_restart(rig);
    assert_int_equal(store_get(rig->farm->store, &spec, SPEC_SIZE_MAX, &after, &diag), 0);
    assert_false(is_listed(rig, &spec));
}

/* Without a plan's text or tree the coordinator starts all the same; whoever names the plan hears why, until somebody brings them. */
static void test_D8_a_lost_plan_does_not_stop_a_start(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *tree = plans_tree_path(&rig->pin.sha256);
    rig_stop(rig);
    take_away(rig, &rig->plan);
    rig_restart(rig);
    struct farm_plan *plan = plans_get(rig->farm, &rig->plan);
    assert_non_null(plan);
    assert_int_equal(core_plan_count(rig->farm->core), 0);
    assert_true(is_listed(rig, &rig->plan));
    assert_true(plans_recall(rig->farm, plan, &diag) < 0);
    put_back(rig, &rig->plan);
    assert_int_equal(plans_recall(rig->farm, plan, NULL), 0);
    assert_int_equal(view_of_node(rig, RIG_LIBA).state, NODE_AGREED);
    rig_stop(rig);
    assert_int_equal(renameat(rig->dirfd, tree, rig->dirfd, "aside"), 0); /* and its pack was never here */
    rig_restart(rig);
    assert_int_equal(core_plan_count(rig->farm->core), 0);
    assert_int_equal(renameat(rig->dirfd, "aside", rig->dirfd, tree), 0);
    assert_int_equal(plans_recall(rig->farm, plans_get(rig->farm, &rig->plan), NULL), 0);
    assert_int_equal(view_of_node(rig, RIG_LIBA).state, NODE_AGREED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_D8_an_agreed_payload_is_asked_for_and_healed_by_the_first_answer,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_D8_both_objects_of_a_payload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D8_an_answer_without_its_files_is_asked_for_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_D8_a_restart_finds_it_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D8_a_worker_asked_in_vain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D8_a_plan_that_left_memory_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D8_what_a_person_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D8_a_loss_is_accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D8_a_spec_is_derived_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D8_a_spec_waits_for_its_inputs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D8_a_spec_of_no_plan_as_it_stands, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D8_an_answer_finds_its_spec_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D8_a_torn_spec_is_replaced_at_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D8_a_lost_plan_does_not_stop_a_start, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
