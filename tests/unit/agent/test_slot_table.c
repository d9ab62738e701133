/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "suites.h"

#include "slot_table.h"

/* The table of the header, written once more: '-' is illegal. */
static const char *const expected[SLOT_STATES] = {
    [SLOT_IDLE] = "pr-----i",    [SLOT_PREPARE] = "--uic--i", [SLOT_RUN] = "----c--i",
    [SLOT_COLLECT] = "-----r-i", [SLOT_REPORT] = "------ii",
};
static const char letters[SLOT_STATES] = {
    [SLOT_IDLE] = 'i', [SLOT_PREPARE] = 'p', [SLOT_RUN] = 'u', [SLOT_COLLECT] = 'c', [SLOT_REPORT] = 'r'};

static void every_cell(void **state)
{
    (void)state;
    for (int from = 0; from < SLOT_STATES; from++)
        for (int event = 0; event < SLOT_EVENTS; event++) {
            struct slot_machine machine = {(enum slot_state)from, 0};
            struct diag diag = DIAG_INIT;
            int error = slot_machine_feed(&machine, (enum slot_event)event, &diag);
            char want = expected[from][event];
            if (want == '-') {
                assert_int_equal(error, FARM_E_STATE);
                assert_int_equal(machine.state, from);
                assert_int_equal(machine.illegal, 1);
                assert_non_null(strstr(diag.text, slot_event_name((enum slot_event)event)));
            } else {
                assert_int_equal(error, 0);
                assert_int_equal(letters[machine.state], want);
                assert_int_equal(machine.illegal, 0);
            }
        }
}

static void one_life(void **state)
{
    (void)state;
    static const enum slot_event life[] = {SLOT_ASSIGN, SLOT_PREPARED, SLOT_ENDED, SLOT_COLLECTED,
                                           SLOT_DELIVERED};
    struct slot_machine machine = {SLOT_IDLE, 0};
    for (size_t i = 0; i < ARRAY_SIZE(life); i++)
        assert_int_equal(slot_machine_feed(&machine, life[i], NULL), 0);
    assert_int_equal(machine.state, SLOT_IDLE);
}

int suite_slot_table(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_cell), cmocka_unit_test(one_life)};
    return cmocka_run_group_tests_name("slot_table", tests, NULL, NULL);
}
