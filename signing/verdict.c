/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How it is counted: votes are sorted by operator and reduced to ballots (one answer per operator, or none); ballots are
 * sorted by answer and reduced to groups; the groups decide. Every step works on sorted data, so the order in which
 * votes arrived cannot matter.
 *
 * Distinct facts make "are there quorum operators that differ pairwise" a matching problem (with three facts a hard
 * one). It is searched exactly, value by value of the fact with the fewest values, within a budget of steps; out of budget
 * means "not found", which can only keep a job from being agreed.
 */
#include "verdict.h"

#include <assert.h>
#include <stdlib.h>

/* Vendors and kernels have a handful of values, so real searches take tens of steps; this is a second at worst. */
enum { SEARCH_STEPS_MAX = 1000000 };
/* The operator itself, and the facts of rules.h. */
enum { DIMENSIONS_MAX = 4 };

/* One vote, and what became of it. */
struct ballot {
    const struct vote *vote;
    uint32_t operator_index;
    bool is_void; /* its operator gave two digests, or this failure stands beside a digest */
    bool counted; /* supports its answer */
};

struct group {
    struct verdict_group shown;
    const struct ballot *ballots;
    size_t nballots;
    uint32_t seen; /* operators with this one answer, counted or open */
};

struct count {
    const struct rules *rules;
    struct ballot *ballots;
    size_t nballots;
    struct group *groups;
    size_t ngroups;
    uint32_t operators, equivocators, digests;
};

static int compare_answers(const struct vote *a, const struct vote *b)
{
    bool a_fails = a->failure != FAILURE_NONE, b_fails = b->failure != FAILURE_NONE;
    if (a_fails != b_fails)
        return a_fails ? 1 : -1;
    return a_fails ? 0 : digest_compare(&a->payload, &b->payload);
}

static int by_operator(const void *left, const void *right)
{
    const struct vote *a = ((const struct ballot *)left)->vote, *b = ((const struct ballot *)right)->vote;
    int order = strcmp(a->operator_name, b->operator_name);
    return order != 0 ? order : compare_answers(a, b);
}

static int by_answer(const void *left, const void *right)
{
    const struct ballot *a = left, *b = right;
    int order = compare_answers(a->vote, b->vote);
    if (order != 0)
        return order;
    return a->operator_index < b->operator_index ? -1 : a->operator_index > b->operator_index;
}

static int by_weight(const void *left, const void *right)
{
    const struct group *a = left, *b = right;
    if (a->shown.operators != b->shown.operators)
        return a->shown.operators > b->shown.operators ? -1 : 1;
    return compare_answers(a->ballots->vote, b->ballots->vote);
}

/* The ballots of one operator, sorted by answer: digests first. */
static void judge_operator(struct count *count, struct ballot *ballots, size_t n)
{
    size_t digests = 0;
    for (size_t i = 0; i < n; i++)
        if (ballots[i].vote->failure == FAILURE_NONE &&
            (i == 0 || !digest_equal(&ballots[i].vote->payload, &ballots[i - 1].vote->payload)))
            digests++;
    for (size_t i = 0; i < n; i++) {
        ballots[i].operator_index = count->operators;
        ballots[i].is_void = digests > 1 || (digests == 1 && ballots[i].vote->failure != FAILURE_NONE);
        ballots[i].counted = !ballots[i].is_void && (!ballots[i].vote->open || count->rules->open_votes);
    }
    count->operators++;
    if (digests > 1)
        count->equivocators++;
}

static void take_ballots(struct count *count, const struct vote *votes, size_t nvotes)
{
    count->ballots = mem_zero(nvotes + 1, sizeof *count->ballots);
    for (size_t i = 0; i < nvotes; i++)
        if (votes[i].failure != FAILURE_INFRASTRUCTURE)
            count->ballots[count->nballots++].vote = &votes[i];
    qsort(count->ballots, count->nballots, sizeof *count->ballots, by_operator);
    for (size_t i = 0, next; i < count->nballots; i = next) {
        const char *name = count->ballots[i].vote->operator_name;
        for (next = i + 1; next < count->nballots; next++)
            if (strcmp(count->ballots[next].vote->operator_name, name) != 0)
                break;
        judge_operator(count, &count->ballots[i], next - i);
    }
}

/* The ballots of one answer, sorted by operator. */
static struct group group_of(const struct ballot *ballots, size_t n)
{
    struct group group = {.ballots = ballots, .nballots = n};
    group.shown.is_failure = ballots->vote->failure != FAILURE_NONE;
    if (!group.shown.is_failure)
        group.shown.payload = ballots->vote->payload;
    for (size_t i = 0, next; i < n; i = next) {
        bool counted = false, anchor = false;
        for (next = i; next < n && ballots[next].operator_index == ballots[i].operator_index; next++) {
            counted |= ballots[next].counted;
            anchor |= ballots[next].vote->anchor;
        }
        group.seen += !ballots[i].is_void;
        group.shown.operators += counted;
        group.shown.anchors += counted && anchor;
    }
    return group;
}

