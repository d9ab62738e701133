/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Why: "why is my job not running?", answered in sentences with names in them. For the people who run the farm; it names
 * answers and who gave them, so it is never shown to workers.
 *
 * Order of an explanation: what the node is and since when; what it waits for; who was asked and what came of it; who else
 * there is and why nobody is asked (why_workers.c); what somebody could do about it.
 */
#include "answers.h"
#include "graph.h"
#include "jobs.h"
#include "leases.h"
#include "lost.h"
#include "moment.h"
#include "rounds.h"
#include "status.h"
#include "why_workers.h"

/* More names than this in one sentence help nobody. */
enum { NAMES_MAX = 8 };

static void say_heading(const struct node *node, int64_t now_ms, struct buf *ret)
{
    buf_add_format(ret, "%s is %s", node->id, node_state_name(node->state));
    buf_add_format(ret, " (for %s)", moment_duration(now_ms - node->since_ms).text);
    if (node->job != NULL) {
        struct digest key = digest_of_link(&node->job->link);
        buf_add_format(ret, ", job %.16s", digest_hex(&key).text);
        if (node->job->round > 1)
            buf_add_format(ret, ", round %u", node->job->round);
    }
    buf_add_text(ret, ".\n");
    if (node->plan->state == PLAN_CANCELLED)
        buf_add_text(ret,
                     "Its plan was cancelled, so nothing is done about it. Start the plan again to go on.\n");
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

/* --- votes and leases --- */

static void say_group(const struct job *job, const struct verdict_group *group, struct buf *ret)
{
    size_t named = 0;
    if (group->is_failure)
        buf_add_text(ret, "  it does not build:");
    else
        buf_add_format(ret, "  payload %.16s:", digest_hex(&group->payload).text);
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next)
        for (const struct answer *a = lease->answers; a != NULL && lease->round == job->round; a = a->next) {
            enum failure_kind kind = group->is_failure ? FAILURE_BUILD : FAILURE_NONE;
            if (!a->counted || !answers_same(a, kind, &group->payload) || !answers_is_first(lease, a) ||
                named++ >= NAMES_MAX)
                continue;
            buf_add_format(ret, "%s %s", named > 1 ? "," : "", lease->worker->operator->name);
            buf_add_format(ret, " (%s%s%s)", lease->worker->name, a->open ? ", open" : "",
                           lease->worker->operator->anchor ? ", anchor" : "");
            if (group->is_failure)
                buf_add_format(ret, " %s", failure_kind_name(a->failure));
        }
    if (named > NAMES_MAX)
        buf_add_format(ret, " and %zu more", named - NAMES_MAX);
    buf_add_text(ret, "\n");
}

static void say_votes(const struct node *node, const struct verdict *verdict, struct buf *ret)
{
    if (verdict->ngroups == 0)
        return;
    buf_add_text(ret, "Answers so far:\n");
    for (size_t i = 0; i < verdict->ngroups; i++)
        say_group(node->job, &verdict->groups[i], ret);
    if (verdict->equivocators > 0)
        buf_add_format(ret, "%u operator%s gave two answers and count%s as dissent.\n", verdict->equivocators,
                       plural(verdict->equivocators), verdict->equivocators == 1 ? "s" : "");
}

static bool has_void_answer(const struct lease *lease)
{
    for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next)
        if (answer->is_void)
            return true;
    return false;
}

