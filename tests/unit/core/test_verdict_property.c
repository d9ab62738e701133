/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * verdict_of() against a naive model, over seeded random votes: margins, anchors, differing facts, open votes, equivocation,
 * failures, repetitions, rivals. The model is written from the text of DESIGN.md and knows nothing of how verdict.c counts: it asks
 * each operator for its answer, tries every set of operators, and finds what is missing by adding operators until it is settled.
 */
#include "verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { OPERATORS = 7, DIGESTS = 3, VOTES_MAX = 10, MORE_MAX = 12, ROUNDS = 20000 };

static const char *const names[OPERATORS] = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta"};
static const char *const new_names[MORE_MAX] = {"n0", "n1", "n2", "n3", "n4", "n5",
                                                "n6", "n7", "n8", "n9", "na", "nb"};
static const char *const facts[] = {NULL, "one", "two", "three"};

struct scenario {
    struct rules rules;
    struct vote votes[VOTES_MAX + MORE_MAX];
    size_t n;
};

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static struct digest digest_number(size_t number)
{
    struct digest digest = {{0}};
    digest.bytes[0] = (unsigned char)(7 * number + 1);
    return digest;
}

static void draw_rules(struct rules *rules, uint64_t *seed)
{
    *rules = (struct rules){0};
    rules->quorum = (uint32_t)(1 + next_random(seed) % 4);
    rules->anchors = (uint32_t)(next_random(seed) % (rules->quorum + 1));
    rules->margin = (uint32_t)(next_random(seed) % 3);
    rules->open_votes = next_random(seed) % 2;
    rules->distinct = next_random(seed) % 3 == 0 ? (uint32_t)(next_random(seed) % 8) : 0;
}

/* Mostly one answer, so that every state comes about; the first three operators are anchors. */
static void draw_vote(struct vote *vote, uint64_t *seed, unsigned int discord)
{
    size_t who = next_random(seed) % OPERATORS;
    uint64_t answer = next_random(seed) % (6 + discord);
    *vote = (struct vote){.operator_name = names[who], .anchor = who < 3, .open = next_random(seed) % 4 == 0};
    vote->cpu_vendor = facts[next_random(seed) % 4];
    vote->kernel = facts[next_random(seed) % 4];
    vote->site = facts[next_random(seed) % 4];
    if (answer < 5)
        vote->payload = digest_number(0);
    else if (answer == 5)
        vote->failure = next_random(seed) % 3 == 0 ? FAILURE_INFRASTRUCTURE : FAILURE_BUILD;
    else
        vote->payload = digest_number(answer % DIGESTS);
}

static void draw(struct scenario *scenario, uint64_t *seed)
{
    unsigned int discord = (unsigned int)(next_random(seed) % 3);
    bool failing = next_random(seed) % 5 == 0;
    draw_rules(&scenario->rules, seed);
    scenario->n = next_random(seed) % (VOTES_MAX + 1);
    for (size_t i = 0; i < scenario->n; i++) {
        draw_vote(&scenario->votes[i], seed, discord);
        if (failing && next_random(seed) % 4 > 0 && scenario->votes[i].failure == FAILURE_NONE) {
            scenario->votes[i].failure = FAILURE_TIMEOUT;
            scenario->votes[i].payload = (struct digest){{0}};
        }
    }
}

/* --- the model --- */

enum said { NOTHING, BUILT, TWO_DIGESTS, FAILS };
struct opinion {
    const char *name;
    enum said said;
    struct digest payload;
    bool anchor, counts;
};
struct model {
    const struct scenario *scenario;
    struct opinion opinions[OPERATORS + MORE_MAX];
    size_t n; /* operators with an opinion */
    struct digest digests[VOTES_MAX + MORE_MAX];
    size_t ndigests; /* that somebody named, in whatever way */
    enum verdict_state state;
    struct digest winner;
};

static bool says(const struct vote *vote, enum said said, const struct digest *payload)
{
    if (vote->failure == FAILURE_INFRASTRUCTURE)
        return false;
    return said == FAILS ? vote->failure != FAILURE_NONE
                         : vote->failure == FAILURE_NONE && digest_equal(&vote->payload, payload);
}

