/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What keeps the worker from taking leases, beside pauses: an alarm, which only its owner ends; and what ends by itself: a root or
 * directory that is expired or does not follow, a log that cannot be checked. In one place, so that it is said in one voice.
 */
#include "agent_private.h"

#include "farmlog.h"
#include "moment.h"

#include <stdio.h>

int agent_guard_load(struct agent *agent, struct diag *diag)
{
    int error = alarm_load(agent->shop->state_dirfd, &agent->alarm, diag);
    if (error >= 0)
        error = witness_load(agent->shop->state_dirfd, &agent->log.witness, diag);
    if (error < 0)
        return error;
    if (!alarm_is_set(&agent->alarm))
        witness_forgive(&agent->log.witness);
    else
        log_error("ALARM since %s: %s. No leases, no cosignatures, until its owner looks at it: farm-worker "
                  "alarm show",
                  moment_format(agent->alarm.at_ms).text, alarm_headline(agent->alarm.kind));
    agent_log_on_root(agent);
    agent_judge(agent, moment_steady_ms());
    return 0;
}

static int save_alarm(struct agent *agent, struct diag *diag)
{
    int error = alarm_raise(agent->shop->state_dirfd, &agent->alarm, diag);
    agent->alarm_unsaved = error < 0 && error != FARM_E_EXISTS;
    return agent->alarm_unsaved ? error : 0;
}

void agent_raise(struct agent *agent, struct alarm *alarm)
{
    struct diag why = DIAG_INIT;
    if (alarm_is_set(&agent->alarm)) {
        log_error("another alarm while one stands: %s: expected %s; seen %s", alarm_headline(alarm->kind),
                  alarm->expected, alarm->seen);
        alarm_done(alarm);
        return;
    }
    alarm->at_ms = moment_wall_ms();
    agent->alarm = *alarm;
    *alarm = (struct alarm)ALARM_NONE;
    int error = save_alarm(agent, &why);
    log_error("ALARM: %s. Expected: %s. Seen: %s. No leases, no cosignatures, until its owner looks at it: "
              "farm-worker alarm show",
              alarm_headline(agent->alarm.kind), agent->alarm.expected, agent->alarm.seen);
    if (error < 0)
        log_error("the alarm cannot be kept on disk, and is tried again: %s", diag_text(&why, error));
    agent_judge(agent, moment_steady_ms());
}

/* A file that could not be written is not there, and that is no clearance. */
void agent_look_for_clearance(struct agent *agent, int64_t now_ms)
{
    struct diag ignored;
    if (!alarm_is_set(&agent->alarm) || alarm_stands(agent->shop->state_dirfd))
        return;
    if (agent->alarm_unsaved) {
        (void)save_alarm(agent, &ignored);
        return;
    }
    log_info("the alarm was cleared by its owner; looking again");
    alarm_done(&agent->alarm);
    witness_forgive(&agent->log.witness);
    agent->log.unsaved = true;
    agent_log_on_root(agent);
    if (agent->welcomed) {
        agent_trust_welcome(agent, now_ms);
        agent_log_welcome(agent, now_ms);
    }
    agent_judge(agent, now_ms);
}

/* What does not end by itself first. "" if nothing is in the way. */
static void look(struct agent *agent, int64_t now_ms, char *ret, size_t size)
{
    struct diag why = DIAG_INIT;
    *ret = '\0';
    agent->settling = false;
    int error = trust_may_work(agent->shop->trust, moment_wall_ms(), &why);
    if (alarm_is_set(&agent->alarm)) {
        snprintf(ret, size, "alarm: %s", alarm_headline(agent->alarm.kind));
    } else if (agent->trust.refusal[0] != '\0') {
        snprintf(ret, size, "%s", agent->trust.refusal);
    } else if (error == FARM_E_STATE && (!agent->welcomed || now_ms < agent->trust.settle_until_ms)) {
        agent->settling = true;
    } else if (error < 0) {
        snprintf(ret, size, "%s", why.text);
    } else if (agent->log.doubts >= AGENT_LOG_DOUBTS) {
        enum { HEAD = 32 }; /* both texts have the same limit: the end of a very long doubt is left out */
        snprintf(ret, size, "the log cannot be checked: %.*s", (int)size - HEAD, agent->log.doubt);
    } else if (witness_is_full(&agent->log.witness)) {
        snprintf(ret, size, "%zu answers of this worker are not proven to be in the log yet",
                 agent->log.witness.nunproven);
    }
}

static bool is_count_only(const char *a, const char *b)
{
    while (*a >= '0' && *a <= '9')
        a++;
    while (*b >= '0' && *b <= '9')
        b++;
    return strcmp(a, b) == 0;
}

void agent_judge(struct agent *agent, int64_t now_ms)
{
    char found[sizeof agent->hindrance];
    look(agent, now_ms, found, sizeof found);
    if (is_count_only(found, agent->hindrance)) {
        agent_assign(agent);
        return;
    }
    snprintf(agent->hindrance, sizeof agent->hindrance, "%s", found);
    if (found[0] != '\0') {
        log_event(LOG_LEVEL_WARNING, "taking no leases", log_text(FIELD_REASON, found));
        agent_return_waiting(agent, found);
    } else {
        log_info("taking leases again");
    }
    agent_mode_changed(agent, found[0] != '\0' ? found : "nothing is in the way any more");
    agent_assign(agent);
}
