/* SPDX-License-Identifier: GPL-3.0-or-later */
/* People and machines: workers and operators. */
#include "verbs.h"

#include "buf.h"
#include "farmlog.h"
#include "journal.h"

#include <stdlib.h>

/* ---- list ---- */

struct worker_list {
    struct farm *farm;
    json_t *list;
};

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
        log_info("worker %s of %s admitted", entry.worker, entry.operator_name);
        ctl_finish(request, FARM_EXIT_OK,
                   json_pack("{s:s, s:s, s:b, s:I}", "worker", entry.worker, "operator", entry.operator_name,
                             "anchor", (int)directory_entry_is_anchor(&entry, farm->root),
                             "directory_version", (json_int_t)farm->directory->version));
    } else {
        ctl_fail(request, result, &diag);
    }
    directory_entry_done(&entry);
}

/* ---- revoke, pause, resume, drain ---- */

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

void verb_worker_revoke(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *name = known_worker(farm, request, &diag);
    if (name == NULL) {
        ctl_fail(request, FARM_E_UNKNOWN, &diag);
        return;
    }
    sessions_revoke(farm, name);
    trust_remove_entry(farm->directory, name);
    int result = trust_publish_directory(farm, &diag);
    db_set_worker_state(farm_write(farm), name, "revoked");
    struct logentry entry = {.kind = LOG_REVOKE, .version = -1, .worker = name};
    journal_add(farm, &entry);
    log_warning("worker %s revoked", name);
    if (result < 0)
        ctl_fail(request, result, &diag);
    else
        ctl_finish(request, FARM_EXIT_OK, json_pack("{s:s, s:s}", "worker", name, "state", "revoked"));
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
