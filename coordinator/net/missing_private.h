/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What missing.c and missing_say.c share. */
#ifndef FARM_MISSING_PRIVATE_H
#define FARM_MISSING_PRIVATE_H

#include "farm.h"
#include "missing.h"

/* A payload that some answer to the job named. */
struct loss {
    struct digest job, payload;
};

struct missing_object {
    struct digest object;
    int64_t found_ms;    /* wall */
    int64_t retry_ms;    /* steady; when it is tried again */
    struct loss *losses; /* whose manifest or tar it is */
    size_t nlosses, capacity;
};

struct lost_payload {
    struct digest payload;
    uint32_t objects; /* of its two, those that are missing */
};
struct lost_job {
    struct digest job;
    struct lost_payload *payloads;
    size_t npayloads;
};

struct missing {
    struct map *objects;   /* digest -> struct missing_object */
    struct map *jobs;      /* key -> struct lost_job */
    struct digest *absent; /* specs, while the start goes on */
    size_t nabsent, absent_capacity;
    size_t look_at;  /* cursor in the objects: where the next look goes on */
    int64_t look_ms; /* steady */
    bool fetching; /* a source, in the pool: one at a time, since what answers wait for has to pass as well */
};

/* missing_say.c: the loss hinders nothing and never ends: it is of answers alone, and what they built is not agreed on. */
bool missing_is_final(struct farm *farm, const struct missing_object *object);

/* The plan that has the job: one that has it now, in the core; else one that had it and is there, or has left memory; else any; NULL: none. */
struct farm_plan *missing_plan(struct farm *farm, const struct digest *job);

#endif
