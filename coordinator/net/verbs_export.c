/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * release export and handoff, see export.h. If the trust root asks for witnesses, both wait a while until enough of them cosigned a
 * checkpoint that covers the release: then a hand-off is refused, naming whose cosignature is missing, and an export is written with
 * a note, since cosignatures may be passed by hand.
 */
#include "verbs.h"

#include "buf.h"
#include "export.h"
#include "farmlog.h"
#include "journal.h"
#include "partial.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Workers that have nothing to ask look once a minute; this is two looks and some. */
enum { WAIT_SECONDS = 150, WAIT_SECONDS_MAX = 3600 };

/* ---- the end ---- */

static json_t *notes_json(const struct export *export)
{
    json_t *notes = json_array();
    for (size_t i = 0; i < export->nnotes; i++)
        json_array_append_new(notes, json_view(view_text(export->notes[i])));
    return notes;
}

static void export_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct export *export = (struct export *)task;
    farm->handing_over = farm->handing_over && export->phase == NULL;
    if (export->result < 0 && export->verified.problems.count > 0) {
        ctl_finish(export->request, FARM_EXIT_VIOLATION,
                   json_pack("{s:s, s:o}", "error", "the gate refuses this release; nothing was handed over",
                             "problems", json_problems(&export->verified.problems)));
    } else if (export->result < 0) {
        ctl_fail(export->request, export->result, &export->diag);
    } else {
        ctl_finish(export->request, FARM_EXIT_OK,
                   json_pack("{s:s, s:i, s:o, s:o}", "to", export->to, "files", (int)export->written, "phase",
                             export->phase != NULL ? json_string(export->phase) : json_null(), "notes",
                             notes_json(export)));
        log_event(LOG_LEVEL_INFO, "release exported", log_text(FIELD_PATH, export->to),
                  log_text(FIELD_PHASE, export->phase != NULL ? export->phase : "-"));
    }
    export_free(export);
}

/* ---- the beginning ---- */

struct wanted {
    struct digest digest, plan;
    bool is_signed;
};

static int visit_release(void *context, const struct db_release *row)
{
    struct wanted *wanted = context;
    wanted->digest = row->digest;
    wanted->plan = row->plan;
    wanted->is_signed = strcmp(row->state, "signed") == 0;
    return 0;
}

static int find_release(struct farm *farm, struct export *export, const char *name, struct wanted *ret,
                        struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = db_find_release(farm->db, name, visit_release, ret, diag);
    if (result == 0)
        return diag_set(diag, FARM_E_UNKNOWN, "no release \"%s\"; \"farmctl release list\" names them", name);
    if (result > 0 && export->phase != NULL && !ret->is_signed)
        return diag_set(diag, FARM_E_REFUSED,
                        "release %s has too few signatures; \"farmctl release show %s\" counts them", name,
                        name);
    if (result >= 0)
        result = store_get(farm->store, &ret->digest, RELEASE_SIZE_MAX, &text, diag);
    if (result >= 0)
        result = release_parse(buf_view(&text), RELEASE_FILE, &export->release, diag);
    export->digest = ret->digest;
    return result;
}

static void begin(struct farm *farm, struct export *export, struct farm_plan *plan)
{
    int result = export_gather(farm, export, plan, &export->diag);
    if (result >= 0 && export->phase != NULL && farm->handing_over)
        result =
            diag_set(&export->diag, FARM_E_STATE, "another hand-off is under way; try again when it is done");
    if (result < 0) {
        ctl_fail(export->request, result, &export->diag);
        export_free(export);
        return;
    }
    farm->handing_over = farm->handing_over || export->phase != NULL;
    pool_submit(farm->pool, &export->task);
}

/* ---- waiting for witnesses ---- */

struct waiting {
    struct export *export; /* NULL: it went on, or ended */
    struct farm_plan *plan;
    int64_t deadline_ms, call_ms; /* steady */
    struct digest shown;          /* of the last progress */
};
/* On a busy farm the log grows while they look; called together again they meet at one checkpoint in the end. */
enum { CALL_AGAIN_MS = 10000 };

