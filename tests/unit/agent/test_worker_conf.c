/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "suites.h"

#include "worker_conf.h"

static const struct worker_machine machine = {8, (uint64_t)16 << 30, (uint64_t)100 << 30};

static struct worker_wish wish_of(void)
{
    struct worker_wish wish = {
        .join = {.endpoint = "farm.example.org:7100"}, .name = "attic", .operator_name = "alice"};
    wish.join.curve[0] = 1;
    return wish;
}

static void parse(const struct worker_wish *wish, struct worker_conf *ret)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    worker_conf_write(wish, &machine, &text);
    if (worker_conf_parse(buf_view(&text), "worker.conf", ret, &diag) < 0)
        fail_msg("%s\n%s", diag.text, text.data);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct worker_wish wish = wish_of();
    struct worker_conf conf;
    parse(&wish, &conf);
    assert_string_equal(conf.name, "attic");
    assert_string_equal(conf.operator_name, "alice");
    assert_string_equal(conf.coordinator, "farm.example.org:7100");
    assert_int_equal(conf.server_key[0], 1);
    assert_int_equal(conf.slots, 1);
    assert_int_equal(conf.cores, 8);
    assert_int_equal(conf.memory_bytes, (uint64_t)12 << 30);
    assert_int_equal(conf.disk_bytes, (uint64_t)50 << 30);
    assert_int_equal(worker_conf_agrees(&conf, &wish, NULL), 0);
    worker_conf_done(&conf);
}

static void other_values_are_refused(void **state)
{
    (void)state;
    struct worker_wish wish = wish_of();
    struct worker_conf conf;
    struct diag diag = DIAG_INIT;
    parse(&wish, &conf);
    wish.operator_name = "bob";
    wish.cores = 3;
    wish.join.curve[0] = 2;
    assert_int_equal(worker_conf_agrees(&conf, &wish, &diag), FARM_E_EXISTS);
    assert_non_null(strstr(diag.text, "the operator is alice and not bob"));
    assert_non_null(strstr(diag.text, "cores is 8 and not 3"));
    assert_non_null(strstr(diag.text, "key is another one"));
    worker_conf_done(&conf);
}

static void bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *says;
    } cases[] = {
        {"name = attic", "name = At tic", "name"},
        {"name = attic", "nane = attic", "nane"},
        {"slots = 1", "slots = 0", "slots"},
        {"slots = 1", "slots = 65", "slots"},
        {"farm.example.org:7100", "farm.example.org", "host:port"},
        {"server_key = 01", "server_key = 0", "server_key"},
        {"bases = ", "bases = 12", "bases"},
        {"root = 00", "root = zz", "root"},
    };
    struct worker_wish wish = wish_of();
    CLEANUP_BUF struct buf good = BUF_INIT;
    worker_conf_write(&wish, &machine, &good);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_BUF struct buf bad = BUF_INIT;
        struct diag diag = DIAG_INIT;
        struct worker_conf conf;
        const char *at = strstr(good.data, cases[i].from);
        assert_non_null(at);
        buf_add(&bad, good.data, (size_t)(at - good.data));
        buf_add_format(&bad, "%s%s", cases[i].to, at + strlen(cases[i].from));
        assert_int_equal(worker_conf_parse(buf_view(&bad), "worker.conf", &conf, &diag), FARM_E_CONFIG);
        if (strstr(diag.text, cases[i].says) == NULL || strstr(diag.text, "worker.conf") == NULL)
            fail_msg("%s: %s", cases[i].to, diag.text);
    }
}

/* K8 */
static void trees(void **state)
{
    (void)state;
    static const struct {
        const char *list, *url;
        bool allowed;
    } cases[] = {
        {NULL, "https://example.org/tree", true},
        {NULL, "http://example.org/tree", false},
        {NULL, "file:///etc", false},
        {NULL, "/srv/tree", false},
        {NULL, "https://user@example.org/tree", false},
        {NULL, "https://example.org/../tree", false},
        {"https://a.org/x", "https://a.org/x", true},
        {"https://a.org/x", "https://a.org/x/y", true},
        {"https://a.org/x", "https://a.org/xy", false},
        {"https://a.org", "https://a.org.evil/x", false},
        {"https://a.org", "https://a.org@evil/x", false},
        {"https://a.org/x", "https://a.org/x/../y", false},
        {"https://a.org/x,/srv/tree", "/srv/tree", true},
        {"https://a.org/x,/srv/tree", "https://b.org/x", false},
        {"https://a.org/", "https://a.org/x", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct worker_wish wish = wish_of();
        struct worker_conf conf;
        wish.trees = cases[i].list;
        parse(&wish, &conf);
        if (worker_conf_allows_tree(&conf, view_text(cases[i].url)) != cases[i].allowed)
            fail_msg("%s with list %s", cases[i].url, cases[i].list != NULL ? cases[i].list : "(any)");
        worker_conf_done(&conf);
    }
}

/* K7 */
static void bases(void **state)
{
    (void)state;
    struct digest one = digest_of(VIEW("1")), two = digest_of(VIEW("2")), three = digest_of(VIEW("3"));
    CLEANUP_FREE char *list = mem_format("%s,%s", digest_hex(&one).text, digest_hex(&two).text);
    struct worker_wish wish = wish_of();
    struct worker_conf conf;
    parse(&wish, &conf);
    assert_true(worker_conf_allows_base(&conf, &three));
    worker_conf_done(&conf);
    wish.bases = list;
    parse(&wish, &conf);
    assert_true(worker_conf_allows_base(&conf, &one));
    assert_true(worker_conf_allows_base(&conf, &two));
    assert_false(worker_conf_allows_base(&conf, &three));
    worker_conf_done(&conf);
}

/* K8 */
static void bulk_stays_on_the_coordinators_host(void **state)
{
    static const struct {
        const char *coordinator, *offered, *endpoint;
    } cases[] = {
        {"farm.example.org:7100", ":7110", "tcp://farm.example.org:7110"},
        {"[::1]:7100", ":7110", "tcp://[::1]:7110"},
        {"farm.example.org:7100", "tcp://192.168.1.1:80", NULL},
        {"farm.example.org:7100", "ipc:///run/x.sock", NULL},
        {"farm.example.org:7100", ":80;192.168.1.1:22", NULL},
        {"farm.example.org:7100", ".evil.org:7110", NULL},
        {"farm.example.org:7100", ":1:2", NULL},
        {"farm.example.org:7100", ":0", NULL},
        {"farm.example.org:7100", ":", NULL},
        {"farm.example.org:7100", "", NULL},
        {"[::1]:7100", "", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct worker_conf conf = {.coordinator = (char *)(uintptr_t)cases[i].coordinator};
        CLEANUP_FREE char *endpoint = NULL;
        struct diag diag = DIAG_INIT;
        int r = worker_conf_bulk_endpoint(&conf, cases[i].offered, &endpoint, &diag);
        assert_int_equal(r, cases[i].endpoint != NULL ? 0 : FARM_E_REFUSED);
        if (r == 0)
            assert_string_equal(endpoint, cases[i].endpoint);
    }
}

int suite_worker_conf(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_written_is_read),
                                       cmocka_unit_test(other_values_are_refused),
                                       cmocka_unit_test(bad_files),
                                       cmocka_unit_test(trees),
                                       cmocka_unit_test(bases),
                                       cmocka_unit_test(bulk_stays_on_the_coordinators_host)};
    return cmocka_run_group_tests_name("worker_conf", tests, NULL, NULL);
}
