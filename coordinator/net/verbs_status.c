/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What goes on: status, watch, jobs, why. */
#include "verbs.h"

#include "buf.h"
#include "download.h"
#include "gitpin.h"
#include "missing.h"
#include "web.h"

#include <stdlib.h>
#include <sys/resource.h>

enum { NODE_STATES = NODE_BLOCKED + 1 };

static json_t *groups_json(const struct verdict *verdict)
{
    json_t *list = json_array();
    for (size_t i = 0; i < verdict->ngroups; i++) {
        const struct verdict_group *group = &verdict->groups[i];
        json_array_append_new(list, json_pack("{s:o, s:i, s:i, s:b}", "payload",
                                              group->is_failure ? json_null() : json_digest(&group->payload),
                                              "operators", (int)group->operators, "anchors",
                                              (int)group->anchors, "failure", (int)group->is_failure));
    }
    return list;
}

static json_t *node_json(const struct farm_plan *plan, const struct core_node_view *view, size_t node)
{
    const struct plan_node *row = &plan->plan->nodes[node];
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s}", "node", view->id, "version", row->version,
        "state", node_state_name(view->state), "plan", digest_hex(&plan->id).text, "round", (int)view->round,
        "quorum", (int)row->rules.quorum, "operators", (int)(view->keyed ? view->verdict.operators : 0),
        "dissent", (int)(view->keyed ? view->verdict.dissent : 0), "leases", (int)view->live_leases,
        "attempts", (int)view->attempts, "since", moment_format(farm_wall_of_core(view->since_ms)).text);
    json_object_set_new(json, "key", view->keyed ? json_digest(&view->key) : json_null());
    json_object_set_new(json, "payload",
                        view->state == NODE_AGREED ? json_digest(&view->verdict.payload) : json_null());
    return json;
}

/* What stands still because of this node: everything whose closure has it. */
static json_t *blocks_json(const struct farm_plan *plan, size_t node)
{
    json_t *list = json_array();
    for (size_t i = node + 1; i < plan->plan->nnodes; i++)
        for (size_t k = 0; k < plan->plan->nodes[i].nclosure; k++)
            if (plan->plan->nodes[i].closure[k] == node)
                json_array_append_new(list, json_string(plan->plan->nodes[i].id));
    return list;
}

struct last_failure {
    char kind[32];
    struct digest log;
};

static int visit_failure(void *context, const struct db_attestation *row)
{
    struct last_failure *last = context;
    if (strcmp(row->failure, "none") != 0) {
        snprintf(last->kind, sizeof last->kind, "%s", row->failure);
        last->log = row->log;
    }
    return 0;
}

/* The last lines of a build log, for the one screen that people look at first. */
static json_t *read_tail(struct farm *farm, const struct digest *log)
{
    enum { LINES = 12, LOG_MAX = 64 * 1024 * 1024 };
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_t *lines = json_array();
    if (store_get(farm->store, log, LOG_MAX, &text, NULL) < 0)
        return lines;
    size_t start = text.size, seen = 0;
    while (start > 0 && (text.data[start - 1] != '\n' || start == text.size || ++seen < LINES))
        start--;
    struct view rest = view_of(text.data + start, text.size - start), line;
    while (view_split(&rest, '\n', &line))
        if (line.size > 0)
            json_array_append_new(lines, json_view(line));
    return lines;
}

/* Remembered, since a status is written twice a second and a log may have a million lines. A new reference. */
static json_t *log_tail(struct farm *farm, const struct digest *log)
{
    enum { TAILS_MAX = 1000 };
    struct view key = view_of(log->bytes, DIGEST_SIZE);
    json_t *known = map_get(farm->log_tails, key);
    if (known != NULL)
        return json_incref(known);
    json_t *lines = read_tail(farm, log);
    if (map_count(farm->log_tails) < TAILS_MAX)
        map_set(farm->log_tails, key, json_incref(lines));
    return lines;
}

static json_t *failure_json(struct farm *farm, const struct farm_plan *plan,
                            const struct core_node_view *view, size_t node)
{
    struct last_failure last = {"", {{0}}};
    if (view->keyed)
        (void)!db_each_attestation_of(farm->db, &view->key, visit_failure, &last, NULL);
    json_t *json = node_json(plan, view, node);
    json_object_set_new(json, "kind",
                        json_string(last.kind[0] != '\0' ? last.kind : node_state_name(view->state)));
    json_object_set_new(json, "log", log_tail(farm, &last.log));
    json_object_set_new(json, "blocks", blocks_json(plan, node));
    if (view->state == NODE_HALTED) {
        CLEANUP_BUF struct buf why = BUF_INIT;
        core_why(farm->core, &plan->id, node, farm_core_now(), &why);
        json_object_set_new(json, "why", json_view(buf_view(&why)));
    }
    return json;
}

