/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "blast.h"
#include "buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct rules two = {.quorum = 2, .anchors = 1, .max_attempts = 3};

/* The payload that is called by this letter. */
static struct digest payload(char letter)
{
    return digest_of(view_of(&letter, 1));
}

/*
 * Answers as text, one a word: operator, answer, then any of '*' (anchor), '!' (the suspect's), '~' (open), '2' (in round 2).
 * "aX*! bX cY~": anchor a, who is the suspect, and b gave X; c gave Y late. "-" is a failure to build.
 */
struct answers {
    struct blast_answer items[16];
    char names[16][2];
    size_t count;
};

static void parse(const char *text, struct answers *ret)
{
    struct view rest = view_text(text), word;
    memset(ret, 0, sizeof *ret);
    while (rest.size > 0 && view_split(&rest, ' ', &word)) {
        struct blast_answer *answer = &ret->items[ret->count];
        ret->names[ret->count][0] = word.data[0];
        answer->vote.operator_name = ret->names[ret->count];
        answer->round = 1;
        answer->vote.failure = word.data[1] == '-' ? FAILURE_BUILD : FAILURE_NONE;
        if (word.data[1] != '-')
            answer->vote.payload = payload(word.data[1]);
        for (size_t i = 2; i < word.size; i++) {
            answer->vote.anchor = answer->vote.anchor || word.data[i] == '*';
            answer->suspect = answer->suspect || word.data[i] == '!';
            answer->vote.open = answer->vote.open || word.data[i] == '~';
            answer->round += word.data[i] == '2';
        }
        ret->count++;
    }
}

/* One job that agreed on X. */
static struct blast_outcome judge(const char *text, struct rules rules)
{
    struct answers answers;
    struct blast blast;
    parse(text, &answers);
    struct blast_job job = {.id = "extra/a",
                            .agreed = true,
                            .rules = rules,
                            .payload = payload('X'),
                            .answers = answers.items,
                            .nanswers = answers.count,
                            .build_ms = 1000};
    blast_of(&job, 1, &blast);
    struct blast_outcome outcome = blast.outcomes[0];
    assert_int_equal(blast.lost, outcome.fate == BLAST_LOST);
    assert_int_equal(blast.weaker, outcome.fate == BLAST_WEAKER);
    blast_done(&blast);
    return outcome;
}

static void what_the_suspect_did_not_answer_stands(void **state)
{
    (void)state;
    struct blast_outcome outcome = judge("aX* bX", two);
    assert_int_equal(outcome.fate, BLAST_STANDS);
    assert_false(outcome.answered);
}

static void a_quorum_without_spare_is_lost(void **state)
{
    (void)state;
    struct blast_outcome outcome = judge("aX* bX!", two);
    assert_int_equal(outcome.fate, BLAST_LOST);
    assert_int_equal(outcome.state, VERDICT_PENDING);
    assert_int_equal(outcome.operators, 1);
    assert_int_equal(outcome.builds, 2); /* further votes in that round would be open */
    assert_int_equal(outcome.builds_by_anchors, 1);
    struct rules open = two;
    open.open_votes = true;
    outcome = judge("aX* bX!", open);
    assert_int_equal(outcome.builds, 1);
    assert_int_equal(outcome.builds_by_anchors, 0);
}

static void a_quorum_with_spare_gets_weaker(void **state)
{
    (void)state;
    struct blast_outcome outcome = judge("aX* bX! cX", two);
    assert_int_equal(outcome.fate, BLAST_WEAKER);
    assert_int_equal(outcome.operators, 2);
    assert_int_equal(outcome.anchors, 1);
}

/* Enough operators are left, but none of them is an anchor. */
static void the_only_anchor_is_missed(void **state)
{
    (void)state;
    struct rules open = two;
    open.open_votes = true;
    struct blast_outcome outcome = judge("aX*! bX cX", open);
    assert_int_equal(outcome.fate, BLAST_LOST);
    assert_int_equal(outcome.operators, 2);
    assert_int_equal(outcome.builds, 1);
    assert_int_equal(outcome.builds_by_anchors, 1);
}