static void say_lease(const struct lease *lease, int64_t now_ms, struct buf *ret)
{
    const struct worker *worker = lease->worker;
    buf_add_format(ret, "  %s of operator %s", worker->name, worker->operator->name);
    if (lease->state == LEASE_LIVE) {
        buf_add_format(ret, " works on it for %s", moment_duration(now_ms - lease->granted_ms).text);
        if (!worker->online)
            buf_add_text(ret, "; it is out of reach, and its lease passes on if it does not come back");
        else
            buf_add_format(ret, ", was heard %s ago", moment_duration(now_ms - worker->heard_ms).text);
        if (lease->deadline_ms > now_ms)
            buf_add_format(ret, "; deadline in %s", moment_duration(lease->deadline_ms - now_ms).text);
    } else {
        buf_add_format(ret, ": %s%s%s", lease_state_name(lease->state), lease->reason != NULL ? ": " : "",
                       lease->reason != NULL ? lease->reason : "");
        if (lease->occupying)
            buf_add_text(ret, "; the worker goes on, and a late answer counts");
        if (lease->trouble && lease->state == LEASE_ANSWERED)
            buf_add_text(ret, ": infrastructure failure");
        if (has_void_answer(lease))
            buf_add_text(ret, ": its answer is void, since who signed it is not believed any more");
        if (lease->trouble && !lease->forgiven && lease->timer.kind == TIMER_RETRY &&
            timer_is_set(&lease->timer.timer) && lease->timer.timer.at_ms > now_ms)
            buf_add_format(ret, "; asked again in %s at the earliest",
                           moment_duration(lease->timer.timer.at_ms - now_ms).text);
    }
    buf_add_text(ret, "\n");
}

static bool is_worth_telling(const struct lease *lease)
{
    return lease->state != LEASE_ANSWERED || lease->trouble || has_void_answer(lease);
}

static void say_leases(const struct job *job, int64_t now_ms, struct buf *ret)
{
    size_t n = 0;
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        if (lease->round != job->round || !is_worth_telling(lease))
            continue;
        if (n++ == 0)
            buf_add_text(ret, "Leases:\n");
        if (n <= NAMES_MAX)
            say_lease(lease, now_ms, ret);
    }
    if (n > NAMES_MAX)
        buf_add_format(ret, "  and %zu more\n", n - NAMES_MAX);
}

/* --- what is missing --- */

static void say_rules(const struct node *node, const struct verdict *verdict, struct buf *ret)
{
    const struct rules *rules = node->rules;
    buf_add_format(ret, "It needs the same answer from %u operator%s", rules->quorum, plural(rules->quorum));
    if (rules->anchors > 0)
        buf_add_format(ret, ", %u of them anchor%s", rules->anchors, plural(rules->anchors));
    if ((rules->distinct & DISTINCT_CPU_VENDOR) != 0)
        buf_add_text(ret, ", on processors of different vendors");
    if ((rules->distinct & DISTINCT_KERNEL) != 0)
        buf_add_text(ret, ", on different kernels");
    if ((rules->distinct & DISTINCT_SITE) != 0)
        buf_add_text(ret, ", at different sites");
    if (rules->hold)
        buf_add_text(ret, " (it is on hold: built and compared, never released)");
    buf_add_format(ret, "; %u more %s needed", verdict->missing, verdict->missing == 1 ? "is" : "are");
    if (verdict->missing_anchors > 0)
        buf_add_format(ret, ", %u of them anchor%s", verdict->missing_anchors,
                       plural(verdict->missing_anchors));
    buf_add_format(ret, ", %u at work.\n", node->job->live);
}

/* Why it is asked for again. */
static void say_void(const struct job *job, struct buf *ret)
{
    size_t n = 0;
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next)
        n += lease->round < job->round && has_void_answer(lease);
    if (n > 0)
        buf_add_format(
            ret, "Earlier rounds lost %zu answer%s, which %s void: who signed %s is not believed any more.\n",
            n, plural(n), n == 1 ? "is" : "are", n == 1 ? "it" : "them");
}

/* And what to do if no answer can bring it back. */
static void say_lost(const struct node *node, struct buf *ret)
{
    if (node->job == NULL || !lost_is(node->job, node->claim))
        return;
    buf_add_format(ret,
                   "Its payload %.16s is agreed, and its bytes are lost: they were damaged in the store, or "
                   "removed. It is built "
                   "again, and nothing is built upon it until somebody gives the same answer, whose files "
                   "take their place.\n",
                   digest_hex(&node->claim->payload).text);
    if (node->job->round == ROUNDS_MAX)
        buf_add_format(ret,
                       "This is its last round: no job has more than %d. If it brings nothing, put the files "
                       "back: from a release's export with "
                       "\"farmctl source add\", or from a backup.\n",
                       ROUNDS_MAX);
}

