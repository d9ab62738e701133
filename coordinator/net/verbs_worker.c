/* SPDX-License-Identifier: GPL-3.0-or-later */
/* People and machines: workers and operators. */
#include "verbs.h"

#include "buf.h"
#include "farmlog.h"
#include "standing.h"

#include <stdlib.h>

/* ---- list ---- */

struct worker_list {
    struct farm *farm;
    json_t *list;
};

/* What the directory says of it; nothing if it is in there no longer. */
static void add_entry(json_t *json, const struct directory_entry *entry)
{
    bool expired = entry != NULL && entry->expires_ms <= moment_wall_ms();
    json_object_set_new(json, "expired", json_boolean(expired));
    json_object_set_new(json, "expires",
                        entry != NULL ? json_string(moment_format(entry->expires_ms).text) : json_null());
    json_object_set_new(json, "compromised_from",
                        json_integer(entry != NULL ? (json_int_t)entry->compromised_from : -1));
}

static void add_worker(void *context, const struct core_worker_view *view)
{
    struct worker_list *state = context;
    json_t *facts = map_get(state->farm->hellos, view_text(view->name));
    json_t *json = json_pack(
        "{s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:i, s:I, s:I, s:s}", "worker", view->name, "operator",
        view->operator_name, "anchor", (int)view->anchor, "online", (int)view->online, "paused",
        (int)view->paused, "revoked", (int)view->revoked, "flagged", (int)view->operator_flagged, "resting",
        (int)view->resting, "leases", (int)view->live_leases, "answers", (json_int_t)view->answers,
        "outvoted", (json_int_t)view->outvoted, "heard",
        view->heard_ms > 0 ? moment_format(farm_wall_of_core(view->heard_ms)).text : "never");
    json_object_set(json, "facts", facts != NULL ? facts : json_null());
    add_entry(json, directory_find(state->farm->directory, view->name));
    json_array_append_new(state->list, json);
}

void verb_worker_list(struct farm *farm, struct ctl_request *request)
{
    struct worker_list state = {farm, json_array()};
    core_each_worker(farm->core, add_worker, &state);
    ctl_finish(request, FARM_EXIT_OK, json_pack("{s:o}", "workers", state.list));
}

/* ---- admit ---- */

/* {"entry": {...}, "signatures": [...]}, of the files that "farm-sign entry" wrote. */
static int parse_entry(json_t *document, struct directory_entry *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_t *entry, *signatures, *item;
    size_t index;
    int result = json_get_object(document, "entry", "entry", &entry, diag);
    if (result >= 0)
        result = json_get_array(document, "entry", "signatures", &signatures, diag);
    if (result < 0)
        return result;
    json_write(entry, &text);
    result = directory_entry_parse(buf_view(&text), "entry", ret, diag);
    if (result < 0)
        return result;
    json_array_foreach(signatures, index, item) if (json_is_string(item) && index < ROOT_SIGNATURES_MAX)
        directory_entry_add_signature(ret, view_text(json_string_value(item)));
    return 0;
}

static int admit(struct farm *farm, json_t *document, struct directory_entry *entry, struct diag *diag)
{
    int result = parse_entry(document, entry, diag);
    return result < 0 ? result : admission_admit(farm, entry, diag);
}

void verb_worker_admit(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    struct directory_entry entry = {0};
    json_t *document = json_object_get(ctl_params(request), "document");
    int result = json_is_object(document) ? admit(farm, document, &entry, &diag)
                                          : diag_set(&diag, FARM_E_SYNTAX, "the file is not a signed entry");
    if (result >= 0) {
        log_event(LOG_LEVEL_INFO, "worker admitted", log_text(FIELD_WORKER, entry.worker),
                  log_text(FIELD_OPERATOR, entry.operator_name));
        ctl_finish(request, FARM_EXIT_OK,
                   json_pack("{s:s, s:s, s:b, s:I}", "worker", entry.worker, "operator", entry.operator_name,
                             "anchor", (int)directory_entry_is_anchor(&entry, farm->root),
                             "directory_version", (json_int_t)farm->directory->version));
    } else {
        ctl_fail(request, result, &diag);
    }
    directory_entry_done(&entry);
}

/* ---- revoke, expire, pause, resume, drain ---- */