static void a_rival_may_win(void **state)
{
    (void)state;
    struct digest rival = payload('Y');
    struct rules open = two;
    open.open_votes = true;
    struct blast_outcome outcome = judge("aX*! bX! cX dY* eY", open);
    assert_int_equal(outcome.fate, BLAST_LOST);
    assert_true(outcome.turned);
    assert_true(digest_equal(&outcome.rival, &rival));
    assert_int_equal(outcome.operators, 1);
    assert_int_equal(outcome.builds, 2); /* one more than the rival has */
}

static void a_rival_may_dispute(void **state)
{
    (void)state;
    struct rules margin = {.quorum = 2, .anchors = 0, .margin = 1, .open_votes = true};
    struct blast_outcome outcome = judge("aX bX cX! dY", margin);
    assert_int_equal(outcome.fate, BLAST_LOST);
    assert_false(outcome.turned);
    assert_int_equal(outcome.state, VERDICT_DISPUTED);
    assert_int_equal(outcome.builds, 1);
}

static void losing_a_dissenter_is_no_loss(void **state)
{
    (void)state;
    struct blast_outcome outcome = judge("aX* bX cY!", two);
    assert_int_equal(outcome.fate, BLAST_STANDS);
    assert_true(outcome.answered);
}

/* A worker falls, and another of the same operator gave the same answer: blind, or only after the verdict. */
static void another_worker_of_the_operator_stands_in(void **state)
{
    (void)state;
    assert_int_equal(judge("aX* bX! bX", two).fate, BLAST_STANDS);
    assert_int_equal(judge("aX* bX! bX~", two).fate, BLAST_LOST);
    struct rules open = two;
    open.open_votes = true;
    assert_int_equal(judge("aX* bX! bX~", open).fate, BLAST_STANDS);
}

/* Without the worker that told two stories, its operator has told one. */
static void an_equivocation_may_dissolve(void **state)
{
    (void)state;
    struct blast_outcome outcome = judge("aX* bX cX! cY", two);
    assert_int_equal(outcome.fate, BLAST_STANDS);
    assert_int_equal(outcome.operators, 2);
    assert_int_equal(judge("aX*! aY!", two).fate, BLAST_LOST);
}

static void failures_are_no_rivals(void **state)
{
    (void)state;
    struct blast_outcome outcome = judge("aX* bX! c- d-", two);
    assert_int_equal(outcome.fate, BLAST_LOST);
    assert_int_equal(outcome.state, VERDICT_FAILED);
    assert_int_equal(outcome.builds, 2);
}

/* --from-scratch: a second round. Rounds confirm each other, and an unfinished one takes nothing back. */
static void rounds_are_judged_each_by_itself(void **state)
{
    (void)state;
    struct blast_outcome outcome = judge("aX* bX! aX*2 cX2", two);
    assert_int_equal(outcome.fate, BLAST_WEAKER); /* the second round carries it */
    assert_int_equal(outcome.operators, 2);
    assert_int_equal(judge("aX* bX! aX*2", two).fate, BLAST_LOST);
    assert_int_equal(judge("aX* bX aX*2!", two).fate,
                     BLAST_STANDS); /* a stands behind it in the first round as well */
    assert_int_equal(judge("aX* bX! aX*2 cY2", two).fate, BLAST_LOST);
    outcome = judge("aX* bX! aX*2", two);
    assert_int_equal(outcome.builds, 1); /* the second round is open to blind votes still */
    assert_int_equal(outcome.builds_by_anchors, 0);
    outcome = judge("aX*! bX! aY*2 bY2 aY*2", two);
    assert_int_equal(outcome.fate,
                     BLAST_LOST); /* two rounds, two answers: it was not agreed on X to begin with */
}

/* ---- several jobs ---- */

enum { JOBS_MAX = 40 };
struct graph {
    struct blast_job jobs[JOBS_MAX];
    size_t closures[JOBS_MAX][JOBS_MAX];
    struct answers lost, kept;
    char ids[JOBS_MAX][16];
    size_t count;
};

