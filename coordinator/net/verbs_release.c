/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * release show, list and submit. A draft is made in verbs_draft.c; people sign its bytes somewhere else; the signatures
 * come back here one by one. With the one that reaches the threshold the draft becomes the release of its number, and that and
 * its waivers go into the log, in the same transaction.
 */
#include "verbs.h"

#include "buf.h"
#include "export.h"
#include "farmlog.h"
#include "journal.h"

#include <stdlib.h>

struct release_row {
    char name[IDENTITY_NAME_MAX + 1], state[16];
    int64_t sequence, created_ms;
    struct digest digest, plan;
};

static bool is_signed(const struct release_row *row)
{
    return strcmp(row->state, "signed") == 0;
}

static int visit_release(void *context, const struct db_release *row)
{
    struct release_row *release = context;
    snprintf(release->name, sizeof release->name, "%s", row->name);
    snprintf(release->state, sizeof release->state, "%s", row->state);
    release->sequence = row->sequence;
    release->created_ms = row->created_ms;
    release->digest = row->digest;
    release->plan = row->plan;
    return 0;
}

/* A release, its bytes, and what they say. */
struct found {
    struct release_row row;
    struct buf text;
    struct release *release;
};

static void found_done(struct found *found)
{
    buf_done(&found->text);
    release_free(found->release);
}

static int find_release(struct farm *farm, struct ctl_request *request, struct found *ret, struct diag *diag)
{
    const char *name = ctl_text(request, "release");
    if (name == NULL)
        return diag_set(diag, FARM_E_USAGE, "which release?");
    int result = db_find_release(farm->db, name, visit_release, &ret->row, diag);
    if (result == 0)
        return diag_set(diag, FARM_E_UNKNOWN, "no release \"%s\"; \"farmctl release list\" names them", name);
    if (result >= 0)
        result = store_get(farm->store, &ret->row.digest, RELEASE_SIZE_MAX, &ret->text, diag);
    return result < 0 ? result : release_parse(buf_view(&ret->text), RELEASE_FILE, &ret->release, diag);
}

/* ---- who signed ---- */

struct signers {
    const struct role *role; /* NULL: no root is installed */
    struct view text;
    json_t *list;    /* {"key", "person" or null, "why"} */
    json_t *persons; /* name -> true */
};

static int add_signer(void *context, const char *signer, const char *signature)
{
    struct signers *signers = context;
    struct diag diag = DIAG_INIT;
    const char *person = signers->role == NULL ? NULL
                                               : role_signer(signers->role, SSHSIG_NAMESPACE_RELEASE,
                                                             signers->text, view_text(signature), &diag);
    json_t *entry = json_pack("{s:s, s:s?}", "key", signer, "person", person);
    if (person != NULL)
        json_object_set_new(signers->persons, person, json_true());
    else
        json_object_set_new(entry, "why", json_string(diag.text));
    json_array_append_new(signers->list, entry);
    return 0;
}

/* Persons of the role whose signature is not here; each once. */
static json_t *missing_persons(const struct signers *signers)
{
    json_t *missing = json_array(), *seen = json_copy(signers->persons);
    for (size_t i = 0; signers->role != NULL && i < signers->role->nkeys; i++) {
        const char *person = signers->role->keys[i].person;
        if (json_object_get(seen, person) == NULL)
            json_array_append_new(missing, json_string(person));
        json_object_set_new(seen, person, json_true());
    }
    json_decref(seen);
    return missing;
}

static int add_signers(struct farm *farm, const struct found *found, json_t *body, struct diag *diag)
{
    struct signers signers = {.role = farm->root != NULL ? &farm->root->roles[ROLE_RELEASE] : NULL,
                              .text = buf_view(&found->text),
                              .list = json_array(),
                              .persons = json_object()};
    int result = db_each_signature_of(farm->db, found->row.name, add_signer, &signers, diag);
    json_object_set_new(body, "signatures", json_integer((json_int_t)json_object_size(signers.persons)));
    json_object_set_new(body, "threshold", json_integer(signers.role != NULL ? signers.role->threshold : 0));
    json_object_set_new(body, "missing", missing_persons(&signers));
    json_object_set_new(body, "signers", signers.list);
    json_decref(signers.persons);
    return result;
}

/* ---- show and list ---- */

void verb_release_show(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    CLEANUP(found_done) struct found found = {.release = NULL};
    json_t *document = NULL, *body = json_object();
    int result = find_release(farm, request, &found, &diag);
    if (result >= 0)
        result = json_read(buf_view(&found.text), RELEASE_FILE, RELEASE_SIZE_MAX, &document, &diag);
    if (result >= 0)
        result = add_signers(farm, &found, body, &diag);
    if (result < 0) {
        json_decref(document);
        json_decref(body);
        ctl_fail(request, result, &diag);
        return;
    }
    json_object_set_new(body, "release", json_string(found.row.name));
    json_object_set_new(body, "state", json_string(found.row.state));
    json_object_set_new(body, "sequence", json_integer(found.row.sequence));
    json_object_set_new(body, "sha256", json_digest(&found.row.digest));
    json_object_set_new(body, "plan", json_digest(&found.row.plan));
    json_object_set_new(body, "log", export_log_report(farm, found.release));
    json_object_set_new(body, "document", document);
    json_object_set_new(body, "text", json_string(found.text.data));
    ctl_finish(request, FARM_EXIT_OK, body);
}

