/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "count.h"

#include "sim.h"

#include <stdlib.h>

enum { SAID_MAX = 256 };

struct count_cache {
    uint64_t version[PLANS]; /* 0: nothing yet */
    bool agreed[PLANS];
    struct digest payload[PLANS];
};

struct count_cache *count_cache_new(void)
{
    return mem_zero(1, sizeof(struct count_cache));
}

bool count_counts(const struct row_answer *answer)
{
    return answer->answer.failure != FAILURE_INFRASTRUCTURE && !answer->is_void;
}

static bool is_built(const struct row_answer *answer)
{
    return answer->answer.failure == FAILURE_NONE;
}

static const struct sim_worker *worker_of(const struct world *world, const struct row_answer *answer)
{
    return &world->workers[answer->lease->worker];
}

size_t count_said(struct world *world, const struct row_job *job, uint32_t round, size_t operator_index,
                  const struct row_answer **ret, size_t limit)
{
    size_t n = 0;
    for (size_t i = 0; i < job->answers.count && n < limit; i++) {
        const struct row_answer *answer = job->answers.items[i];
        if (count_counts(answer) && (round == ALL_ROUNDS || answer->lease->round == round) &&
            worker_of(world, answer)->operator_index == operator_index)
            ret[n++] = answer;
    }
    return n;
}

/* --- what one operator said --- */

struct opinion {
    const struct row_answer *said[SAID_MAX];
    size_t nsaid;
    bool any, two_digests;
    const struct digest *digest; /* NULL: failures alone */
};

static struct opinion opinion_of(struct world *world, const struct row_job *job, uint32_t round,
                                 size_t operator_index)
{
    struct opinion opinion;
    opinion.nsaid = count_said(world, job, round, operator_index, opinion.said, SAID_MAX);
    opinion.any = opinion.nsaid > 0;
    opinion.two_digests = false;
    opinion.digest = NULL;
    for (size_t i = 0; i < opinion.nsaid; i++) {
        if (!is_built(opinion.said[i]))
            continue;
        const struct digest *payload = &opinion.said[i]->answer.payload;
        opinion.two_digests |= opinion.digest != NULL && !digest_equal(opinion.digest, payload);
        opinion.digest = payload;
    }
    return opinion;
}

/* It says this and nothing else; NULL asks for failures. */
static bool holds(const struct opinion *opinion, const struct digest *payload)
{
    if (!opinion->any || opinion->two_digests)
        return false;
    return payload == NULL ? opinion->digest == NULL
                           : opinion->digest != NULL && digest_equal(opinion->digest, payload);
}

/* --- who stands behind one answer --- */

struct supporter {
    size_t operator_index;
    const struct sim_worker *worker;
};
struct support {
    struct supporter items[SAID_MAX];
    size_t count;
    uint32_t operators, anchors, seen;
};

static void add_supporters(struct world *world, struct support *support, const struct opinion *opinion,
                           const struct rules *rules, size_t operator_index)
{
    bool counts = false;
    for (size_t i = 0; i < opinion->nsaid && support->count < SAID_MAX; i++) {
        const struct row_answer *answer = opinion->said[i];
        bool open = db_is_open(answer->lease->job, answer->lease->round, answer->position);
        if ((open && !rules->open_votes) || (opinion->digest != NULL && !is_built(answer)))
            continue;
        support->items[support->count++] = (struct supporter){operator_index, worker_of(world, answer)};
        counts = true;
    }
    support->seen++;
    support->operators += counts;
    support->anchors += counts && world->operators[operator_index].anchor;
}

static bool same_fact(const char *a, const char *b)
{
    return a == NULL || b == NULL || strcmp(a, b) == 0; /* unknown is distinct from nothing */
}

static bool may_stand_together(const struct supporter *a, const struct supporter *b, uint32_t distinct)
{
    return a->operator_index != b->operator_index &&
           !((distinct & DISTINCT_CPU_VENDOR) != 0 &&
             same_fact(a->worker->cpu_vendor, b->worker->cpu_vendor)) &&
           !((distinct & DISTINCT_KERNEL) != 0 && same_fact(a->worker->kernel, b->worker->kernel));
}

static bool states_facts(const struct supporter *supporter, uint32_t distinct)
{
    return !((distinct & DISTINCT_CPU_VENDOR) != 0 && supporter->worker->cpu_vendor == NULL) &&
           !((distinct & DISTINCT_KERNEL) != 0 && supporter->worker->kernel == NULL);
}

/* Whether 'need' more of them, from 'from' on, can stand beside the chosen ones, with that many more anchors among them. */
static bool choose(const struct world *world, const struct support *support, uint32_t distinct, size_t from,
                   const struct supporter **chosen, size_t nchosen, uint32_t need, uint32_t anchors)
{
    if (need == 0)
        return anchors == 0;
    if (anchors > need)
        return false;
    for (size_t i = from; i < support->count; i++) {
        const struct supporter *candidate = &support->items[i];
        bool fits = states_facts(candidate, distinct);
        for (size_t k = 0; k < nchosen && fits; k++)
            fits = may_stand_together(candidate, chosen[k], distinct);
        if (!fits)
            continue;
        uint32_t is_anchor = world->operators[candidate->operator_index].anchor;
        chosen[nchosen] = candidate;
        if (choose(world, support, distinct, i + 1, chosen, nchosen + 1, need - 1,
                   anchors > is_anchor ? anchors - is_anchor : 0))
            return true;
    }
    return false;
}

