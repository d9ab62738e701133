/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "weigh.h"

#include "graph.h"

static struct operator* note(struct core *core, struct operator* operator)
{
    if (operator->stamp == core->stamp)
        return operator;
    operator->stamp = core->stamp;
    operator->troubles = 0;
    operator->voted = operator->live = operator->lingering = operator->backing_off = false;
    core->asked = mem_reserve(core->asked, &core->asked_capacity, core->nasked + 1, sizeof(struct operator*));
    core->asked[core->nasked++] = operator;
    return operator;
}

static bool has_counted(const struct lease *lease)
{
    for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next)
        if (answer->counted)
            return true;
    return false;
}

void weigh_collect(struct core *core, const struct job *job)
{
    core->stamp++;
    core->nasked = 0;
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        if (lease->round != job->round)
            continue;
        struct operator* operator= note(core, lease->worker->operator);
        operator->live |= lease->state == LEASE_LIVE;
        operator->lingering |= lease->state != LEASE_LIVE && lease->occupying;
        operator->voted |= has_counted(lease);
        operator->troubles += lease->trouble && !lease->forgiven;
        operator->backing_off |= lease->trouble && !lease->forgiven && lease->timer.kind == TIMER_RETRY &&
            timer_is_set(&lease->timer.timer);
    }
}

/* The most generous of the claims that want it built. */
static uint32_t attempts_allowed(const struct job *job)
{
    uint32_t most = 1;
    for (const struct claim *claim = &job->claim; claim != NULL; claim = claim->next)
        if (claim->demanding > 0 && claim->rules->max_attempts > most)
            most = claim->rules->max_attempts;
    return most;
}

bool weigh_is_excluded(const struct job *job, const struct operator* operator)
{
    return operator->voted || operator->live || operator->lingering || operator->backing_off ||
    operator->troubles >= attempts_allowed(job);
}

/* Who is left to ask, for one claim: operators that did not vote and may still try, live ones included. */
struct left {
    uint32_t operators, anchors;
    uint32_t troubled, used_up; /* without a vote: had trouble; had all the trouble they may have */
};

static struct left count_left(const struct core *core, const struct claim *claim)
{
    struct left left = {.operators = core->able, .anchors = core->able_anchors};
    for (size_t i = 0; i < core->nasked; i++) {
        const struct operator* operator= core->asked[i];
        bool over = !operator->voted && operator->troubles >= claim->rules->max_attempts;
        bool gone = (operator->voted || over) && operator->workers> 0 && !operator->flagged;
        left.troubled += !operator->voted && operator->troubles> 0;
        left.used_up += over;
        left.operators -= gone;
        left.anchors -= gone && operator->anchor;
    }
    return left;
}

static bool is_exhausted(const struct claim *claim, const struct left *left)
{
    bool too_few = left->operators < claim->missing || left->anchors < claim->missing_anchors;
    return claim->missing > 0 &&
           (left->troubled >= claim->rules->max_attempts || (left->used_up > 0 && too_few));
}

static uint32_t less(uint32_t from, uint32_t by)
{
    return from > by ? from - by : 0;
}

static void set_exhausted(struct core *core, struct claim *claim, bool exhausted)
{
    claim->exhausted = exhausted;
    core->nexhausted += exhausted ? 1 : (uint32_t)-1;
    for (struct node *node = claim->nodes; node != NULL; node = node->claim_next)
        graph_queue(core, node);
}

static void want(struct job *job, uint32_t operators, uint32_t others)
{
    job->want = operators > job->want ? operators : job->want;
    job->want_others = others > job->want_others ? others : job->want_others;
}

static void weigh_claim(struct core *core, struct job *job, struct claim *claim, uint32_t live,
                        uint32_t live_anchors)
{
    struct left left = count_left(core, claim);
    bool exhausted = is_exhausted(claim, &left);
    if (exhausted != claim->exhausted)
        set_exhausted(core, claim, exhausted);
    if (claim->demanding == 0 || exhausted || claim->futile)
        return;
    uint32_t anchors = less(claim->missing_anchors, live_anchors);
    uint32_t operators = less(claim->missing, live);
    operators = operators > anchors ? operators : anchors;
    want(job, operators, operators - anchors);
    /* The anchors that are left cannot make it agreed any more. Failure needs no anchors: anybody may confirm one. */
    bool has_failures = claim->missing_failures > 0 && claim->missing_failures < claim->rules->quorum;
    if (has_failures && left.anchors < claim->missing_anchors) {
        operators = less(claim->missing_failures, live);
        want(job, operators, operators);
    }
}

void weigh_job(struct core *core, struct job *job)
{
    uint32_t live = 0, live_anchors = 0;
    weigh_collect(core, job);
    for (size_t i = 0; i < core->nasked; i++) {
        bool counts = core->asked[i]->live && !core->asked[i]->voted;
        live += counts;
        live_anchors += counts && core->asked[i]->anchor;
    }
    job->want = job->want_others = 0;
    for (struct claim *claim = &job->claim; claim != NULL; claim = claim->next)
        if (claim->nodes != NULL)
            weigh_claim(core, job, claim, live, live_anchors);
}
