/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scratch.h"
#include "spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char demo[] =
    "name: demo\nversion: 1.10\nrelease: 3\ndescription: d\nlicense: MIT\ntier: extra\n"
    "build_style: autotools\n"
    "source:\n"
    "- url: https://example.invalid/demo.tgz\n"
    "  sha256: 1111111111111111111111111111111111111111111111111111111111111111\n"
    "dependencies: {build: [tool], runtime: [data, tool]}\n"
    "bundled_deps: [x -> y]\n"
    "patches: [{file: p, sha256: 2222222222222222222222222222222222222222222222222222222222222222}]\n"
    "validation: [{type: t, description: say, script: \"a\\nb\", expect_contains: c, fatal: no}]\n"
    "configure_flags: [--with]\n"
    "supersedes: [old]\n"
    "verify_paths: [/usr/bin/demo]\n"
    "tests: {enabled: no, failure_policy: known_failures}\n"
    "install_func: install\n"
    "gpu_targets: [gfx1100]\n";

static struct scratch demo_tree(void)
{
    struct scratch scratch = scratch_new();
    scratch_write(&scratch, "packages/extra/demo/package.yml", demo);
    scratch_recipe(&scratch, "tool", "source: []\n");
    scratch_recipe(&scratch, "data", "source: []\n");
    scratch_write(&scratch, "scripts/pkg-functions.sh", "true\n");
    scratch_write(&scratch, "farm/farm.lock",
                  "version: 1\nsources:\n  demo:\n"
                  "  - url: https://example.invalid/demo.tgz\n"
                  "    sha256: 1111111111111111111111111111111111111111111111111111111111111111\n"
                  "    size: 7\n    epoch: 1656438637\n"
                  "  - git: https://example.invalid/more\n"
                  "    commit: dbc2f403d7a212fab737a3f7e1775bd9608d5496\n"
                  "    tree_sha256: d6781a21ac7c056e415d94e0b7164aadf80379b7f1ee92e971890690a6c36599\n"
                  "    epoch: 5\n    into: third/party\n");
    return scratch;
}

/* The spec of "demo", with payload and base digests derived from the seeds. */
static void write_spec(const struct scratch *scratch, const char *payload, const char *base, struct buf *ret,
                       struct digest *ret_key)
{
    struct tree *tree = NULL;
    struct problems problems = PROBLEMS_INIT;
    struct diag diag = DIAG_INIT;
    int status = tree_load(scratch->fd, &tree, &problems, &diag);
    problems_print(&problems, stderr);
    assert_int_equal(status, 0);
    struct digest payloads[] = {digest_of(view_text(payload))};
    struct spec_inputs inputs = {.tree = tree,
                                 .package = tree_index(tree, tree_find(tree, VIEW("demo"))),
                                 .base = digest_of(view_text(base)),
                                 .payloads = payloads,
                                 .npayloads = 1};
    assert_int_equal(spec_write(&inputs, ret, ret_key, &diag), 0);
    tree_free(tree);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct scratch scratch = demo_tree();
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest key;
    struct diag diag = DIAG_INIT;
    struct spec *spec = NULL;
    buf_add_text(&text, "x"); /* spec_write appends; the key is of its own bytes */
    write_spec(&scratch, "payload", "base", &text, &key);
    assert_int_equal(spec_parse(view_of(text.data + 1, text.size - 1), &spec, &diag), 0);
    assert_true(digest_equal(&spec->key, &key));
    assert_string_equal(spec->kind, "package");
    assert_string_equal(spec->name, "demo");
    assert_string_equal(spec->version, "1.10");
    assert_string_equal(spec->release, "3");
    assert_string_equal(spec->tier, "extra");
    assert_int_equal(spec->style, STYLE_AUTOTOOLS);
    assert_false(spec->build_sh);
    assert_int_equal(spec->nsources, 2);
    assert_int_equal(spec->sources[0].kind, PIN_ARCHIVE);
    assert_string_equal(spec->sources[0].filename, "demo.tgz");
    assert_string_equal(spec->sources[0].into, ".");
    assert_int_equal(spec->sources[1].kind, PIN_GIT);
    assert_string_equal(spec->sources[1].commit, "dbc2f403d7a212fab737a3f7e1775bd9608d5496");
    assert_string_equal(spec->sources[1].into, "third/party");
    assert_int_equal(spec->ndependencies, 1);
    assert_string_equal(spec->dependencies[0].name, "tool");
    struct digest payload = digest_of(VIEW("payload"));
    assert_true(digest_equal(&spec->dependencies[0].payload, &payload));
    assert_int_equal(spec->depends.count, 2);
    assert_int_equal(spec->epoch, 1656438637);
    assert_int_equal(spec->jobs, 2);
    assert_string_equal(spec->build_path, "/mnt/intergenos/build/work/demo");
    assert_int_equal(spec->npatches, 1);
    assert_true(spec->patches[0].has_sha256);
    assert_string_equal(spec->bundles[0].dest, "y");
    assert_string_equal(spec->validations[0].script, "a\nb");
    assert_false(spec->validations[0].fatal);
    assert_false(spec->tests_enabled);
    assert_string_equal(spec->tests_failure_policy, "known_failures");
    assert_string_equal(spec->install_func, "install");
    assert_string_equal(spec->configure_flags.items[0].text, "--with");
    assert_string_equal(spec->verify_paths.items[0].text, "/usr/bin/demo");
    assert_true(text_list_has(&spec->environment, VIEW("IGOS_GPU_TARGETS=gfx1100")));
    assert_true(text_list_has(&spec->environment, VIEW("SOURCE_DATE_EPOCH=1656438637")));
    spec_free(spec);
    scratch_done(&scratch);
}

