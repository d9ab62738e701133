/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The verdict: golden cases from tests/golden/verdict (text with an EXPECT section), and a comparison with a naive model that
 * tries every subset of operators, over seeded random votes in random order.
 */
#include "file.h"
#include "verdict.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- golden cases --- */

enum { VOTES_MAX = 128 };

struct scenario {
    struct rules rules;
    struct vote votes[VOTES_MAX];
    uint32_t rounds[VOTES_MAX]; /* 1, but for cases about rounds */
    size_t nvotes;
    bool has_rounds;
};

/* Payloads are written as one word; its digest stands for the bytes. */
static struct digest payload_of(struct view name)
{
    return digest_of(name);
}

static char letter_of(const struct digest *payload)
{
    for (char c = 'A'; c <= 'Z'; c++) {
        struct digest other = payload_of(view_of(&c, 1));
        if (digest_equal(payload, &other))
            return c;
    }
    return '?';
}

static uint32_t number_after(struct view word, size_t prefix)
{
    uint64_t number = 0;
    assert_true(view_decimal(view_of(word.data + prefix, word.size - prefix), &number));
    return (uint32_t)number;
}

static void read_rule(struct rules *rules, struct view word)
{
    if (view_starts(word, VIEW("quorum=")))
        rules->quorum = number_after(word, 7);
    else if (view_starts(word, VIEW("anchors=")))
        rules->anchors = number_after(word, 8);
    else if (view_starts(word, VIEW("margin=")))
        rules->margin = number_after(word, 7);
    else if (view_equal(word, VIEW("open_votes")))
        rules->open_votes = true;
    else if (view_equal(word, VIEW("distinct=cpu_vendor")))
        rules->distinct |= DISTINCT_CPU_VENDOR;
    else if (view_equal(word, VIEW("distinct=kernel")))
        rules->distinct |= DISTINCT_KERNEL;
    else if (view_equal(word, VIEW("distinct=site")))
        rules->distinct |= DISTINCT_SITE;
    else
        fail_msg("unknown rule %.*s", VIEW_ARG(word));
}

static void read_vote(struct vote *vote, struct view word, size_t at)
{
    if (at == 0)
        vote->operator_name = view_string(word);
    else if (view_starts(word, VIEW("fail:")))
        vote->failure = (enum failure_kind)failure_kind_parse(view_of(word.data + 5, word.size - 5));
    else if (view_equal(word, VIEW("anchor")))
        vote->anchor = true;
    else if (view_equal(word, VIEW("open")))
        vote->open = true;
    else if (view_starts(word, VIEW("cpu=")))
        vote->cpu_vendor = view_string(view_of(word.data + 4, word.size - 4));
    else if (view_starts(word, VIEW("kernel=")))
        vote->kernel = view_string(view_of(word.data + 7, word.size - 7));
    else if (view_starts(word, VIEW("site=")))
        vote->site = view_string(view_of(word.data + 5, word.size - 5));
    else
        vote->payload = payload_of(word);
}

static void read_vote_word(struct scenario *scenario, struct view word, size_t at)
{
    if (view_starts(word, VIEW("round="))) {
        scenario->rounds[scenario->nvotes] = number_after(word, 6);
        scenario->has_rounds = true;
    } else {
        read_vote(&scenario->votes[scenario->nvotes], word, at);
    }
}

static void read_line(struct scenario *scenario, struct view line)
{
    struct view word, rest = line;
    if (line.size == 0 || line.data[0] == '#' || !view_split(&rest, ' ', &word))
        return;
    bool is_vote = view_equal(word, VIEW("vote"));
    if (!is_vote)
        assert_true(view_equal(word, VIEW("rules")));
    size_t at = 0;
    scenario->rounds[scenario->nvotes] = 1;
    while (view_split(&rest, ' ', &word)) {
        if (is_vote)
            read_vote_word(scenario, word, at++);
        else
            read_rule(&scenario->rules, word);
    }
    scenario->nvotes += is_vote;
    assert_true(scenario->nvotes < VOTES_MAX);
}

static void scenario_done(struct scenario *scenario)
{
    for (size_t i = 0; i < scenario->nvotes; i++) {
        free((char *)scenario->votes[i].operator_name);
        free((char *)scenario->votes[i].cpu_vendor);
        free((char *)scenario->votes[i].kernel);
        free((char *)scenario->votes[i].site);
    }
}