static void say_wants(const struct core *core, const struct node *node, const struct verdict *verdict,
                      int64_t now_ms, struct buf *ret)
{
    const struct claim *claim = node->claim;
    say_void(node->job, ret);
    say_rules(node, verdict, ret);
    say_votes(node, verdict, ret);
    say_leases(node->job, now_ms, ret);
    if (core->held)
        buf_add_format(ret, "No lease is granted to anybody now: %s\n", core->held_text);
    if (claim->futile)
        buf_add_text(ret, "Nobody else is asked: a verdict was known before, so further votes would be open, "
                          "and the policy "
                          "(open_votes) does not count those. Build the plan again with --from-scratch.\n");
    else if (claim->exhausted)
        buf_add_text(
            ret,
            "Nobody else is asked: too many operators could not even try. Repair what the leases above say, "
            "and start the plan again.\n");
    else if (node->job->want > 0)
        why_workers(core, node->job, now_ms, ret);
    else if (node->job->live > 0)
        buf_add_text(ret, "Enough operators are at work; it waits for their answers.\n");
}

/* --- going down to the cause --- */

/* The first dependency in plan order that is not what this node needs; NULL if all are. */
static const struct node *first_obstacle(const struct node *node)
{
    size_t n;
    const uint32_t *dependencies = graph_dependencies(node, &n);
    for (size_t i = 0; i < n; i++) {
        const struct node *dependency = &node->plan->nodes[dependencies[i]];
        if (node->broken > 0 ? dependency->bad : !dependency->solid)
            return dependency;
    }
    return NULL;
}

static void say_obstacles(const struct node *node, struct buf *ret)
{
    size_t n, named = 0;
    const uint32_t *dependencies = graph_dependencies(node, &n);
    for (size_t i = 0; i < n; i++) {
        const struct node *dependency = &node->plan->nodes[dependencies[i]];
        if ((node->broken > 0 ? !dependency->bad : dependency->solid) || named++ >= NAMES_MAX)
            continue;
        buf_add_format(ret, "  %s: %s", dependency->id, node_state_name(dependency->state));
        if (dependency->state == NODE_AGREED)
            buf_add_text(ret, ", but something below it was reopened");
        if (dependency->job != NULL && lost_is(dependency->job, dependency->claim))
            buf_add_text(ret, ", since its payload was lost from the store");
        buf_add_text(ret, "\n");
    }
    if (named > NAMES_MAX)
        buf_add_format(ret, "  and %zu more\n", named - NAMES_MAX);
}

static const struct node *deepest_cause(const struct node *node)
{
    for (const struct node *below = first_obstacle(node); below != NULL; below = first_obstacle(node))
        node = below; /* ends: each is earlier in the plan */
    return node;
}

static void say_failure(const struct node *node, const struct verdict *verdict, struct buf *ret)
{
    buf_add_format(
        ret,
        "%u operator%s agree%s that it does not build, so the plan cannot have it. Look at its log, mend the "
        "recipe, and plan again; nothing that needs it is built meanwhile.\n",
        verdict->operators, plural(verdict->operators), verdict->operators == 1 ? "s" : "");
    say_votes(node, verdict, ret);
}

