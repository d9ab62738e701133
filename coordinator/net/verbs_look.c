/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Looking into one job: its log, and where rival answers differ. */
#include "verbs.h"

#include "buf.h"
#include "payload.h"

#include <stdlib.h>

/* LOG_STEP goes out at a time; well below CTL_BACKLOG_MAX even if every byte of it needs six in JSON. */
enum { LOG_OBJECT_MAX = 256 * 1024 * 1024, LOG_ITEM = 256 * 1024, LOG_STEP = 8 * 1024 * 1024 };

/* ---- log ---- */

struct log_of {
    const char *worker;         /* NULL: anybody's */
    const struct digest *nonce; /* NULL: of any lease */
    struct farm *farm;
    struct digest log;
    bool found;
    char from[WIRE_NAME_MAX + 1];
};

static int visit_lease(void *context, const struct db_lease *row)
{
    snprintf(context, WIRE_NAME_MAX + 1, "%s", row->worker);
    return 0;
}

static int visit_answer(void *context, const struct db_attestation *row)
{
    struct log_of *wanted = context;
    char worker[WIRE_NAME_MAX + 1] = "";
    if (wanted->nonce != NULL && !digest_equal(wanted->nonce, &row->nonce))
        return 0;
    (void)!db_find_lease(wanted->farm->db, &row->nonce, visit_lease, worker, NULL);
    if (wanted->worker != NULL && strcmp(worker, wanted->worker) != 0)
        return 0;
    wanted->log = row->log; /* the newest wins: rows come in order of arrival */
    wanted->found = true;
    snprintf(wanted->from, sizeof wanted->from, "%s", worker);
    return 0;
}

static void send_text(struct ctl_request *request, const char *worker, struct view text)
{
    while (text.size > 0) {
        size_t part = text.size < LOG_ITEM ? text.size : LOG_ITEM;
        while (part < text.size && part > 1 && ((unsigned char)text.data[part] & 0xc0) == 0x80)
            part--; /* not within a character */
        ctl_item(request,
                 json_pack("{s:s, s:o}", "worker", worker, "text", json_view(view_of(text.data, part))));
        text = view_of(text.data + part, text.size - part);
    }
}

/* A log on its way to somebody who reads it at his own pace. */
struct log_stream {
    struct buf text;
    size_t sent;
    char node[WIRE_NODE_MAX + 1], worker[WIRE_NAME_MAX + 1];
};

static void log_stream_free(void *state)
{
    struct log_stream *stream = state;
    buf_done(&stream->text);
    free(stream);
}

static bool poll_stream(struct farm *farm, struct ctl_request *request, void *state)
{
    struct log_stream *stream = state;
    size_t left = stream->text.size - stream->sent, part = left < LOG_STEP ? left : LOG_STEP;
    (void)farm;
    send_text(request, stream->worker, view_of(stream->text.data + stream->sent, part));
    stream->sent += part;
    if (part < left)
        return true;
    ctl_finish(request, FARM_EXIT_OK, json_pack("{s:s, s:b}", "node", stream->node, "ended", 1));
    return false;
}

/* From a byte of the recorded log to its end. 'nonce': of this lease; NULL: the newest that there is. */
static int send_finished(struct farm *farm, struct ctl_request *request, const char *node,
                         const struct digest *key, const struct digest *nonce, uint64_t from,
                         struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct log_of wanted = {.worker = ctl_text(request, "worker"), .nonce = nonce, .farm = farm};
    int result = db_each_attestation_of(farm->db, key, visit_answer, &wanted, diag);
    if (result >= 0 && !wanted.found)
        return diag_set(diag, FARM_E_MISSING,
                        "nobody has built it yet; \"farmctl why\" says what it waits for");
    if (result >= 0)
        result = store_get(farm->store, &wanted.log, LOG_OBJECT_MAX, &text, diag);
    if (result < 0)
        return result;
    struct log_stream *stream = mem_zero(1, sizeof *stream);
    stream->text = text;
    text = (struct buf)BUF_INIT;
    stream->sent = from < stream->text.size ? (size_t)from : stream->text.size;
    snprintf(stream->node, sizeof stream->node, "%s", node);
    snprintf(stream->worker, sizeof stream->worker, "%s", wanted.from);
    watch_add(farm, request, poll_stream, stream, log_stream_free);
    return 0;
}