static void print_verdict(const struct verdict *verdict, struct buf *out)
{
    buf_add_format(out, "%s", verdict_state_name(verdict->state));
    if (verdict->state == VERDICT_AGREED)
        buf_add_format(out, " %c", letter_of(&verdict->payload));
    buf_add_format(out,
                   "\noperators %u anchors %u dissent %u equivocators %u missing %u missing_anchors %u\n",
                   verdict->operators, verdict->anchors, verdict->dissent, verdict->equivocators,
                   verdict->missing, verdict->missing_anchors);
    for (size_t i = 0; i < verdict->ngroups; i++) {
        const struct verdict_group *group = &verdict->groups[i];
        if (group->is_failure)
            buf_add_format(out, "group failure %u %u\n", group->operators, group->anchors);
        else
            buf_add_format(out, "group %c %u %u\n", letter_of(&group->payload), group->operators,
                           group->anchors);
    }
}

/* What all rounds together amount to; then the lines above are about all answers. */
static void print_rounds(const struct verdict_rounds *rounds, struct buf *out)
{
    if (rounds->agreed)
        buf_add_format(out, "job agreed %c round %u\n", letter_of(&rounds->payload), rounds->round);
    else
        buf_add_text(out, rounds->contradicted ? "job contradicted\n" : "job open\n");
}

static void reverse(struct scenario *scenario)
{
    for (size_t i = 0; i < scenario->nvotes / 2; i++) {
        struct vote kept = scenario->votes[i];
        scenario->votes[i] = scenario->votes[scenario->nvotes - 1 - i];
        scenario->votes[scenario->nvotes - 1 - i] = kept;
        uint32_t round = scenario->rounds[i];
        scenario->rounds[i] = scenario->rounds[scenario->nvotes - 1 - i];
        scenario->rounds[scenario->nvotes - 1 - i] = round;
    }
}

static void run_golden(int dirfd, const char *name)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct scenario scenario = {0};
    struct view rest, line;
    assert_int_equal(file_read(dirfd, name, 65536, &text, NULL), 0);
    rest = buf_view(&text);
    while (view_split(&rest, '\n', &line) && !view_equal(line, VIEW("EXPECT")))
        read_line(&scenario, line);
    for (int turn = 0; turn < 2; turn++) {
        CLEANUP_BUF struct buf found = BUF_INIT;
        struct verdict_rounds rounds =
            verdict_of_rounds(&scenario.rules, scenario.votes, scenario.rounds, scenario.nvotes);
        print_verdict(&rounds.all, &found);
        if (scenario.has_rounds)
            print_rounds(&rounds, &found);
        if (!view_equal(buf_view(&found), rest))
            fail_msg("%s: expected\n%.*sfound\n%s", name, VIEW_ARG(rest), found.data);
        reverse(&scenario);
    }
    scenario_done(&scenario);
}

static void test_golden(void **state)
{
    (void)state;
    DIR *stream = opendir(FARM_SOURCE_DIR "/tests/golden/verdict");
    assert_non_null(stream);
    size_t ran = 0;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (view_ends(view_text(entry->d_name), VIEW(".case"))) {
            run_golden(dirfd(stream), entry->d_name);
            ran++;
        }
    closedir(stream);
    assert_true(ran >= 20);
}

/* --- a naive model --- */

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

enum { OPERATORS = 6 };
static const char *const operators[OPERATORS] = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta"};
static const char *const values[] = {NULL, "one", "two", "three"};

