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
    rounds_judge(core, job, 0);
    jobs_touch(core, job);
}

void lost_remove(struct core *core, struct job *job, const struct digest *payload)
{
    size_t at = find(job, payload);
    if (at == job->nlost)
        return;
    job->lost[at] = job->lost[--job->nlost];
    jobs_touch(core, job);
}

bool lost_is(const struct job *job, const struct claim *claim)
{
    return claim->has_payload && find(job, &claim->payload) < job->nlost;
}
