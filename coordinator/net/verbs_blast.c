/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * blast-radius: collects what blast.h needs from the database and the core, and gives back what it says. Read-only: "farmctl worker
 * revoke" is what acts.
 *
 * Whose answers are meant: those of one worker, of all workers of an operator, or of all workers whose key, or whose operator's key, is
 * the one named; revoked workers included. Only jobs that one of them answered are counted again, so the cost is that of the
 * suspect's work, not of the farm's.
 */
#include "verbs.h"

#include "base64.h"
#include "blast.h"
#include "buf.h"
#include "released.h"

#include <stdlib.h>

struct question {
    struct farm *farm;
    const char *worker, *operator_name, *key; /* one of them is asked about */
    int64_t from;                             /* position in the log; 0: everything they ever said */
    json_t *named;                            /* [{"worker", "operator"}] */
    struct map *workers;                      /* name -> non-NULL: whose answers do not count */
    struct map *jobs;                         /* job key -> non-NULL: one of them answered it */
    uint64_t answers;                         /* that would be void */
    struct diag *diag;
};

static struct view digest_key(const struct digest *digest)
{
    return view_of(digest->bytes, DIGEST_SIZE);
}

/* ---- who is meant ---- */

/* "SHA256:<base64 without padding>" of the blob in the second field of a public key's line, as "ssh-keygen -l" prints it. */
static bool is_fingerprint_of(const char *wanted, const struct ssh_public_key *key)
{
    CLEANUP_BUF struct buf line = BUF_INIT, blob = BUF_INIT, text = BUF_INIT;
    struct view rest, type;
    ssh_public_key_write(key, &line);
    rest = buf_view(&line);
    if (!view_split(&rest, ' ', &type) || !base64_decode(rest, &blob))
        return false;
    struct digest digest = digest_of(buf_view(&blob));
    buf_add_text(&text, "SHA256:");
    base64_encode(digest_key(&digest), &text);
    while (view_ends(buf_view(&text), VIEW("=")))
        text.data[--text.size] = '\0';
    return strcmp(wanted, text.data) == 0;
}

/* The operator's key, from the signed entry that was kept when the worker was admitted. */
static bool has_operator_key(const struct db_worker *row, const char *wanted)
{
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct directory_entry entry;
    json_t *body;
    if (json_read(view_text(row->entry), "entry", DIRECTORY_SIZE_MAX, &document, NULL) < 0 ||
        json_get_object(document, "entry", "entry", &body, NULL) < 0)
        return false;
    json_write(body, &text);
    if (directory_entry_parse(buf_view(&text), "entry", &entry, NULL) < 0)
        return false;
    bool same = is_fingerprint_of(wanted, &entry.operator_key);
    directory_entry_done(&entry);
    return same;
}

static bool has_key(const struct db_worker *row, const char *wanted)
{
    struct public_key key;
    memcpy(key.bytes, row->ed25519.bytes, KEYS_PUBLIC_SIZE);
    struct digest keyid = keys_id(&key);
    return strcmp(digest_hex(&row->ed25519).text, wanted) == 0 ||
           strcmp(digest_hex(&keyid).text, wanted) == 0 || has_operator_key(row, wanted);
}

static int visit_worker(void *context, const struct db_worker *row)
{
    struct question *question = context;
    bool meant = question->worker != NULL          ? strcmp(row->name, question->worker) == 0
                 : question->operator_name != NULL ? strcmp(row->operator_name, question->operator_name) == 0
                                                   : has_key(row, question->key);
    if (meant) {
        map_set(question->workers, view_text(row->name), question);
        json_array_append_new(question->named,
                              json_pack("{s:s, s:s}", "worker", row->name, "operator", row->operator_name));
    }
    return 0;
}

