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
    wish.hosts = "a.org";
    wish.verify_upstream = true;
    wish.cores = 3;
    wish.join.curve[0] = 2;
    assert_int_equal(worker_conf_agrees(&conf, &wish, &diag), FARM_E_EXISTS);
    assert_non_null(strstr(diag.text, "the operator is alice and not bob"));
    assert_non_null(strstr(diag.text, "cores is 8 and not 3"));
    assert_non_null(strstr(diag.text, "key is another one"));
    assert_non_null(strstr(diag.text, "the list of hosts is  and not a.org"));
    assert_non_null(strstr(diag.text, "verify_upstream is no and not yes"));
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
        {"hosts = ", "hosts = https://a.org", "hosts"},
        {"hosts = ", "hosts = a.org, *b.org", "hosts"},
        {"hosts = ", "hosts = a.org:0", "hosts"},
        {"hosts = ", "hosts = a.org:", "hosts"},
        {"hosts = ", "hosts = *.", "hosts"},
        {"hosts = ", "hosts = A.org", "hosts"},
        {"verify_upstream = no", "verify_upstream = maybe", "verify_upstream"},
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

struct url_case {
    const char *trees, *hosts, *url;
    const char *refused; /* a word of the reason; NULL: allowed */
};

static void check_urls(const struct url_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct worker_wish wish = wish_of();
        struct worker_conf conf;
        struct diag diag = DIAG_INIT;
        wish.trees = cases[i].trees;
        wish.hosts = cases[i].hosts;
        parse(&wish, &conf);
        int r = worker_conf_check_tree(&conf, view_text(cases[i].url), &diag);
        if (r != (cases[i].refused == NULL ? 0 : FARM_E_REFUSED) ||
            (r < 0 && strstr(diag.text, cases[i].refused) == NULL))
            fail_msg("%s with trees %s, hosts %s: %d %s", cases[i].url,
                     cases[i].trees != NULL ? cases[i].trees : "(any)",
                     cases[i].hosts != NULL ? cases[i].hosts : "(any)", r, diag.text);
        worker_conf_done(&conf);
    }
}

static void k8_unlisted_trees_are_refused(void **state)
{
    (void)state;
    static const char list[] = "[allow] trees", plain[] = "not a plain one";
    static const struct url_case cases[] = {
        {NULL, NULL, "https://example.org/tree", NULL},
        {NULL, NULL, "https://example.org:8443/tree", NULL},
        {NULL, NULL, "http://example.org/tree", list},
        {NULL, NULL, "file:///etc", list},
        {NULL, NULL, "/srv/tree", list},
        {NULL, NULL, "ssh://git@example.org/x", plain},
        {NULL, NULL, "https://user@example.org/tree", plain},
        {NULL, NULL, "https://example.org/../tree", plain},
        {NULL, NULL, "https:///tree", plain},
        {NULL, NULL, "https:/example.org/tree", plain},
        {NULL, NULL, "https://example.org/tree#x", plain},
        {NULL, NULL, "https://example.org/ tree", plain},
        {NULL, NULL, "", plain},
        {"https://a.org/x", NULL, "https://a.org/x", NULL},
        {"https://a.org/x", NULL, "https://a.org/x/y", NULL},
        {"https://a.org/x", NULL, "https://a.org/xy", list},
        {"https://a.org", NULL, "https://a.org.evil/x", list},
        {"https://a.org", NULL, "https://a.org@evil/x", plain},
        {"https://a.org/x", NULL, "https://a.org/x/../y", plain},
        {"https://a.org/x,/srv/tree", NULL, "/srv/tree", NULL},
        {"https://a.org/x,/srv/tree", NULL, "https://b.org/x", list},
        {"https://a.org/", NULL, "https://a.org/x", NULL},
    };
    check_urls(cases, ARRAY_SIZE(cases));
}

static void k8_unlisted_hosts_are_refused(void **state)
{
    (void)state;
    static const char list[] = "[allow] hosts", plain[] = "not a plain one";
    static const struct url_case cases[] = {
        {NULL, "a.org", "https://a.org/x", NULL},
        {NULL, "a.org", "https://A.Org/x", NULL},
        {NULL, "a.org", "https://a.org:443/x", NULL},
        {NULL, "a.org", "https://a.org:22/x", list},
        {NULL, "a.org:8443", "https://a.org:8443/x", NULL},
        {NULL, "a.org:8443", "https://a.org/x", list},
        {NULL, "a.org", "https://b.a.org/x", list},
        {NULL, "a.org", "https://a.org.evil/x", list},
        {NULL, "a.org", "https://xa.org/x", list},
        {NULL, "a.org", "https://a.org./x", list},
        {NULL, "b.org,*.a.org", "https://git.a.org/x", NULL},
        {NULL, "b.org,*.a.org", "https://b.org/x", NULL},
        {NULL, "*.a.org", "https://a.org/x", list},
        {NULL, "*.a.org", "https://.a.org/x", list},
        {NULL, "*.a.org", "https://evila.org/x", list},
        {NULL, "*.a.org", "https://evil.org?.a.org/x", plain},
        {NULL, "*.a.org", "https://evil.org#.a.org/x", plain},
        {NULL, "*.a.org", "https://evil.org%2f.a.org/x", plain},
        {NULL, "*.a.org", "https://evil.org\\.a.org/x", plain},
        {NULL, "*.a.org", "https://git.a.org:22/x", list},
        {NULL, "a.org", "https://127.0.0.1/x", list},
        {NULL, "a.org", "https://[::1]/x", list},
        /* Both lists have to allow it. */
        {"https://a.org/x", "b.org", "https://a.org/x", list},
        {"https://a.org/x", "b.org", "https://b.org/x", "[allow] trees"},
        /* What has no host leads to none. */
        {"/srv/tree", "a.org", "/srv/tree", NULL},
    };
    check_urls(cases, ARRAY_SIZE(cases));
}

static void k7_unlisted_bases_are_refused(void **state)
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

static void k8_bulk_stays_on_the_coordinators_host(void **state)
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
                                       cmocka_unit_test(k8_unlisted_trees_are_refused),
                                       cmocka_unit_test(k8_unlisted_hosts_are_refused),
                                       cmocka_unit_test(k7_unlisted_bases_are_refused),
                                       cmocka_unit_test(k8_bulk_stays_on_the_coordinators_host)};
    return cmocka_run_group_tests_name("worker_conf", tests, NULL, NULL);
}