static void call_witnesses(struct farm *farm, struct waiting *waiting)
{
    if (moment_steady_ms() < waiting->call_ms)
        return;
    waiting->call_ms = moment_steady_ms() + CALL_AGAIN_MS;
    journal_call_witnesses(farm);
}

static void waiting_free(void *context)
{
    struct waiting *waiting = context;
    if (waiting->export != NULL)
        export_free(waiting->export);
    free(waiting);
}

static void show_progress(struct waiting *waiting, struct ctl_request *request, json_t *report)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_write(report, &text);
    struct digest now = digest_of(buf_view(&text));
    if (!digest_equal(&now, &waiting->shown))
        ctl_progress(request, json_pack("{s:s, s:O}", "waiting", "cosignatures", "log", report));
    waiting->shown = now;
}

static int refuse_uncovered(const struct release *release, const json_t *report, struct diag *diag)
{
    CLEANUP_BUF struct buf missing = BUF_INIT;
    const json_t *cosigned = json_object_get(json_object_get(report, "checkpoint"), "cosigned");
    export_log_missing(report, &missing);
    return diag_set(
        diag, FARM_E_REFUSED,
        "no checkpoint that covers release %s (log size %llu) was cosigned by %lld of the listed "
        "operators yet. The newest one lacks: %s; it has %zu. Their owners should see that these workers "
        "run, and what \"farm-worker status\" says",
        release->name, (unsigned long long)release->log.size,
        (long long)json_integer_value(json_object_get(report, "threshold")),
        missing.size > 0 ? missing.data : "nobody", json_array_size(cosigned));
}

/* Time is up: a hand-off ends here, an export goes on and says so. */
static void give_up(struct farm *farm, struct waiting *waiting, const json_t *report)
{
    struct export *export = STEAL(waiting->export);
    int result = refuse_uncovered(export->release, report, &export->diag);
    if (export->phase != NULL) {
        ctl_fail(export->request, result, &export->diag);
        export_free(export);
        return;
    }
    export_note(export, "%s; until then farm-verify refuses it, unless cosignatures are passed to it by hand",
                export->diag.text);
    begin(farm, export, waiting->plan);
}

static bool poll_cosigned(struct farm *farm, struct ctl_request *request, void *context)
{
    struct waiting *waiting = context;
    if (export_log_is_covered(farm, waiting->export->release)) {
        begin(farm, STEAL(waiting->export), waiting->plan);
        return false;
    }
    CLEANUP_JSON json_t *report = export_log_report(farm, waiting->export->release);
    if (moment_steady_ms() >= waiting->deadline_ms) {
        give_up(farm, waiting, report);
        return false;
    }
    call_witnesses(farm, waiting);
    show_progress(waiting, request, report);
    return true;
}

static void wait_for_witnesses(struct farm *farm, struct export *export, struct farm_plan *plan,
                               int64_t seconds)
{
    struct waiting *waiting = mem_zero(1, sizeof *waiting);
    waiting->export = export;
    waiting->plan = plan;
    waiting->deadline_ms = moment_steady_ms() + seconds * 1000;
    call_witnesses(farm, waiting);
    watch_add(farm, export->request, poll_cosigned, waiting, waiting_free);
}

/* ---- a release that names no log: the rows as they are, but published first ---- */

static void on_published(struct farm *farm, void *context, int result)
{
    struct waiting *waiting = context;
    struct export *export = STEAL(waiting->export);
    if (farm->stopping)
        result = -ECANCELED; /* the pool is no more */
    if (result < 0) {
        ctl_fail(export->request,
                 diag_set(&export->diag, result, "the transparency log cannot be published: %s",
                          diag_text(NULL, result)),
                 &export->diag);
        export_free(export);
    } else {
        begin(farm, export, waiting->plan);
    }
    waiting_free(waiting);
}