static void make_groups(struct count *count)
{
    qsort(count->ballots, count->nballots, sizeof *count->ballots, by_answer);
    count->groups = mem_zero(count->nballots + 1, sizeof *count->groups);
    for (size_t i = 0, next; i < count->nballots; i = next) {
        for (next = i + 1; next < count->nballots; next++)
            if (compare_answers(count->ballots[next].vote, count->ballots[i].vote) != 0)
                break;
        count->groups[count->ngroups] = group_of(&count->ballots[i], next - i);
        count->digests += !count->groups[count->ngroups].shown.is_failure;
        count->ngroups++;
    }
    qsort(count->groups, count->ngroups, sizeof *count->groups, by_weight);
}

/* --- the search for operators that differ in each listed fact --- */

struct candidate {
    uint32_t value[DIMENSIONS_MAX]; /* small numbers in place of texts; [0] is the operator */
    bool anchor;
};
struct search {
    struct candidate *candidates; /* sorted by the pivot's value, anchors first */
    size_t ncandidates;
    unsigned int dimensions, pivot;
    uint32_t nvalues[DIMENSIONS_MAX];
    bool *used[DIMENSIONS_MAX];
    uint32_t need, anchors;
    unsigned int steps;
};

static const char *fact_of(const struct vote *vote, enum rules_distinct fact)
{
    switch (fact) {
    case DISTINCT_CPU_VENDOR:
        return vote->cpu_vendor;
    case DISTINCT_KERNEL:
        return vote->kernel;
    case DISTINCT_SITE:
        return vote->site;
    }
    return NULL;
}

static const enum rules_distinct all_facts[] = {DISTINCT_CPU_VENDOR, DISTINCT_KERNEL, DISTINCT_SITE};

static bool states_all(const struct vote *vote, uint32_t distinct)
{
    for (size_t i = 0; i < ARRAY_SIZE(all_facts); i++)
        if ((distinct & (uint32_t)all_facts[i]) != 0 && fact_of(vote, all_facts[i]) == NULL)
            return false;
    return true;
}

/* The number of a text: the index of its first holder, so that equal texts have equal numbers. */
static uint32_t number_of(const struct ballot *const *chosen, size_t at, enum rules_distinct fact)
{
    for (size_t i = 0; i < at; i++)
        if (strcmp(fact_of(chosen[i]->vote, fact), fact_of(chosen[at]->vote, fact)) == 0)
            return (uint32_t)i;
    return (uint32_t)at;
}

static uint32_t distinct_values(const struct search *search, unsigned int dimension)
{
    uint32_t n = 0;
    for (size_t i = 0; i < search->ncandidates; i++) {
        size_t k = 0;
        while (search->candidates[k].value[dimension] != search->candidates[i].value[dimension])
            k++;
        n += k == i;
    }
    return n;
}

/* Insertion sort: there are few, and the order must be total for equal results everywhere. */
static void sort_candidates(struct search *search)
{
    unsigned int p = search->pivot;
    for (size_t i = 1; i < search->ncandidates; i++) {
        struct candidate moving = search->candidates[i];
        size_t k = i;
        for (; k > 0; k--) {
            const struct candidate *before = &search->candidates[k - 1];
            if (before->value[p] < moving.value[p] ||
                (before->value[p] == moving.value[p] && before->anchor >= moving.anchor))
                break;
            search->candidates[k] = *before;
        }
        search->candidates[k] = moving;
    }
}

static void search_prepare(struct search *search, const struct rules *rules, const struct group *group)
{
    CLEANUP_FREE const struct ballot **chosen = mem_zero(group->nballots + 1, sizeof *chosen);
    search->candidates = mem_zero(group->nballots + 1, sizeof *search->candidates);
    for (size_t i = 0; i < group->nballots; i++)
        if (group->ballots[i].counted && states_all(group->ballots[i].vote, rules->distinct))
            chosen[search->ncandidates++] = &group->ballots[i];
    search->dimensions = 1;
    for (size_t i = 0; i < search->ncandidates; i++) {
        uint32_t first = 0; /* operators are numbered by their first candidate, like the facts */
        while (chosen[first]->operator_index != chosen[i]->operator_index)
            first++;
        search->candidates[i].value[0] = first;
        search->candidates[i].anchor = chosen[i]->vote->anchor;
    }
    for (size_t f = 0; f < ARRAY_SIZE(all_facts); f++) {
        if ((rules->distinct & (uint32_t)all_facts[f]) == 0)
            continue;
        for (size_t i = 0; i < search->ncandidates; i++)
            search->candidates[i].value[search->dimensions] = number_of(chosen, i, all_facts[f]);
        search->dimensions++;
    }
    for (unsigned int d = 0; d < search->dimensions; d++) {
        search->nvalues[d] = distinct_values(search, d);
        search->used[d] = mem_zero(search->ncandidates + 1, sizeof *search->used[d]);
        if (search->nvalues[d] < search->nvalues[search->pivot])
            search->pivot = d;
    }
    sort_candidates(search);
}

