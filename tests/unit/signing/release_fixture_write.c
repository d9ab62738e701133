/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The release as a directory. */
#include "release_fixture_private.h"

#include "parallel.h"
#include "vsa.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

struct writing {
    struct release_fixture *fixture;
    struct release *release;
};

struct lease_nonce fixture_nonce(size_t vote)
{
    struct lease_nonce nonce = {
        {(unsigned char)vote, (unsigned char)(vote >> 8), (unsigned char)(vote >> 16), 7}};
    return nonce;
}

const char *fixture_holder(const struct release_fixture *f, size_t at)
{
    return f->leased_to_nobody == at + 1 ? "omega-1" : fixture_workers[f->votes[at].operator_index];
}

void fixture_envelope(const struct release_fixture *f, size_t at, struct buf *ret)
{
    const struct fixture_vote *vote = &f->votes[at];
    const struct fixture_package *package = &f->packages[vote->package];
    const struct spec *spec = package->spec;
    CLEANUP_FREE struct statement_dependency *dependencies =
        mem_zero(spec->ndependencies + 1, sizeof *dependencies);
    struct diag diag = DIAG_INIT;
    for (size_t i = 0; i < spec->ndependencies; i++)
        dependencies[i] =
            (struct statement_dependency){spec->dependencies[i].name, spec->dependencies[i].payload};
    struct statement statement = {.failure = vote->answer == ANSWER_FAILED ? FAILURE_BUILD : FAILURE_NONE,
                                  .package = spec->name,
                                  .version = spec->version,
                                  .release = spec->release,
                                  .tier = spec->tier,
                                  .kind = spec->kind,
                                  .job = package->job,
                                  .base = f->base,
                                  .tree_url = f->pin.url,
                                  .tree_commit = f->pin.commit,
                                  .tree_sha256 = f->pin.sha256,
                                  .payload = package->payload.manifest,
                                  .tar = package->payload.tar,
                                  .dependencies = dependencies,
                                  .ndependencies = spec->ndependencies,
                                  .worker = fixture_workers[vote->operator_index],
                                  .operator_name = fixture_operators[vote->operator_index],
                                  .nonce = fixture_nonce(at),
                                  .started_ms = FIXTURE_NOW,
                                  .finished_ms = FIXTURE_NOW + 1000,
                                  .log = digest_of(VIEW("log"))};
    if (!digest_is_zero(&f->attested_tree))
        statement.tree_sha256 = f->attested_tree;
    if (vote->answer == ANSWER_OTHER)
        statement.payload = statement.tar = digest_of(VIEW("other bytes"));
    if (vote->answer == ANSWER_OTHER_BASE)
        statement.base = digest_of(VIEW("another base"));
    if (vote->answer == ANSWER_FAILED)
        statement.payload = statement.tar = (struct digest){{0}};
    fixture_must(
        statement_sign(&statement, identity_keys(f->farm->workers[vote->operator_index]), ret, &diag), &diag);
}

/* No envelope of this vote stands in a receipt. */
static bool leaves_out(const struct release_fixture *f, size_t at)
{
    return f->votes[at].answer == ANSWER_NONE || f->receipt_leaves_out == at + 1 ||
           f->receipt_hides == at + 1 || f->receipt_expires == at + 1;
}

static size_t operators_of(const struct release_fixture *f, size_t package)
{
    return f->claimed_operators + f->packages[package].more_operators;
}

static uint32_t dissent_of(const struct release_fixture *f, size_t package)
{
    return f->claimed_dissent + f->packages[package].more_dissent;
}

static void add_evidence(const struct release_fixture *f, size_t package, struct receipt *receipt)
{
    struct diag diag = DIAG_INIT;
    const struct digest *job = &f->packages[package].job;
    for (size_t i = 0; i < f->nvotes; i++) {
        const struct fixture_vote *vote = &f->votes[i];
        if (vote->package != package || f->receipt_hides == i + 1)
            continue;
        CLEANUP_BUF struct buf envelope = BUF_INIT;
        receipt_add_lease(
            receipt,
            &(struct receipt_lease){.job = *job,
                                    .nonce = fixture_nonce(i),
                                    .round = vote->round,
                                    .open = vote->open && vote->answer != ANSWER_NONE,
                                    .outcome = f->receipt_expires == i + 1 ? OUTCOME_EXPIRED : vote->outcome,
                                    .worker = (char *)fixture_holder(f, i),
                                    .operator_name = (char *)fixture_operators[vote->operator_index],
                                    .granted_ms = FIXTURE_NOW - 1000});
        if (leaves_out(f, i))
            continue;
        fixture_envelope(f, i, &envelope);
        fixture_must(receipt_add_envelope(receipt, job, buf_view(&envelope), &diag), &diag);
    }
    receipt_add_verdict(receipt, &(struct receipt_verdict){.job = *job,
                                                           .state = VERDICT_AGREED,
                                                           .payload = f->packages[package].payload.manifest,
                                                           .operators = (uint32_t)operators_of(f, package),
                                                           .dissent = dissent_of(f, package)});
}

