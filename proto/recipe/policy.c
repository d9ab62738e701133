/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lock.h"

#include "names.h"
#include "ruleset.h"

#include <stdlib.h>

/* Which fields of 'values' a rule gives. */
enum policy_field {
    GIVES_QUORUM = 1,
    GIVES_ANCHORS = 2,
    GIVES_DISTINCT = 4,
    GIVES_MARGIN = 8,
    GIVES_ATTEMPTS = 16,
    GIVES_OPEN_VOTES = 32,
    GIVES_EVIDENCE = 64,
    GIVES_HOLD = 128,
    GIVES_SETUID = 256
};

struct policy_rule {
    struct match match;
    unsigned int given;
    struct rules values;
};

struct policy {
    struct rules defaults;
    struct text_list hold, packages;
    struct policy_rule *rules;
    size_t nrules;
};

struct policy *policy_free(struct policy *policy)
{
    if (policy == NULL)
        return NULL;
    for (size_t i = 0; i < policy->nrules; i++)
        match_done(&policy->rules[i].match);
    free(policy->rules);
    text_list_done(&policy->hold);
    text_list_done(&policy->packages);
    free(policy);
    return NULL;
}

const struct text_list *policy_packages(const struct policy *policy)
{
    return &policy->packages;
}

struct rules policy_builtin(void)
{
    return (struct rules){.quorum = 2, .anchors = 1, .max_attempts = 3};
}

static void apply(const struct policy_rule *rule, struct rules *rules)
{
    const struct rules *from = &rule->values;
    if (rule->given & GIVES_QUORUM)
        rules->quorum = from->quorum;
    if (rule->given & GIVES_ANCHORS)
        rules->anchors = from->anchors;
    if (rule->given & GIVES_DISTINCT)
        rules->distinct = from->distinct;
    if (rule->given & GIVES_MARGIN)
        rules->margin = from->margin;
    if (rule->given & GIVES_ATTEMPTS)
        rules->max_attempts = from->max_attempts;
    if (rule->given & GIVES_OPEN_VOTES)
        rules->open_votes = from->open_votes;
    if (rule->given & GIVES_EVIDENCE)
        rules->evidence = from->evidence;
    if (rule->given & GIVES_HOLD)
        rules->hold = from->hold;
    if (rule->given & GIVES_SETUID)
        rules->setuid = from->setuid;
}

struct rules policy_rules(const struct policy *policy, const char *tier, const char *package,
                          const char *kind)
{
    if (policy == NULL)
        return policy_builtin();
    struct rules rules = policy->defaults;
    for (size_t i = 0; i < policy->nrules; i++)
        if (match_holds(&policy->rules[i].match, tier, package, kind))
            apply(&policy->rules[i], &rules);
    if (text_list_has(&policy->hold, view_text(package)))
        rules.hold = true;
    return rules;
}

/* One of two words. */
static bool read_choice(struct reader *reader, const struct yamlnode *node, const char *what, const char *no,
                        const char *yes, bool *ret)
{
    bool is_yes = node->kind == NODE_TEXT && view_equal(node->text, view_text(yes));
    if (!is_yes && !(node->kind == NODE_TEXT && view_equal(node->text, view_text(no)))) {
        reader_problem(reader, node->line, "bad-value", "%s must be \"%s\" or \"%s\"", what, no, yes);
        return false;
    }
    *ret = is_yes;
    return true;
}

static bool read_count(struct reader *reader, const struct yamlnode *node, const char *what, uint64_t least,
                       uint64_t greatest, uint32_t *ret)
{
    uint64_t number;
    if (!reader_number(reader, node, what, least, greatest, &number))
        return false;
    *ret = (uint32_t)number;
    return true;
}

static bool read_distinct(struct reader *reader, const struct yamlnode *node, uint32_t *ret)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } words[] = {{"operator", 0},
                 {"cpu_vendor", DISTINCT_CPU_VENDOR},
                 {"kernel", DISTINCT_KERNEL},
                 {"site", DISTINCT_SITE}};
    struct text_list list = {0};
    uint32_t bits = 0;
    bool good = reader_texts(reader, node, "distinct", ARRAY_SIZE(words), NULL, NULL, &list);
    for (size_t i = 0; i < list.count; i++) {
        size_t k = 0;
        while (k < ARRAY_SIZE(words) && strcmp(words[k].name, list.items[i].text) != 0)
            k++;
        if (k < ARRAY_SIZE(words)) {
            bits |= words[k].bit;
            continue;
        }
        good = false;
        reader_problem(reader, list.items[i].line, "bad-value",
                       "distinct: \"%s\" is none of operator, cpu_vendor, kernel, site",
                       quote(view_text(list.items[i].text)).text);
    }
    text_list_done(&list);
    if (good)
        *ret = bits;
    return good;
}

