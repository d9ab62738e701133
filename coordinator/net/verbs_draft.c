/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * release draft: release.json made of a plan's agreed results.
 *
 *     the log is published -> the rows below that checkpoint are copied (loop) -> they are judged, archives are compressed,
 *     release.json is written (pool) -> the draft is recorded (loop)
 *
 * What is released is what the evidence below the checkpoint gives, not what the core thinks meanwhile, so that nothing that
 * came later must be explained away. Archives are compressed once, here, and are objects from then on.
 */
#include "verbs.h"

#include "buf.h"
#include "evidence.h"
#include "farmlog.h"
#include "journal.h"
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* A directory is published, and the log with it, within a second; this often in a row is somebody at work. */
enum { PUBLISH_TRIES = 5 };
/* A release that nobody renews stops being installable; managers choose another span with --expires. */
enum { EXPIRES_DAYS = 90, EXPIRES_DAYS_MAX = 3650 };
#define DAY_MS ((int64_t)24 * 3600 * 1000)

struct draft {
    struct pool_task task;
    struct ctl_request *request;
    struct store *store;
    int state_dirfd;
    char *name;
    int64_t expires_days;
    bool allow_held;
    struct waiver *waivers;
    size_t nwaivers;
    bool *used; /* by waiver: something is released by it */
    struct farm_plan *plan;
    struct release *release;
    struct evidence evidence;
    struct digest digest;
    struct buf text, workers, root; /* release.json; the directory and the root that it names */
    struct digest root_digest, workers_digest;
    struct root *judge; /* of those bytes */
    int tries;
    int result;
    struct diag diag;
};

static void draft_free(struct draft *draft)
{
    if (draft->plan != NULL)
        plans_release(draft->plan);
    for (size_t i = 0; i < draft->nwaivers; i++)
        waiver_done(&draft->waivers[i]);
    free(draft->waivers);
    free(draft->used);
    free(draft->name);
    release_free(draft->release);
    evidence_done(&draft->evidence);
    root_free(draft->judge);
    buf_done(&draft->text);
    buf_done(&draft->workers);
    buf_done(&draft->root);
    free(draft);
}

static void draft_fail(struct draft *draft, int result)
{
    ctl_fail(draft->request, result, &draft->diag);
    draft_free(draft);
}

/* ---- in the pool: what is released ---- */

static void hold(struct release *release, const char *name, const char *reason)
{
    release->held = mem_grow(release->held, release->nheld + 1, sizeof *release->held);
    release->held[release->nheld++] = (struct release_held){mem_string(name), mem_string(reason)};
}

static bool is_waived(struct draft *draft, const struct evidence_job *job, enum waiver_rule rule)
{
    for (size_t i = 0; i < draft->nwaivers; i++) {
        const struct waiver *waiver = &draft->waivers[i];
        if (waiver->rule != rule || strcmp(waiver->package, job->id) != 0 ||
            strcmp(waiver->version, job->version) != 0)
            continue;
        draft->used[i] = true;
        return true;
    }
    return false;
}

/* Why the policy keeps it back; NULL: it does not, or a waiver lets it pass. */
static const char *policy_holds(struct draft *draft, const struct evidence_job *job)
{
    bool hold_waived = job->rules.hold && is_waived(draft, job, WAIVER_HOLD);
    bool evidence_waived = job->rules.evidence && is_waived(draft, job, WAIVER_EVIDENCE);
    if (job->rules.hold && !hold_waived)
        return "held by policy";
    if (job->rules.evidence && !evidence_waived)
        return "no evidence from hardware";
    return NULL;
}

static int not_agreed(const struct evidence_job *job, struct diag *diag)
{
    if (job->state == NODE_AGREED)
        return diag_set(
            diag, FARM_E_REFUSED,
            "%s was agreed, but the answers that the log shows and the worker directory allows give %s "
            "now; draft again, or build it again with \"farmctl build --from-scratch\"",
            job->id, verdict_state_name(job->verdict));
    return diag_set(diag, FARM_E_REFUSED,
                    "%s is %s, and a release has no gaps; \"farmctl why %s\" says what it waits for, "
                    "--allow-held releases without it and lists it as held",
                    job->id, node_state_name(job->state), job->id);
}