static void write_receipt(const struct release_fixture *f, size_t at, const struct release_package *package)
{
    CLEANUP(receipt_done) struct receipt receipt = RECEIPT_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_FREE char *path = release_path(RELEASE_RECEIPTS, package, ".intoto.jsonl");
    add_evidence(f, at, &receipt);
    const struct plan_node *node = &f->plan->nodes[at];
    for (size_t i = 0; i < node->nclosure && !f->appb_receipt_alone; i++)
        add_evidence(f, node->closure[i], &receipt);
    receipt_write(&receipt, &text);
    fixture_put(f->release_dirfd, path, buf_view(&text), 0644);
}

static size_t index_of(const struct release_fixture *f, const struct digest *job)
{
    size_t i = 0;
    while (!digest_equal(&f->packages[i].job, job))
        i++;
    return i;
}

static void write_archive(void *context, size_t at)
{
    struct release_fixture *f = ((struct writing *)context)->fixture;
    struct release_package *package = &((struct writing *)context)->release->packages[at];
    const struct digest *tar = &f->packages[index_of(f, &package->job)].payload.tar;
    CLEANUP_FREE char *path = release_path(RELEASE_ARTIFACTS, package, ".igos.tar.gz");
    struct diag diag = DIAG_INIT;
    fixture_must(file_make_dirs(f->release_dirfd, RELEASE_ARTIFACTS, 0755, &diag), &diag);
    CLEANUP_CLOSE int fd = openat(f->release_dirfd, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    fixture_must(
        payload_export_gz(f->store, tar, fd, &package->archive_sha256, &package->archive_size, &diag), &diag);
}

static void fill_package(struct release_fixture *f, size_t at, struct release_package *package)
{
    const struct plan_node *node = &f->plan->nodes[at];
    *package = (struct release_package){.name = mem_string(node->name),
                                        .version = mem_string(node->version),
                                        .release = mem_string(node->release),
                                        .tier = mem_string(node->tier),
                                        .phase = mem_string(node->tier),
                                        .gpu = mem_string(node->rules.evidence ? "not-validated" : "none"),
                                        .job = f->packages[at].job,
                                        .payload = f->packages[at].payload.manifest,
                                        .tar = f->packages[at].payload.tar,
                                        .dissent = dissent_of(f, at)};
    package->archive = mem_format("%s-%s.igos.tar.gz", node->name, node->version);
    package->operators = mem_zero(operators_of(f, at) + 1, sizeof *package->operators);
    for (; package->noperators < operators_of(f, at); package->noperators++)
        package->operators[package->noperators] = mem_string(fixture_operators[package->noperators]);
    CLEANUP_FREE char *manifest = release_path(RELEASE_MANIFESTS, package, ".mtree");
    CLEANUP_FREE char *spec = mem_format("%s/%s.json", RELEASE_SPECS, digest_hex(&package->job).text);
    fixture_put(f->release_dirfd, manifest, buf_view(&f->packages[at].manifest_text), 0644);
    fixture_put(f->release_dirfd, spec, buf_view(&f->packages[at].spec_text), 0644);
    write_receipt(f, at, package);
}

/* Others may be built with it, so its spec is there. */
static void hold_package(struct release_fixture *f, size_t at, struct release *release)
{
    CLEANUP_FREE char *spec = mem_format("%s/%s.json", RELEASE_SPECS, digest_hex(&f->packages[at].job).text);
    release->held = mem_zero(1, sizeof *release->held);
    release->held[release->nheld++] =
        (struct release_held){mem_string(f->plan->nodes[at].name), mem_string("not wanted")};
    fixture_put(f->release_dirfd, spec, buf_view(&f->packages[at].spec_text), 0644);
}

static struct digest write_root(struct release_fixture *f)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    f->farm->root->log.present = !f->without_log;
    root_write(f->farm->root, &text);
    fixture_put(f->release_dirfd, "root/1.root.json", buf_view(&text), 0644);
    fixture_put(f->dirfd, "trust.json", buf_view(&text), 0644);
    for (size_t i = 0; i < 2; i++) {
        CLEANUP_FREE char *armored =
            farm_fixture_sign(f->farm->people[i], SSHSIG_NAMESPACE_ROOT, buf_view(&text));
        CLEANUP_FREE char *path = mem_format("root/1.root.json.sig.d/%s.sig", fixture_people[i]);
        fixture_put(f->release_dirfd, path, view_text(armored), 0644);
    }
    return digest_of(buf_view(&text));
}