static void search_done(struct search *search)
{
    free(search->candidates);
    for (unsigned int d = 0; d < search->dimensions; d++)
        free(search->used[d]);
}

static bool is_free(const struct search *search, const struct candidate *candidate)
{
    for (unsigned int d = 0; d < search->dimensions; d++)
        if (search->used[d][candidate->value[d]])
            return false;
    return true;
}

static void mark(struct search *search, const struct candidate *candidate, bool used)
{
    for (unsigned int d = 0; d < search->dimensions; d++)
        search->used[d][candidate->value[d]] = used;
}

/* 'at' is the first candidate of a pivot value; 'values' counts the values from there on. */
static bool search_from(struct search *search, size_t at, uint32_t values, uint32_t chosen, uint32_t anchors)
{
    if (chosen == search->need)
        return anchors >= search->anchors;
    if (chosen + values < search->need || anchors + (search->need - chosen) < search->anchors ||
        search->steps++ > SEARCH_STEPS_MAX)
        return false;
    size_t next = at;
    while (next < search->ncandidates &&
           search->candidates[next].value[search->pivot] == search->candidates[at].value[search->pivot])
        next++;
    for (size_t i = at; i < next; i++) {
        const struct candidate *candidate = &search->candidates[i];
        if (!is_free(search, candidate))
            continue;
        mark(search, candidate, true);
        bool found = search_from(search, next, values - 1, chosen + 1, anchors + candidate->anchor);
        mark(search, candidate, false);
        if (found)
            return true;
    }
    return search_from(search, next, values - 1, chosen, anchors);
}

static bool search_run(struct search *search, uint32_t need, uint32_t anchors)
{
    search->need = need > anchors ? need : anchors;
    search->anchors = anchors;
    search->steps = 0;
    return search_from(search, 0, search->nvalues[search->pivot], 0, 0);
}

/* --- what the groups amount to --- */

/* How many more operators, and anchors among them, an answer needs to win. */
struct shortfall {
    uint32_t operators, anchors;
};