static struct graph *graph_new(void)
{
    struct graph *graph = mem_zero(1, sizeof *graph);
    parse("aX* bX!", &graph->lost);
    parse("aX* bX", &graph->kept);
    return graph;
}

/* 'below' holds the letters of direct dependencies; letters name jobs in order. The closure is made of theirs. */
static void add(struct graph *graph, const char *below, bool lost, int64_t build_ms)
{
    size_t at = graph->count++;
    bool in[JOBS_MAX] = {false};
    struct blast_job *job = &graph->jobs[at];
    for (; *below != '\0'; below++) {
        size_t dependency = (size_t)(*below - 'a');
        in[dependency] = true;
        for (size_t i = 0; i < graph->jobs[dependency].nclosure; i++)
            in[graph->closures[dependency][i]] = true;
    }
    snprintf(graph->ids[at], sizeof graph->ids[at], "extra/%c", (char)('a' + at));
    *job = (struct blast_job){.id = graph->ids[at],
                              .agreed = true,
                              .rules = two,
                              .payload = payload('X'),
                              .answers = lost ? graph->lost.items : graph->kept.items,
                              .nanswers = 2,
                              .closure = graph->closures[at],
                              .build_ms = build_ms};
    for (size_t i = 0; i < at; i++)
        if (in[i])
            graph->closures[at][job->nclosure++] = i;
}

static void expect_order(const struct blast *blast, const char *letters)
{
    CLEANUP_BUF struct buf order = BUF_INIT;
    for (size_t i = 0; i < blast->lost; i++)
        buf_add_byte(&order, (char)('a' + blast->order[i]));
    buf_add_text(&order, "");
    if (!view_equal(buf_view(&order), view_text(letters)))
        fail_msg("%.*s instead of %s", VIEW_ARG(buf_view(&order)), letters);
}

static void what_stands_on_the_lost_is_at_risk(void **state)
{
    (void)state;
    struct graph *graph = graph_new();
    struct blast blast;
    add(graph, "", true, 10000);   /* a */
    add(graph, "a", false, 20000); /* b */
    add(graph, "b", false, 30000); /* c */
    add(graph, "", false, 40000);  /* d */
    add(graph, "c", true, 0);      /* e: lost itself, so not at risk; never measured */
    blast_of(graph->jobs, graph->count, &blast);
    assert_int_equal(blast.lost, 2);
    assert_int_equal(blast.at_risk, 2);
    assert_true(blast.outcomes[1].at_risk && blast.outcomes[2].at_risk);
    assert_false(blast.outcomes[3].at_risk || blast.outcomes[4].at_risk || blast.outcomes[0].at_risk);
    assert_int_equal(blast.outcomes[0].dependents, 3);
    expect_order(&blast, "ae");
    /* The same bytes: a and e by two operators each. Others: all four. */
    assert_int_equal(blast.same.builds, 4);
    assert_int_equal(blast.same.ms, 2 * 10000);
    assert_int_equal(blast.same.unmeasured, 1);
    assert_int_equal(blast.other.builds, 8);
    assert_int_equal(blast.other.ms, 2 * (10000 + 20000 + 30000));
    assert_int_equal(blast.other.unmeasured, 1);
    blast_done(&blast);
    free(graph);
}

/* Two that wait for nothing: the one that holds up more for each second; below comes before above whatever it costs. */
static void the_order_costs_least(void **state)
{
    (void)state;
    struct graph *graph = graph_new();
    struct blast blast;
    add(graph, "", true, 60000);  /* a: two above it, a minute */
    add(graph, "", true, 10000);  /* b: one above it, ten seconds: goes first */
    add(graph, "a", true, 1000);  /* c: above a, so behind it, though it is the cheapest */
    add(graph, "ab", false, 100); /* d */
    add(graph, "", true, 500);    /* e: nothing above it */
    blast_of(graph->jobs, graph->count, &blast);
    expect_order(&blast, "bace"); /* nothing stands on c or e: by name */
    blast_done(&blast);
    free(graph);
}

