/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lost.h"

#include "jobs.h"
#include "rounds.h"

static size_t find(const struct job *job, const struct digest *payload)
{
    size_t i = 0;
    while (i < job->nlost && !digest_equal(&job->lost[i], payload))
        i++;
    return i;
}

void lost_add(struct core *core, struct job *job, const struct digest *payload)
{
    if (find(job, payload) < job->nlost)
        return;
    job->lost = mem_grow(job->lost, job->nlost + 1, sizeof *job->lost);
    job->lost[job->nlost++] = *payload;
    core->nlost++;
    rounds_judge(core, job, 0);
    jobs_touch(core, job);
}

void lost_remove(struct core *core, struct job *job, const struct digest *payload)
{
    size_t at = find(job, payload);
    if (at == job->nlost)
        return;
    job->lost[at] = job->lost[--job->nlost];
    core->nlost--;
    jobs_touch(core, job);
}

void lost_forget(struct core *core, const struct job *job)
{
    core->nlost -= job->nlost;
}

static bool is_waited_for(const struct job *job)
{
    bool waited = false;
    for (const struct claim *claim = &job->claim; claim != NULL; claim = claim->next)
        waited |= claim->nodes != NULL && lost_is(job, claim);
    return waited;
}

size_t lost_count(const struct core *core)
{
    size_t n = 0, cursor = 0;
    for (struct table_link *link = core->nlost > 0 ? table_next(&core->jobs, &cursor, NULL) : NULL;
         link != NULL; link = table_next(&core->jobs, &cursor, link))
        n += is_waited_for(job_of_link(link));
    return n;
}

bool lost_is(const struct job *job, const struct claim *claim)
{
    return claim->has_payload && find(job, &claim->payload) < job->nlost;
}