static json_t *dispute_json(const struct farm_plan *plan, const struct core_node_view *view, size_t node)
{
    json_t *json = node_json(plan, view, node);
    json_object_set_new(json, "groups", groups_json(&view->verdict));
    json_object_set_new(json, "blocks", blocks_json(plan, node));
    return json;
}

struct plan_row {
    const char *state;
    char state_room[16];
    int64_t created_ms, started_ms, finished_ms;
};

static int visit_plan(void *context, const struct db_plan *row)
{
    struct plan_row *plan = context;
    snprintf(plan->state_room, sizeof plan->state_room, "%s", row->state);
    plan->created_ms = row->created_ms;
    plan->started_ms = row->started_ms;
    plan->finished_ms = row->finished_ms;
    return 0;
}

static json_t *time_json(int64_t wall_ms)
{
    return wall_ms > 0 ? json_string(moment_format(wall_ms).text) : json_null();
}

/* It had ended, and goes on: a verdict was reopened, or a payload lost. The row has its end until there is another. */
static bool goes_on(const size_t counts[NODE_STATES])
{
    return counts[NODE_WAITING] + counts[NODE_DERIVING] + counts[NODE_READY] + counts[NODE_RUNNING] > 0;
}

static json_t *plan_json(struct farm *farm, const struct farm_plan *plan, json_t *disputes, json_t *failures)
{
    size_t counts[NODE_STATES] = {0};
    struct plan_row row = {0};
    (void)!db_find_plan(farm->db, &plan->id, visit_plan, &row, NULL);
    for (size_t i = 0; plan->active && i < plan->plan->nnodes; i++) {
        struct core_node_view view;
        if (!core_node(farm->core, &plan->id, i, &view))
            continue;
        counts[view.state]++;
        bool dissent = view.keyed && view.verdict.dissent > 0 && view.state == NODE_AGREED;
        if (view.state == NODE_DISPUTED || dissent)
            json_array_append_new(disputes, dispute_json(plan, &view, i));
        if (view.state == NODE_FAILED || view.state == NODE_HALTED)
            json_array_append_new(failures, failure_json(farm, plan, &view, i));
    }
    if (plan->forgotten && strcmp(row.state_room, plan_state_name(PLAN_DONE)) == 0)
        counts[NODE_AGREED] = plan->nnodes;
    if (plan->active && strcmp(row.state_room, plan_state_name(PLAN_CANCELLED)) != 0 && goes_on(counts))
        snprintf(row.state_room, sizeof row.state_room, "%s", plan_state_name(PLAN_RUNNING));
    json_t *states = json_object();
    for (int i = 0; i < NODE_STATES; i++)
        json_object_set_new(states, node_state_name((enum node_state)i), json_integer((json_int_t)counts[i]));
    return json_pack(
        "{s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:I}", "plan", digest_hex(&plan->id).text, "tree",
        plan->commit, "state", row.state_room, "nodes", (int)plan->nnodes, "counts", states, "created",
        time_json(row.created_ms), "started", time_json(row.started_ms), "finished",
        time_json(row.finished_ms), "elapsed_ms",
        (json_int_t)(row.started_ms == 0
                         ? 0
                         : (row.finished_ms > 0 ? row.finished_ms : moment_wall_ms()) - row.started_ms));
}

static const char *phase_name(enum wire_phase phase)
{
    switch (phase) {
    case WIRE_PHASE_UNSPECIFIED:
        return "sent";
    case WIRE_PHASE_PREPARE:
        return "prepare";
    case WIRE_PHASE_UNPACK:
        return "unpack";
    case WIRE_PHASE_CONFIGURE:
        return "configure";
    case WIRE_PHASE_BUILD:
        return "build";
    case WIRE_PHASE_CHECK:
        return "check";
    case WIRE_PHASE_INSTALL:
        return "install";
    case WIRE_PHASE_COLLECT:
        return "collect";
    case WIRE_PHASE_REPORT:
        return "report";
    }
    return "?";
}

