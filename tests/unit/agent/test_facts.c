/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "suites.h"

#include "facts.h"

static void levels(void **state)
{
    (void)state;
#define V2 "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
#define V3 V2 " avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
    static const struct {
        const char *text, *machine, *vendor, *level;
    } cases[] = {
        {"processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu sse2\n", "x86_64", "AuthenticAMD",
         "x86-64-v1"},
        {"vendor_id\t: GenuineIntel\nflags\t\t: " V2 "\n", "x86_64", "GenuineIntel", "x86-64-v2"},
        {"vendor_id\t: GenuineIntel\nflags\t\t: " V3 "\n", "x86_64", "GenuineIntel", "x86-64-v3"},
        {"flags\t\t: " V3 " avx512f avx512bw avx512cd avx512dq avx512vl\n", "x86_64", "unknown", "x86-64-v4"},
        {"vendor_id\t: two words\nflags\t\t: " V3 "\n", "x86_64", "unknown", "x86-64-v3"},
        {"CPU implementer\t: 0x41\n", "aarch64", "0x41", "aarch64"},
        {"", "x86_64", "unknown", "x86-64-v1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct facts facts = {0};
        facts_cpu(view_text(cases[i].text), cases[i].machine, &facts);
        assert_string_equal(facts.cpu_vendor, cases[i].vendor);
        assert_string_equal(facts.cpu_level, cases[i].level);
    }
}

static void kernels(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"6.1.0-13-amd64", "6.1"}, {"6.12", "6.12"}, {"5.15.90.1-microsoft", "5.15"}, {"strange", "unknown"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct facts facts = {0};
        facts_kernel(cases[i][0], &facts);
        assert_string_equal(facts.kernel, cases[i][1]);
    }
}

int suite_facts(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(levels), cmocka_unit_test(kernels)};
    return cmocka_run_group_tests_name("facts", tests, NULL, NULL);
}
