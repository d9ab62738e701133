/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "review.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct digest named(const char *text)
{
    return digest_of(view_text(text));
}

/* ---- packages ---- */

static char alder[] = "alder", birch[] = "birch", cedar[] = "cedar";
static char *by_alder_and_birch[] = {alder, birch}, *by_alder_and_cedar[] = {alder, cedar};

static struct release_package package(const char *name)
{
    return (struct release_package){.name = (char *)(uintptr_t)name,
                                    .version = (char *)(uintptr_t) "1.0",
                                    .release = (char *)(uintptr_t) "1",
                                    .tier = (char *)(uintptr_t) "extra",
                                    .phase = (char *)(uintptr_t) "extra",
                                    .gpu = (char *)(uintptr_t) "none",
                                    .job = named(name),
                                    .payload = named(name),
                                    .operators = by_alder_and_birch,
                                    .noperators = 2};
}

static void each_aspect_is_seen(void **state)
{
    (void)state;
    static char version[] = "1.1", tier[] = "desktop", gpu[] = "not-validated", number[] = "2";
    struct release_package then = package("a"), now[9];
    static const unsigned int expected[] = {REVIEW_VERSION, REVIEW_TIER,      REVIEW_INPUTS,
                                            REVIEW_PAYLOAD, REVIEW_OPERATORS, REVIEW_OPERATORS,
                                            REVIEW_DISSENT, REVIEW_GPU,       REVIEW_VERSION};
    for (size_t i = 0; i < ARRAY_SIZE(now); i++)
        now[i] = package("a");
    now[0].version = version;
    now[1].tier = tier;
    now[2].job = named("another job");
    now[3].payload = named("another payload");
    now[4].operators = by_alder_and_cedar;
    now[5].noperators = 1;
    now[6].dissent = 1;
    now[7].gpu = gpu;
    now[8].release = number;
    for (size_t i = 0; i < ARRAY_SIZE(now); i++) {
        struct release before = {.packages = &then, .npackages = 1},
                       after = {.packages = &now[i], .npackages = 1};
        struct review_change *changes;
        size_t count;
        review_packages(&before, &after, &changes, &count);
        assert_int_equal(count, 1);
        assert_int_equal(changes[0].aspects, expected[i]);
        assert_ptr_equal(changes[0].before, &then);
        assert_ptr_equal(changes[0].after, &now[i]);
        free(changes);
    }
}

static void added_removed_and_unchanged(void **state)
{
    (void)state;
    struct release_package then[] = {package("a"), package("b"), package("gone")};
    struct release_package now[] = {package("a"), package("b"), package("new")};
    struct release before = {.packages = then, .npackages = 3}, after = {.packages = now, .npackages = 3};
    struct review_change *changes;
    size_t count;
    review_packages(&before, &after, &changes, &count);
    assert_int_equal(count, 2);
    assert_null(changes[0].before);
    assert_string_equal(changes[0].after->name, "new");
    assert_null(changes[1].after);
    assert_string_equal(changes[1].before->name, "gone");
    free(changes);
    review_packages(&before, &before, &changes, &count);
    assert_int_equal(count, 0);
    free(changes);
}

/* ---- chains ---- */

static struct review_link link_of(const char *id, uint32_t operators, uint32_t anchors, uint32_t dissent)
{
    return (struct review_link){
        .id = id, .known = true, .operators = operators, .anchors = anchors, .dissent = dissent};
}

static void a_chain_is_as_strong_as_its_weakest_link(void **state)
{
    (void)state;
    static const size_t all[] = {0, 1, 2, 3, 4};
    struct review_link links[] = {
        link_of("extra/a", 3, 2, 0), link_of("extra/b", 2, 2, 0), link_of("extra/c", 2, 1, 0),
        link_of("extra/d", 2, 1, 1), link_of("extra/e", 9, 9, 9), link_of("extra/top", 4, 4, 0),
    };
    for (size_t n = 0; n <= ARRAY_SIZE(all); n++) { /* each one longer than the one before */
        static const size_t weakest[] = {5, 0, 1, 2, 3, 3};
        links[5].closure = all;
        links[5].nclosure = n;
        assert_int_equal(review_weakest(links, 5), weakest[n]);
    }
    links[4].known = false; /* nobody can say who built it */
    assert_int_equal(review_weakest(links, 5), 4);
    links[4] = link_of("extra/aa", 2, 1, 1); /* as weak as d, and before it by name */
    assert_int_equal(review_weakest(links, 5), 4);
    links[5] = link_of("extra/top", 2, 1, 1); /* itself, before others that are as weak */
    links[5].closure = all;
    links[5].nclosure = ARRAY_SIZE(all);
    assert_int_equal(review_weakest(links, 5), 5);
}