static json_t *leases_json(struct farm *farm)
{
    json_t *list = json_array();
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(farm->live, &cursor, &key, &value)) {
        const struct live_lease *live = value;
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:I}", "node", live->node, "worker",
                                              live->worker, "phase", phase_name(live->phase), "nonce",
                                              digest_hex(&live->nonce).text, "running_ms",
                                              (json_int_t)(moment_wall_ms() - live->granted_ms)));
    }
    return list;
}

struct worker_counts {
    int online, known, flagged;
};

static void count_worker(void *context, const struct core_worker_view *view)
{
    struct worker_counts *counts = context;
    counts->known += !view->revoked;
    counts->online += view->online;
    counts->flagged += view->operator_flagged;
}

/* Of this process, which may run on other libraries and limits than whoever asks: for the doctor. */
static void add_program(json_t *report)
{
    static void (*const libraries[])(struct buf *) = {db_library, link_library, gitpin_library,
                                                      download_library, web_library};
    json_t *list = json_array();
    struct rlimit limit;
    for (size_t i = 0; i < ARRAY_SIZE(libraries); i++) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        libraries[i](&text);
        json_array_append_new(list, json_string(text.data));
    }
    json_object_set_new(report, "libraries", list);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        json_object_set_new(report, "descriptors", json_integer((json_int_t)limit.rlim_cur));
}

/* Also one whose verdicts were reopened, or whose payloads were lost, after it was done. */
static bool is_running(const struct farm *farm, const struct farm_plan *plan)
{
    size_t counts[NODE_STATES] = {0};
    struct core_node_view view;
    for (size_t i = 0; plan->active && i < plan->nnodes; i++)
        if (core_node(farm->core, &plan->id, i, &view))
            counts[view.state]++;
    return goes_on(counts);
}

json_t *status_report(struct farm *farm, size_t newest)
{
    json_t *plans = json_array(), *disputes = json_array(), *failures = json_array();
    struct worker_counts workers = {0};
    struct core_counts counts;
    size_t cursor = 0, left = map_count(farm->plans);
    struct view key;
    core_count(farm->core, &counts);
    for (void *value; map_next(farm->plans, &cursor, &key, &value); left--) {
        const struct farm_plan *plan = value; /* who waits for one, holds it */
        if (left <= newest || plan->holders > 0 || is_running(farm, plan))
            json_array_append_new(plans, plan_json(farm, plan, disputes, failures));
    }
    core_each_worker(farm->core, count_worker, &workers);
    json_t *report =
        json_pack("{s:s, s:s, s:o, s:I, s:{s:i, s:i, s:i}, s:o, s:o, s:o, s:b, s:o, s:I, s:I}", "version",
                  FARM_VERSION, "started", moment_format(farm->started_ms).text, "plans", plans,
                  "plans_known", (json_int_t)map_count(farm->plans), "workers", "known", workers.known,
                  "online", workers.online, "flagged", workers.flagged, "leases", leases_json(farm),
                  "disputes", disputes, "failures", failures, "trust_root", (int)(farm->root != NULL), "held",
                  farm_held(farm) != NULL ? json_string(farm_held(farm)) : json_null(), "lost_objects",
                  (json_int_t)missing_count(farm), "lost_payloads", (json_int_t)counts.lost);
    add_program(report);
    return report;
}

static json_t *link_json(const struct link_server_stats *stats)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "handshakes", (json_int_t)stats->handshakes,
                     "refused", (json_int_t)stats->refused, "frames", (json_int_t)stats->frames,
                     "dropped_shape", (json_int_t)stats->dropped_shape, "dropped_revoked",
                     (json_int_t)stats->dropped_revoked, "dropped_stale", (json_int_t)stats->dropped_stale,
                     "cut", (json_int_t)stats->cut);
}

/* What came over the sockets since the start. Not in the report that "watch" compares: it changes all the time. */
static json_t *network_json(struct farm *farm)
{
    struct link_server_stats control = link_server_stats(farm->control);
    struct bulk_server_stats bulk = bulk_server_stats(farm->bulk);
    json_t *json = json_pack("{s:o, s:o}", "control", link_json(&control), "bulk", link_json(&bulk.link));
    json_t *more =
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "sent_bytes", (json_int_t)bulk.sent_bytes, "received_bytes",
                  (json_int_t)bulk.received_bytes, "stored", (json_int_t)bulk.stored, "uploads_refused",
                  (json_int_t)bulk.refused, "bad_frames", (json_int_t)bulk.bad_frames);
    json_object_update(json_object_get(json, "bulk"), more);
    json_decref(more);
    return json;
}

