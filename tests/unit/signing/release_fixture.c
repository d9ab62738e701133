/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "release_fixture.h"

#include "file.h"
#include "pkginfo.h"
#include "treedigest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const default_policy =
    "version: 1\ndefaults:\n  quorum: 2\n  anchors: 1\n  distinct: [operator]\n";

static void must(int result, const struct diag *diag)
{
    if (result < 0)
        fail_msg("%s", diag_text(diag, result));
}

static void put(int dirfd, const char *path, struct view text, mode_t mode)
{
    struct diag diag = DIAG_INIT;
    const char *slash = strrchr(path, '/');
    if (slash != NULL) {
        CLEANUP_FREE char *parent = mem_string_n(path, (size_t)(slash - path));
        must(file_make_dirs(dirfd, parent, 0755, &diag), &diag);
    }
    /* Not durably: a test that waits for the disk a thousand times measures the disk. */
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    must(file_write_all(fd, text.data, text.size), NULL);
}

static void make_tree(struct release_fixture *f)
{
    struct diag diag = DIAG_INIT;
    struct problems problems = PROBLEMS_INIT;
    put(f->dirfd, "tree/packages/extra/liba/package.yml",
        VIEW("name: liba\nversion: \"1.0\"\nrelease: 1\ndescription: A library\nlicense: MIT\ntier: "
             "extra\nbuild_style: custom\n"
             "source: []\n"),
        0644);
    put(f->dirfd, "tree/packages/extra/liba/build.sh", VIEW("do_install() { :; }\n"), 0755);
    put(f->dirfd, "tree/packages/extra/appb/package.yml",
        VIEW("name: appb\nversion: \"2.1\"\nrelease: 3\ndescription: A program\nlicense: MIT\ntier: "
             "extra\nbuild_style: custom\n"
             "source: []\ndependencies:\n  build: [liba]\n  runtime: [liba]\n"),
        0644);
    put(f->dirfd, "tree/packages/extra/appb/build.sh", VIEW("do_install() { :; }\n"), 0755);
    put(f->dirfd, "tree/farm/policy.yml", view_text(f->policy), 0644);
    CLEANUP_CLOSE int tree = file_open_dir(f->dirfd, "tree", NULL);
    int result = tree_load(tree, &f->tree, &problems, &diag);
    if (problems.count > 0)
        fail_msg("%s: %s", problems.items[0].file, problems.items[0].text);
    must(result, &diag);
    f->pin.url = mem_string("https://example.org/tree.git");
    strcpy(f->pin.commit, "0123456789abcdef0123456789abcdef01234567");
    must(treedigest_of_dir(tree, &f->pin.sha256, &diag), &diag);
}

static void make_base(struct release_fixture *f)
{
    CLEANUP(manifest_done) struct manifest manifest = MANIFEST_INIT;
    manifest_add(&manifest, &(struct entry){.path = VIEW(""), .type = ENTRY_DIR, .mode = 0755});
    manifest_add(&manifest, &(struct entry){.path = VIEW("usr"), .type = ENTRY_DIR, .mode = 0755});
    manifest_add(&manifest, &(struct entry){.path = VIEW("etc"), .type = ENTRY_DIR, .mode = 0755});
    assert_int_equal(manifest_seal(&manifest, NULL), 0);
    manifest_write(&manifest, &f->base_text);
    f->base = digest_of(buf_view(&f->base_text));
}

static void write_pkginfo(void *context, const struct manifest *manifest, struct buf *ret)
{
    pkginfo_write(context, manifest, ret);
}