static void say_dispute(const struct core *core, const struct node *node, const struct verdict *verdict,
                        int64_t now_ms, struct buf *ret)
{
    if (node->claim->contradicted)
        buf_add_text(
            ret, verdict->missing > 0
                     ? "Its rounds contradict each other: this one has another answer than an earlier one "
                       "agreed on. Nothing is built upon it until this round is settled.\n"
                     : "Its rounds contradict each other: an earlier round had another verdict than the "
                       "last one. Compare "
                       "the two payloads (farmctl diff); another round (--from-scratch) decides.\n");
    else
        buf_add_format(ret,
                       "Operators gave different answers. Settled when one answer has %u votes and more than "
                       "any other.\n",
                       node->rules->quorum + node->rules->margin);
    say_wants(core, node, verdict, now_ms, ret);
}

static void say_halt(const struct core *core, const struct node *node, const struct verdict *verdict,
                     int64_t now_ms, struct buf *ret)
{
    if (node->refusal != NULL)
        buf_add_format(ret, "Its job cannot be derived: %s\nMend that, and start the plan again.\n",
                       node->refusal);
    else
        say_wants(core, node, verdict, now_ms, ret);
}

static void say_agreement(const struct node *node, const struct verdict *verdict, struct buf *ret)
{
    buf_add_format(ret, "Nothing to wait for: %u operator%s gave the same answer%s.\n",
                   node->claim->told_operators, plural(node->claim->told_operators),
                   verdict->dissent > 0 ? ", with dissent" : "");
    say_votes(node, verdict, ret);
    if (!node->solid)
        buf_add_text(
            ret,
            "Something that it was built from was reopened since; it stands if that settles as before:\n");
}

static void say_why(const struct core *core, const struct node *node, int64_t now_ms, struct buf *ret);

static void say_waiting(const struct core *core, const struct node *node, int64_t now_ms, struct buf *ret)
{
    buf_add_format(ret,
                   node->broken > 0 ? "It cannot be built, because of:\n"
                                    : "It waits for %u of its dependencies:\n",
                   node->unsettled);
    say_obstacles(node, ret);
    const struct node *cause = deepest_cause(node);
    if (cause == node)
        return;
    buf_add_text(ret, "What is behind it: ");
    say_heading(cause, now_ms, ret);
    say_why(core, cause, now_ms, ret);
}

static void say_why(const struct core *core, const struct node *node, int64_t now_ms, struct buf *ret)
{
    struct verdict verdict = {0};
    if (node->job != NULL)
        verdict = rounds_verdict(node->job, node->rules, node->job->round);
    say_lost(node, ret);
    switch (node->state) {
    case NODE_WAITING:
        if (node->unsettled > 0)
            say_waiting(core, node, now_ms, ret);
        break;
    case NODE_BLOCKED:
        say_waiting(core, node, now_ms, ret);
        break;
    case NODE_DERIVING:
        buf_add_text(ret, "All it needs is agreed; its job is being derived from the package tree.\n");
        break;
    case NODE_READY:
    case NODE_RUNNING:
        say_wants(core, node, &verdict, now_ms, ret);
        break;
    case NODE_AGREED:
        say_agreement(node, &verdict, ret);
        if (!node->solid && node->unsettled > 0)
            say_waiting(core, node, now_ms, ret);
        break;
    case NODE_DISPUTED:
        say_dispute(core, node, &verdict, now_ms, ret);
        break;
    case NODE_FAILED:
        say_failure(node, &verdict, ret);
        break;
    case NODE_HALTED:
        say_halt(core, node, &verdict, now_ms, ret);
        break;
    }
}

void core_why(const struct core *core, const struct digest *plan_id, size_t index, int64_t now_ms,
              struct buf *ret)
{
    const struct plan *plan = graph_find(core, plan_id);
    if (plan == NULL) {
        buf_add_format(ret, "There is no plan %s.\n", digest_hex(plan_id).text);
    } else if (index >= plan->nnodes) {
        buf_add_format(ret, "Plan %.16s has %u nodes only.\n", digest_hex(plan_id).text, plan->nnodes);
    } else {
        say_heading(&plan->nodes[index], now_ms, ret);
        say_why(core, &plan->nodes[index], now_ms, ret);
    }
}