/* A package stands for its closure too: each job in it needs a verdict of its own. */
static bool is_agreed(const struct evidence *evidence, const struct evidence_job *job)
{
    bool agreed = job->agreed;
    for (size_t i = 0; agreed && i < job->nclosure; i++)
        agreed = evidence->jobs[job->closure[i]].agreed;
    return agreed;
}

static int choose(struct draft *draft, const struct evidence_job *job, struct diag *diag)
{
    struct release *release = draft->release;
    if (!is_agreed(&draft->evidence, job)) {
        if (!draft->allow_held)
            return not_agreed(job, diag);
        hold(release, job->name, job->state == NODE_AGREED ? "not agreed" : node_state_name(job->state));
        return 0;
    }
    const char *held = policy_holds(draft, job);
    if (held != NULL) {
        hold(release, job->name, held);
        return 0;
    }
    if (job->rules.quorum == 1 && !root_allows_unverified(draft->judge, job->name))
        return diag_set(diag, FARM_E_REFUSED,
                        "%s has a quorum of 1, and the trust root does not list it under \"unverified\"",
                        job->id);
    release->packages = mem_grow(release->packages, release->npackages + 1, sizeof *release->packages);
    evidence_package(job, &release->packages[release->npackages++]);
    return 0;
}

/* S12: a waiver in a release says what it was needed for. */
static int take_waivers(struct draft *draft, struct diag *diag)
{
    for (size_t i = 0; i < draft->nwaivers; i++)
        if (!draft->used[i])
            return diag_set(
                diag, FARM_E_REFUSED,
                "the waiver of \"%s\" for %s %s waives nothing: the plan has no such package, in this "
                "version, that is agreed and that this rule keeps back; leave it out",
                waiver_rule_name(draft->waivers[i].rule), draft->waivers[i].package,
                draft->waivers[i].version);
    draft->release->waivers = STEAL(draft->waivers);
    draft->release->nwaivers = draft->nwaivers;
    draft->nwaivers = 0;
    return 0;
}

static int choose_all(struct draft *draft, struct diag *diag)
{
    int result = 0;
    for (size_t i = 0; result >= 0 && i < draft->evidence.njobs; i++)
        result = choose(draft, &draft->evidence.jobs[i], diag);
    if (result >= 0 && draft->release->npackages == 0)
        result = diag_set(diag, FARM_E_REFUSED, "nothing would be released: every package is held");
    return result < 0 ? result : take_waivers(draft, diag);
}

static int judge(struct draft *draft, struct diag *diag)
{
    struct directory *directory = NULL;
    int result = root_parse(buf_view(&draft->root), "the trust root", &draft->judge, diag);
    if (result >= 0)
        result = directory_parse(buf_view(&draft->workers), "workers.json", &directory, diag);
    if (result >= 0)
        result = evidence_read_log(&draft->evidence, draft->state_dirfd, diag);
    if (result >= 0)
        evidence_judge(&draft->evidence, directory, draft->judge);
    directory_free(directory);
    return result;
}