static struct opinion opinion_of(const struct scenario *scenario, const char *name)
{
    struct opinion opinion = {.name = name};
    for (size_t i = 0; i < scenario->n; i++) {
        const struct vote *vote = &scenario->votes[i];
        if (strcmp(vote->operator_name, name) != 0 || vote->failure == FAILURE_INFRASTRUCTURE)
            continue;
        opinion.anchor = vote->anchor;
        if (vote->failure != FAILURE_NONE) {
            opinion.said = opinion.said == NOTHING ? FAILS : opinion.said;
        } else if (opinion.said == NOTHING || opinion.said == FAILS) {
            opinion.said = BUILT;
            opinion.payload = vote->payload;
        } else if (!digest_equal(&opinion.payload, &vote->payload)) {
            opinion.said = TWO_DIGESTS;
        }
    }
    for (size_t i = 0; i < scenario->n && opinion.said != TWO_DIGESTS; i++)
        if (strcmp(scenario->votes[i].operator_name, name) == 0 &&
            says(&scenario->votes[i], opinion.said, &opinion.payload))
            opinion.counts |= !scenario->votes[i].open || scenario->rules.open_votes;
    return opinion;
}

static void add_opinion(struct model *model, const char *name)
{
    struct opinion opinion = opinion_of(model->scenario, name);
    if (opinion.said != NOTHING)
        model->opinions[model->n++] = opinion;
}

static void collect_digests(struct model *model)
{
    for (size_t i = 0; i < model->scenario->n; i++) {
        const struct vote *vote = &model->scenario->votes[i];
        bool known = vote->failure != FAILURE_NONE;
        for (size_t k = 0; k < model->ndigests; k++)
            known |= digest_equal(&model->digests[k], &vote->payload);
        if (!known)
            model->digests[model->ndigests++] = vote->payload;
    }
}

static bool is_for(const struct opinion *opinion, enum said said, const struct digest *payload)
{
    return opinion->said == said && (said == FAILS || digest_equal(&opinion->payload, payload));
}

static size_t count_for(const struct model *model, enum said said, const struct digest *payload,
                        bool counted_only, bool anchors_only)
{
    size_t n = 0;
    for (size_t i = 0; i < model->n; i++) {
        const struct opinion *opinion = &model->opinions[i];
        n += is_for(opinion, said, payload) && (opinion->counts || !counted_only) &&
             (opinion->anchor || !anchors_only);
    }
    return n;
}

static bool same_fact(const char *a, const char *b)
{
    return a == NULL || b == NULL || strcmp(a, b) == 0;
}

static bool stand_together(const struct rules *rules, const struct vote *a, const struct vote *b)
{
    return !(((rules->distinct & DISTINCT_CPU_VENDOR) != 0 && same_fact(a->cpu_vendor, b->cpu_vendor)) ||
             ((rules->distinct & DISTINCT_KERNEL) != 0 && same_fact(a->kernel, b->kernel)) ||
             ((rules->distinct & DISTINCT_SITE) != 0 && same_fact(a->site, b->site)));
}

/* Every way to choose votes of different operators, from vote 'at' on; a single vote must state its facts as well. */
static bool choose(const struct model *model, const struct digest *payload, size_t need, size_t at,
                   const struct vote **chosen, size_t n, size_t anchors)
{
    const struct scenario *scenario = model->scenario;
    if (n >= need && anchors >= scenario->rules.anchors)
        return true;
    for (size_t i = at; i < scenario->n; i++) {
        const struct vote *vote = &scenario->votes[i];
        bool fits = says(vote, BUILT, payload) && (!vote->open || scenario->rules.open_votes) &&
                    opinion_of(scenario, vote->operator_name).said == BUILT &&
                    (scenario->rules.distinct == 0 ||
                     stand_together(&scenario->rules, vote,
                                    &(struct vote){.cpu_vendor = "-", .kernel = "-", .site = "-"}));
        for (size_t k = 0; k < n && fits; k++)
            fits = strcmp(chosen[k]->operator_name, vote->operator_name) != 0 &&
                   stand_together(&scenario->rules, chosen[k], vote);
        chosen[n] = vote;
        if (fits && choose(model, payload, need, i + 1, chosen, n + 1, anchors + vote->anchor))
            return true;
    }
    return false;
}

static bool has_won(const struct model *model, const struct digest *payload)
{
    const struct rules *rules = &model->scenario->rules;
    const struct vote *chosen[VOTES_MAX + MORE_MAX + 1];
    size_t need = rules->quorum + (model->ndigests > 1 ? rules->margin : 0);
    size_t support = count_for(model, BUILT, payload, true, false);
    for (size_t i = 0; i < model->ndigests; i++)
        if (!digest_equal(&model->digests[i], payload) &&
            count_for(model, BUILT, &model->digests[i], false, false) >= support)
            return false;
    return support >= need && choose(model, payload, need, 0, chosen, 0, 0);
}