struct follow {
    char node[WIRE_NODE_MAX + 1];
    struct digest nonce, job; /* the lease that is followed */
    uint64_t offset;          /* sent so far */
};

static struct live_lease *find_live(struct farm *farm, const char *node, const char *worker)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(farm->live, &cursor, &key, &value)) {
        struct live_lease *live = value;
        if (strcmp(live->node, node) == 0 && (worker == NULL || strcmp(live->worker, worker) == 0))
            return live;
    }
    return NULL;
}

static bool poll_follow(struct farm *farm, struct ctl_request *request, void *context)
{
    struct follow *follow = context;
    const struct live_lease *live = map_get(farm->live, view_of(follow->nonce.bytes, DIGEST_SIZE));
    if (live == NULL) {
        /* What came last, and of a short build all: progress is reported now and then, the answer has the whole log. */
        if (send_finished(farm, request, follow->node, &follow->job, &follow->nonce, follow->offset, NULL) <
            0)
            ctl_finish(request, FARM_EXIT_OK, json_pack("{s:s, s:b}", "node", follow->node, "ended", 1));
        return false;
    }
    uint64_t end = live->log_offset + live->log.size;
    uint64_t from = follow->offset > live->log_offset ? follow->offset : live->log_offset;
    if (end > from)
        send_text(request, live->worker,
                  view_of(live->log.data + (from - live->log_offset), (size_t)(end - from)));
    follow->offset = end;
    return true;
}

void verb_log(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    struct farm_plan *plan;
    size_t node;
    struct core_node_view view;
    int result = plans_find_node(farm, ctl_text(request, "job"), &plan, &node, &diag);
    if (result < 0) {
        ctl_fail(request, result, &diag);
        return;
    }
    const char *id = plan->plan->nodes[node].id;
    const struct live_lease *live = find_live(farm, id, ctl_text(request, "worker"));
    if (live != NULL && core_node(farm->core, &plan->id, node, &view) && view.keyed) {
        struct follow *follow = mem_zero(1, sizeof *follow);
        snprintf(follow->node, sizeof follow->node, "%s", id);
        follow->nonce = live->nonce;
        follow->job = view.key;
        watch_add(farm, request, poll_follow, follow, free);
        return;
    }
    if (!core_node(farm->core, &plan->id, node, &view) || !view.keyed)
        result = diag_set(&diag, FARM_E_MISSING, "%s has not run yet; \"farmctl why %s\" says why", id, id);
    else
        result = send_finished(farm, request, id, &view.key, NULL, 0, &diag);
    if (result < 0)
        ctl_fail(request, result, &diag);
}

/* ---- diff ---- */

struct answer_row {
    struct digest payload;
    char operator_name[WIRE_NAME_MAX + 1], worker[WIRE_NAME_MAX + 1];
    bool failure;
};

struct answers {
    struct farm *farm;
    struct answer_row *rows;
    size_t count, capacity;
};

static int visit_who(void *context, const struct db_lease *row)
{
    struct answer_row *answer = context;
    snprintf(answer->operator_name, sizeof answer->operator_name, "%s", row->operator_name);
    snprintf(answer->worker, sizeof answer->worker, "%s", row->worker);
    return 0;
}

static int collect_answer(void *context, const struct db_attestation *row)
{
    struct answers *answers = context;
    answers->rows = mem_reserve(answers->rows, &answers->capacity, answers->count + 1, sizeof *answers->rows);
    struct answer_row *answer = &answers->rows[answers->count++];
    memset(answer, 0, sizeof *answer);
    answer->payload = row->payload;
    answer->failure = strcmp(row->failure, "none") != 0;
    int found = db_find_lease(answers->farm->db, &row->nonce, visit_who, answer, NULL);
    return found < 0 ? found : 0;
}