/* A person's key makes no answers; say which document hangs on it instead. */
static int explain_role_key(const struct question *question)
{
    const struct root *root = question->farm->root;
    for (int r = 0; root != NULL && r < ROLE_COUNT; r++)
        for (size_t i = 0; i < root->roles[r].nkeys; i++)
            if (is_fingerprint_of(question->key, &root->roles[r].keys[i].key))
                return diag_set(question->diag, FARM_E_UNKNOWN,
                                "that is the key of %s in the role \"%s\": no answer of a worker hangs on "
                                "it. Take it out "
                                "of the trust root (farm-sign root remove), which the other holders sign",
                                root->roles[r].keys[i].person, role_name_text((enum role_name)r));
    return diag_set(
        question->diag, FARM_E_UNKNOWN,
        "no worker has the key %s, nor an operator of one. Expected are 64 hex digits of a worker's Ed25519 "
        "key "
        "or of its keyid, or an operator key's fingerprint as \"ssh-keygen -l\" prints it (SHA256:...)",
        question->key);
}

static int find_workers(struct question *question)
{
    if ((question->worker != NULL) + (question->operator_name != NULL) + (question->key != NULL) != 1)
        return diag_set(question->diag, FARM_E_USAGE, "name one worker, one operator or one key");
    int result = db_each_worker(question->farm->db, visit_worker, question, question->diag);
    if (result < 0 || map_count(question->workers) > 0)
        return result < 0 ? result : 0;
    if (question->key != NULL)
        return explain_role_key(question);
    return diag_set(question->diag, FARM_E_UNKNOWN, "no %s \"%s\"; \"farmctl worker list\" names them",
                    question->worker != NULL ? "worker" : "operator",
                    question->worker != NULL ? question->worker : question->operator_name);
}

/* ---- what they answered ---- */

static int visit_job_of(void *context, const struct db_lease *row)
{
    struct question *question = context;
    map_set(question->jobs, digest_key(&row->job), question);
    return 0;
}

static int visit_answer_of(void *context, const struct db_attestation *row)
{
    struct question *question = context;
    if (row->position < question->from)
        return 0;
    int is_void = db_find_voided(question->farm->db, &row->digest, question->diag);
    if (is_void != 0)
        return is_void < 0 ? is_void : 0;
    question->answers++;
    int result = db_find_lease(question->farm->db, &row->nonce, visit_job_of, question, question->diag);
    return result < 0 ? result : 0;
}

static int find_jobs(struct question *question)
{
    struct db *db = question->farm->db;
    int result = 0;
    size_t cursor = 0;
    struct view name;
    void *value;
    while (result >= 0 && map_next(question->workers, &cursor, &name, &value)) {
        CLEANUP_FREE char *text = view_string(name);
        result = db_each_attestation_by(db, text, visit_answer_of, question, question->diag);
    }
    return result < 0 ? result : 0;
}

/* ---- the votes of one job ---- */

struct collecting {
    struct question *question;
    const struct rules *rules;
    struct blast_answer *answers; /* their strings are the directory's */
    size_t count, capacity;
    /* Of the lease of the answer that is being added. */
    uint32_t lease_round;
    char worker[WIRE_NAME_MAX + 1];
};

static int visit_lease_of(void *context, const struct db_lease *row)
{
    struct collecting *collecting = context;
    collecting->lease_round = row->round;
    snprintf(collecting->worker, sizeof collecting->worker, "%s", row->worker);
    return 0;
}

/* Did the answers so far settle the round? Then the next one is open, as it is for the coordinator and at the gate. */
static bool is_settled(const struct collecting *collecting)
{
    CLEANUP_FREE struct vote *votes = mem_zero(collecting->count + 1, sizeof *votes);
    size_t count = 0;
    for (size_t i = 0; i < collecting->count; i++)
        if (collecting->answers[i].round == collecting->lease_round)
            votes[count++] = collecting->answers[i].vote;
    return verdict_is_settled(verdict_of(collecting->rules, votes, count).state);
}

/* A further answer of an operator that has voted ("extra") stands in when its vote falls, and its row does not say whether it
 * came late. */