static void jobs_that_are_not_agreed_are_left_out(void **state)
{
    (void)state;
    struct graph *graph = graph_new();
    struct blast blast;
    add(graph, "", true, 1000);
    add(graph, "a", false, 1000);
    graph->jobs[1].agreed = false;
    blast_of(graph->jobs, graph->count, &blast);
    assert_int_equal(blast.at_risk, 0);
    assert_int_equal(blast.outcomes[0].dependents, 0);
    graph->jobs[0].agreed = false;
    blast_done(&blast);
    blast_of(graph->jobs, graph->count, &blast);
    assert_int_equal(blast.lost, 0);
    blast_done(&blast);
    free(graph);
}

/* splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static bool stands_on(const struct graph *graph, size_t above, size_t below)
{
    for (size_t i = 0; i < graph->jobs[above].nclosure; i++)
        if (graph->closures[above][i] == below)
            return true;
    return false;
}

static void check_order(const struct graph *graph, const struct blast *blast)
{
    bool placed[JOBS_MAX] = {false};
    for (size_t i = 0; i < blast->lost; i++) {
        size_t job = blast->order[i];
        assert_false(placed[job]);
        placed[job] = true;
        for (size_t k = 0; k < graph->count; k++) {
            bool waits = blast->outcomes[k].fate == BLAST_LOST && !placed[k];
            assert_false(waits && stands_on(graph, job, k)); /* what it stands on came before it */
            bool is_free = waits;
            for (size_t m = 0; is_free && m < graph->count; m++)
                is_free =
                    blast->outcomes[m].fate != BLAST_LOST || placed[m] || m == job || !stands_on(graph, k, m);
            bool behind = stands_on(graph, k, job);
            double here = (double)blast->outcomes[job].dependents / (double)graph->jobs[job].build_ms;
            double there = (double)blast->outcomes[k].dependents / (double)graph->jobs[k].build_ms;
            if (is_free && !behind) /* it could have come now, and promises no more */
                assert_true(there <= here * (1 + 1e-9));
        }
    }
}

static void orders_of_random_graphs(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int round = 0; round < 300; round++) {
        struct graph *graph = graph_new();
        struct blast blast;
        size_t lost = 0;
        while (graph->count < 2 + next_random(&seed) % 20) {
            char below[JOBS_MAX] = "";
            size_t n = 0;
            for (size_t i = 0; i < graph->count; i++)
                if (next_random(&seed) % 5 == 0)
                    below[n++] = (char)('a' + i);
            bool is_lost = next_random(&seed) % 2 == 0;
            lost += is_lost;
            add(graph, below, is_lost, 1 + (int64_t)(next_random(&seed) % 1000));
        }
        blast_of(graph->jobs, graph->count, &blast);
        assert_int_equal(blast.lost, lost);
        check_order(graph, &blast);
        for (size_t i = 0; i < graph->count; i++) {
            bool on_lost = false;
            for (size_t k = 0; k < graph->count; k++)
                on_lost = on_lost || (stands_on(graph, i, k) && blast.outcomes[k].fate == BLAST_LOST);
            assert_int_equal(blast.outcomes[i].at_risk, on_lost && blast.outcomes[i].fate != BLAST_LOST);
        }
        blast_done(&blast);
        free(graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_suspect_did_not_answer_stands),
        cmocka_unit_test(a_quorum_without_spare_is_lost),
        cmocka_unit_test(a_quorum_with_spare_gets_weaker),
        cmocka_unit_test(the_only_anchor_is_missed),
        cmocka_unit_test(a_rival_may_win),
        cmocka_unit_test(a_rival_may_dispute),
        cmocka_unit_test(losing_a_dissenter_is_no_loss),
        cmocka_unit_test(another_worker_of_the_operator_stands_in),
        cmocka_unit_test(an_equivocation_may_dissolve),
        cmocka_unit_test(failures_are_no_rivals),
        cmocka_unit_test(rounds_are_judged_each_by_itself),
        cmocka_unit_test(what_stands_on_the_lost_is_at_risk),
        cmocka_unit_test(the_order_costs_least),
        cmocka_unit_test(jobs_that_are_not_agreed_are_left_out),
        cmocka_unit_test(orders_of_random_graphs),
    };
    return cmocka_run_group_tests_name("blast", tests, NULL, NULL);
}