static const char *known_worker(struct farm *farm, struct ctl_request *request, struct diag *diag)
{
    const char *name = ctl_text(request, "worker");
    if (name == NULL || directory_find(farm->directory, name) == NULL) {
        diag_set(diag, FARM_E_UNKNOWN, "no worker \"%s\"; \"farmctl worker list\" names them",
                 name != NULL ? name : "");
        return NULL;
    }
    return name;
}

/* Not in the directory, but known: a crash came between the directory and the rows, or a new root did not admit it. */
struct row_search {
    const char *name;
    bool found;
};

static int visit_name(void *context, const struct db_worker *row)
{
    struct row_search *search = context;
    search->found = search->found || strcmp(row->name, search->name) == 0;
    return 0;
}

static bool has_row(struct farm *farm, const char *name)
{
    struct row_search search = {name, false};
    return db_each_worker(farm->db, visit_name, &search, NULL) >= 0 && search.found;
}

/* What it says, for the log of the coordinator and the rows; people's words. */
static char *reason_of(struct ctl_request *request)
{
    const char *text = ctl_text(request, "reason");
    return text != NULL && text[0] != '\0' ? mem_format("revoked: %s", text) : mem_string("revoked");
}

/* Everything it ever said: its entry leaves the directory. Again, it finds nothing to do. */
static int revoke_all(struct farm *farm, struct ctl_request *request, const char *name, struct diag *diag)
{
    CLEANUP_FREE char *reason = reason_of(request);
    int result = 0;
    if (directory_find(farm->directory, name) != NULL) {
        trust_remove_entry(farm->directory, name);
        result = trust_publish_directory(farm, diag);
    } else if (!has_row(farm, name)) {
        return diag_set(diag, FARM_E_UNKNOWN, "no worker \"%s\"; \"farmctl worker list\" names them", name);
    }
    if (result < 0)
        return result;
    db_set_worker_state(farm_write(farm), name, "revoked");
    return revocation_void(farm, name, 0, reason, diag);
}

/* The newest grant of a lease that the worker answered. */
struct last_grant {
    struct farm *farm;
    int64_t at_ms;
    struct diag *diag;
};

static int visit_grant(void *context, const struct db_lease *row)
{
    struct last_grant *last = context;
    last->at_ms = row->granted_ms > last->at_ms ? row->granted_ms : last->at_ms;
    return 0;
}

static int visit_answered(void *context, const struct db_attestation *row)
{
    struct last_grant *last = context;
    return db_find_lease(last->farm->db, &row->nonce, visit_grant, last, last->diag);
}

/* Answers to leases that were granted after the entry ended do not count at the gate, so that ending it earlier would take some back. */
static int check_end(struct farm *farm, const struct directory_entry *entry, struct diag *diag)
{
    struct last_grant last = {farm, 0, diag};
    if (entry->expires_ms > moment_wall_ms())
        return diag_set(diag, FARM_E_REFUSED,
                        "the entry expires at %s, which is not yet: sign one with \"farm-sign entry FILE "
                        "--expires now\"",
                        moment_format(entry->expires_ms).text);
    int result = db_each_attestation_by(farm->db, entry->worker, visit_answered, &last, diag);
    if (result >= 0 && last.at_ms / 1000 * 1000 >= entry->expires_ms) /* as the log has it: whole seconds */
        return diag_set(
            diag, FARM_E_REFUSED,
            "%s answered a lease that it got at %s, after this entry ended (%s), and that would "
            "count no longer: sign one with \"--expires now\", or revoke it from a position in the "
            "log",
            entry->worker, moment_format(last.at_ms).text, moment_format(entry->expires_ms).text);
    return result < 0 ? result : 0;
}

/* A newer entry, signed by operator and enrolment, that says from where on, or that it has ended. */
static int take_entry(struct farm *farm, json_t *document, const char *name, bool compromised,
                      struct diag *diag)
{
    struct directory_entry entry = {0};
    int result = parse_entry(document, &entry, diag);
    if (result >= 0 && strcmp(entry.worker, name) != 0)
        result = diag_set(diag, FARM_E_REFUSED, "the entry is of worker %s, not of %s", entry.worker, name);
    else if (result >= 0 && directory_find(farm->directory, name) == NULL)
        result = diag_set(diag, FARM_E_UNKNOWN,
                          "no worker \"%s\" is in the directory; \"farmctl worker list\" names them", name);
    else if (result >= 0 && compromised && entry.compromised_from < 0)
        result = diag_set(diag, FARM_E_REFUSED,
                          "the entry does not say from where on its answers count no longer: sign one with "
                          "\"farm-sign entry FILE --compromised-from POSITION\", or revoke without --entry");
    else if (result >= 0 && !compromised)
        result = check_end(farm, &entry, diag);
    if (result >= 0)
        result = admission_admit(farm, &entry, diag);
    directory_entry_done(&entry);
    return result;
}