static struct digest write_inputs(struct release_fixture *f, struct release *release)
{
    CLEANUP_BUF struct buf plan = BUF_INIT;
    CLEANUP_BUF struct buf workers = BUF_INIT;
    plan_write(f->plan, &plan);
    directory_write(f->farm->directory, &workers);
    fixture_put(f->release_dirfd, RELEASE_PLAN, buf_view(&plan), 0644);
    fixture_put(f->release_dirfd, RELEASE_POLICY, view_text(f->policy), 0644);
    fixture_put(f->release_dirfd, RELEASE_BASE, buf_view(&f->base_text), 0644);
    fixture_put(f->release_dirfd, RELEASE_WORKERS, buf_view(&workers), 0644);
    release->plan = digest_of(buf_view(&plan));
    release->policy = digest_of(view_text(f->policy));
    return digest_of(buf_view(&workers));
}

void release_fixture_sign(struct release_fixture *f, size_t people, const char *name_space)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    assert_int_equal(file_read(f->release_dirfd, RELEASE_FILE, RELEASE_SIZE_MAX, &text, NULL), 0);
    if (faccessat(f->release_dirfd, RELEASE_SIGNATURES, F_OK, 0) == 0)
        assert_int_equal(file_remove_tree(f->release_dirfd, RELEASE_SIGNATURES, NULL), 0);
    for (size_t i = 0; i < people; i++) {
        CLEANUP_FREE char *armored = farm_fixture_sign(f->farm->people[i], name_space, buf_view(&text));
        CLEANUP_FREE char *path = mem_format("%s/%s.sig", RELEASE_SIGNATURES, fixture_people[i]);
        fixture_put(f->release_dirfd, path, view_text(armored), 0644);
    }
}

static void write_release_json(struct release_fixture *f, struct release *release)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf list = BUF_INIT;
    release_write(release, &text);
    struct digest digest = digest_of(buf_view(&text));
    release_archive_manifest(release, &digest, &list);
    fixture_put(f->release_dirfd, RELEASE_FILE, buf_view(&text), 0644);
    fixture_put(f->release_dirfd, RELEASE_ARCHIVE_MANIFEST, buf_view(&list), 0644);
}

void release_fixture_replace(struct release_fixture *f, const char *old, const char *new_text)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf changed = BUF_INIT;
    assert_int_equal(file_read(f->release_dirfd, RELEASE_FILE, RELEASE_SIZE_MAX, &text, NULL), 0);
    const char *at = strstr(text.data, old);
    assert_non_null(at);
    buf_add(&changed, text.data, (size_t)(at - text.data));
    buf_add_text(&changed, new_text);
    buf_add_text(&changed, at + strlen(old));
    fixture_put(f->release_dirfd, RELEASE_FILE, buf_view(&changed), 0644);
    release_fixture_sign(f, 2, SSHSIG_NAMESPACE_RELEASE);
}

/* ---- for other tools ---- */

static int by_digest(const void *left, const void *right)
{
    return digest_compare(left, right);
}

static size_t envelopes_of(const struct release_fixture *f, const struct digest *job, struct digest *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < f->nvotes; i++) {
        CLEANUP_BUF struct buf envelope = BUF_INIT;
        if (!digest_equal(&f->packages[f->votes[i].package].job, job) || leaves_out(f, i))
            continue;
        fixture_envelope(f, i, &envelope);
        ret[count++] = digest_of(buf_view(&envelope));
    }
    qsort(ret, count, sizeof *ret, by_digest);
    return count;
}

static void write_summary(const struct release_fixture *f, const struct release *release,
                          const struct release_package *package)
{
    struct digest id = keys_id(keys_public(f->log->key));
    struct digest_hex hex = digest_hex(&id);
    CLEANUP_FREE struct digest *envelopes = mem_zero(f->nvotes + 1, sizeof *envelopes);
    CLEANUP_FREE char *path = release_path(RELEASE_SUMMARIES, package, ".vsa.jsonl");
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct vsa_inputs inputs = {.release = release,
                                .package = package,
                                .verifier = f->without_log ? hex.text : f->log->origin,
                                .verified_ms = release->created_ms,
                                .envelopes = envelopes,
                                .nenvelopes = envelopes_of(f, &package->job, envelopes)};
    fixture_must(vsa_sign(&inputs, f->log->key, &text, NULL), NULL);
    fixture_put(f->release_dirfd, path, buf_view(&text), 0644);
}