static int compress_one(struct draft *draft, struct release_package *package, struct diag *diag)
{
    CLEANUP_CLOSE int fd = openat(draft->state_dirfd, "scratch", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return diag_errno(diag, "scratch file");
    struct digest stored;
    int result = payload_export_gz(draft->store, &package->tar, fd, &package->archive_sha256,
                                   &package->archive_size, diag);
    if (result >= 0 && lseek(fd, 0, SEEK_SET) < 0)
        result = diag_errno(diag, "scratch file");
    if (result >= 0)
        result =
            store_put_fd(draft->store, fd, STORE_OBJECT_MAX, &package->archive_sha256, &stored, NULL, diag);
    return result;
}

static void draft_run(struct pool_task *task)
{
    struct draft *draft = (struct draft *)task;
    int result = judge(draft, &draft->diag);
    if (result >= 0)
        result = choose_all(draft, &draft->diag);
    for (size_t i = 0; result >= 0 && i < draft->release->npackages; i++)
        result = compress_one(draft, &draft->release->packages[i], &draft->diag);
    if (result >= 0)
        result = store_put(draft->store, buf_view(&draft->workers), NULL, &draft->diag);
    if (result >= 0) {
        release_write(draft->release, &draft->text);
        result = store_put(draft->store, buf_view(&draft->text), &draft->digest, &draft->diag);
    }
    draft->result = result;
}

/* ---- on the loop's thread again ---- */

struct previous {
    const char *name;
    int64_t sequence;
    struct digest signed_digest;
    bool exists;
};

static int visit_previous(void *context, const struct db_release *row)
{
    struct previous *previous = context;
    if (strcmp(row->state, "signed") == 0) { /* rows come by sequence */
        previous->sequence = row->sequence;
        previous->signed_digest = row->digest;
    }
    previous->exists = previous->exists || strcmp(row->name, previous->name) == 0;
    return 0;
}

static int find_previous(struct farm *farm, struct previous *previous, struct diag *diag)
{
    int result = db_each_release(farm->db, visit_previous, previous, diag);
    if (result >= 0 && previous->exists)
        result = diag_set(diag, FARM_E_EXISTS, "release %s exists; choose another name", previous->name);
    return result;
}

static void record(struct farm *farm, const struct draft *draft)
{
    const struct release *release = draft->release;
    CLEANUP_FREE char *holder = mem_format("release:%s", release->name);
    struct db_release row = {.name = release->name,
                             .state = "draft",
                             .sequence = release->sequence,
                             .digest = draft->digest,
                             .plan = draft->plan->id,
                             .created_ms = release->created_ms};
    db_put_release(farm_write(farm), &row);
    db_put_reference(farm->db, &draft->digest, holder);
    db_put_reference(farm->db, &release->workers, holder);
    for (size_t i = 0; i < release->npackages; i++)
        db_put_reference(farm->db, &release->packages[i].archive_sha256, holder);
}

static json_t *draft_json(const struct draft *draft)
{
    const struct release *release = draft->release;
    CLEANUP_JSON json_t *document = NULL;
    (void)!json_read(buf_view(&draft->text), RELEASE_FILE, RELEASE_SIZE_MAX, &document, NULL);
    return json_pack("{s:s, s:I, s:s, s:i, s:O, s:i, s:O, s:s}", "release", release->name, "sequence",
                     (json_int_t)release->sequence, "sha256", digest_hex(&draft->digest).text, "packages",
                     (int)release->npackages, "held", json_object_get(document, "held"), "waivers",
                     (int)release->nwaivers, "log", json_object_get(document, "log"), "text",
                     draft->text.data);
}

static void draft_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct draft *draft = (struct draft *)task;
    struct previous previous = {.name = draft->name};
    if (draft->result >= 0) /* another one of that name may have been quicker */
        draft->result = find_previous(farm, &previous, &draft->diag);
    if (draft->result < 0) {
        draft_fail(draft, draft->result);
        return;
    }
    record(farm, draft);
    log_event(LOG_LEVEL_INFO, "release drafted", log_text(FIELD_RELEASE, draft->name),
              log_number(FIELD_VERSION, draft->release->sequence),
              log_number(FIELD_COUNT, (int64_t)draft->release->npackages),
              log_number(FIELD_ENTRIES, (int64_t)draft->release->log.size));
    ctl_finish(draft->request, FARM_EXIT_OK, draft_json(draft));
    draft_free(draft);
}

/* ---- before: the header, and the rows ---- */