/* What became of it, and of what was agreed: {"worker","state","voided","reopened":[...],"upon":[...]} */
static json_t *consequences(struct farm *farm, const struct standing *before, const char *name,
                            const char *state, size_t voided)
{
    json_t *body = standing_compare(farm, before);
    json_object_set_new(body, "worker", json_string(name));
    json_object_set_new(body, "state", json_string(state));
    json_object_set_new(body, "voided", json_integer((json_int_t)voided));
    return body;
}

static void finish_change(struct farm *farm, struct ctl_request *request, struct standing *before,
                          size_t void_before, const char *state, int result, const struct diag *diag)
{
    const char *name = ctl_text(request, "worker");
    if (result < 0)
        ctl_fail(request, result, diag);
    else
        ctl_finish(request, FARM_EXIT_OK,
                   consequences(farm, before, name, state, db_count_voided(farm->db) - void_before));
    standing_free(before);
}

void verb_worker_revoke(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *name = ctl_text(request, "worker");
    json_t *document = json_object_get(ctl_params(request), "document");
    struct standing *before = standing_take(farm);
    size_t void_before = db_count_voided(farm->db);
    int result;
    if (name == NULL)
        result = diag_set(&diag, FARM_E_USAGE, "which worker?");
    else if (json_is_object(document))
        result = take_entry(farm, document, name, true, &diag);
    else
        result = revoke_all(farm, request, name, &diag);
    if (result >= 0)
        log_event(LOG_LEVEL_WARNING, "worker revoked", log_text(FIELD_WORKER, name));
    finish_change(farm, request, before, void_before, "revoked", result, &diag);
}

/* It ends, and what it said stands. */
void verb_worker_expire(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *name = ctl_text(request, "worker");
    json_t *document = json_object_get(ctl_params(request), "document");
    struct standing *before = standing_take(farm);
    size_t void_before = db_count_voided(farm->db);
    int result = name != NULL && json_is_object(document)
                     ? take_entry(farm, document, name, false, &diag)
                     : diag_set(&diag, FARM_E_USAGE, "which worker, by which signed entry?");
    if (result >= 0)
        log_event(LOG_LEVEL_INFO, "the worker's entry has ended", log_text(FIELD_WORKER, name));
    finish_change(farm, request, before, void_before, "expired", result, &diag);
}

static void set_paused(struct farm *farm, struct ctl_request *request, bool paused, enum wire_order order)
{
    struct diag diag = DIAG_INIT;
    const char *name = known_worker(farm, request, &diag);
    if (name == NULL) {
        ctl_fail(request, FARM_E_UNKNOWN, &diag);
        return;
    }
    Wire__Order message = WIRE__ORDER__INIT;
    message.code = (Wire__OrderCode)order;
    message.text = wire_text("by the farm's operator");
    sessions_hold_back(farm, name, paused);
    farm_post(farm, name, WIRE_ORDER, &message.base);
    db_set_worker_state(farm_write(farm), name, paused ? "paused" : "active");
    ctl_finish(request, FARM_EXIT_OK,
               json_pack("{s:s, s:s}", "worker", name, "state", paused ? "paused" : "active"));
}

void verb_worker_pause(struct farm *farm, struct ctl_request *request)
{
    set_paused(farm, request, true, WIRE_ORDER_PAUSE);
}

void verb_worker_resume(struct farm *farm, struct ctl_request *request)
{
    set_paused(farm, request, false, WIRE_ORDER_RESUME);
}

void verb_worker_drain(struct farm *farm, struct ctl_request *request)
{
    set_paused(farm, request, true, WIRE_ORDER_DRAIN);
}

void verb_operator_clear(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *name = ctl_text(request, "operator");
    struct core_event event = {.type = CORE_OPERATOR_CLEAR, .name = name};
    int result =
        name != NULL ? farm_feed(farm, &event, &diag) : diag_set(&diag, FARM_E_USAGE, "which operator?");
    if (result < 0) {
        ctl_fail(request, result, &diag);
        return;
    }
    db_clear_operator_flag(farm_write(farm), name);
    ctl_finish(request, FARM_EXIT_OK, json_pack("{s:s}", "operator", name));
}