/* ---- findings ---- */

static void expect(struct problems *findings, const char *rule)
{
    if (rule == NULL ? findings->count != 0
                     : findings->count != 1 || strcmp(findings->items[0].rule, rule) != 0) {
        problems_print(findings, stderr);
        fail_msg("expected %s", rule != NULL ? rule : "nothing");
    }
    problems_done(findings);
}

static void test_R3_rules_that_ask_less(void **state)
{
    (void)state;
    static const struct rules before = {.quorum = 3,
                                        .anchors = 2,
                                        .distinct = DISTINCT_KERNEL | DISTINCT_SITE,
                                        .margin = 1,
                                        .hold = true,
                                        .evidence = true};
    struct rules now[9];
    static const char *const rules[] = {"quorum-lowered",
                                        "anchors-lowered",
                                        "distinct-lost",
                                        "margin-lowered",
                                        "open-votes-gained",
                                        "hold-lost",
                                        "evidence-lost",
                                        NULL,
                                        NULL};
    for (size_t i = 0; i < ARRAY_SIZE(now); i++)
        now[i] = before;
    now[0].quorum = 2;
    now[1].anchors = 1;
    now[2].distinct = DISTINCT_SITE;
    now[3].margin = 0;
    now[4].open_votes = true;
    now[5].hold = false;
    now[6].evidence = false;
    now[8].quorum = 4; /* asks more */
    now[8].distinct |= DISTINCT_CPU_VENDOR;
    for (size_t i = 0; i < ARRAY_SIZE(now); i++) {
        struct problems findings = PROBLEMS_INIT;
        review_rules("zlib", &before, &now[i], &findings);
        if (findings.count == 1)
            assert_non_null(strstr(findings.items[0].text, "zlib"));
        expect(&findings, rules[i]);
    }
}

static struct ssh_public_key key_of(unsigned char number)
{
    unsigned char seed[KEYS_SEED_SIZE] = {number};
    CLEANUP_KEYS struct key_pair *pair = keys_from_seed(seed);
    return ssh_public_key_of(pair);
}

/* A root with everything that may get weaker; the arrays are the caller's. */
struct root_parts {
    struct root root;
    struct role_key managers[3];
    struct root_anchor anchors[2];
    struct ssh_public_key anchor_keys[2];
    struct digest bases[2];
    char *unverified[1], *witnesses[2];
};

static void fill(struct root_parts *parts)
{
    static char mara[] = "mara", niko[] = "niko", olga[] = "olga", toy[] = "toy";
    char *persons[] = {mara, niko, olga};
    *parts = (struct root_parts){.bases = {named("base"), named("another base")}, .unverified = {toy}};
    for (unsigned char i = 0; i < 3; i++)
        parts->managers[i] = (struct role_key){
            .person = persons[i], .key = key_of((unsigned char)(1 + i)), .verify_required = true};
    parts->anchor_keys[0] = key_of(11);
    parts->anchor_keys[1] = key_of(12);
    parts->anchors[0] = (struct root_anchor){alder, &parts->anchor_keys[0], 1};
    parts->anchors[1] = (struct root_anchor){birch, &parts->anchor_keys[1], 1};
    parts->witnesses[0] = alder;
    parts->witnesses[1] = birch;
    parts->root.roles[ROLE_RELEASE] = (struct role){.threshold = 2, .keys = parts->managers, .nkeys = 2};
    parts->root.anchors = parts->anchors;
    parts->root.nanchors = 2;
    parts->root.bases = parts->bases;
    parts->root.nbases = 1;
    parts->root.unverified = parts->unverified;
    parts->root.log = (struct root_log){.present = true,
                                        .key = {.name = "farm", .key = key_of(21).key},
                                        .witnesses = parts->witnesses,
                                        .nwitnesses = 2,
                                        .threshold = 2};
}