static json_t *entry_json(const struct entry *entry)
{
    if (entry == NULL)
        return json_null();
    json_t *json = json_pack("{s:s, s:i}", "type",
                             entry->type == ENTRY_DIR    ? "dir"
                             : entry->type == ENTRY_FILE ? "file"
                                                         : "link",
                             "mode", (int)entry->mode);
    if (entry->type == ENTRY_FILE) {
        json_object_set_new(json, "size", json_integer((json_int_t)entry->size));
        json_object_set_new(json, "sha256", json_digest(&entry->sha256));
    }
    if (entry->type == ENTRY_LINK)
        json_object_set_new(json, "link", json_view(entry->link));
    return json;
}

static void add_change(void *context, enum entry_change change, const struct entry *before,
                       const struct entry *after)
{
    static const char *const names[] = {
        [CHANGE_ADDED] = "only-in-rival", [CHANGE_REMOVED] = "only-in-leading", [CHANGE_TYPE] = "type",
        [CHANGE_MODE] = "mode",           [CHANGE_CONTENT] = "content",         [CHANGE_LINK] = "link"};
    struct view path = before != NULL ? before->path : after->path;
    json_array_append_new(context,
                          json_pack("{s:o, s:s, s:o, s:o}", "path", json_view(path), "change", names[change],
                                    "leading", entry_json(before), "rival", entry_json(after)));
}

static json_t *files_json(struct farm *farm, const struct digest *leading, const struct digest *rival)
{
    struct manifest a = MANIFEST_INIT, b = MANIFEST_INIT;
    json_t *files = json_array();
    if (payload_manifest(farm->store, leading, &a, NULL) >= 0 &&
        payload_manifest(farm->store, rival, &b, NULL) >= 0)
        manifest_compare(&a, &b, add_change, files);
    manifest_done(&a);
    manifest_done(&b);
    return files;
}

static json_t *who_json(const struct answers *answers, const struct verdict_group *group)
{
    json_t *list = json_array();
    for (size_t i = 0; i < answers->count; i++) {
        const struct answer_row *row = &answers->rows[i];
        if (row->failure == group->is_failure &&
            (row->failure || digest_equal(&row->payload, &group->payload)))
            json_array_append_new(
                list, json_pack("{s:s, s:s}", "operator", row->operator_name, "worker", row->worker));
    }
    return list;
}

static json_t *diff_json(struct farm *farm, const struct core_node_view *view, const struct answers *answers)
{
    json_t *groups = json_array();
    const struct verdict *verdict = &view->verdict;
    for (size_t i = 0; i < verdict->ngroups; i++) {
        const struct verdict_group *group = &verdict->groups[i];
        json_t *json = json_pack("{s:o, s:i, s:b, s:o}", "payload",
                                 group->is_failure ? json_null() : json_digest(&group->payload), "operators",
                                 (int)group->operators, "failure", (int)group->is_failure, "answers",
                                 who_json(answers, group));
        if (i > 0 && !group->is_failure && !verdict->groups[0].is_failure)
            json_object_set_new(json, "files",
                                files_json(farm, &verdict->groups[0].payload, &group->payload));
        json_array_append_new(groups, json);
    }
    return json_pack("{s:s, s:s, s:o, s:o}", "node", view->id, "state", node_state_name(view->state), "job",
                     json_digest(&view->key), "groups", groups);
}

void verb_diff(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    struct farm_plan *plan;
    size_t node;
    struct core_node_view view;
    struct answers answers = {.farm = farm};
    int result = plans_find_node(farm, ctl_text(request, "job"), &plan, &node, &diag);
    if (result >= 0 && (!core_node(farm->core, &plan->id, node, &view) || !view.keyed))
        result = diag_set(&diag, FARM_E_MISSING, "%s has no answers yet", plan->plan->nodes[node].id);
    if (result >= 0)
        result = db_each_attestation_of(farm->db, &view.key, collect_answer, &answers, &diag);
    if (result < 0)
        ctl_fail(request, result, &diag);
    else
        ctl_finish(request, view.verdict.ngroups > 1 ? FARM_EXIT_VIOLATION : FARM_EXIT_OK,
                   diff_json(farm, &view, &answers));
    free(answers.rows);
}