static int count_signature(void *context, const char *signer, const char *signature)
{
    (void)signer;
    (void)signature;
    (*(int *)context)++;
    return 0;
}

struct listing {
    struct farm *farm;
    json_t *list;
    struct diag *diag;
};

static int list_release(void *context, const struct db_release *row)
{
    struct listing *listing = context;
    int signatures = 0;
    int result =
        db_each_signature_of(listing->farm->db, row->name, count_signature, &signatures, listing->diag);
    json_array_append_new(
        listing->list, json_pack("{s:s, s:I, s:s, s:i, s:s, s:s, s:s}", "release", row->name, "sequence",
                                 (json_int_t)row->sequence, "state", row->state, "signatures", signatures,
                                 "sha256", digest_hex(&row->digest).text, "plan", digest_hex(&row->plan).text,
                                 "created", moment_format(row->created_ms).text));
    return result < 0 ? result : 0;
}

void verb_release_list(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    struct listing listing = {farm, json_array(), &diag};
    int result = db_each_release(farm->db, list_release, &listing, &diag);
    if (result >= 0) {
        ctl_finish(request, FARM_EXIT_OK, json_pack("{s:o}", "releases", listing.list));
        return;
    }
    json_decref(listing.list);
    ctl_fail(request, result, &diag);
}

/* ---- submit ---- */

static int find_last_signed(void *context, const struct db_release *row)
{
    if (strcmp(row->state, "signed") == 0) /* rows come by sequence */
        *(int64_t *)context = row->sequence;
    return 0;
}

/* A draft can be overtaken: by another release, by another root, by time. */
static int check_current(struct farm *farm, const struct found *found, struct diag *diag)
{
    const struct release *release = found->release;
    int64_t last = 0, now = moment_wall_ms();
    int result = db_each_release(farm->db, find_last_signed, &last, diag);
    if (result < 0)
        return result;
    if (release->sequence != last + 1)
        return diag_set(diag, FARM_E_STALE,
                        "another release was signed as number %lld meanwhile; draft this one again",
                        (long long)release->sequence); /* S6 */
    if (!digest_equal(&release->root, &farm->root->digest))
        return diag_set(
            diag, FARM_E_STALE,
            "another version of the trust root was installed since this was drafted; draft it again");
    if (release->expires_ms <= now)
        return diag_set(diag, FARM_E_STALE, "this draft expired at %s; draft it again",
                        moment_format(release->expires_ms).text); /* S5 */
    for (size_t i = 0; i < release->nwaivers; i++)
        if ((result = waiver_check(&release->waivers[i], farm->root, now, diag)) < 0) /* S12 */
            return diag_wrap(diag, result, "the draft holds a waiver that is no longer good, draft it again");
    return 0;
}

/* Nobody judges the jobs of a plan that was cancelled: a revocation since, or a dissent, would not be seen. */
static int not_followed(const struct found *found, const char *id, struct diag *diag)
{
    struct digest_hex plan = digest_hex(&found->row.plan);
    return diag_set(
        diag, FARM_E_STALE,
        "the plan of %s was cancelled, so nobody knows what became of it since the draft was made; "
        "\"farmctl build %.12s\" has it judged again, and builds nothing that is still agreed. Then submit "
        "again",
        id, plan.text);
}

/* A genuine late dissent reopens a verdict until the release is signed. */
static int check_undisputed(struct farm *farm, const struct found *found, json_t *notes, struct diag *diag)
{
    struct farm_plan *plan = plans_get(farm, &found->row.plan);
    int result = plan != NULL ? plans_recall(farm, plan, diag) : 0;
    if (result < 0)
        return result;
    for (size_t i = 0; i < found->release->npackages; i++) {
        const struct release_package *package = &found->release->packages[i];
        CLEANUP_FREE char *id = mem_format("%s/%s", package->tier, package->name);
        struct core_node_view view;
        size_t node = plan != NULL ? plan_find(plan->plan, view_text(id)) : SIZE_MAX;
        if (node == SIZE_MAX || !core_node(farm->core, &plan->id, node, &view))
            return not_followed(found, id, diag);
        if (view.state != NODE_AGREED || !digest_equal(&view.verdict.payload, &package->payload))
            return diag_set(
                diag, FARM_E_STALE,
                "%s is %s since the draft was made, and cannot be signed like this; \"farmctl why "
                "%s\" says more, then draft again",
                id, node_state_name(view.state), id);
        if (view.verdict.dissent > package->dissent)
            json_array_append_new(notes,
                                  json_sprintf("%s: %u operators dissent now, the draft says %u; draft "
                                               "again to have that in the release",
                                               id, view.verdict.dissent, package->dissent));
    }
    return 0;
}