static void build_package(struct release_fixture *f, size_t at)
{
    struct fixture_package *package = &f->packages[at];
    const struct plan_node *node = &f->plan->nodes[at];
    struct digest payloads[RELEASE_FIXTURE_PACKAGES];
    struct diag diag = DIAG_INIT;
    for (size_t i = 0; i < node->nclosure; i++)
        payloads[i] = f->packages[node->closure[i]].payload.manifest;
    struct spec_inputs inputs = {.tree = f->tree,
                                 .package = tree_index(f->tree, tree_find(f->tree, view_text(node->name))),
                                 .base = f->base,
                                 .payloads = payloads,
                                 .npayloads = node->nclosure};
    must(spec_write(&inputs, &package->spec_text, &package->job, &diag), &diag);
    must(spec_parse(buf_view(&package->spec_text), &package->spec, &diag), &diag);
    CLEANUP_FREE char *dir = mem_format("build-%s", node->name);
    CLEANUP_FREE char *file = mem_format("%s/usr/%s", dir, node->name);
    put(f->dirfd, file, view_text(node->name), 0644);
    CLEANUP_CLOSE int dirfd = file_open_dir(f->dirfd, dir, NULL);
    must(payload_pack(f->store, dirfd, write_pkginfo, package->spec, package->spec->epoch, &package->payload,
                      &diag),
         &diag);
    must(store_get(f->store, &package->payload.manifest, 1 << 20, &package->manifest_text, &diag), &diag);
}

struct release_fixture *release_fixture_new(const char *policy)
{
    struct release_fixture *f = mem_zero(1, sizeof *f);
    struct diag diag = DIAG_INIT;
    static const char *const everything[] = {"all"};
    f->policy = policy != NULL ? policy : default_policy;
    /* In memory where there is such a place: the store syncs each of its directories. */
    strcpy(f->path, access("/dev/shm", W_OK) == 0 ? "/dev/shm/farm-test-release.XXXXXX"
                                                  : "/tmp/farm-test-release.XXXXXX");
    assert_non_null(mkdtemp(f->path));
    f->dirfd = file_open_dir(AT_FDCWD, f->path, NULL);
    f->release_dirfd = -1;
    f->farm = farm_fixture_new();
    make_tree(f);
    make_base(f);
    must(plan_make(f->tree, &f->pin, &f->base, everything, 1, &f->plan, &diag), &diag);
    assert_int_equal(f->plan->nnodes, RELEASE_FIXTURE_PACKAGES);
    assert_string_equal(f->plan->nodes[LIBA].name, "liba");
    must(store_open(f->dirfd, "store", 1, &f->store, &diag), &diag);
    for (size_t i = 0; i < RELEASE_FIXTURE_PACKAGES; i++) {
        build_package(f, i);
        for (size_t k = 0; k < 2; k++)
            release_fixture_add_vote(f, (struct fixture_vote){.package = i, .operator_index = k, .round = 1});
    }
    f->farm->root->policy = digest_of(view_text(f->policy));
    f->farm->root->bases[0] = f->base;
    f->sequence = 1;
    f->claimed_operators = 2;
    return f;
}

struct release_fixture *release_fixture_free(struct release_fixture *f)
{
    for (size_t i = 0; i < RELEASE_FIXTURE_PACKAGES; i++) {
        buf_done(&f->packages[i].spec_text);
        buf_done(&f->packages[i].manifest_text);
        spec_free(f->packages[i].spec);
    }
    buf_done(&f->base_text);
    plan_free(f->plan);
    tree_free(f->tree);
    free(f->pin.url);
    store_close(f->store);
    farm_fixture_free(f->farm);
    close(f->dirfd);
    if (f->release_dirfd >= 0)
        close(f->release_dirfd);
    assert_int_equal(file_remove_tree(AT_FDCWD, f->path, NULL), 0);
    free(f);
    return NULL;
}

void release_fixture_add_vote(struct release_fixture *f, struct fixture_vote vote)
{
    assert_true(f->nvotes < RELEASE_FIXTURE_VOTES_MAX);
    f->votes[f->nvotes++] = vote;
}

static struct lease_nonce nonce_of(size_t vote)
{
    struct lease_nonce nonce = {{(unsigned char)vote, 7}};
    return nonce;
}

