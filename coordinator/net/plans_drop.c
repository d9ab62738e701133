/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Dropping: what was built for plans that ended longer ago than keep_finished leaves the store, with the next "farmctl gc". Not what a draft or a
 * release is of, nor what a younger plan has too: jobs are shared, and the last plan that has one takes it along.
 *
 * Evidence is not dropped. Leases, answers, votes, verdicts and the log stay as rows and go on to be verified at each start; what goes are the
 * references to objects (plan, package tree, specs, outputs, build logs), which a collection then finds unnamed. So "lost" and "dropped" are told apart by that
 * alone: an object that is named and absent is lost, and one that is absent and not named was dropped, or never here.
 *
 * A plan that was dropped is not known any more, but for its row. Made again it is a new plan. Of its jobs the answers are remembered, while their
 * outputs may be gone: then they are wanted again (plans_regain), which makes them lost, and what is lost is built again.
 */
#include "farm.h"

#include "farmlog.h"
#include "missing.h"
#include "outputs.h"

#include <stdlib.h>

enum {
    DROP_AT_ONCE = 256
}; /* plans of one collection: each takes milliseconds of the loop; the next one goes on */

struct old_plans {
    struct digest ids[DROP_AT_ONCE];
    size_t count;
};

static int take_old(void *context, const struct digest *id)
{
    struct old_plans *old = context;
    old->ids[old->count++] = *id;
    return 0;
}

static bool is_in_use(const struct farm_plan *plan)
{
    return plan != NULL && (plan->active || plan->holders > 0);
}

static void drop(struct farm *farm, const struct digest *id)
{
    struct farm_plan *plan = map_remove(farm->plans, view_of(id->bytes, DIGEST_SIZE));
    db_drop_plan(farm_write(farm), id, moment_wall_ms());
    log_event(LOG_LEVEL_INFO, "plan dropped: it ended longer than keep_finished ago",
              log_digest(FIELD_PLAN, id));
    if (plan == NULL)
        return;
    plan_free(plan->plan);
    free(plan->tars);
    free(plan);
}

/* What is collected next must not be named by a database that comes back after a crash. */
static void commit(struct farm *farm)
{
    struct diag diag = DIAG_INIT;
    int result = farm_flush(farm, &diag);
    if (result >= 0)
        return;
    log_error("database: %s", diag_text(&diag, result));
    abort(); /* memory has run ahead of the disk */
}

int plans_drop_old(struct farm *farm, size_t *ret_dropped, struct diag *diag)
{
    struct old_plans old = {.count = 0};
    int64_t keep_ms = (int64_t)farm->config.keep_finished * 1000;
    *ret_dropped = 0;
    if (keep_ms == 0)
        return 0;
    int result = db_each_droppable(farm->db, moment_wall_ms() - keep_ms, DROP_AT_ONCE, take_old, &old, diag);
    for (size_t i = 0; result >= 0 && i < old.count; i++) {
        if (is_in_use(map_get(farm->plans, view_of(old.ids[i].bytes, DIGEST_SIZE))))
            continue;
        drop(farm, &old.ids[i]);
        ++*ret_dropped;
    }
    if (result >= 0)
        commit(farm);
    if (*ret_dropped > 0)
        outputs_forget(farm->outputs);
    return result;
}

/* ---- wanted again ---- */

struct regain {
    struct farm *farm;
    struct digest payload, tar, envelope; /* payload: what was agreed; of the first answer with it */
    bool agreed, held;
};

static int take_verdict(void *context, const struct db_verdict *row)
{
    struct regain *regain = context;
    if (strcmp(row->state, "agreed") == 0) {
        regain->agreed = true;
        regain->payload = row->payload;
    }
    return 0;
}

static int take_answer(void *context, const struct db_attestation *row)
{
    struct regain *regain = context;
    if (!digest_equal(&row->payload, &regain->payload))
        return 0;
    regain->held = regain->held || db_is_held(regain->farm->db, &row->payload, &row->digest);
    regain->envelope = row->digest;
    regain->tar = row->tar;
    return 0;
}

static void want(struct farm *farm, const struct digest *object, const struct digest *envelope)
{
    db_put_output(farm_write(farm), object, envelope);
    if (!store_has(farm->store, object))
        missing_add(farm, object);
}

int plans_regain(struct farm *farm, const struct digest *job, struct diag *diag)
{
    static const struct digest none;
    struct regain regain = {.farm = farm};
    int result = db_each_verdict_of(farm->db, job, take_verdict, &regain, diag);
    if (result >= 0 && regain.agreed)
        result = db_each_attestation_of(farm->db, job, take_answer, &regain, diag);
    if (result < 0 || !regain.agreed || regain.held || digest_equal(&regain.envelope, &none))
        return result;
    log_event(LOG_LEVEL_INFO, "an output that was dropped is wanted again", log_digest(FIELD_JOB, job),
              log_digest(FIELD_PAYLOAD, &regain.payload));
    want(farm, &regain.payload, &regain.envelope);
    want(farm, &regain.tar, &regain.envelope);
    return 0;
}
