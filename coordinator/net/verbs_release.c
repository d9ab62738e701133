/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Releases: a draft is release.json made from a plan's agreed results; people sign its bytes somewhere else;
 * the signatures come back one by one. Archives are compressed once, when the draft is made, and are objects
 * from then on.
 */
#include "verbs.h"

#include "buf.h"
#include "evidence.h"
#include "farmlog.h"
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* A release that nobody renews stops being installable; managers choose another span with --expires. */
enum { EXPIRES_DAYS = 90 };
#define DAY_MS ((int64_t)24 * 3600 * 1000)

/* ---- draft ---- */

struct draft {
    struct pool_task task;
    struct ctl_request *request;
    struct store *store;
    int state_dirfd;
    struct release *release;
    struct farm_plan *plan;
    struct digest digest;
    struct buf text, workers; /* release.json; the directory that it names, as it is now */
    int result;
    struct diag diag;
};

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
    int result = 0;
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

static void draft_free(struct draft *draft)
{
    release_free(draft->release);
    buf_done(&draft->text);
    buf_done(&draft->workers);
    free(draft);
}

static void record_draft(struct farm *farm, const struct draft *draft)
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
    db_put_journal(farm->db, moment_wall_ms(), "release", digest_hex(&draft->digest).text);
}

static void draft_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct draft *draft = (struct draft *)task;
    if (draft->result < 0) {
        ctl_fail(draft->request, draft->result, &draft->diag);
    } else {
        record_draft(farm, draft);
        ctl_finish(draft->request, FARM_EXIT_OK,
                   json_pack("{s:s, s:I, s:s, s:i, s:i, s:s}", "release", draft->release->name, "sequence",
                             (json_int_t)draft->release->sequence, "sha256", digest_hex(&draft->digest).text,
                             "packages", (int)draft->release->npackages, "held", (int)draft->release->nheld,
                             "text", draft->text.data));
    }
    draft_free(draft);
}

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

static void hold(struct release *release, const char *name, const char *reason)
{
    release->held = mem_grow(release->held, release->nheld + 1, sizeof *release->held);
    release->held[release->nheld++] = (struct release_held){mem_string(name), mem_string(reason)};
}

static int add_packages(struct farm *farm, struct farm_plan *plan, struct release *release, bool allow_held,
                        struct diag *diag)
{
    for (size_t i = 0; i < plan->plan->nnodes; i++) {
        const struct plan_node *node = &plan->plan->nodes[i];
        struct core_node_view view;
        if (!core_node(farm->core, &plan->id, i, &view))
            return diag_set(diag, FARM_E_STATE, "the plan was not built");
        if (view.state != NODE_AGREED && !allow_held)
            return diag_set(diag, FARM_E_REFUSED,
                            "%s is %s, and a release has no gaps; \"farmctl why %s\" says what it waits for, "
                            "--allow-held releases without it and lists it as held",
                            node->id, node_state_name(view.state), node->id);
        if (view.state != NODE_AGREED || node->rules.hold) {
            hold(release, node->name, node->rules.hold ? "held by policy" : node_state_name(view.state));
            continue;
        }
        release->packages = mem_grow(release->packages, release->npackages + 1, sizeof *release->packages);
        struct release_package *package = &release->packages[release->npackages++];
        memset(package, 0, sizeof *package);
        int result = evidence_package(farm, plan, i, package, diag);
        if (result < 0)
            return result;
    }
    return 0;
}

static int fill_header(struct farm *farm, struct farm_plan *plan, struct release *release, const char *name,
                       int64_t expires_days, struct diag *diag)
{
    struct previous previous = {.name = name};
    int result = db_each_release(farm->db, visit_previous, &previous, diag);
    if (result < 0)
        return result;
    if (previous.exists)
        return diag_set(diag, FARM_E_EXISTS, "release %s exists; choose another name", name);
    result = trust_check_root(farm, diag);
    if (result >= 0)
        result = trust_refresh_directory(farm, diag);
    if (result < 0)
        return result;
    release->name = mem_string(name);
    release->sequence = previous.sequence + 1;
    release->previous = previous.signed_digest;
    release->created_ms = moment_wall_ms() / 1000 * 1000;
    release->expires_ms = release->created_ms + (expires_days > 0 ? expires_days : EXPIRES_DAYS) * DAY_MS;
    release->tree.url = mem_string(plan->plan->tree.url);
    memcpy(release->tree.commit, plan->plan->tree.commit, sizeof release->tree.commit);
    release->tree.sha256 = plan->plan->tree.sha256;
    release->plan = plan->id;
    release->policy = plan->plan->policy;
    release->base = plan->plan->base;
    release->root = farm->root->digest;
    release->workers = farm->directory->digest;
    release->planned = plan->plan->nnodes;
    return 0;
}