void verb_status(struct farm *farm, struct ctl_request *request)
{
    bool all = json_is_true(json_object_get(ctl_params(request), "all"));
    json_t *report = status_report(farm, all ? SIZE_MAX : STATUS_PLANS);
    json_object_set_new(report, "network", network_json(farm));
    ctl_finish(request, FARM_EXIT_OK, report);
}

/* ---- watch: the status again whenever it changed ---- */

struct watch_state {
    struct digest last;
};

static bool poll_watch(struct farm *farm, struct ctl_request *request, void *context)
{
    struct watch_state *state = context;
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_t *report = status_report(farm, STATUS_PLANS);
    json_write(report, &text);
    struct digest now = digest_of(buf_view(&text));
    if (!digest_equal(&now, &state->last))
        ctl_item(request, json_incref(report));
    json_decref(report);
    state->last = now;
    return true;
}

void verb_watch(struct farm *farm, struct ctl_request *request)
{
    watch_add(farm, request, poll_watch, mem_zero(1, sizeof(struct watch_state)), free);
}

/* ---- jobs and why ---- */

/* Of a plan that was not started: the same members, and nothing has happened. */
static json_t *planned_json(const struct farm_plan *plan, size_t node)
{
    struct core_node_view view = {.id = plan->plan->nodes[node].id, .state = NODE_WAITING};
    json_t *json = node_json(plan, &view, node);
    json_object_set_new(json, "state", json_string("planned"));
    json_object_set_new(json, "since", json_null());
    return json;
}

static void add_jobs(struct farm *farm, const struct farm_plan *plan, const char *state, json_t *list)
{
    for (size_t i = 0; i < plan->plan->nnodes; i++) {
        struct core_node_view view;
        if (!core_node(farm->core, &plan->id, i, &view)) {
            if (state == NULL || strcmp(state, "planned") == 0)
                json_array_append_new(list, planned_json(plan, i));
            continue;
        }
        if (state == NULL || strcmp(node_state_name(view.state), state) == 0)
            json_array_append_new(list, node_json(plan, &view, i));
    }
}

void verb_jobs(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *wanted = ctl_text(request, "plan"), *state = ctl_text(request, "state");
    json_t *list = json_array();
    size_t cursor = 0;
    struct view key;
    void *value;
    if (wanted != NULL) {
        const struct farm_plan *plan = plans_find(farm, wanted, &diag);
        if (plan == NULL) {
            json_decref(list);
            ctl_fail(request, FARM_E_UNKNOWN, &diag);
            return;
        }
        add_jobs(farm, plan, state, list);
    }
    while (wanted == NULL && map_next(farm->plans, &cursor, &key, &value))
        if (((struct farm_plan *)value)->plan != NULL && /* named, it is recalled; */
            !((struct farm_plan *)value)->forgotten)     /* unasked, a year's plans are not */
            add_jobs(farm, value, state, list);
    ctl_finish(request, FARM_EXIT_OK, json_pack("{s:o}", "jobs", list));
}

void verb_why(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct farm_plan *plan;
    size_t node;
    struct core_node_view view;
    int result = plans_find_node(farm, ctl_text(request, "job"), &plan, &node, &diag);
    if (result >= 0 && !core_node(farm->core, &plan->id, node, &view))
        result =
            diag_set(&diag, FARM_E_STATE, "%s is planned, but not started; \"farmctl build %.12s\" starts it",
                     plan->plan->nodes[node].id, digest_hex(&plan->id).text);
    if (result < 0) {
        ctl_fail(request, result, &diag);
        return;
    }
    core_why(farm->core, &plan->id, node, farm_core_now(), &text);
    json_t *json = node_json(plan, &view, node);
    json_object_set_new(json, "why", json_view(buf_view(&text)));
    json_object_set_new(json, "groups", groups_json(&view.verdict));
    ctl_finish(request, FARM_EXIT_OK, json);
}

void verb_join(struct farm *farm, struct ctl_request *request)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    farm_join_string(farm, &text);
    ctl_finish(request, FARM_EXIT_OK,
               json_pack("{s:s, s:b}", "join", text.data, "root", (int)(farm->root != NULL)));
}