/* Each input that can reach the bytes changes the key; what cannot, does not. */
static void test_key_follows_inputs(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        bool changes;
    } edits[] = {
        {"version: 1.10", "version: 1.1", true},
        {"release: 3", "release: 4", true},
        {"description: d", "description: e", true},
        {"autotools", "meson", true},
        {"--with", "--without", true},
        {"x -> y", "x -> z", true},
        {"/usr/bin/demo", "/usr/bin/other", true},
        {"enabled: no", "enabled: yes", true},
        {"[old]", "[elder]", true},
        {"gfx1100", "gfx1101", true},
        {"# comment", "", true}, /* recipes are covered whole */
        {"https://example.invalid/demo.tgz", "https://example.invalid/demo.tgz", false},
    };
    struct scratch scratch = demo_tree();
    CLEANUP_BUF struct buf first = BUF_INIT;
    struct digest key, other;
    write_spec(&scratch, "payload", "base", &first, &key);
    for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        const char *at = strstr(demo, edits[i].from);
        size_t before = at != NULL ? (size_t)(at - demo) : 0;
        CLEANUP_FREE char *edited =
            at != NULL ? mem_format("%.*s%s%s", (int)before, demo, edits[i].to, at + strlen(edits[i].from))
                       : mem_format("# comment\n%s", demo);
        scratch_write(&scratch, "packages/extra/demo/package.yml", edited);
        write_spec(&scratch, "payload", "base", &text, &other);
        assert_int_equal(!digest_equal(&key, &other), edits[i].changes);
    }
    scratch_done(&scratch);
}

static void test_key_follows_surroundings(void **state)
{
    (void)state;
    struct scratch scratch = demo_tree();
    struct digest keys[6];
    CLEANUP_BUF struct buf text = BUF_INIT;
    write_spec(&scratch, "payload", "base", &text, &keys[0]);
    write_spec(&scratch, "payloat", "base", &text, &keys[1]);
    write_spec(&scratch, "payload", "bast", &text, &keys[2]);
    scratch_write(&scratch, "scripts/pkg-functions.sh", "false\n");
    write_spec(&scratch, "payload", "base", &text, &keys[3]);
    scratch_write(&scratch, "packages/extra/demo/build.sh", "true\n");
    write_spec(&scratch, "payload", "base", &text, &keys[4]);
    scratch_write(&scratch, "farm/resources.yml", "version: 1\ndefaults: {jobs: 3}\n");
    write_spec(&scratch, "payload", "base", &text, &keys[5]);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        for (size_t k = 0; k < i; k++)
            assert_false(digest_equal(&keys[i], &keys[k]));
    /* Where a source comes from, trust and scheduling reach no byte. */
    struct digest again;
    scratch_write(&scratch, "farm/resources.yml",
                  "version: 1\ndefaults: {jobs: 3, memory: 9GiB, wall: 9h, cores: 9}\n");
    scratch_write(&scratch, "farm/policy.yml", "version: 1\ndefaults: {quorum: 5}\n");
    write_spec(&scratch, "payload", "base", &text, &again);
    assert_true(digest_equal(&again, &keys[5]));
    scratch_done(&scratch);
}