static bool read_dissent(struct reader *reader, const struct yamlnode *node, uint32_t *ret)
{
    static const char *const keys[] = {"margin", NULL};
    if (!reader_map(reader, node, "dissent"))
        return false;
    reader_only_keys(reader, node, "dissent", keys);
    const struct yamlnode *margin = yamlnode_get(node, "margin");
    return margin != NULL && read_count(reader, margin, "dissent.margin", 0, RULES_QUORUM_MAX, ret);
}

static const char *const value_keys[] = {"quorum",     "anchors",  "distinct", "dissent", "max_attempts",
                                         "open_votes", "evidence", "hold",     "setuid",  NULL};

/* All values but "hold", whose form differs between defaults and rules. */
static void read_values(struct reader *reader, const struct yamlnode *node, struct policy_rule *rule)
{
    struct rules *values = &rule->values;
    const struct yamlnode *item;
    if ((item = yamlnode_get(node, "quorum")) != NULL &&
        read_count(reader, item, "quorum", 1, RULES_QUORUM_MAX, &values->quorum))
        rule->given |= GIVES_QUORUM;
    if ((item = yamlnode_get(node, "anchors")) != NULL &&
        read_count(reader, item, "anchors", 0, RULES_QUORUM_MAX, &values->anchors))
        rule->given |= GIVES_ANCHORS;
    if ((item = yamlnode_get(node, "distinct")) != NULL && read_distinct(reader, item, &values->distinct))
        rule->given |= GIVES_DISTINCT;
    if ((item = yamlnode_get(node, "dissent")) != NULL && read_dissent(reader, item, &values->margin))
        rule->given |= GIVES_MARGIN;
    if ((item = yamlnode_get(node, "max_attempts")) != NULL &&
        read_count(reader, item, "max_attempts", 1, RULES_ATTEMPTS_MAX, &values->max_attempts))
        rule->given |= GIVES_ATTEMPTS;
    if ((item = yamlnode_get(node, "open_votes")) != NULL &&
        read_choice(reader, item, "open_votes", "none", "count", &values->open_votes))
        rule->given |= GIVES_OPEN_VOTES;
    if ((item = yamlnode_get(node, "evidence")) != NULL &&
        read_choice(reader, item, "evidence", "none", "hardware", &values->evidence))
        rule->given |= GIVES_EVIDENCE;
    if ((item = yamlnode_get(node, "setuid")) != NULL &&
        read_choice(reader, item, "setuid", "none", "allowed", &values->setuid))
        rule->given |= GIVES_SETUID;
}

/* More anchors than votes: the quorum would say less than it seems to. */
static void check_anchors(struct reader *reader, int line, const struct rules *rules)
{
    if (rules->anchors > rules->quorum)
        reader_problem(reader, line, "policy-anchors",
                       "%u anchors are more than the quorum of %u; raise the quorum or lower anchors",
                       rules->anchors, rules->quorum);
}

static void read_defaults(struct reader *reader, const struct yamlnode *node, struct policy *policy)
{
    struct policy_rule all = {0};
    if (yamlnode_is_null(node) || !reader_map(reader, node, "defaults"))
        return;
    reader_only_keys(reader, node, "defaults", value_keys);
    read_values(reader, node, &all);
    apply(&all, &policy->defaults);
    check_anchors(reader, node->line, &policy->defaults);
    const struct yamlnode *hold = yamlnode_get(node, "hold");
    if (hold != NULL)
        reader_texts(reader, hold, "hold", RULESET_MAX, name_is_plain, "a package name", &policy->hold);
    text_list_copy(&policy->packages, &policy->hold);
}