static void fill_header(const struct farm *farm, struct draft *draft, const struct previous *previous)
{
    struct release *release = draft->release;
    const struct plan *plan = draft->plan->plan;
    release->name = mem_string(draft->name);
    release->sequence = previous->sequence + 1;
    release->previous = previous->signed_digest;
    release->created_ms = moment_wall_ms() / 1000 * 1000;
    release->expires_ms = release->created_ms + draft->expires_days * DAY_MS;
    release->tree.url = mem_string(plan->tree.url);
    memcpy(release->tree.commit, plan->tree.commit, sizeof release->tree.commit);
    release->tree.sha256 = plan->tree.sha256;
    release->plan = plan->id;
    release->policy = plan->policy;
    release->base = plan->base;
    release->root = draft->root_digest;
    release->workers = draft->workers_digest;
    release->planned = plan->nnodes;
    release->has_log = farm->root->log.present;
}

/* The checkpoint shows root and directory of the moment when it was asked for; others may have come since. */
static bool is_overtaken(const struct farm *farm, const struct draft *draft)
{
    return !digest_equal(&farm->root->digest, &draft->root_digest) ||
           !digest_equal(&farm->directory->digest, &draft->workers_digest);
}

static int gather(struct farm *farm, struct draft *draft, struct diag *diag)
{
    struct checkpoint checkpoint;
    struct previous previous = {.name = draft->name};
    int result = find_previous(farm, &previous, diag);
    if (result >= 0 && !journal_checkpoint(farm, &checkpoint))
        result = diag_set(diag, FARM_E_STATE, "the transparency log has no checkpoint yet; try again");
    if (result < 0)
        return result;
    fill_header(farm, draft, &previous);
    if (draft->release->has_log)
        draft->release->log = checkpoint;
    return evidence_collect(farm, draft->plan, NULL, checkpoint.size, &draft->evidence, diag);
}

static int publish(struct farm *farm, struct draft *draft);

static void on_published(struct farm *farm, void *context, int result)
{
    struct draft *draft = context;
    if (farm->stopping)
        result = -ECANCELED; /* the pool is no more */
    bool again = result >= 0 && is_overtaken(farm, draft);
    if (result < 0)
        diag_set(&draft->diag, result, "the transparency log cannot be published: %s",
                 diag_text(NULL, result));
    else
        result = again ? publish(farm, draft) : gather(farm, draft, &draft->diag);
    if (result < 0)
        draft_fail(draft, result);
    else if (!again)
        pool_submit(farm->pool, &draft->task);
}

/* Takes what the release will name, and then a checkpoint that shows it. 0: on_published() goes on. */
static int publish(struct farm *farm, struct draft *draft)
{
    if (draft->tries++ == PUBLISH_TRIES)
        return diag_set(&draft->diag, FARM_E_STATE,
                        "the worker directory changes all the time; draft when nobody is being admitted");
    int result = trust_check_root(farm, &draft->diag);
    buf_clear(&draft->root);
    buf_clear(&draft->workers);
    if (result >= 0)
        result = trust_directory_text(farm, &draft->workers, &draft->diag);
    if (result < 0)
        return result;
    root_write(farm->root, &draft->root);
    draft->root_digest = farm->root->digest;
    draft->workers_digest = farm->directory->digest;
    journal_publish(farm, on_published, draft);
    return 0;
}

/* ---- what was asked for ---- */

static bool is_repeated(const struct draft *draft, const struct waiver *waiver)
{
    for (size_t i = 0; i < draft->nwaivers; i++)
        if (draft->waivers[i].rule == waiver->rule && strcmp(draft->waivers[i].package, waiver->package) == 0)
            return true;
    return false;
}

static int read_waiver(struct farm *farm, struct draft *draft, const json_t *value, struct diag *diag)
{
    CLEANUP(waiver_done) struct waiver waiver = {0};
    int result = waiver_from_json(value, "waiver", &waiver, diag);
    if (result >= 0)
        result = waiver_check(&waiver, farm->root, moment_wall_ms(), diag); /* S12 */
    if (result >= 0 && is_repeated(draft, &waiver))
        result = diag_set(diag, FARM_E_USAGE, "two waivers of \"%s\" for %s", waiver_rule_name(waiver.rule),
                          waiver.package);
    if (result < 0)
        return result;
    draft->waivers = mem_grow(draft->waivers, draft->nwaivers + 1, sizeof *draft->waivers);
    draft->waivers[draft->nwaivers++] = waiver;
    waiver = (struct waiver){0};
    return 0;
}