static void test_write_refusals(void **state)
{
    (void)state;
    struct scratch scratch = scratch_new();
    struct tree *tree = NULL;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest key = {{7}}, untouched = key;
    struct diag diag = DIAG_INIT;
    scratch_recipe(&scratch, "lib",
                   "source:\n- url: http://h/lib.tgz\n  sha256: "
                   "1111111111111111111111111111111111111111111111111111111111111111\n"
                   "dependencies: {build: [tool]}\n");
    scratch_recipe(&scratch, "tool", "source: []\n");
    scratch_write(&scratch, "packages/core/libc/package.yml",
                  "name: libc\nversion: 1\nrelease: 1\ndescription: d\nlicense: MIT\nbuild_style: "
                  "custom\nsource: []\n");
    assert_int_equal(tree_load(scratch.fd, &tree, NULL, NULL), 0);
    struct digest payload = digest_of(VIEW("tool"));
    struct spec_inputs inputs = {
        .tree = tree, .package = 1, .payloads = &payload, .npayloads = 1, .epoch = -1};
    assert_string_equal(tree->packages[1].recipe->name, "libc");
    assert_int_equal(spec_write(&inputs, &text, &key, &diag), FARM_E_REFUSED);
    inputs.package = 0;
    assert_int_equal(spec_write(&inputs, &text, &key, &diag), FARM_E_MISSING);
    assert_non_null(strstr(diag.text, "farmctl pin lib"));
    inputs.epoch = 0; /* what a forgotten initializer gives is not a date */
    assert_int_equal(spec_write(&inputs, &text, &key, &diag), FARM_E_MISSING);
    inputs.epoch = 1234;
    inputs.npayloads = 0;
    assert_int_equal(spec_write(&inputs, &text, &key, &diag), FARM_E_REFUSED);
    assert_int_equal(text.size, 0);
    assert_true(digest_equal(&key, &untouched));
    inputs.npayloads = 1;
    assert_int_equal(spec_write(&inputs, &text, &key, &diag), 0);
    assert_non_null(strstr(text.data, "SOURCE_DATE_EPOCH=1234"));
    tree_free(tree);
    scratch_done(&scratch);
}

/* One member of a good spec replaced by each of these; all must be refused. */
static void test_parse_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
    } cases[] = {
        {"v", "2"},
        {"contract", "2"},
        {"kind", "\"shard\""},
        {"cpu_level", "\"x86-64-v3\""},
        {"name", "\"../demo\""},
        {"name", "\"other\""}, /* the build path is another one then */
        {"name", "7"},
        {"version", "\"1/0\""},
        {"release", "\"-1\""},
        {"tier", "\"\""},
        {"license", "\"a\\nb\""},
        {"recipe", "\"abc\""},
        {"base", "null"},
        {"depends", "[\"a b\"]"},
        {"sources", "{}"},
        {"sources", "[7]"},
        {"sources", "[{\"kind\":\"svn\"}]"},
        {"sources", "[{\"kind\":\"archive\",\"filename\":\"../x\",\"sha256\":"
                    "\"1111111111111111111111111111111111111111111111111111111111111111\"}]"},
        {"sources", "[{\"kind\":\"archive\",\"filename\":\"x\",\"into\":\"/abs\",\"sha256\":"
                    "\"1111111111111111111111111111111111111111111111111111111111111111\"}]"},
        {"dependencies", "[{\"name\":\"a\"}]"},
        {"patches", "[{\"file\":\"/etc/passwd\"}]"},
        {"bundled_deps", "[{\"name\":\"a\",\"dest\":\"../..\"}]"},
        {"environment", "[\"B=1\",\"A=1\"]"},
        {"environment", "[\"A=1\",\"A=2\"]"},
        {"environment", "[\"A\"]"},
        {"environment", "[\"A=\\u0000\"]"},
        {"environment", "[\"=x\"]"},
        {"build_path", "\"/\""},
        {"build_style", "\"bazel\""},
        {"install_func", "\"rm -rf\""},
        {"verify_paths", "[\"usr\"]"},
        {"verify_paths", "[\"/usr/../x\"]"},
        {"validation", "[{\"type\":\"t\"}]"},
        {"tests", "{\"enabled\":true,\"more\":1}"},
        {"epoch", "-1"},
        {"jobs", "0"},
        {"jobs", "2.0"},
        {"surprise", "1"},
    };
    struct scratch scratch = demo_tree();
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest key;
    struct diag diag = DIAG_INIT;
    write_spec(&scratch, "payload", "base", &text, &key);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_JSON json_t *value = NULL;
        CLEANUP_BUF struct buf edited = BUF_INIT;
        struct spec *spec = NULL;
        json_error_t error;
        assert_int_equal(json_read(buf_view(&text), "spec", SPEC_SIZE_MAX, &value, &diag), 0);
        json_object_set_new(value, cases[i].key,
                            json_loads(cases[i].value, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error));
        json_write(value, &edited);
        int status = spec_parse(buf_view(&edited), &spec, &diag);
        if (status >= 0)
            fail_msg("accepted %s = %s", cases[i].key, cases[i].value);
        assert_null(spec);
    }
    scratch_done(&scratch);
}