static void read_rule(struct reader *reader, const struct yamlnode *node, struct policy *policy)
{
    static const char *const keys[] = {"match", "set", NULL};
    struct policy_rule *rule = &policy->rules[policy->nrules++];
    if (!reader_map(reader, node, "a rule"))
        return;
    reader_only_keys(reader, node, "rule", keys);
    const struct yamlnode *match = yamlnode_get(node, "match"), *set = yamlnode_get(node, "set");
    if (match == NULL || set == NULL) {
        reader_problem(reader, node->line, "missing-key", "a rule needs \"match\" and \"set\"");
        return;
    }
    match_read(reader, match, true, &rule->match, &policy->packages);
    if (!reader_map(reader, set, "set"))
        return;
    reader_only_keys(reader, set, "set", value_keys);
    read_values(reader, set, rule);
    const struct yamlnode *hold = yamlnode_get(set, "hold");
    if (hold != NULL && reader_flag(reader, hold, "hold", &rule->values.hold))
        rule->given |= GIVES_HOLD;
    struct rules together = policy->defaults;
    apply(rule, &together);
    check_anchors(reader, set->line, &together);
}

static void read_policy(struct reader *reader, const struct yamlnode *root, struct policy *policy)
{
    static const char *const keys[] = {"version", "defaults", "rules", NULL};
    reader_only_keys(reader, root, "policy", keys);
    reader_version(reader, root);
    read_defaults(reader, yamlnode_get(root, "defaults"), policy);
    const struct yamlnode *rules = yamlnode_get(root, "rules");
    if (!reader_list(reader, rules, "rules", RULESET_MAX))
        return;
    policy->rules = mem_zero(rules->count, sizeof *policy->rules);
    for (const struct yamlnode *node = rules->first; node != NULL; node = node->next)
        read_rule(reader, node, policy);
}

int policy_parse(struct view text, const char *file, struct policy **ret, struct problems *problems)
{
    struct yamldoc *doc = NULL;
    struct yamlnode_limits limits = {POLICY_FILE_MAX, POLICY_FILE_MAX / 16, RECIPE_DEPTH_MAX,
                                     RECIPE_TEXT_MAX};
    int status = yamldoc_read(text, file, limits, &doc, problems);
    if (status < 0)
        return status;
    struct reader reader = {.file = file, .problems = problems};
    struct policy *policy = mem_zero(1, sizeof *policy);
    policy->defaults = policy_builtin();
    if (reader_map(&reader, yamldoc_root(doc), "the policy"))
        read_policy(&reader, yamldoc_root(doc), policy);
    yamldoc_free(doc);
    if (reader.found > 0) {
        policy_free(policy);
        return FARM_E_REFUSED;
    }
    *ret = policy;
    return 0;
}

static int get_count(const json_t *value, const char *name, const char *key, int64_t least, int64_t greatest,
                     uint32_t *ret, struct diag *diag)
{
    int64_t number;
    int status = json_get_number(value, name, key, &number, diag);
    if (status < 0)
        return status;
    if (number < least || number > greatest)
        return diag_set(diag, FARM_E_SYNTAX, "%s: \"%s\" is out of range", name, key);
    *ret = (uint32_t)number;
    return 0;
}

int rules_from_json(const json_t *value, const char *name, struct rules *ret, struct diag *diag)
{
    static const char *const keys[] = {"quorum", "anchors",    "distinct", "margin", "max_attempts",
                                       "hold",   "open_votes", "evidence", "setuid", NULL};
    struct rules rules = {0};
    int status;
    if ((status = json_only_keys(value, name, keys, diag)) < 0 ||
        (status = get_count(value, name, "quorum", 1, RULES_QUORUM_MAX, &rules.quorum, diag)) < 0 ||
        (status = get_count(value, name, "anchors", 0, RULES_QUORUM_MAX, &rules.anchors, diag)) < 0 ||
        (status = get_count(value, name, "distinct", 0, DISTINCT_CPU_VENDOR | DISTINCT_KERNEL | DISTINCT_SITE,
                            &rules.distinct, diag)) < 0 ||
        (status = get_count(value, name, "margin", 0, RULES_QUORUM_MAX, &rules.margin, diag)) < 0 ||
        (status = get_count(value, name, "max_attempts", 1, RULES_ATTEMPTS_MAX, &rules.max_attempts, diag)) <
            0 ||
        (status = json_get_bool(value, name, "open_votes", &rules.open_votes, diag)) < 0 ||
        (status = json_get_bool(value, name, "hold", &rules.hold, diag)) < 0 ||
        (status = json_get_bool(value, name, "evidence", &rules.evidence, diag)) < 0 ||
        (json_object_get(value, "setuid") != NULL &&
         (status = json_get_bool(value, name, "setuid", &rules.setuid, diag)) < 0))
        return status;
    *ret = rules;
    return 0;
}