static uint32_t less(uint32_t from, uint32_t by)
{
    return from > by ? from - by : 0;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* For this group to be 'need' strong. */
static struct shortfall group_shortfall(const struct count *count, const struct group *group, uint32_t need)
{
    const struct rules *rules = count->rules;
    uint32_t lacking = less(rules->anchors, group->shown.anchors);
    uint32_t strength = group->shown.operators;
    bool enough = strength >= need && lacking == 0;
    if (rules->distinct != 0) {
        struct search search = {0};
        search_prepare(&search, rules, group);
        enough = enough && search_run(&search, need, rules->anchors);
        strength = strength < need ? strength : need;
        while (strength > 0 && !search_run(&search, strength, 0))
            strength--;
        search_done(&search);
    }
    uint32_t more = larger(less(need, strength), lacking);
    if (!enough && more == 0)
        more = 1; /* each condition holds on its own, but not together */
    return (struct shortfall){.operators = enough ? 0 : more, .anchors = lacking};
}

/* The strongest rival of a digest, counting also votes that may not support. */
static uint32_t rival_of(const struct count *count, const struct group *group)
{
    uint32_t most = 0;
    for (size_t i = 0; i < count->ngroups; i++) {
        const struct group *other = &count->groups[i];
        if (other != group && !other->shown.is_failure && other->seen > most)
            most = other->seen;
    }
    return most;
}

static struct shortfall digest_shortfall(const struct count *count, const struct group *group)
{
    uint32_t need = count->rules->quorum + (count->digests > 1 ? count->rules->margin : 0);
    struct shortfall more = group_shortfall(count, group, need);
    more.operators = larger(more.operators, less(rival_of(count, group) + 1, group->shown.operators));
    return more;
}

static void describe(struct verdict *verdict, const struct count *count, const struct group *group)
{
    verdict->operators = group->shown.operators;
    verdict->anchors = group->shown.anchors;
    verdict->dissent = count->operators - group->seen;
}

static void settle(struct verdict *verdict, const struct count *count, const struct group *group,
                   enum verdict_state state)
{
    describe(verdict, count, group);
    verdict->state = state;
    verdict->payload = group->shown.payload;
    verdict->missing = verdict->missing_anchors = verdict->missing_failures = 0;
}

static const struct group *find_failures(const struct count *count)
{
    for (size_t i = 0; i < count->ngroups; i++)
        if (count->groups[i].shown.is_failure)
            return &count->groups[i];
    return NULL;
}

static void miss(struct verdict *verdict, const struct shortfall *more)
{
    verdict->missing = more->operators;
    verdict->missing_anchors = more->anchors;
}

/* Fewer operators; as many, and fewer of them anchors. */
static bool is_less(const struct shortfall *more, const struct verdict *verdict)
{
    return more->operators < verdict->missing ||
           (more->operators == verdict->missing && more->anchors < verdict->missing_anchors);
}

/* Agreed if some digest has won; otherwise notes what the nearest one misses. Returns the leading digest, or NULL. */
static const struct group *decide_digests(struct verdict *verdict, const struct count *count)
{
    const struct group *leading = NULL;
    for (size_t i = 0; i < count->ngroups; i++) {
        const struct group *group = &count->groups[i];
        if (group->shown.is_failure)
            continue;
        struct shortfall more = digest_shortfall(count, group);
        if (more.operators == 0) {
            settle(verdict, count, group, VERDICT_AGREED);
            return group;
        }
        if (leading == NULL || is_less(&more, verdict))
            miss(verdict, &more);
        if (leading == NULL)
            leading = group;
    }
    return leading;
}

static void decide(struct verdict *verdict, const struct count *count)
{
    const struct group *failures = find_failures(count);
    uint32_t to_fail = less(count->rules->quorum, failures != NULL ? failures->shown.operators : 0);
    const struct shortfall all = {larger(count->rules->quorum, count->rules->anchors), count->rules->anchors};
    verdict->state = VERDICT_PENDING;
    miss(verdict, &all);
    const struct group *leading = decide_digests(verdict, count);
    if (verdict->state == VERDICT_AGREED)
        return;
    if (count->digests > 1) {
        verdict->state = VERDICT_DISPUTED;
        describe(verdict, count, leading);
        return;
    }
    if (failures != NULL && to_fail == 0) {
        settle(verdict, count, failures, VERDICT_FAILED);
        return;
    }
    if (count->ngroups > 0)
        describe(verdict, count, &count->groups[0]);
    verdict->missing_failures = to_fail;
    if (to_fail < verdict->missing) /* anybody may confirm a failure */
        miss(verdict, &(struct shortfall){.operators = to_fail});
}

struct verdict verdict_of(const struct rules *rules, const struct vote *votes, size_t nvotes)
{
    assert(rules->quorum >= 1);
    struct verdict verdict = {0};
    struct count count = {.rules = rules};
    take_ballots(&count, votes, nvotes);
    make_groups(&count);
    decide(&verdict, &count);
    verdict.equivocators = count.equivocators;
    verdict.ngroups = count.ngroups < VERDICT_GROUPS_MAX ? count.ngroups : VERDICT_GROUPS_MAX;
    for (size_t i = 0; i < verdict.ngroups; i++)
        verdict.groups[i] = count.groups[i].shown;
    free(count.ballots);
    free(count.groups);
    return verdict;
}

size_t verdict_supporters(const struct rules *rules, const struct vote *votes, size_t nvotes,
                          const struct digest *payload, const char **ret, size_t limit)
{
    struct count count = {.rules = rules};
    size_t found = 0;
    take_ballots(&count, votes, nvotes); /* sorted by operator */
    uint32_t last = UINT32_MAX;
    for (size_t i = 0; i < count.nballots; i++) {
        const struct ballot *ballot = &count.ballots[i];
        if (!ballot->counted || ballot->operator_index == last || ballot->vote->failure != FAILURE_NONE ||
            !digest_equal(&ballot->vote->payload, payload))
            continue;
        last = ballot->operator_index;
        if (found < limit)
            ret[found] = ballot->vote->operator_name;
        found++;
    }
    free(count.ballots);
    return found;
}

const char *verdict_state_name(enum verdict_state state)
{
    switch (state) {
    case VERDICT_PENDING:
        return "pending";
    case VERDICT_AGREED:
        return "agreed";
    case VERDICT_DISPUTED:
        return "disputed";
    case VERDICT_FAILED:
        return "failed";
    }
    return NULL;
}

const char *failure_kind_name(enum failure_kind kind)
{
    switch (kind) {
    case FAILURE_NONE:
        return "none";
    case FAILURE_BUILD:
        return "build";
    case FAILURE_ASSERTION:
        return "assertion";
    case FAILURE_TIMEOUT:
        return "timeout";
    case FAILURE_MEMORY:
        return "memory";
    case FAILURE_INFRASTRUCTURE:
        return "infrastructure";
    }
    return NULL;
}

int failure_kind_parse(struct view name)
{
    for (int kind = FAILURE_NONE; kind <= FAILURE_INFRASTRUCTURE; kind++)
        if (view_equal(name, view_text(failure_kind_name((enum failure_kind)kind))))
            return kind;
    return FARM_E_UNKNOWN;
}