/* Every member is needed, but for the optional one. */
static void test_parse_missing(void **state)
{
    (void)state;
    struct scratch scratch = demo_tree();
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *whole = NULL;
    struct digest key;
    struct diag diag = DIAG_INIT;
    const char *name;
    json_t *member;
    write_spec(&scratch, "payload", "base", &text, &key);
    assert_int_equal(json_read(buf_view(&text), "spec", SPEC_SIZE_MAX, &whole, &diag), 0);
    json_object_foreach(whole, name, member)
    {
        CLEANUP_JSON json_t *less = json_copy(whole);
        CLEANUP_BUF struct buf edited = BUF_INIT;
        struct spec *spec = NULL;
        json_object_del(less, name);
        json_write(less, &edited);
        assert_int_equal(spec_parse(buf_view(&edited), &spec, &diag) >= 0, strcmp(name, "install_func") == 0);
        spec_free(spec);
    }
    scratch_done(&scratch);
}

/* Every truncation, and every byte overwritten: any answer but a crash, a leak or an unchanged key. */
static void test_parse_damage(void **state)
{
    (void)state;
    struct scratch scratch = demo_tree();
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest key;
    write_spec(&scratch, "payload", "base", &text, &key);
    for (size_t i = 0; i < text.size; i++) {
        struct spec *spec = NULL;
        assert_true(spec_parse(view_of(text.data, i), &spec, NULL) < 0);
        char before = text.data[i];
        text.data[i] = before == '"' ? '0' : '"';
        if (spec_parse(buf_view(&text), &spec, NULL) >= 0)
            assert_false(digest_equal(&spec->key, &key));
        spec_free(spec);
        text.data[i] = before;
    }
    scratch_done(&scratch);
}

static void test_pkginfo(void **state)
{
    (void)state;
    struct located depends[] = {{(char *)"zlib", 0}, {(char *)"glibc", 0}};
    struct spec spec = {.name = (char *)"demo",
                        .version = (char *)"1.10",
                        .release = (char *)"3",
                        .description = (char *)"over\nlines\n",
                        .license = (char *)"MIT",
                        .tier = (char *)"extra",
                        .epoch = 1656438637,
                        .depends = {.items = depends, .count = 2}};
    CLEANUP_BUF struct buf text = BUF_INIT;
    spec_pkginfo(&spec, 12345678901, 7, &text);
    assert_string_equal(text.data, "pkgname=demo\n"
                                   "pkgver=1.10\n"
                                   "pkgrel=3\n"
                                   "pkgdesc=over lines\n"
                                   "license=MIT\n"
                                   "tier=extra\n"
                                   "builddate=2022-06-28T17:50:37Z\n"
                                   "size=12345678901\n"
                                   "filecount=7\n"
                                   "depend=zlib\n"
                                   "depend=glibc\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_key_follows_inputs),
        cmocka_unit_test(test_key_follows_surroundings),
        cmocka_unit_test(test_write_refusals),
        cmocka_unit_test(test_parse_refusals),
        cmocka_unit_test(test_parse_missing),
        cmocka_unit_test(test_parse_damage),
        cmocka_unit_test(test_pkginfo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