static void random_scenario(struct scenario *scenario, uint64_t *seed)
{
    *scenario = (struct scenario){0};
    scenario->rules.quorum = (uint32_t)(1 + next_random(seed) % 3);
    scenario->rules.anchors = (uint32_t)(next_random(seed) % (scenario->rules.quorum + 1));
    scenario->rules.margin = (uint32_t)(next_random(seed) % 2);
    scenario->rules.distinct = next_random(seed) % 2 ? (uint32_t)(next_random(seed) % 8) : 0;
    scenario->rules.open_votes = next_random(seed) % 2;
    scenario->nvotes = next_random(seed) % 9;
    for (size_t i = 0; i < scenario->nvotes; i++) {
        size_t who = next_random(seed) % OPERATORS;
        unsigned int answer = (unsigned int)(next_random(seed) % 8);
        struct vote *vote = &scenario->votes[i];
        vote->operator_name = operators[who];
        vote->anchor = who < 3;
        vote->open = next_random(seed) % 4 == 0;
        vote->failure = answer == 6 ? FAILURE_BUILD : answer == 7 ? FAILURE_INFRASTRUCTURE : FAILURE_NONE;
        vote->payload = payload_of(answer < 4 ? VIEW("A") : VIEW("B"));
        vote->cpu_vendor = values[next_random(seed) % 4];
        vote->kernel = values[next_random(seed) % 4];
        vote->site = values[next_random(seed) % 4];
    }
}

/* The one answer of an operator: 'A', 'B', 'f', '2' (two digests) or 0 (none); whether it counts. */
static char answer_of(const struct scenario *scenario, const char *operator_name, bool *ret_counts)
{
    bool seen[3] = {false}, counts[3] = {false};
    for (size_t i = 0; i < scenario->nvotes; i++) {
        const struct vote *vote = &scenario->votes[i];
        if (strcmp(vote->operator_name, operator_name) != 0 || vote->failure == FAILURE_INFRASTRUCTURE)
            continue;
        int at = vote->failure != FAILURE_NONE ? 2 : letter_of(&vote->payload) - 'A';
        seen[at] = true;
        counts[at] |= !vote->open || scenario->rules.open_votes;
    }
    int at = seen[0] ? 0 : seen[1] ? 1 : 2;
    *ret_counts = counts[at];
    return seen[0] && seen[1] ? '2' : seen[at] ? "ABf"[at] : 0;
}

static bool texts_differ(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) != 0;
}

static bool may_stand_together(const struct rules *rules, const struct vote *a, const struct vote *b)
{
    return strcmp(a->operator_name, b->operator_name) != 0 &&
           (!(rules->distinct & DISTINCT_CPU_VENDOR) || texts_differ(a->cpu_vendor, b->cpu_vendor)) &&
           (!(rules->distinct & DISTINCT_KERNEL) || texts_differ(a->kernel, b->kernel)) &&
           (!(rules->distinct & DISTINCT_SITE) || texts_differ(a->site, b->site));
}

static bool states_facts(const struct rules *rules, const struct vote *vote)
{
    return (!(rules->distinct & DISTINCT_CPU_VENDOR) || vote->cpu_vendor != NULL) &&
           (!(rules->distinct & DISTINCT_KERNEL) || vote->kernel != NULL) &&
           (!(rules->distinct & DISTINCT_SITE) || vote->site != NULL);
}

/* Tries every set of votes for the answer. */
static bool has_quorum(const struct scenario *scenario, char answer, uint32_t need)
{
    for (uint32_t set = 0; set < 1u << scenario->nvotes; set++) {
        uint32_t size = 0, anchors = 0;
        bool good = true;
        for (size_t i = 0; i < scenario->nvotes && good; i++) {
            const struct vote *vote = &scenario->votes[i];
            bool counts;
            if (!(set >> i & 1))
                continue;
            size++;
            anchors += vote->anchor;
            good = answer_of(scenario, vote->operator_name, &counts) == answer &&
                   vote->failure == FAILURE_NONE && (!vote->open || scenario->rules.open_votes) &&
                   states_facts(&scenario->rules, vote);
            for (size_t k = 0; k < i && good; k++)
                if (set >> k & 1)
                    good = may_stand_together(&scenario->rules, &scenario->votes[k], vote);
        }
        if (good && size >= need && anchors >= scenario->rules.anchors)
            return true;
    }
    return false;
}

struct model {
    uint32_t counted[2], seen[2], failures, voters, twice;
};

static struct model model_of(const struct scenario *scenario)
{
    struct model model = {0};
    for (size_t i = 0; i < OPERATORS; i++) {
        bool counts;
        char answer = answer_of(scenario, operators[i], &counts);
        model.voters += answer != 0;
        model.twice += answer == '2';
        model.failures += answer == 'f' && counts;
        if (answer == 'A' || answer == 'B') {
            model.seen[answer - 'A']++;
            model.counted[answer - 'A'] += counts;
        }
    }
    return model;
}