static void publish_first(struct farm *farm, struct export *export, struct farm_plan *plan)
{
    struct waiting *waiting = mem_zero(1, sizeof *waiting);
    waiting->export = export;
    waiting->plan = plan;
    journal_publish(farm, on_published, waiting);
}

/* ---- the verbs ---- */

static int check_target(const char *to, struct diag *diag)
{
    if (to == NULL || to[0] != '/')
        return diag_set(diag, FARM_E_USAGE, "--to needs an absolute directory name");
    if (access(to, F_OK) == 0)
        return diag_set(diag, FARM_E_EXISTS, "%s exists; an export is written whole into a new directory",
                        to);
    return 0;
}

static bool phase_is_known(const char *phase)
{
    return strcmp(phase, "bootloader") == 0 || strcmp(phase, "image") == 0 ||
           strcmp(phase, "ukis-verity") == 0;
}

static struct export *export_new(struct farm *farm, struct ctl_request *request, const char *phase)
{
    struct export *export = mem_zero(1, sizeof *export);
    export->task.run = export_run;
    export->task.done = export_done;
    export->result = -ECANCELED;
    export->request = request;
    export->store = farm->store;
    export->keys = identity_keys(farm->identity);
    export->state_path = farm->state_path;
    export->state_dirfd = farm->state_dirfd;
    export->started_ms = farm->started_ms;
    export->phase = phase != NULL ? mem_string(phase) : NULL;
    return export;
}

static void set_target(struct export *export, const char *to)
{
    partial_name(to, &export->to, &export->temp);
}

/* How long to wait, in seconds. Drafts are written as they are. */
static int read_wait(const struct ctl_request *request, bool is_signed, int64_t *ret, struct diag *diag)
{
    const json_t *wait = json_object_get(ctl_params(request), "wait_seconds");
    int64_t seconds = wait != NULL ? json_integer_value(wait) : WAIT_SECONDS;
    if (seconds < 0 || seconds > WAIT_SECONDS_MAX)
        return diag_set(diag, FARM_E_USAGE, "--wait takes 0 to %d seconds", WAIT_SECONDS_MAX);
    *ret = is_signed ? seconds : 0;
    return 0;
}

static int prepare(struct farm *farm, struct export *export, struct farm_plan **ret_plan, int64_t *ret_wait,
                   struct diag *diag)
{
    const char *name = ctl_text(export->request, "release"), *to = ctl_text(export->request, "to");
    struct wanted wanted = {0};
    if (name == NULL)
        return diag_set(diag, FARM_E_USAGE, "which release?");
    int result = check_target(to, diag);
    if (result >= 0)
        result = find_release(farm, export, name, &wanted, diag);
    if (result >= 0)
        result = read_wait(export->request, wanted.is_signed, ret_wait, diag);
    if (result < 0)
        return result;
    set_target(export, to);
    *ret_plan = plans_get(farm, &wanted.plan);
    return *ret_plan == NULL ? diag_set(diag, FARM_E_CORRUPT, "the release's plan is not known") : 0;
}

static void export_release(struct farm *farm, struct ctl_request *request, const char *phase)
{
    struct export *export = export_new(farm, request, phase);
    struct farm_plan *plan = NULL;
    int64_t wait_seconds = 0;
    int result = prepare(farm, export, &plan, &wait_seconds, &export->diag);
    if (result < 0) {
        ctl_fail(request, result, &export->diag);
        export_free(export);
    } else if (!export->release->has_log) {
        publish_first(farm, export, plan);
    } else {
        wait_for_witnesses(farm, export, plan, wait_seconds);
    }
}

void verb_release_export(struct farm *farm, struct ctl_request *request)
{
    export_release(farm, request, NULL);
}

void verb_handoff(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *phase = ctl_text(request, "phase");
    if (phase == NULL || !phase_is_known(phase)) {
        ctl_fail(request, diag_set(&diag, FARM_E_USAGE, "--phase is bootloader, image or ukis-verity"),
                 &diag);
        return;
    }
    export_release(farm, request, phase);
}