static void judge(struct model *model)
{
    model->state = VERDICT_PENDING;
    if (count_for(model, FAILS, NULL, true, false) >= model->scenario->rules.quorum)
        model->state = VERDICT_FAILED;
    if (model->ndigests > 1)
        model->state = VERDICT_DISPUTED;
    for (size_t i = 0; i < model->ndigests; i++)
        if (has_won(model, &model->digests[i])) {
            model->state = VERDICT_AGREED;
            model->winner = model->digests[i];
        }
}

static struct model model_of(const struct scenario *scenario)
{
    struct model model = {.scenario = scenario};
    for (size_t i = 0; i < OPERATORS; i++)
        add_opinion(&model, names[i]);
    for (size_t i = 0; i < MORE_MAX; i++)
        add_opinion(&model, new_names[i]);
    collect_digests(&model);
    judge(&model);
    return model;
}

/* --- what is missing --- */

/* Another 'n' operators that nobody knew, all of one answer (a digest, or NULL: it fails), some of them anchors. */
static enum verdict_state with_more(const struct scenario *scenario, const struct digest *payload, size_t n,
                                    size_t anchors)
{
    struct scenario more = *scenario;
    for (size_t i = 0; i < n; i++)
        more.votes[more.n++] = (struct vote){.operator_name = new_names[i],
                                             .anchor = i < anchors,
                                             .failure = payload != NULL ? FAILURE_NONE : FAILURE_BUILD,
                                             .payload = payload != NULL ? *payload : (struct digest){{0}},
                                             .cpu_vendor = new_names[i],
                                             .kernel = new_names[i],
                                             .site = new_names[i]};
    return model_of(&more).state;
}

/* Whether so many could settle it, whatever they say: an answer that is there, a new one, a failure. */
static bool could_settle(const struct scenario *scenario, size_t n, size_t anchors)
{
    for (size_t i = 0; i <= DIGESTS; i++) {
        struct digest payload = digest_number(i);
        if (verdict_is_settled(with_more(scenario, &payload, n, anchors)))
            return true;
    }
    return verdict_is_settled(with_more(scenario, NULL, n, anchors));
}

static bool could_agree(const struct scenario *scenario, size_t n, size_t anchors)
{
    for (size_t i = 0; i <= DIGESTS; i++) {
        struct digest payload = digest_number(i);
        if (with_more(scenario, &payload, n, anchors) == VERDICT_AGREED)
            return true;
    }
    return false;
}

static void check_missing(const struct scenario *scenario, const struct verdict *verdict)
{
    bool settled = verdict_is_settled(verdict->state);
    assert_int_equal(verdict->missing == 0, settled);
    assert_true(verdict->missing_anchors <= verdict->missing);
    assert_true(verdict->missing <= MORE_MAX);
    if (settled) {
        assert_int_equal(verdict->missing_failures, 0);
        return;
    }
    for (size_t n = 0; n < verdict->missing; n++)
        assert_false(could_settle(scenario, n, n));
    if (scenario->rules.distinct != 0)
        return; /* then it says how many at the least, and no more */
    assert_true(could_settle(scenario, verdict->missing, verdict->missing_anchors));
    if (verdict->missing_anchors > 0)
        assert_false(could_agree(scenario, verdict->missing, verdict->missing_anchors - 1));
}

static void check_missing_failures(const struct scenario *scenario, const struct verdict *verdict)
{
    if (verdict->state == VERDICT_DISPUTED)
        assert_int_equal(verdict->missing_failures, 0);
    if (verdict->missing_failures == 0)
        return;
    assert_int_equal(with_more(scenario, NULL, verdict->missing_failures, 0), VERDICT_FAILED);
    assert_int_not_equal(with_more(scenario, NULL, verdict->missing_failures - 1, 0), VERDICT_FAILED);
}

/* --- what else must hold --- */