static enum verdict_state model_state(const struct scenario *scenario, const struct model *model,
                                      char *ret_winner)
{
    bool rival = model->twice > 0 || (model->seen[0] > 0 && model->seen[1] > 0);
    uint32_t need = scenario->rules.quorum + (rival ? scenario->rules.margin : 0);
    for (int i = 0; i < 2; i++)
        if (model->counted[i] > model->seen[1 - i] && has_quorum(scenario, (char)('A' + i), need)) {
            *ret_winner = (char)('A' + i);
            return VERDICT_AGREED;
        }
    if (rival)
        return VERDICT_DISPUTED;
    return model->failures >= scenario->rules.quorum ? VERDICT_FAILED : VERDICT_PENDING;
}

static void shuffle(struct scenario *scenario, uint64_t *seed)
{
    for (size_t i = scenario->nvotes; i > 1; i--) {
        size_t k = next_random(seed) % i;
        struct vote kept = scenario->votes[i - 1];
        scenario->votes[i - 1] = scenario->votes[k];
        scenario->votes[k] = kept;
    }
}

static void test_model(void **state)
{
    (void)state;
    uint64_t seed = 20261122;
    size_t states[4] = {0};
    for (int round = 0; round < 8000; round++) {
        struct scenario scenario;
        random_scenario(&scenario, &seed);
        struct model model = model_of(&scenario);
        char winner = 0;
        enum verdict_state expected = model_state(&scenario, &model, &winner);
        struct verdict verdict = verdict_of(&scenario.rules, scenario.votes, scenario.nvotes);
        assert_int_equal(verdict.state, expected);
        assert_int_equal(verdict.equivocators, model.twice);
        if (expected == VERDICT_AGREED) {
            assert_int_equal(letter_of(&verdict.payload), winner);
            assert_int_equal(verdict.operators, model.counted[winner - 'A']);
            assert_int_equal(verdict.dissent, model.voters - model.seen[winner - 'A']);
        }
        assert_int_equal(verdict.missing == 0, expected == VERDICT_AGREED || expected == VERDICT_FAILED);
        shuffle(&scenario, &seed);
        struct verdict again = verdict_of(&scenario.rules, scenario.votes, scenario.nvotes);
        assert_memory_equal(&verdict, &again, sizeof verdict);
        states[expected]++;
    }
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        assert_true(states[i] > 100); /* the generator reaches every state */
}

/* A crowd in which no two can stand together must not take long: the budget, or the pruning, ends the search. */
static void test_search_ends(void **state)
{
    (void)state;
    enum { CROWD = 300 };
    static struct vote votes[CROWD];
    static char names[CROWD][16], kernels[CROWD][16], sites[CROWD][16], vendors[CROWD][16];
    for (int i = 0; i < CROWD; i++) {
        snprintf(names[i], sizeof names[i], "o%d", i);
        snprintf(vendors[i], sizeof vendors[i], "v%d", i % 31);
        snprintf(kernels[i], sizeof kernels[i], "k%d", i * 7 % 31);
        snprintf(sites[i], sizeof sites[i], "s%d", i * 13 % 37);
        votes[i] = (struct vote){.operator_name = names[i],
                                 .payload = payload_of(VIEW("A")),
                                 .cpu_vendor = vendors[i],
                                 .kernel = kernels[i],
                                 .site = sites[i]};
    }
    struct rules rules = {.quorum = 32, .distinct = DISTINCT_CPU_VENDOR | DISTINCT_KERNEL | DISTINCT_SITE};
    struct verdict verdict = verdict_of(&rules, votes, CROWD);
    assert_int_equal(verdict.state, VERDICT_PENDING); /* 31 vendors cannot make 32 */
    assert_int_equal(verdict.operators, CROWD);
    assert_true(verdict.missing >= 1);
}

static void test_names(void **state)
{
    (void)state;
    for (int kind = FAILURE_NONE; kind <= FAILURE_INFRASTRUCTURE; kind++)
        assert_int_equal(failure_kind_parse(view_text(failure_kind_name((enum failure_kind)kind))), kind);
    assert_true(failure_kind_parse(VIEW("Build")) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_search_ends),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