static bool is_open(const struct collecting *collecting, const char *fate)
{
    return strcmp(fate, answer_fate_name(ANSWER_OPEN)) == 0 ||
           (strcmp(fate, answer_fate_name(ANSWER_EXTRA)) == 0 && is_settled(collecting));
}

/* By arrival. Whose worker is not in the directory any more does not count, here as at the gate. */
static int visit_answer(void *context, const struct db_attestation *row)
{
    struct collecting *collecting = context;
    struct question *question = collecting->question;
    struct farm *farm = question->farm;
    int kind = failure_kind_parse(view_text(row->failure));
    int result = db_find_lease(farm->db, &row->nonce, visit_lease_of, collecting, question->diag);
    const struct directory_entry *entry = directory_find(farm->directory, collecting->worker);
    if (result <= 0 || kind < 0 || entry == NULL)
        return result < 0 ? result : 0;
    int is_void = db_find_voided(farm->db, &row->digest, question->diag);
    if (is_void != 0)
        return is_void < 0 ? is_void : 0;
    collecting->answers = mem_reserve(collecting->answers, &collecting->capacity, collecting->count + 1,
                                      sizeof *collecting->answers);
    collecting->answers[collecting->count++] = (struct blast_answer){
        .vote = {.operator_name = entry->operator_name,
                 .anchor = farm->root != NULL && directory_entry_is_anchor(entry, farm->root),
                 .open = is_open(collecting, row->fate),
                 .failure = (enum failure_kind)kind,
                 .payload = row->payload,
                 .cpu_vendor = entry->cpu_vendor,
                 .kernel = entry->kernel,
                 .site = entry->site},
        .round = collecting->lease_round,
        .suspect = row->position >= question->from &&
                   map_get(question->workers, view_text(collecting->worker)) != NULL};
    return 0;
}

static int collect_votes(struct question *question, const struct core_node_view *view, struct blast_job *job)
{
    struct collecting collecting = {.question = question, .rules = &job->rules};
    int result =
        db_each_attestation_of(question->farm->db, &view->key, visit_answer, &collecting, question->diag);
    job->answers = collecting.answers;
    job->nanswers = collecting.count;
    return result < 0 ? result : 0;
}

/* ---- the jobs of one plan ---- */

struct plan_jobs {
    const struct farm_plan *plan;
    struct blast_job *jobs; /* one for each node */
    struct digest *keys;
};

static int fill_job(struct question *question, struct plan_jobs *jobs, size_t node)
{
    const struct plan_node *row = &jobs->plan->plan->nodes[node];
    struct blast_job *job = &jobs->jobs[node];
    struct core_node_view view;
    *job = (struct blast_job){
        .id = row->id, .rules = row->rules, .closure = row->closure, .nclosure = row->nclosure};
    if (!core_node(question->farm->core, &jobs->plan->id, node, &view) || view.state != NODE_AGREED)
        return 0;
    job->agreed = true;
    job->payload = view.verdict.payload;
    jobs->keys[node] = view.key;
    return map_get(question->jobs, digest_key(&view.key)) != NULL ? collect_votes(question, &view, job) : 0;
}

/* A time costs a query, and only those that may have to be built again need one. */
static void fill_time(struct question *question, struct plan_jobs *jobs, size_t node)
{
    struct blast_job *job = &jobs->jobs[node];
    bool concerned = job->nanswers > 0;
    for (size_t i = 0; !concerned && i < job->nclosure; i++)
        concerned = jobs->jobs[job->closure[i]].nanswers > 0;
    if (job->agreed && concerned)
        job->build_ms = db_duration_of(question->farm->db, job->id);
}

static int fill_jobs(struct question *question, const struct farm_plan *plan, struct plan_jobs *ret)
{
    size_t count = plan->plan->nnodes;
    int result = 0;
    *ret = (struct plan_jobs){plan, mem_zero(count + 1, sizeof *ret->jobs),
                              mem_zero(count + 1, sizeof *ret->keys)};
    for (size_t i = 0; result >= 0 && i < count; i++)
        result = fill_job(question, ret, i);
    for (size_t i = 0; result >= 0 && i < count; i++)
        fill_time(question, ret, i);
    return result;
}