/* Known to the release role, over exactly these bytes? */
static int check_signature(struct farm *farm, struct view armored, struct view text, struct sshsig *ret,
                           struct diag *diag)
{
    const struct role *role = &farm->root->roles[ROLE_RELEASE];
    int result = sshsig_verify(armored, SSHSIG_NAMESPACE_RELEASE, text, ret, diag);
    if (result >= 0 && role_signer(role, SSHSIG_NAMESPACE_RELEASE, text, armored, diag) == NULL)
        result = FARM_E_SIGNATURE;
    return result;
}

/* Persons of the role whose signature stands under it, each once (S14). */
static int count_persons(struct farm *farm, const struct found *found, size_t *ret, struct diag *diag)
{
    CLEANUP_JSON json_t *body = json_object();
    int result = add_signers(farm, found, body, diag);
    if (result >= 0)
        *ret = (size_t)json_integer_value(json_object_get(body, "signatures"));
    return result < 0 ? result : 0;
}

static int add_signature(struct farm *farm, const struct found *found, struct view armored,
                         size_t *ret_persons, struct diag *diag)
{
    struct sshsig signature;
    int result = check_signature(farm, armored, buf_view(&found->text), &signature, diag);
    if (result < 0)
        return result;
    char signer[2 * KEYS_PUBLIC_SIZE + 1];
    hex_encode(signature.key.key.bytes, KEYS_PUBLIC_SIZE, signer);
    CLEANUP_FREE char *copy = view_string(armored);
    db_put_release_signature(farm_write(farm), found->row.name, signer, copy);
    return count_persons(farm, found, ret_persons, diag);
}

static void log_waiver(struct farm *farm, const struct waiver *waiver)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    waiver_write(waiver, &text);
    struct logentry entry = {
        .kind = LOG_WAIVER, .name = waiver->package, .sha256 = digest_of(buf_view(&text))};
    (void)journal_add(farm, &entry);
}

static void record_signed(struct farm *farm, const struct found *found, size_t persons)
{
    const struct release_row *row = &found->row;
    struct db_release signed_row = {.name = row->name,
                                    .state = "signed",
                                    .sequence = row->sequence,
                                    .digest = row->digest,
                                    .plan = row->plan,
                                    .created_ms = row->created_ms};
    struct logentry entry = {
        .kind = LOG_RELEASE, .name = row->name, .version = row->sequence, .sha256 = row->digest};
    db_put_release(farm_write(farm), &signed_row);
    (void)journal_add(farm, &entry);
    for (size_t i = 0; i < found->release->nwaivers; i++)
        log_waiver(farm, &found->release->waivers[i]);
    log_event(LOG_LEVEL_INFO, "release is signed", log_text(FIELD_RELEASE, row->name),
              log_number(FIELD_COUNT, (int64_t)persons));
}

static int submit(struct farm *farm, struct found *found, const char *signature, size_t *ret_persons,
                  json_t *notes, struct diag *diag)
{
    int result = 0;
    if (signature == NULL)
        return diag_set(diag, FARM_E_USAGE, "no signature was given");
    if (farm->root == NULL)
        return diag_set(diag, FARM_E_STATE, "no trust root is installed");
    if (!is_signed(&found->row)) {
        result = check_current(farm, found, diag);
        if (result >= 0)
            result = check_undisputed(farm, found, notes, diag);
    }
    if (result >= 0)
        result = add_signature(farm, found, view_text(signature), ret_persons, diag);
    if (result >= 0 && *ret_persons >= farm->root->roles[ROLE_RELEASE].threshold && !is_signed(&found->row)) {
        record_signed(farm, found, *ret_persons);
        snprintf(found->row.state, sizeof found->row.state, "signed");
    }
    return result;
}

void verb_release_submit(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    CLEANUP(found_done) struct found found = {.release = NULL};
    json_t *notes = json_array();
    size_t persons = 0;
    int result = find_release(farm, request, &found, &diag);
    if (result >= 0)
        result = submit(farm, &found, ctl_text(request, "signature"), &persons, notes, &diag);
    if (result < 0) {
        json_decref(notes);
        ctl_fail(request, result, &diag);
        return;
    }
    ctl_finish(request, FARM_EXIT_OK,
               json_pack("{s:s, s:i, s:i, s:s, s:o}", "release", found.row.name, "signatures", (int)persons,
                         "threshold", (int)farm->root->roles[ROLE_RELEASE].threshold, "state",
                         found.row.state, "notes", notes));
}