static void check_counts(const struct model *model, const struct verdict *verdict)
{
    bool failed = model->state == VERDICT_FAILED;
    size_t twice = 0, groups = model->ndigests, failures = 0;
    for (size_t i = 0; i < model->n; i++)
        twice += model->opinions[i].said == TWO_DIGESTS;
    for (size_t i = 0; i < model->scenario->n; i++)
        failures += says(&model->scenario->votes[i], FAILS, NULL);
    assert_int_equal(verdict->equivocators, twice);
    assert_int_equal(verdict->ngroups, groups + (failures > 0));
    for (size_t i = 0; i < verdict->ngroups; i++) {
        const struct verdict_group *group = &verdict->groups[i];
        enum said said = group->is_failure ? FAILS : BUILT;
        assert_int_equal(group->operators, count_for(model, said, &group->payload, true, false));
        assert_int_equal(group->anchors, count_for(model, said, &group->payload, true, true));
    }
    if (!failed && model->state != VERDICT_AGREED)
        return;
    enum said said = failed ? FAILS : BUILT;
    assert_int_equal(verdict->operators, count_for(model, said, &model->winner, true, false));
    assert_int_equal(verdict->anchors, count_for(model, said, &model->winner, true, true));
    assert_int_equal(verdict->dissent, model->n - count_for(model, said, &model->winner, false, false));
}

static void check_supporters(const struct model *model, const struct digest *payload)
{
    const char *found[OPERATORS];
    const struct scenario *scenario = model->scenario;
    size_t n = verdict_supporters(&scenario->rules, scenario->votes, scenario->n, payload, found, OPERATORS);
    assert_int_equal(n, count_for(model, BUILT, payload, true, false));
    for (size_t i = 0; i < n; i++) {
        struct opinion opinion = opinion_of(scenario, found[i]);
        assert_true(is_for(&opinion, BUILT, payload) && opinion.counts);
        assert_true(i == 0 || strcmp(found[i - 1], found[i]) < 0);
    }
}

/* One operator's answers, in the order in which they came. */
static void check_vote(const struct scenario *scenario, const char *name)
{
    struct vote own[VOTES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < scenario->n; i++)
        if (strcmp(scenario->votes[i].operator_name, name) == 0)
            own[n++] = scenario->votes[i];
    size_t at = verdict_vote_of(own, n);
    struct opinion opinion = opinion_of(scenario, name);
    if (opinion.said == NOTHING || opinion.said == TWO_DIGESTS) {
        assert_int_equal(at, SIZE_MAX);
        return;
    }
    assert_true(at < n);
    const struct vote vote = own[at];
    assert_true(says(&vote, opinion.said, &opinion.payload));
    for (size_t i = 0; i < n; i++)
        if (says(&own[i], opinion.said, &opinion.payload))
            assert_true(own[i].open > vote.open || (own[i].open == vote.open && i >= at));
}

static void shuffle(struct scenario *scenario, uint64_t *seed)
{
    for (size_t i = scenario->n; i > 1; i--) {
        size_t k = next_random(seed) % i;
        struct vote kept = scenario->votes[i - 1];
        scenario->votes[i - 1] = scenario->votes[k];
        scenario->votes[k] = kept;
    }
}

static struct verdict verdict(const struct scenario *scenario)
{
    return verdict_of(&scenario->rules, scenario->votes, scenario->n);
}

/* Neither the order nor a repetition changes anything. */
static void check_indifference(const struct scenario *scenario, const struct verdict *expected,
                               uint64_t *seed)
{
    struct scenario other = *scenario;
    if (other.n > 0)
        other.votes[other.n++] = other.votes[next_random(seed) % scenario->n];
    shuffle(&other, seed);
    struct verdict found = verdict(&other);
    assert_memory_equal(&found, expected, sizeof found);
}

/* Taking answers away and giving them again leads back; and what is left is judged as if the others had never been. */
static void check_voiding(const struct scenario *scenario, const struct verdict *expected, uint64_t *seed)
{
    struct scenario left = *scenario, back;
    const char *gone = names[next_random(seed) % OPERATORS];
    left.n = 0;
    for (size_t i = 0; i < scenario->n; i++)
        if (strcmp(scenario->votes[i].operator_name, gone) != 0)
            left.votes[left.n++] = scenario->votes[i];
    struct model model = model_of(&left);
    assert_int_equal(verdict(&left).state, model.state);
    back = left;
    for (size_t i = 0; i < scenario->n; i++)
        if (strcmp(scenario->votes[i].operator_name, gone) == 0)
            back.votes[back.n++] = scenario->votes[i];
    struct verdict found = verdict(&back);
    assert_memory_equal(&found, expected, sizeof found);
}

/* A further operator of the same opinion takes nothing back. */
static void check_growth(const struct scenario *scenario, const struct verdict *before)
{
    if (!verdict_is_settled(before->state))
        return;
    struct digest payload = before->payload;
    assert_int_equal(with_more(scenario, before->state == VERDICT_AGREED ? &payload : NULL, 1, 0),
                     before->state);
}