static void write_key(const struct release_fixture *f, const char *name, const struct public_key *key)
{
    CLEANUP_BUF struct buf pem = BUF_INIT;
    CLEANUP_FREE char *path = mem_format("%s/%s.pem", RELEASE_KEYS, name);
    keys_public_write_pem(key, &pem);
    fixture_put(f->release_dirfd, path, buf_view(&pem), 0644);
}

static bool has_answered(const struct release_fixture *f, size_t operator_index)
{
    for (size_t i = 0; i < f->nvotes; i++)
        if (f->votes[i].operator_index == operator_index && f->votes[i].answer != ANSWER_NONE &&
            (f->votes[i].outcome == OUTCOME_ANSWERED || f->votes[i].outcome == OUTCOME_LATE) &&
            f->receipt_hides != i + 1)
            return true;
    return false;
}

static void write_summaries(const struct release_fixture *f, const struct release *release)
{
    for (size_t i = 0; i < release->npackages; i++)
        write_summary(f, release, &release->packages[i]);
    write_key(f, "coordinator", keys_public(f->log->key));
    for (size_t i = 0; i < FIXTURE_OPERATORS; i++)
        if (has_answered(f, i) && directory_find(f->farm->directory, fixture_workers[i]) != NULL)
            write_key(f, fixture_workers[i], keys_public(identity_keys(f->farm->workers[i])));
}

/* ---- the whole ---- */

static void open_release(struct release_fixture *f)
{
    struct diag diag = DIAG_INIT;
    if (f->release_dirfd >= 0) {
        close(f->release_dirfd);
        fixture_must(file_remove_tree(f->dirfd, "release", &diag), &diag);
    }
    fixture_must(file_make_dirs(f->dirfd, "release", 0755, &diag), &diag);
    f->release_dirfd = file_open_dir(f->dirfd, "release", NULL);
}

static void fill_head(struct release_fixture *f, struct release *release)
{
    release->name = mem_string("test-1");
    release->sequence = f->sequence;
    release->previous = f->previous;
    release->created_ms = FIXTURE_NOW;
    release->expires_ms = FIXTURE_EXPIRES;
    release->tree.url = mem_string(f->pin.url);
    memcpy(release->tree.commit, f->pin.commit, sizeof f->pin.commit);
    release->tree.sha256 = f->pin.sha256;
    release->base = f->base;
    release->planned = f->plan->nnodes;
    release->root = write_root(f);
    release->workers = write_inputs(f, release);
}

static void copy_waivers(const struct release_fixture *f, struct release *release)
{
    release->waivers = mem_zero(f->nwaivers + 1, sizeof *release->waivers);
    for (size_t i = 0; i < f->nwaivers; i++) {
        CLEANUP_JSON json_t *value = waiver_json(&f->waivers[i]);
        fixture_must(waiver_from_json(value, "waiver", &release->waivers[release->nwaivers++], NULL), NULL);
    }
}

void release_fixture_write(struct release_fixture *f)
{
    CLEANUP_RELEASE struct release *release = release_new();
    struct writing writing = {f, release};
    open_release(f);
    fill_head(f, release);
    if (!f->without_log) {
        fixture_write_log(f, &release->root, &release->workers);
        release->has_log = !f->release_without_log;
        release->log = log_fixture_checkpoint(f->log, f->log_size);
    }
    copy_waivers(f, release);
    release->packages = mem_zero(f->npackages, sizeof *release->packages);
    for (size_t i = 0; i < f->npackages; i++)
        if (f->held == i + 1)
            hold_package(f, i, release);
        else if (f->shape.packages > 0 || i != APPB || !f->leaves_out_appb)
            fill_package(f, i, &release->packages[release->npackages++]);
    parallel_each(release->npackages, 0, write_archive, &writing);
    write_release_json(f, release);
    if (!f->without_summaries)
        write_summaries(f, release);
    release_fixture_sign(f, 2, SSHSIG_NAMESPACE_RELEASE);
}

int release_fixture_verify(struct release_fixture *f, const struct verify_state *state, int64_t now,
                           struct verify_result *ret)
{
    CLEANUP_FREE char *trust = mem_format("%s/trust.json", f->path);
    CLEANUP_FREE char *tree = mem_format("%s/tree", f->path);
    struct diag diag = DIAG_INIT;
    struct verify_options options = {
        .dirfd = f->release_dirfd, .trust = trust, .state = state, .now_ms = now, .tree = tree};
    int result = verify_release(&options, ret, &diag);
    if (result < 0 && result != FARM_E_REFUSED)
        fail_msg("could not run: %s", diag.text);
    return result;
}