static void make_envelope(const struct release_fixture *f, size_t at, struct buf *ret)
{
    const struct fixture_vote *vote = &f->votes[at];
    const struct fixture_package *package = &f->packages[vote->package];
    const struct spec *spec = package->spec;
    struct statement_dependency dependencies[RELEASE_FIXTURE_PACKAGES];
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
                                  .nonce = nonce_of(at),
                                  .started_ms = FIXTURE_NOW,
                                  .finished_ms = FIXTURE_NOW + 1000,
                                  .log = digest_of(VIEW("log"))};
    if (vote->answer == ANSWER_OTHER)
        statement.payload = statement.tar = digest_of(VIEW("other bytes"));
    if (vote->answer == ANSWER_OTHER_BASE)
        statement.base = digest_of(VIEW("another base"));
    if (vote->answer == ANSWER_FAILED)
        statement.payload = statement.tar = (struct digest){{0}};
    must(statement_sign(&statement, identity_keys(f->farm->workers[vote->operator_index]), ret, &diag),
         &diag);
}

static void add_evidence(const struct release_fixture *f, size_t package, struct receipt *receipt)
{
    struct diag diag = DIAG_INIT;
    const struct digest *job = &f->packages[package].job;
    for (size_t i = 0; i < f->nvotes; i++) {
        const struct fixture_vote *vote = &f->votes[i];
        if (vote->package != package)
            continue;
        CLEANUP_BUF struct buf envelope = BUF_INIT;
        receipt_add_lease(
            receipt, &(struct receipt_lease){.job = *job,
                                             .nonce = nonce_of(i),
                                             .round = vote->round,
                                             .open = vote->open,
                                             .outcome = vote->outcome,
                                             .worker = (char *)fixture_workers[vote->operator_index],
                                             .operator_name = (char *)fixture_operators[vote->operator_index],
                                             .granted_ms = FIXTURE_NOW - 1000});
        if (vote->answer == ANSWER_NONE || f->receipt_leaves_out == i + 1)
            continue;
        make_envelope(f, i, &envelope);
        must(receipt_add_envelope(receipt, job, buf_view(&envelope), &diag), &diag);
    }
    receipt_add_verdict(receipt, &(struct receipt_verdict){.job = *job,
                                                           .state = VERDICT_AGREED,
                                                           .payload = f->packages[package].payload.manifest,
                                                           .operators = (uint32_t)f->claimed_operators,
                                                           .dissent = f->claimed_dissent});
}

static void write_receipt(const struct release_fixture *f, size_t at, const struct release_package *package)
{
    CLEANUP(receipt_done) struct receipt receipt = RECEIPT_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_FREE char *path = release_path(RELEASE_RECEIPTS, package, ".intoto.jsonl");
    add_evidence(f, at, &receipt);
    if (at == APPB && !f->appb_receipt_alone)
        add_evidence(f, LIBA, &receipt);
    receipt_write(&receipt, &text);
    put(f->release_dirfd, path, buf_view(&text), 0644);
}

static void write_archive(struct release_fixture *f, size_t at, struct release_package *package)
{
    CLEANUP_FREE char *path = release_path(RELEASE_ARTIFACTS, package, ".igos.tar.gz");
    struct diag diag = DIAG_INIT;
    must(file_make_dirs(f->release_dirfd, RELEASE_ARTIFACTS, 0755, &diag), &diag);
    CLEANUP_CLOSE int fd = openat(f->release_dirfd, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    must(payload_export_gz(f->store, &f->packages[at].payload.tar, fd, &package->archive_sha256,
                           &package->archive_size, &diag),
         &diag);
}

static void fill_package(struct release_fixture *f, size_t at, struct release_package *package)
{
    const struct plan_node *node = &f->plan->nodes[at];
    *package = (struct release_package){.name = mem_string(node->name),
                                        .version = mem_string(node->version),
                                        .release = mem_string(node->release),
                                        .tier = mem_string(node->tier),
                                        .phase = mem_string(node->tier),
                                        .gpu = mem_string("none"),
                                        .job = f->packages[at].job,
                                        .payload = f->packages[at].payload.manifest,
                                        .tar = f->packages[at].payload.tar,
                                        .dissent = f->claimed_dissent};
    package->archive = mem_format("%s-%s.igos.tar.gz", node->name, node->version);
    package->operators = mem_zero(f->claimed_operators + 1, sizeof *package->operators);
    for (; package->noperators < f->claimed_operators; package->noperators++)
        package->operators[package->noperators] = mem_string(fixture_operators[package->noperators]);
    CLEANUP_FREE char *manifest = release_path(RELEASE_MANIFESTS, package, ".mtree");
    CLEANUP_FREE char *spec = mem_format("%s/%s.json", RELEASE_SPECS, digest_hex(&package->job).text);
    put(f->release_dirfd, manifest, buf_view(&f->packages[at].manifest_text), 0644);
    put(f->release_dirfd, spec, buf_view(&f->packages[at].spec_text), 0644);
    write_archive(f, at, package);
    write_receipt(f, at, package);
}

static struct digest write_root(struct release_fixture *f)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    root_write(f->farm->root, &text);
    put(f->release_dirfd, "root/1.root.json", buf_view(&text), 0644);
    put(f->dirfd, "trust.json", buf_view(&text), 0644);
    for (size_t i = 0; i < 2; i++) {
        CLEANUP_FREE char *armored =
            farm_fixture_sign(f->farm->people[i], SSHSIG_NAMESPACE_ROOT, buf_view(&text));
        CLEANUP_FREE char *path = mem_format("root/1.root.json.sig.d/%s.sig", fixture_people[i]);
        put(f->release_dirfd, path, view_text(armored), 0644);
    }
    return digest_of(buf_view(&text));
}