static void the_verdict_is_the_models(void **state)
{
    (void)state;
    uint64_t seed = 4711;
    size_t states[4] = {0}, equivocal = 0, open_decides = 0, distinct_decides = 0, margin_decides = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct scenario scenario;
        draw(&scenario, &seed);
        struct model model = model_of(&scenario);
        struct verdict found = verdict(&scenario);
        assert_int_equal(found.state, model.state);
        if (model.state == VERDICT_AGREED)
            assert_true(digest_equal(&found.payload, &model.winner));
        check_counts(&model, &found);
        check_missing(&scenario, &found);
        check_missing_failures(&scenario, &found);
        for (size_t i = 0; i < model.ndigests; i++)
            check_supporters(&model, &model.digests[i]);
        for (size_t i = 0; i < OPERATORS; i++)
            check_vote(&scenario, names[i]);
        check_indifference(&scenario, &found, &seed);
        check_voiding(&scenario, &found, &seed);
        check_growth(&scenario, &found);
        struct scenario other = scenario;
        other.rules.open_votes = !other.rules.open_votes;
        open_decides += verdict(&other).state != found.state;
        other = scenario;
        other.rules.distinct = 0;
        distinct_decides += verdict(&other).state != found.state;
        other = scenario;
        other.rules.margin = 0;
        margin_decides += verdict(&other).state != found.state;
        equivocal += found.equivocators > 0;
        states[found.state]++;
    }
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        assert_true(states[i] > ROUNDS / 50); /* the votes that are drawn reach everything */
    assert_true(equivocal > ROUNDS / 50 && open_decides > ROUNDS / 50);
    assert_true(distinct_decides > ROUNDS / 50 && margin_decides > ROUNDS / 200);
}

/* --- several rounds --- */

static struct model model_of_round(const struct scenario *scenario, const uint32_t *rounds, uint32_t round,
                                   struct scenario *room)
{
    room->rules = scenario->rules;
    room->n = 0;
    for (size_t i = 0; i < scenario->n; i++)
        if (rounds[i] == round)
            room->votes[room->n++] = scenario->votes[i];
    return model_of(room);
}

static bool names_another(const struct model *model, const struct digest *payload)
{
    for (size_t i = 0; i < model->ndigests; i++)
        if (!digest_equal(&model->digests[i], payload))
            return true;
    return false;
}

/* A round's own verdict, everybody's answers together, and nothing else said since. */
static void the_rounds_are_the_models(void **state)
{
    (void)state;
    enum { LAST = 3 };
    uint64_t seed = 815;
    size_t agreed = 0, contradicted = 0, carried = 0, pieces = 0;
    for (int turn = 0; turn < ROUNDS; turn++) {
        struct scenario scenario, room;
        uint32_t rounds[VOTES_MAX], found_in = 0;
        bool any = false;
        draw(&scenario, &seed);
        for (size_t i = 0; i < scenario.n; i++)
            rounds[i] = (uint32_t)(1 + next_random(&seed) % LAST);
        struct model all = model_of(&scenario);
        for (uint32_t round = 1; round <= LAST; round++) {
            struct model one = model_of_round(&scenario, rounds, round, &room);
            any |= one.state == VERDICT_AGREED;
            if (one.state == VERDICT_AGREED && all.state == VERDICT_AGREED &&
                digest_equal(&one.winner, &all.winner))
                found_in = round;
            else if (one.state == VERDICT_FAILED || names_another(&one, &all.winner))
                found_in = 0;
        }
        struct verdict_rounds found = verdict_of_rounds(&scenario.rules, scenario.votes, rounds, scenario.n);
        assert_int_equal(found.agreed, found_in > 0);
        assert_int_equal(found.contradicted, any && found_in == 0);
        assert_int_equal(found.all.state, all.state);
        if (found.agreed) {
            assert_int_equal(found.round, found_in);
            assert_true(digest_equal(&found.payload, &all.winner));
        }
        agreed += found.agreed;
        contradicted += found.contradicted;
        carried += found.agreed && found.all.dissent > 0;
        pieces += all.state == VERDICT_AGREED && !any;
    }
    assert_true(agreed > ROUNDS / 20 && contradicted > ROUNDS / 50 && carried > ROUNDS / 100 &&
                pieces > ROUNDS / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_verdict_is_the_models),
        cmocka_unit_test(the_rounds_are_the_models),
    };
    return cmocka_run_group_tests_name("verdict_property", tests, NULL, NULL);
}