static bool is_enough(struct world *world, const struct support *support, const struct rules *rules,
                      uint32_t need)
{
    const struct supporter *chosen[RULES_QUORUM_MAX + 1];
    need = need > rules->anchors ? need : rules->anchors;
    if (support->operators < need || support->anchors < rules->anchors)
        return false;
    return rules->distinct == 0 ||
           choose(world, support, rules->distinct, 0, chosen, 0, need, rules->anchors);
}

/* --- one round --- */

struct table {
    struct opinion *opinions; /* per operator */
    const struct digest *digests[SAID_MAX];
    size_t ndigests;
    uint32_t operators; /* that said anything */
};

static void add_digest(struct table *table, const struct digest *digest)
{
    for (size_t i = 0; i < table->ndigests; i++)
        if (digest_equal(table->digests[i], digest))
            return;
    if (table->ndigests < SAID_MAX)
        table->digests[table->ndigests++] = digest;
}

static void make_table(struct world *world, const struct row_job *job, uint32_t round, struct table *table)
{
    table->opinions = mem_zero(world->noperators, sizeof *table->opinions);
    table->ndigests = 0;
    table->operators = 0;
    for (size_t o = 0; o < world->noperators; o++) {
        struct opinion *opinion = &table->opinions[o];
        *opinion = opinion_of(world, job, round, o);
        table->operators += opinion->any;
        for (size_t i = 0; i < opinion->nsaid; i++)
            if (is_built(opinion->said[i]))
                add_digest(table, &opinion->said[i]->answer.payload);
    }
}

static void support_of(struct world *world, const struct table *table, const struct rules *rules,
                       const struct digest *payload, struct support *ret)
{
    ret->count = 0;
    ret->operators = ret->anchors = ret->seen = 0;
    for (size_t o = 0; o < world->noperators; o++)
        if (holds(&table->opinions[o], payload))
            add_supporters(world, ret, &table->opinions[o], rules, o);
}

static bool decide(struct world *world, const struct table *table, const struct rules *rules,
                   struct count *ret)
{
    uint32_t need = rules->quorum + (table->ndigests > 1 ? rules->margin : 0);
    struct support support, rival;
    for (size_t i = 0; i < table->ndigests; i++) {
        support_of(world, table, rules, table->digests[i], &support);
        bool wins = is_enough(world, &support, rules, need);
        for (size_t k = 0; k < table->ndigests && wins; k++) {
            if (k == i)
                continue;
            support_of(world, table, rules, table->digests[k], &rival);
            wins = support.operators > rival.seen;
        }
        if (!wins)
            continue;
        *ret = (struct count){VERDICT_AGREED, *table->digests[i], support.operators,
                              table->operators - support.seen};
        return true;
    }
    support_of(world, table, rules, NULL, &support);
    if (table->ndigests > 1)
        ret->state = VERDICT_DISPUTED;
    else if (support.operators >= rules->quorum)
        *ret = (struct count){.state = VERDICT_FAILED, .operators = support.operators};
    return false;
}

struct count count_round(struct world *world, const struct row_job *job, const struct rules *rules,
                         uint32_t round)
{
    struct count count = {.state = VERDICT_PENDING};
    struct table table;
    make_table(world, job, round, &table);
    (void)decide(world, &table, rules, &count);
    free(table.opinions);
    return count;
}

/* --- all rounds --- */

static bool shows_another(const struct row_job *job, uint32_t round, const struct digest *payload)
{
    for (size_t i = 0; i < job->answers.count; i++) {
        const struct row_answer *answer = job->answers.items[i];
        if (answer->lease->round == round && count_counts(answer) && is_built(answer) &&
            !digest_equal(&answer->answer.payload, payload))
            return true;
    }
    return false;
}

static bool confirmed(struct world *world, const struct row_job *job, const struct rules *rules,
                      const struct digest *payload)
{
    uint32_t last = 0;
    bool standing = false;
    for (size_t i = 0; i < job->answers.count; i++) {
        uint32_t round = ((const struct row_answer *)job->answers.items[i])->lease->round;
        last = round > last ? round : last;
    }
    for (uint32_t round = 1; round <= last; round++) {
        struct count count = count_round(world, job, rules, round);
        if (count.state == VERDICT_AGREED && digest_equal(&count.payload, payload))
            standing = true;
        else if (count.state == VERDICT_FAILED || shows_another(job, round, payload))
            standing = false;
    }
    return standing;
}

bool count_agreed(struct world *world, struct row_job *job, size_t plan, struct digest *ret_payload)
{
    struct count_cache *cache = job->counts;
    const struct rules *rules = &world->plans.items[plan].rules;
    if (cache->version[plan] != job->version) {
        struct count all = count_round(world, job, rules, ALL_ROUNDS);
        cache->version[plan] = job->version;
        cache->payload[plan] = all.payload;
        cache->agreed[plan] = all.state == VERDICT_AGREED && confirmed(world, job, rules, &all.payload);
    }
    if (cache->agreed[plan])
        *ret_payload = cache->payload[plan];
    return cache->agreed[plan];
}