static void each_change_of_a_root_is_found(void **state)
{
    (void)state;
    static const char *const rules[] = {NULL,
                                        "threshold-lowered",
                                        "person-gained",
                                        "key-gained",
                                        "verify-lost",
                                        "anchor-lost",
                                        "anchor-key-gained",
                                        "base-gained",
                                        "unverified-gained",
                                        "witness-lost",
                                        "threshold-lowered",
                                        "log-lost",
                                        "log-replaced"};
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        struct root_parts before, now;
        struct problems findings = PROBLEMS_INIT;
        fill(&before);
        fill(&now);
        struct role *managers = &now.root.roles[ROLE_RELEASE];
        managers->threshold -= i == 1;
        managers->nkeys += i == 2;
        if (i == 3)
            managers->keys[0].key = key_of(99);
        if (i == 4)
            managers->keys[1].verify_required = false;
        now.root.nanchors -= i == 5;
        if (i == 6)
            now.anchor_keys[1] = key_of(98);
        now.root.nbases += i == 7;
        now.root.nunverified += i == 8;
        now.root.log.nwitnesses -= i == 9;
        now.root.log.threshold -= i == 10;
        now.root.log.present = i != 11;
        if (i == 12)
            now.root.log.key.key = key_of(97).key;
        review_root(&before.root, &now.root, &findings);
        expect(&findings, rules[i]);
    }
}

static void a_new_anchor_is_found(void **state)
{
    (void)state;
    struct root_parts before, now;
    struct problems findings = PROBLEMS_INIT;
    fill(&before);
    fill(&now);
    before.root.nanchors = 1;
    review_root(&before.root, &now.root, &findings);
    expect(&findings, "anchor-gained");
}

/* ---- directory ---- */

static struct directory_entry entry_of(char *worker, char *operator_name, unsigned char key)
{
    return (struct directory_entry){.worker = worker,
                                    .operator_name = operator_name,
                                    .operator_key = key_of(key),
                                    .ed25519 = key_of((unsigned char)(key + 50)).key,
                                    .compromised_from = -1};
}

static void changes_of_a_directory(void **state)
{
    (void)state;
    static char alder_1[] = "alder-1", birch_1[] = "birch-1", cedar_1[] = "cedar-1";
    struct directory_entry then[] = {entry_of(alder_1, alder, 1), entry_of(birch_1, birch, 2)};
    struct directory_entry now[] = {entry_of(alder_1, alder, 1), entry_of(cedar_1, cedar, 3)};
    struct directory before = {.entries = then, .nentries = 2}, after = {.entries = now, .nentries = 2};
    struct review_names came = {0}, went = {0};
    struct problems findings = PROBLEMS_INIT;
    review_directory(&before, &after, &came, &went, &findings);
    expect(&findings, NULL);
    assert_int_equal(came.count, 1);
    assert_string_equal(came.items[0], "cedar");
    assert_int_equal(went.count, 1);
    assert_string_equal(went.items[0], "birch");
    review_names_done(&came);
    review_names_done(&went);

    now[0].compromised_from = 17;
    after.nentries = before.nentries = 1;
    review_directory(&before, &after, &came, &went, &findings);
    expect(&findings, "worker-compromised");
    now[0] = entry_of(alder_1, alder, 9);
    review_directory(&before, &after, &came, &went, &findings);
    expect(&findings, "operator-key-replaced");
    assert_int_equal(came.count + went.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_aspect_is_seen),
        cmocka_unit_test(added_removed_and_unchanged),
        cmocka_unit_test(a_chain_is_as_strong_as_its_weakest_link),
        cmocka_unit_test(test_R3_rules_that_ask_less),
        cmocka_unit_test(each_change_of_a_root_is_found),
        cmocka_unit_test(a_new_anchor_is_found),
        cmocka_unit_test(changes_of_a_directory),
    };
    return cmocka_run_group_tests_name("review", tests, NULL, NULL);
}
