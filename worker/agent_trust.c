/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The agent as a follower of the trust root: asks, gives what comes to the rules (trust.h), and does what they say. The witness hears
 * of a new root before the disk does: were it the other way round, a crash in between would leave a root that names a log of which the
 * witness has not heard, with nothing to compare it to.
 */
#include "agent_private.h"

#include "farmlog.h"
#include "moment.h"

#include <inttypes.h>
#include <stdio.h>

void agent_trust_welcome(struct agent *agent, int64_t now_ms)
{
    agent->trust.asked = false;
    agent->trust.due_ms = now_ms;
    agent->trust.settle_until_ms = now_ms + AGENT_SETTLE_MS;
}

void agent_trust_down(struct agent *agent)
{
    agent->trust.asked = false; /* an errand goes on: it has a connection of its own */
}

static bool is_following(const struct agent *agent)
{
    return agent->welcomed && !alarm_is_set(&agent->alarm) && trust_is_pinned(agent->shop->trust) &&
           agent->trust.errand == NULL;
}

int64_t agent_trust_due(const struct agent *agent, int64_t otherwise)
{
    const struct agent_trust *trust = &agent->trust;
    int64_t due = otherwise;
    if (is_following(agent))
        due = trust->asked ? trust->asked_ms + AGENT_LOG_SILENT_MS : trust->due_ms;
    if (agent->settling && agent->welcomed && trust->settle_until_ms < due)
        due = trust->settle_until_ms;
    return due < otherwise ? due : otherwise;
}

static void set_refusal(struct agent *agent, const char *text, int64_t now_ms)
{
    struct agent_trust *trust = &agent->trust;
    if (strcmp(trust->refusal, text) != 0)
        log_warning("trust root: %s", text);
    snprintf(trust->refusal, sizeof trust->refusal, "%s", text);
    trust->due_ms = now_ms + AGENT_TRUST_RETRY_MS;
}

/* Not an answer is what a coordinator gives that was restored, until it has heard its witnesses: so this is no alarm, and no fault yet. */
static void tell_silent(struct agent_trust *trust)
{
    if (!trust->told_silent)
        log_info(
            "the coordinator has not said which trust root it has; one that was restored from a backup says "
            "so when its witnesses were heard (\"farmctl status\" there). What this worker knows holds until "
            "it "
            "expires; it asks again");
    trust->told_silent = true;
}

void agent_trust_turn(struct agent *agent, int64_t now_ms)
{
    struct agent_trust *trust = &agent->trust;
    if (agent->settling)
        agent_judge(agent, now_ms);
    if (!is_following(agent) || now_ms < agent_trust_due(agent, INT64_MAX))
        return;
    if (trust->asked) { /* silence is no reason to stop: what is known holds until it expires */
        tell_silent(trust);
        trust->asked = false;
        trust->due_ms = now_ms + AGENT_TRUST_RETRY_MS;
        return;
    }
    trust->asked = agent_say_trust_ask(agent, trust_asks(agent->shop->trust)) >= 0;
    trust->asked_ms = now_ms;
    trust->due_ms = now_ms + AGENT_TRUST_RETRY_MS;
}

static void fetch(struct agent *agent, const struct digest *directory, int64_t now_ms)
{
    struct diag why = DIAG_INIT;
    int error = agent_errand_start(agent, directory, &agent->trust.errand, &why);
    if (error >= 0)
        return;
    log_warning("the worker directory: %s", diag_text(&why, error));
    agent->trust.due_ms = now_ms + AGENT_TRUST_RETRY_MS;
}

static void tell_root(struct agent *agent)
{
    const struct root *root = trust_root(agent->shop->trust);
    log_info("trust root: version %" PRId64 ", until %s, %zu bases, %s", root->version,
             moment_format(root->expires_ms).text, root->nbases,
             root->log.present ? "with a transparency log" : "without a transparency log");
    agent_log_on_root(agent);
}

static void save(struct agent *agent, int64_t now_ms)
{
    struct diag why = DIAG_INIT;
    int error = trust_save(agent->shop->trust, agent->shop->state_dirfd, &why);
    agent->trust.unsaved = error < 0;
    if (error < 0) {
        CLEANUP_FREE char *text =
            mem_format("what was seen of it cannot be kept: %s", diag_text(&why, error));
        set_refusal(agent, text, now_ms);
    }
}

static void act(struct agent *agent, struct trust_finding *finding, int64_t now_ms)
{
    struct agent_trust *trust = &agent->trust;
    trust->due_ms = now_ms + AGENT_TRUST_MS;
    trust->unsaved = trust->unsaved || finding->changed;
    if (finding->move == TRUST_SETTLED)
        trust->refusal[0] = '\0';
    if (finding->root_changed)
        tell_root(agent);
    if (trust->unsaved)
        save(agent, now_ms);
    switch (finding->move) {
    case TRUST_SETTLED:
        break;
    case TRUST_ASK:
        trust->due_ms = now_ms;
        break;
    case TRUST_FETCH:
        fetch(agent, &finding->directory, now_ms);
        break;
    case TRUST_REFUSED:
        set_refusal(agent, finding->why.text, now_ms);
        break;
    case TRUST_ALARM:
        agent_raise(agent, &finding->alarm);
        break;
    }
    struct diag ignored;
    if (finding->move == TRUST_SETTLED && trust_may_work(agent->shop->trust, moment_wall_ms(), &ignored) < 0)
        trust->due_ms = now_ms + AGENT_TRUST_RETRY_MS; /* what is expired may be renewed any time */
    agent->status_changed = true;
    agent_judge(agent, now_ms);
    agent_trust_turn(agent, now_ms); /* a chain of roots is followed without waiting in between */
}

void agent_trust_on_answer(struct agent *agent, const Wire__TrustAnswer *message, int64_t now_ms)
{
    struct trust_finding finding = TRUST_FINDING_INIT;
    struct view signatures[WIRE_SIGNATURES_MAX];
    if (!agent->trust.asked || !is_following(agent))
        return;
    agent->trust.asked = agent->trust.told_silent = false;
    for (size_t i = 0; i < message->n_signatures; i++)
        signatures[i] = wire_view(&message->signatures[i]);
    const struct trust_answer answer = {.newest = message->newest_root,
                                        .version = message->root_version,
                                        .root = wire_view(&message->root),
                                        .signatures = signatures,
                                        .nsignatures = message->n_signatures,
                                        .directory_version = message->directory_version,
                                        .directory = wire_get_digest(&message->directory)};
    trust_on_answer(agent->shop->trust, &answer, moment_wall_ms(), &finding);
    act(agent, &finding, now_ms);
    trust_finding_done(&finding);
}

/* What cannot be fetched is asked for anew: meanwhile another directory may have been published. */
void agent_trust_on_listing(struct agent *agent, const struct outbox_item *item, int64_t now_ms)
{
    struct trust_finding finding = TRUST_FINDING_INIT;
    agent->trust.errand = agent_errand_end(agent->trust.errand);
    if (item->listing == NULL) {
        log_warning("the worker directory is not had: %s", item->text);
        agent->trust.due_ms = now_ms + AGENT_TRUST_FETCH_MS;
        if (item->reason == WIRE_REFUSE_SPEC) { /* it came, and does not hold */
            set_refusal(agent, item->text, now_ms);
            agent_judge(agent, now_ms);
        }
        return;
    }
    trust_on_listing(agent->shop->trust, item->listing, moment_wall_ms(), &finding);
    act(agent, &finding, now_ms);
    trust_finding_done(&finding);
}
