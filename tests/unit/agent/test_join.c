/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "suites.h"

#include "join.h"

#define KEY  "aa000000000000000000000000000000000000000000000000000000000000bb"
#define ROOT "cc000000000000000000000000000000000000000000000000000000000000dd"
#define NONE "0000000000000000000000000000000000000000000000000000000000000000"

static void round_trip(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "igos-farm:1:farm.example.org:7100:" KEY ":" ROOT,
        "igos-farm:1:127.0.0.1:1:" KEY ":" NONE,
        "igos-farm:1:[::1]:65535:" KEY ":" ROOT,
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct diag diag = DIAG_INIT;
        struct join join;
        CLEANUP_BUF struct buf again = BUF_INIT;
        if (join_parse(view_text(texts[i]), &join, &diag) < 0)
            fail_msg("%s: %s", texts[i], diag.text);
        assert_int_equal(join.curve[0], 0xaa);
        join_write(&join, &again);
        assert_string_equal(again.data, texts[i]);
    }
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int error;
        const char *says;
    } cases[] = {
        {"", FARM_E_SYNTAX, "does not begin"},
        {" igos-farm:1:a:1:" KEY ":" ROOT, FARM_E_SYNTAX, "does not begin"},
        {"igos-farm:2:a:1:" KEY ":" ROOT, FARM_E_UNSUPPORTED, "another version"},
        {"igos-farm:1:a:1:" KEY ":" ROOT "\n", FARM_E_SYNTAX, "trust root"},
        {"igos-farm:1:a:1:" KEY, FARM_E_SYNTAX, "coordinator's key"},
        {"igos-farm:1:a:1:" NONE ":" ROOT, FARM_E_SYNTAX, "coordinator's key"},
        {"igos-farm:1:a:1:" KEY ":" ROOT "0", FARM_E_SYNTAX, "trust root"},
        {"igos-farm:1:a:1:AA" KEY ":" ROOT, FARM_E_SYNTAX, "coordinator's key"},
        {"igos-farm:1:a:0:" KEY ":" ROOT, FARM_E_SYNTAX, "host:port"},
        {"igos-farm:1:a:65536:" KEY ":" ROOT, FARM_E_SYNTAX, "host:port"},
        {"igos-farm:1:a:01:" KEY ":" ROOT, FARM_E_SYNTAX, "host:port"},
        {"igos-farm:1::1:" KEY ":" ROOT, FARM_E_SYNTAX, "host:port"},
        {"igos-farm:1:a b:1:" KEY ":" ROOT, FARM_E_SYNTAX, "host:port"},
        {"igos-farm:1:::1:1:" KEY ":" ROOT, FARM_E_SYNTAX, "host:port"},
        {"igos-farm:1:[::1:1:" KEY ":" ROOT, FARM_E_SYNTAX, "host:port"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct diag diag = DIAG_INIT;
        struct join join;
        int error = join_parse(view_text(cases[i].text), &join, &diag);
        if (error != cases[i].error || strstr(diag.text, cases[i].says) == NULL)
            fail_msg("\"%s\": %s: %s", cases[i].text, farm_error_name(error), diag.text);
    }
}

int suite_join(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip), cmocka_unit_test(refused)};
    return cmocka_run_group_tests_name("join", tests, NULL, NULL);
}