static void plan_jobs_done(struct plan_jobs *jobs)
{
    for (size_t i = 0; i < jobs->plan->plan->nnodes; i++)
        free((void *)jobs->jobs[i].answers);
    free(jobs->jobs);
    free(jobs->keys);
}

/* ---- the answer ---- */

static json_t *job_json(const struct plan_jobs *jobs, size_t node, const struct released *released)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "node", jobs->jobs[node].id, "version",
                     jobs->plan->plan->nodes[node].version, "job", json_digest(&jobs->keys[node]), "payload",
                     json_digest(&jobs->jobs[node].payload), "releases",
                     released_with(released, &jobs->keys[node]));
}

static void add_counts(json_t *json, const struct blast_job *job, const struct blast_outcome *outcome)
{
    json_object_set_new(json, "operators", json_integer(outcome->operators));
    json_object_set_new(json, "quorum", json_integer(job->rules.quorum));
    json_object_set_new(json, "anchors", json_integer(outcome->anchors));
    json_object_set_new(json, "anchors_needed", json_integer(job->rules.anchors));
}

static json_t *lost_json(const struct plan_jobs *jobs, const struct blast *blast,
                         const struct released *released)
{
    json_t *list = json_array();
    for (size_t i = 0; i < blast->lost; i++) {
        size_t node = blast->order[i];
        const struct blast_outcome *outcome = &blast->outcomes[node];
        json_t *json = job_json(jobs, node, released);
        add_counts(json, &jobs->jobs[node], outcome);
        json_object_set_new(json, "state", json_string(verdict_state_name(outcome->state)));
        json_object_set_new(json, "rival", outcome->turned ? json_digest(&outcome->rival) : json_null());
        json_object_set_new(json, "builds", json_integer(outcome->builds));
        json_object_set_new(json, "builds_by_anchors", json_integer(outcome->builds_by_anchors));
        json_object_set_new(json, "dependents", json_integer((json_int_t)outcome->dependents));
        json_object_set_new(json, "build_ms",
                            jobs->jobs[node].build_ms > 0 ? json_integer(jobs->jobs[node].build_ms)
                                                          : json_null());
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *weaker_json(const struct plan_jobs *jobs, const struct blast *blast,
                           const struct released *released)
{
    json_t *list = json_array();
    for (size_t i = 0; i < jobs->plan->plan->nnodes; i++) {
        if (blast->outcomes[i].fate != BLAST_WEAKER)
            continue;
        json_t *json = job_json(jobs, i, released);
        add_counts(json, &jobs->jobs[i], &blast->outcomes[i]);
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *risk_json(const struct plan_jobs *jobs, const struct blast *blast,
                         const struct released *released)
{
    json_t *list = json_array();
    for (size_t i = 0; i < jobs->plan->plan->nnodes; i++) {
        if (!blast->outcomes[i].at_risk)
            continue;
        json_t *json = job_json(jobs, i, released), *because = json_array();
        for (size_t k = 0; k < jobs->jobs[i].nclosure; k++)
            if (blast->outcomes[jobs->jobs[i].closure[k]].fate == BLAST_LOST)
                json_array_append_new(because, json_string(jobs->jobs[jobs->jobs[i].closure[k]].id));
        json_object_set_new(json, "because", because);
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *cost_json(const struct blast_cost *cost)
{
    return json_pack("{s:I, s:I, s:I}", "builds", (json_int_t)cost->builds, "ms", (json_int_t)cost->ms,
                     "unmeasured", (json_int_t)cost->unmeasured);
}

static json_t *plan_answer(const struct plan_jobs *jobs, const struct released *released, size_t *ret_lost)
{
    struct blast blast;
    size_t agreed = 0, answered = 0, count = jobs->plan->plan->nnodes;
    blast_of(jobs->jobs, count, &blast);
    for (size_t i = 0; i < count; i++) {
        agreed += jobs->jobs[i].agreed;
        answered += blast.outcomes[i].answered;
    }
    json_t *json = json_pack(
        "{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "plan", digest_hex(&jobs->plan->id).text, "tree",
        jobs->plan->plan->tree.commit, "agreed", (json_int_t)agreed, "answered", (json_int_t)answered, "lost",
        lost_json(jobs, &blast, released), "weaker", weaker_json(jobs, &blast, released), "at_risk",
        risk_json(jobs, &blast, released), "same", cost_json(&blast.same), "other", cost_json(&blast.other));
    *ret_lost += blast.lost;
    blast_done(&blast);
    return json;
}

/* ---- the verb ---- */

static int add_plan(struct question *question, const struct farm_plan *plan, const struct released *released,
                    json_t *list, size_t *ret_lost)
{
    struct plan_jobs jobs;
    int result = fill_jobs(question, plan, &jobs);
    if (result >= 0)
        json_array_append_new(list, plan_answer(&jobs, released, ret_lost));
    plan_jobs_done(&jobs);
    return result;
}

/* The plan that was named, the one started last, or all that were started. */
static int add_plans(struct question *question, const char *named, bool all, const struct released *released,
                     json_t *list, size_t *ret_lost)
{
    struct farm_plan *newest = NULL;
    size_t cursor = 0;
    struct view key;
    void *value;
    int result = 0;
    if (named != NULL) {
        newest = plans_find(question->farm, named, question->diag);
        return newest == NULL ? FARM_E_UNKNOWN : add_plan(question, newest, released, list, ret_lost);
    }
    while (result >= 0 && map_next(question->farm->plans, &cursor, &key, &value)) {
        struct farm_plan *plan = value;
        if (!plan->active && !plan->forgotten)
            continue;
        newest = plan;
        if (all)
            result = plans_recall(question->farm, plan, question->diag);
        if (all && result >= 0)
            result = add_plan(question, plan, released, list, ret_lost);
    }
    if (result >= 0 && newest == NULL)
        return diag_set(question->diag, FARM_E_MISSING,
                        "no plan was started yet, so nothing hangs on any key");
    if (result >= 0 && !all)
        result = plans_recall(question->farm, newest, question->diag);
    return result < 0 || all ? result : add_plan(question, newest, released, list, ret_lost);
}

static int answer(struct question *question, struct ctl_request *request, json_t *plans, size_t *ret_lost)
{
    struct released *released = NULL;
    int result = find_workers(question);
    if (result >= 0)
        result = find_jobs(question);
    if (result >= 0)
        result = released_read(question->farm, &released, question->diag);
    if (result >= 0)
        result = add_plans(question, ctl_text(request, "plan"), ctl_flag(request, "all"), released, plans,
                           ret_lost);
    released_free(released);
    return result;
}

void verb_blast(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    struct question question = {.farm = farm,
                                .worker = ctl_text(request, "worker"),
                                .operator_name = ctl_text(request, "operator"),
                                .key = ctl_text(request, "key"),
                                .from = json_integer_value(json_object_get(ctl_params(request), "from")),
                                .named = json_array(),
                                .workers = map_new(),
                                .jobs = map_new(),
                                .diag = &diag};
    json_t *plans = json_array();
    size_t lost = 0;
    int result = answer(&question, request, plans, &lost);
    if (result >= 0)
        ctl_finish(request, lost > 0 ? FARM_EXIT_VIOLATION : FARM_EXIT_OK,
                   json_pack("{s:O, s:I, s:I, s:O}", "workers", question.named, "from",
                             (json_int_t)question.from, "answers", (json_int_t)question.answers, "plans",
                             plans));
    else
        ctl_fail(request, result, &diag);
    json_decref(plans);
    json_decref(question.named);
    map_free(question.workers);
    map_free(question.jobs);
}