void verb_release_draft(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *name = ctl_text(request, "name");
    struct farm_plan *plan = plans_find(farm, ctl_text(request, "plan"), &diag);
    struct release *release = release_new();
    int64_t days = json_integer_value(json_object_get(ctl_params(request), "expires_days"));
    int result = plan == NULL ? FARM_E_UNKNOWN : 0;
    if (result >= 0 && (name == NULL || !identity_name_is_valid(view_text(name))))
        result =
            diag_set(&diag, FARM_E_USAGE, "a release's name is 1 to %d of a-z 0-9 . _ -", IDENTITY_NAME_MAX);
    if (result >= 0)
        result = fill_header(farm, plan, release, name, days, &diag);
    CLEANUP_BUF struct buf workers = BUF_INIT;
    if (result >= 0)
        result = trust_directory_text(farm, &workers, &diag);
    if (result >= 0)
        result = add_packages(farm, plan, release, ctl_flag(request, "allow_held"), &diag);
    if (result < 0) {
        release_free(release);
        ctl_fail(request, result, &diag);
        return;
    }
    struct draft *draft = mem_zero(1, sizeof *draft);
    draft->task.run = draft_run;
    draft->task.done = draft_done;
    draft->result = -ECANCELED;
    draft->request = request;
    draft->store = farm->store;
    draft->state_dirfd = farm->state_dirfd;
    draft->release = release;
    draft->plan = plan;
    draft->workers = workers;
    workers = (struct buf)BUF_INIT;
    pool_submit(farm->pool, &draft->task);
}

/* ---- show and list ---- */

struct release_row {
    char name[IDENTITY_NAME_MAX + 1], state[16];
    int64_t sequence;
    struct digest digest, plan;
};

static int visit_release(void *context, const struct db_release *row)
{
    struct release_row *release = context;
    snprintf(release->name, sizeof release->name, "%s", row->name);
    snprintf(release->state, sizeof release->state, "%s", row->state);
    release->sequence = row->sequence;
    release->digest = row->digest;
    release->plan = row->plan;
    return 0;
}

static int find_release(struct farm *farm, struct ctl_request *request, struct release_row *ret,
                        struct buf *ret_text, struct diag *diag)
{
    const char *name = ctl_text(request, "release");
    if (name == NULL)
        return diag_set(diag, FARM_E_USAGE, "which release?");
    int result = db_find_release(farm->db, name, visit_release, ret, diag);
    if (result == 0)
        return diag_set(diag, FARM_E_UNKNOWN, "no release \"%s\"; \"farmctl release list\" names them", name);
    return result < 0 ? result : store_get(farm->store, &ret->digest, RELEASE_SIZE_MAX, ret_text, diag);
}

static int add_signer(void *list, const char *signer, const char *signature)
{
    (void)signature;
    json_array_append_new(list, json_string(signer));
    return 0;
}

void verb_release_show(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *body = NULL;
    struct release_row row;
    json_t *signers = json_array();
    int result = find_release(farm, request, &row, &text, &diag);
    if (result >= 0)
        result = json_read(buf_view(&text), RELEASE_FILE, RELEASE_SIZE_MAX, &body, &diag);
    if (result >= 0)
        result = db_each_signature_of(farm->db, row.name, add_signer, signers, &diag);
    if (result < 0) {
        json_decref(signers);
        ctl_fail(request, result, &diag);
        return;
    }
    ctl_finish(request, FARM_EXIT_OK,
               json_pack("{s:s, s:s, s:s, s:o, s:i, s:O, s:s}", "release", row.name, "state", row.state,
                         "sha256", digest_hex(&row.digest).text, "signers", signers, "threshold",
                         farm->root != NULL ? (int)farm->root->roles[ROLE_RELEASE].threshold : 0, "document",
                         body, "text", text.data));
}

static int list_release(void *list, const struct db_release *row)
{
    json_array_append_new(list, json_pack("{s:s, s:I, s:s, s:s, s:s, s:s}", "release", row->name, "sequence",
                                          (json_int_t)row->sequence, "state", row->state, "sha256",
                                          digest_hex(&row->digest).text, "plan", digest_hex(&row->plan).text,
                                          "created", moment_format(row->created_ms).text));
    return 0;
}

