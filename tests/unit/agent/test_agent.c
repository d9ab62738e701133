/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "suites.h"

int main(void)
{
    int (*const suites[])(void) = {suite_join,    suite_slot_table, suite_worker_conf, suite_closure,
                                   suite_spool,   suite_once,       suite_facts,       suite_enrol,
                                   suite_answers, suite_places};
    int failures = 0;
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
        failures += suites[i]();
    return failures != 0;
}
