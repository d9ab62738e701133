/* SPDX-License-Identifier: GPL-3.0-or-later */
/* policy.yml: read twice it is the same or has the same problems; what it says of any package is within the limits. */
#include "fuzz.h"

#include "fuzz_yaml.h"
#include "lock.h"

static void check_rules(const struct rules *rules)
{
    FUZZ_CHECK(rules->quorum >= 1 && rules->quorum <= RULES_QUORUM_MAX);
    FUZZ_CHECK(rules->anchors <= RULES_QUORUM_MAX &&
               rules->margin <= RULES_QUORUM_MAX); /* more than the quorum: tree_load */
    FUZZ_CHECK(rules->max_attempts >= 1 && rules->max_attempts <= RULES_ATTEMPTS_MAX);
}

static void check_policy(const struct policy *policy)
{
    static const char *const tiers[] = {"base", "ai"}, *const kinds[] = {"package", "root"};
    const struct text_list *packages = policy_packages(policy);
    for (size_t tier = 0; tier < ARRAY_SIZE(tiers); tier++)
        for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
            struct rules rules = policy_rules(policy, tiers[tier], "a", kinds[kind]);
            check_rules(&rules);
            for (size_t i = 0; i < packages->count; i++) {
                rules = policy_rules(policy, tiers[tier], packages->items[i].text, kinds[kind]);
                check_rules(&rules);
            }
        }
}

static void run(struct view input)
{
    struct problems problems = PROBLEMS_INIT, second = PROBLEMS_INIT;
    struct policy *policy = NULL, *again = NULL;
    int result = policy_parse(input, "policy.yml", &policy, &problems);
    FUZZ_CHECK(policy_parse(input, "policy.yml", &again, &second) == result);
    fuzz_check_problems(result, &problems, &second);
    FUZZ_CHECK((policy != NULL) == (result >= 0));
    if (result >= 0)
        check_policy(policy);
    policy_free(policy);
    policy_free(again);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 2 << 20, .heap_factor = 4096};