void verb_release_list(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    json_t *list = json_array();
    int result = db_each_release(farm->db, list_release, list, &diag);
    if (result >= 0) {
        ctl_finish(request, FARM_EXIT_OK, json_pack("{s:o}", "releases", list));
        return;
    }
    json_decref(list);
    ctl_fail(request, result, &diag);
}

/* ---- submit ---- */

struct signature_list {
    struct view views[ROOT_SIGNATURES_MAX];
    char *texts[ROOT_SIGNATURES_MAX];
    size_t count;
};

static int collect_signature(void *context, const char *signer, const char *signature)
{
    struct signature_list *list = context;
    (void)signer;
    if (list->count == ROOT_SIGNATURES_MAX)
        return 0;
    list->texts[list->count] = mem_string(signature);
    list->views[list->count] = view_text(list->texts[list->count]);
    list->count++;
    return 0;
}

/* Known to the release role, over exactly these bytes? */
static int check_signature(struct farm *farm, struct view armored, struct view text, struct sshsig *ret,
                           struct diag *diag)
{
    const struct role *role = &farm->root->roles[ROLE_RELEASE];
    int result = sshsig_verify(armored, SSHSIG_NAMESPACE_RELEASE, text, ret, diag);
    if (result < 0)
        return result;
    for (size_t i = 0; i < role->nkeys; i++)
        if (ssh_public_key_equal(&role->keys[i].key, &ret->key))
            return 0;
    return diag_set(diag, FARM_E_SIGNATURE,
                    "the signature is good, but its key is not one of the release role's");
}

static int submit(struct farm *farm, const struct release_row *row, struct view armored, struct view text,
                  size_t *ret_persons, bool *ret_enough, struct diag *diag)
{
    struct sshsig signature;
    struct signature_list list = {.count = 0};
    struct previous previous = {.name = row->name};
    if (farm->root == NULL)
        return diag_set(diag, FARM_E_STATE, "no trust root is installed");
    int result = db_each_release(farm->db, visit_previous, &previous, diag);
    if (result >= 0 && strcmp(row->state, "signed") != 0 && row->sequence != previous.sequence + 1)
        return diag_set(diag, FARM_E_STALE,
                        "another release was signed as number %lld meanwhile; draft this one again",
                        (long long)row->sequence);
    if (result >= 0)
        result = check_signature(farm, armored, text, &signature, diag);
    if (result < 0)
        return result;
    char signer[2 * KEYS_PUBLIC_SIZE + 1];
    hex_encode(signature.key.key.bytes, KEYS_PUBLIC_SIZE, signer);
    CLEANUP_FREE char *copy = view_string(armored);
    db_put_release_signature(farm_write(farm), row->name, signer, copy);
    result = db_each_signature_of(farm->db, row->name, collect_signature, &list, diag);
    if (result >= 0)
        *ret_enough =
            role_verify(&farm->root->roles[ROLE_RELEASE], role_name_text(ROLE_RELEASE),
                        SSHSIG_NAMESPACE_RELEASE, text, list.views, list.count, ret_persons, NULL) >= 0;
    if (result >= 0 && !*ret_enough)
        *ret_persons = list.count;
    for (size_t i = 0; i < list.count; i++)
        free(list.texts[i]);
    return result < 0 ? result : 0;
}

void verb_release_submit(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct release_row row;
    size_t persons = 0;
    bool enough = false;
    const char *signature = ctl_text(request, "signature");
    int result = find_release(farm, request, &row, &text, &diag);
    if (result >= 0 && signature == NULL)
        result = diag_set(&diag, FARM_E_USAGE, "no signature was given");
    if (result >= 0)
        result = submit(farm, &row, view_text(signature), buf_view(&text), &persons, &enough, &diag);
    if (result < 0) {
        ctl_fail(request, result, &diag);
        return;
    }
    if (enough) {
        struct db_release signed_row = {.name = row.name,
                                        .state = "signed",
                                        .sequence = row.sequence,
                                        .digest = row.digest,
                                        .plan = row.plan,
                                        .created_ms = moment_wall_ms()};
        db_put_release(farm_write(farm), &signed_row);
        log_info("release %s is signed persons=%zu", row.name, persons);
    }
    ctl_finish(request, FARM_EXIT_OK,
               json_pack("{s:s, s:i, s:i, s:s}", "release", row.name, "signatures", (int)persons, "threshold",
                         (int)farm->root->roles[ROLE_RELEASE].threshold, "state",
                         enough ? "signed" : "draft"));
}
