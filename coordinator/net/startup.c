/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Startup: reads the database back, and believes nothing in it: first the log, against what was shown of it (journal.c), then every
 * answer and what was made of it, against signatures (startup_audit.c), then rows and log against each other (startup_log.c). Only then
 * anything of it reaches memory.
 */
#include "farm.h"

#include "farmlog.h"
#include "journal.h"
#include "missing.h"
#include "scrub.h"

struct restore {
    struct farm *farm;
    struct diag *diag;
};

static int restore_flag(void *context, const char *operator_name, const char *reason)
{
    struct restore *restore = context;
    struct core_event event = {.type = CORE_OPERATOR_FLAG, .name = operator_name, .text = reason};
    struct diag why = DIAG_INIT;
    int result = farm_feed(restore->farm, &event, &why);
    if (result < 0) /* none of its workers is admitted: there is nobody to keep from leases */
        log_event(LOG_LEVEL_WARNING, "an operator's flag cannot be restored",
                  log_text(FIELD_OPERATOR, operator_name), log_text(FIELD_REASON, diag_text(&why, result)));
    return 0;
}

static int visit_base(void *context, const struct db_base *row)
{
    *(struct digest *)context = row->tar;
    return 0;
}

/* The store lost its text, its tree, or what they are made of: everything else starts, and whoever names the plan hears of it. */
static bool is_lost(int error)
{
    return error == FARM_E_MISSING || error == FARM_E_CORRUPT;
}

static int leave_out(struct restore *restore, struct farm_plan *entry, bool used, int error)
{
    entry->forgotten = used;
    entry->active = false;
    log_event(
        LOG_LEVEL_ERROR,
        "a plan cannot be read back, since the store lost a part of it; \"farmctl scrub\" says what to do",
        log_digest(FIELD_PLAN, &entry->id), log_text(FIELD_REASON, diag_text(restore->diag, error)));
    *restore->diag = (struct diag)DIAG_INIT;
    return 0;
}

static int read_text(struct farm *farm, const struct digest *id, struct plan **ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = store_get(farm->store, id, PLAN_SIZE_MAX, &text, diag);
    if (is_lost(result))
        missing_add(farm, id); /* perhaps found damaged just now */
    return result < 0 ? result : plan_parse(buf_view(&text), ret, diag);
}

static int restore_plan(void *context, const struct db_plan *row)
{
    struct restore *restore = context;
    struct farm *farm = restore->farm;
    struct plan *plan = NULL;
    struct digest base_tar = {{0}};
    if (row->dropped_ms > 0)
        return 0;
    bool used = strcmp(row->state, "running") == 0 || strcmp(row->state, "done") == 0 ||
                strcmp(row->state, "failed") == 0;
    int result = db_find_base(farm->db, &row->base, visit_base, &base_tar, restore->diag);
    if (result >= 0)
        result = read_text(farm, &row->id, &plan, restore->diag);
    if (is_lost(result))
        return leave_out(restore, plans_add_lost(farm, &row->id, row->commit, &base_tar), used, result);
    if (result < 0)
        return diag_wrap(restore->diag, result, "plan %s", digest_hex(&row->id).text);
    struct farm_plan *entry = plans_add(farm, plan, &base_tar);
    bool old = plans_is_old(farm, row);
    /* Finished plans go to the core as well, unless they ended so long ago that it would have forgotten them. */
    entry->forgotten = used && old;
    if (old)
        entry->plan = plan_free(entry->plan);
    if (!used || old)
        return 0;
    result = plans_start(farm, entry, row->from_scratch, row->started_ms, restore->diag);
    return is_lost(result) ? leave_out(restore, entry, used, result) : result;
}

int startup_restore(struct farm *farm, struct diag *diag)
{
    struct restore restore = {farm, diag};
    struct diag why = DIAG_INIT;
    int result = restored_open(farm, diag);
    if (result >= 0)
        result = journal_open(farm, diag);
    if (result >= 0 && farm->root != NULL && journal_check_root(farm, farm->root, &why) < 0)
        log_warning("%s. Until then no worker is let in: it would take this log for a forgery", why.text);
    if (result >= 0)
        result = startup_audit(farm, diag);
    if (result >= 0)
        result = startup_check_log(farm, diag);
    if (result >= 0)
        result = missing_open(farm, diag); /* before any job's past is fed */
    if (result >= 0)
        result = admission_restore(farm, diag);
    if (result >= 0)
        result = revocation_restore(farm, diag);
    if (result >= 0)
        result = db_each_flag(farm->db, restore_flag, &restore, diag);
    if (result >= 0)
        result = db_each_plan(farm->db, restore_plan, &restore, diag);
    if (result >= 0)
        missing_open_specs(farm);
    if (result >= 0)
        scrub_open(farm);
    if (result >= 0)
        result = restored_begin(farm, diag);
    return result < 0 ? result : farm_flush(farm, diag);
}