static int read_waivers(struct farm *farm, struct draft *draft, struct diag *diag)
{
    const json_t *list = json_object_get(ctl_params(draft->request), "waivers");
    int result = 0;
    size_t index;
    json_t *value;
    if (json_array_size(list) > WAIVERS_MAX)
        return diag_set(diag, FARM_E_LIMIT, "%zu waivers, the limit is %d", json_array_size(list),
                        WAIVERS_MAX);
    json_array_foreach(list, index, value) if (result >= 0) result = read_waiver(farm, draft, value, diag);
    draft->used = mem_zero(draft->nwaivers + 1, sizeof *draft->used);
    return result;
}

static int read_params(struct farm *farm, struct draft *draft, struct diag *diag)
{
    const char *name = ctl_text(draft->request, "name");
    draft->plan = plans_find(farm, ctl_text(draft->request, "plan"), diag);
    draft->allow_held = ctl_flag(draft->request, "allow_held");
    draft->expires_days = json_integer_value(json_object_get(ctl_params(draft->request), "expires_days"));
    if (draft->plan == NULL)
        return FARM_E_UNKNOWN;
    plans_hold(draft->plan);
    if (name == NULL || !identity_name_is_valid(view_text(name)))
        return diag_set(diag, FARM_E_USAGE, "a release's name is 1 to %d of a-z 0-9 . _ -",
                        IDENTITY_NAME_MAX);
    if (draft->expires_days < 0 || draft->expires_days > EXPIRES_DAYS_MAX)
        return diag_set(diag, FARM_E_USAGE, "a release expires after 1 to %d days", EXPIRES_DAYS_MAX);
    if (draft->expires_days == 0)
        draft->expires_days = EXPIRES_DAYS;
    draft->name = mem_string(name);
    return 0;
}

/* The root may have changed since the plan was built; what it does not allow now, nobody would accept. */
static int check_allowed(const struct root *root, const struct plan *plan, struct diag *diag)
{
    if (!digest_equal(&root->policy, &plan->policy))
        return diag_set(
            diag, FARM_E_REFUSED,
            "the plan was made under policy %s, the trust root allows %s: plan the tree that has it, "
            "and build that; what was agreed is judged again",
            digest_hex(&plan->policy).text, digest_hex(&root->policy).text); /* K6 */
    if (!root_allows_base(root, &plan->base))
        return diag_set(diag, FARM_E_REFUSED, "the trust root does not allow base %s",
                        digest_hex(&plan->base).text); /* K7 */
    return 0;
}

/* All that can be said before the log is published. */
static int begin(struct farm *farm, struct draft *draft, struct diag *diag)
{
    int result = disk_check(farm, diag); /* archives are written */
    if (result >= 0)
        result = read_params(farm, draft, diag);
    if (result >= 0)
        result = find_previous(farm, &(struct previous){.name = draft->name}, diag);
    if (result >= 0)
        result = trust_check_root(farm, diag);
    if (result >= 0 && farm->root->log.present)
        result = journal_check_root(farm, farm->root, diag);
    if (result >= 0)
        result = check_allowed(farm->root, draft->plan->plan, diag);
    if (result >= 0)
        result = read_waivers(farm, draft, diag);
    return result < 0 ? result : trust_refresh_directory(farm, diag);
}

void verb_release_draft(struct farm *farm, struct ctl_request *request)
{
    struct draft *draft = mem_zero(1, sizeof *draft);
    draft->task.run = draft_run;
    draft->task.done = draft_done;
    draft->result = -ECANCELED;
    draft->request = request;
    draft->store = farm->store;
    draft->state_dirfd = farm->state_dirfd;
    draft->release = release_new();
    int result = begin(farm, draft, &draft->diag);
    if (result >= 0)
        result = publish(farm, draft);
    if (result < 0)
        draft_fail(draft, result);
}