static struct digest write_inputs(struct release_fixture *f, struct release *release)
{
    CLEANUP_BUF struct buf plan = BUF_INIT;
    CLEANUP_BUF struct buf workers = BUF_INIT;
    plan_write(f->plan, &plan);
    directory_write(f->farm->directory, &workers);
    put(f->release_dirfd, RELEASE_PLAN, buf_view(&plan), 0644);
    put(f->release_dirfd, RELEASE_POLICY, view_text(f->policy), 0644);
    put(f->release_dirfd, RELEASE_BASE, buf_view(&f->base_text), 0644);
    put(f->release_dirfd, RELEASE_WORKERS, buf_view(&workers), 0644);
    release->plan = digest_of(buf_view(&plan));
    release->policy = digest_of(view_text(f->policy));
    return digest_of(buf_view(&workers));
}

void release_fixture_sign(struct release_fixture *f, size_t people, const char *name_space)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    assert_int_equal(file_read(f->release_dirfd, RELEASE_FILE, 1 << 20, &text, NULL), 0);
    if (faccessat(f->release_dirfd, RELEASE_SIGNATURES, F_OK, 0) == 0)
        assert_int_equal(file_remove_tree(f->release_dirfd, RELEASE_SIGNATURES, NULL), 0);
    for (size_t i = 0; i < people; i++) {
        CLEANUP_FREE char *armored = farm_fixture_sign(f->farm->people[i], name_space, buf_view(&text));
        CLEANUP_FREE char *path = mem_format("%s/%s.sig", RELEASE_SIGNATURES, fixture_people[i]);
        put(f->release_dirfd, path, view_text(armored), 0644);
    }
}

static void write_release_json(struct release_fixture *f, struct release *release)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf list = BUF_INIT;
    release_write(release, &text);
    struct digest digest = digest_of(buf_view(&text));
    release_archive_manifest(release, &digest, &list);
    put(f->release_dirfd, RELEASE_FILE, buf_view(&text), 0644);
    put(f->release_dirfd, RELEASE_ARCHIVE_MANIFEST, buf_view(&list), 0644);
}

void release_fixture_write(struct release_fixture *f)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_RELEASE struct release *release = release_new();
    if (f->release_dirfd >= 0) {
        close(f->release_dirfd);
        must(file_remove_tree(f->dirfd, "release", &diag), &diag);
    }
    must(file_make_dirs(f->dirfd, "release", 0755, &diag), &diag);
    f->release_dirfd = file_open_dir(f->dirfd, "release", NULL);
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
    release->packages = mem_zero(RELEASE_FIXTURE_PACKAGES, sizeof *release->packages);
    for (size_t i = 0; i < RELEASE_FIXTURE_PACKAGES; i++)
        if (i != APPB || !f->leaves_out_appb)
            fill_package(f, i, &release->packages[release->npackages++]);
    write_release_json(f, release);
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
