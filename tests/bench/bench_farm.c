/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Making the farm's state directory, by the coordinator's own code, in this process. Running it is bench_process.c. */
#include "bench_farm.h"

#include "bench.h"
#include "farm_fixture.h"
#include "file.h"
#include "journal.h"
#include "payload.h"
#include "pkginfo.h"
#include "treedigest.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { YEAR_S = 365 * 86400, PERSONS = 2, WORKERS_A_COMMIT = 1000, JOBS_A_COMMIT = 1000 };

/* While the directory is being made. */
struct making {
    struct bench_farm *bench;
    struct farm *farm;
    struct store *outputs; /* where outputs are put: the farm's store or one beside it */
    struct key_pair *people[PERSONS], *enrolment, **operators;
};

void bench_must(int result, const struct diag *diag)
{
    if (result >= 0)
        return;
    fprintf(stderr, "bench: %s\n", diag_text(diag, result));
    exit(FARM_EXIT_CANNOT_RUN);
}

static void put(const struct making *making, const char *path, const char *text)
{
    struct diag diag = DIAG_INIT;
    int fd = openat(making->bench->dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        bench_must(diag_errno(&diag, "%s", path), &diag);
    bench_must(file_write_all(fd, text, strlen(text)), NULL);
    close(fd);
}

static int64_t whole_seconds(void)
{
    return moment_wall_ms() / 1000 * 1000;
}

/* ---- the empty farm ---- */

static void open_farm(struct making *making)
{
    struct bench_farm *bench = making->bench;
    struct coordinator_config config = {0};
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *path = mem_format("%s/farm.conf", bench->path);
    CLEANUP_FREE char *text =
        mem_format("[coordinator]\nstate_dir = %s\ncontrol_listen = 127.0.0.1:*\nbulk_listen = 127.0.0.1:*\n"
                   "advertise = 127.0.0.1\nreserve = 0\n"
                   "session_timeout = 10m\n%s",
                   bench->path, bench->options.conf != NULL ? bench->options.conf : "");
    put(making, "farm.conf", text);
    bench_must(config_read(path, &config, &diag), &diag);
    bench_must(farm_open(&config, &making->farm, &diag), &diag);
}

static void make_operator_names(const struct making *making, struct root *root, size_t anchors)
{
    root->anchors = mem_zero(anchors, sizeof *root->anchors);
    root->log.witnesses = mem_zero(anchors, sizeof *root->log.witnesses);
    for (size_t i = 0; i < anchors; i++) {
        struct root_anchor *anchor = &root->anchors[root->nanchors++];
        anchor->operator_name = mem_format("op%03zu", i);
        anchor->keys = mem_zero(1, sizeof *anchor->keys);
        anchor->keys[anchor->nkeys++] = ssh_public_key_of(making->operators[i]);
        root->log.witnesses[root->log.nwitnesses++] = mem_string(anchor->operator_name);
    }
}

static struct root *make_root(const struct making *making, const struct digest *policy)
{
    static const char *const people[PERSONS] = {"ann", "ben"};
    size_t anchors = making->bench->options.operators / 2;
    struct root *root = root_new();
    root->version = 1;
    root->expires_ms = whole_seconds() + (int64_t)YEAR_S * 1000;
    for (size_t i = 0; i < PERSONS; i++) {
        farm_fixture_add_role_key(&root->roles[ROLE_ROOT], people[i], making->people[i]);
        farm_fixture_add_role_key(&root->roles[ROLE_RELEASE], people[i], making->people[i]);
    }
    farm_fixture_add_role_key(&root->roles[ROLE_ENROLMENT], "eva", making->enrolment);
    root->roles[ROLE_ROOT].threshold = root->roles[ROLE_RELEASE].threshold = PERSONS;
    root->roles[ROLE_ENROLMENT].threshold = 1;
    make_operator_names(making, root, anchors);
    root->log.present = true;
    root->log.key = journal_key(making->farm);
    root->log.threshold = (uint32_t)(anchors / 2 + 1);
    root->policy = *policy;
    root->bases = mem_zero(1, sizeof *root->bases);
    root->bases[root->nbases++] = making->bench->base;
    return root;
}

static void install_root(const struct making *making, const struct digest *policy)
{
    struct diag diag = DIAG_INIT;
    struct trust_link link = {.text = BUF_INIT};
    struct root *root = make_root(making, policy);
    bench_must(root_check_rules(root, "root", &diag), &diag);
    root_write(root, &link.text);
    root_free(root);
    bench_must(root_parse(buf_view(&link.text), "root", &link.root, &diag), &diag);
    link.signatures = mem_zero(PERSONS, sizeof *link.signatures);
    for (size_t i = 0; i < PERSONS; i++)
        link.signatures[link.nsignatures++] =
            farm_fixture_sign(making->people[i], SSHSIG_NAMESPACE_ROOT, buf_view(&link.text));
    bench_must(trust_install(making->farm, &link, 1, &diag), &diag);
    trust_link_done(&link);
}

/* ---- workers ---- */

static void make_worker(const struct making *making, size_t at)
{
    struct bench_worker *worker = &making->bench->workers[at];
    struct diag diag = DIAG_INIT;
    size_t operator_index = at % making->bench->options.operators;
    const struct key_pair *operator_key = making->operators[operator_index];
    struct directory_entry entry = {.worker = worker->name,
                                    .operator_name = worker->operator_name,
                                    .operator_key = ssh_public_key_of(operator_key),
                                    .admitted_ms = whole_seconds(),
                                    .expires_ms = whole_seconds() + (int64_t)YEAR_S / 2 * 1000,
                                    .compromised_from = -1};
    snprintf(worker->operator_name, sizeof worker->operator_name, "op%03zu", operator_index);
    snprintf(worker->name, sizeof worker->name, "op%03zu-%05zu", operator_index,
             at / making->bench->options.operators);
    crypto_sign_keypair(entry.ed25519.bytes, worker->secret);
    bench_must(link_keypair(worker->curve_public, worker->curve_secret, &diag), &diag);
    memcpy(entry.curve, worker->curve_public, LINK_KEY_SIZE);
    farm_fixture_sign_entry(&entry, operator_key);
    farm_fixture_sign_entry(&entry, making->enrolment);
    bench_must(directory_add(making->farm->directory, &entry, &diag), &diag);
    struct db_worker row = {.name = worker->name,
                            .operator_name = worker->operator_name,
                            .entry = "{}",
                            .state = "active",
                            .admitted_ms = 1};
    memcpy(row.ed25519.bytes, entry.ed25519.bytes, DIGEST_SIZE);
    memcpy(row.curve.bytes, entry.curve, DIGEST_SIZE);
    db_put_worker(farm_write(making->farm), &row);
    for (size_t i = 0; i < entry.nsignatures; i++)
        free(entry.signatures[i]);
    free(entry.signatures);
}

static void make_workers(const struct making *making)
{
    struct bench_farm *bench = making->bench;
    struct diag diag = DIAG_INIT;
    bench->workers = mem_zero(bench->options.workers, sizeof *bench->workers);
    for (size_t i = 0; i < bench->options.workers; i++)
        make_worker(making, i);
    bench_must(trust_publish_directory(making->farm, &diag), &diag);
    bench_must(farm_flush(making->farm, &diag), &diag);
}

/* ---- packages ---- */

struct bench_job_name bench_farm_job_name(size_t job)
{
    struct bench_job_name name;
    snprintf(name.text, sizeof name.text, "p%06zu", job);
    return name;
}

size_t bench_farm_job(const struct bench_farm *farm, const char *node)
{
    const char *slash = strrchr(node, '/'), *name = slash != NULL ? slash + 1 : node;
    size_t job = name[0] == 'p' ? strtoul(name + 1, NULL, 10) : SIZE_MAX;
    if (job >= farm->options.jobs) {
        fprintf(stderr, "bench: %s is no package of ours\n", node);
        exit(FARM_EXIT_CANNOT_RUN);
    }
    return job;
}

static void make_recipe(const struct making *making, size_t job)
{
    struct diag diag = DIAG_INIT;
    struct bench_job_name name = bench_farm_job_name(job), before = bench_farm_job_name(job - job % 2);
    CLEANUP_FREE char *dir = mem_format("tree/packages/extra/%s", name.text);
    CLEANUP_FREE char *recipe = mem_format("%s/package.yml", dir), *script = mem_format("%s/build.sh", dir);
    CLEANUP_FREE char *needs = making->bench->options.chained && job % 2 == 1
                                   ? mem_format("dependencies:\n  build: [%s]\n", before.text)
                                   : mem_string("");
    CLEANUP_FREE char *text =
        mem_format("name: %s\nversion: \"1.0\"\nrelease: 1\ndescription: A package\nlicense: MIT\n"
                   "tier: extra\nbuild_style: custom\nsource: []\n%s",
                   name.text, needs);
    if (mkdirat(making->bench->dirfd, dir, 0755) < 0)
        bench_must(diag_errno(&diag, "%s", dir), &diag);
    put(making, recipe, text);
    put(making, script, "do_install() { :; }\n");
}

/* Returns the policy's digest. */
static struct digest make_tree(const struct making *making)
{
    struct diag diag = DIAG_INIT;
    int dirfd = making->bench->dirfd;
    uint32_t quorum = making->bench->options.quorum;
    CLEANUP_FREE char *policy =
        mem_format("version: 1\ndefaults:\n  quorum: %u\n  anchors: %u\n  distinct: [operator]\n", quorum,
                   quorum > 1 ? 1U : 0U);
    bench_must(file_make_dirs(dirfd, "tree/packages/extra", 0755, &diag), &diag);
    bench_must(file_make_dirs(dirfd, "tree/farm", 0755, &diag), &diag);
    put(making, "tree/farm/policy.yml", policy);
    for (size_t i = 0; i < making->bench->options.jobs; i++)
        make_recipe(making, i);
    return digest_of(view_text(policy));
}

/* It lies where a start looks for it: trees/<digest>. */
static struct tree *load_tree(const struct making *making)
{
    struct bench_farm *bench = making->bench;
    struct problems problems = PROBLEMS_INIT;
    struct diag diag = DIAG_INIT;
    struct tree *tree = NULL;
    CLEANUP_CLOSE int dirfd = file_open_dir(bench->dirfd, "tree", NULL);
    bench_must(treedigest_of_dir(dirfd, &bench->pin.sha256, &diag), &diag);
    int result = tree_load(dirfd, &tree, &problems, &diag);
    if (problems.count > 0)
        diag_set(&diag, result, "%s: %s", problems.items[0].file, problems.items[0].text);
    bench_must(result, &diag);
    CLEANUP_FREE char *path = plans_tree_path(&bench->pin.sha256);
    if (renameat(bench->dirfd, "tree", bench->dirfd, path) < 0)
        bench_must(diag_errno(&diag, "%s", path), &diag);
    bench->pin.url = mem_string("https://example.org/tree.git");
    strcpy(bench->pin.commit, "0123456789abcdef0123456789abcdef01234567");
    return tree;
}

/* ---- what builds would give ---- */

static void write_pkginfo(void *context, const struct manifest *manifest, struct buf *ret)
{
    pkginfo_write(context, manifest, ret);
}

static void take_object(const struct making *making, const struct digest *digest, struct bench_object *ret)
{
    struct diag diag = DIAG_INIT;
    int fd = -1;
    uint64_t size;
    bench_must(store_open_stored(making->outputs, digest, &fd, &size, &diag), &diag);
    ret->digest = *digest;
    bench_must(file_read_fd(fd, "object", (size_t)size, &ret->stored, &diag), &diag);
    close(fd);
}

static struct spec *derive(const struct making *making, const struct tree *tree, const struct plan *plan,
                           size_t node)
{
    struct bench_farm *bench = making->bench;
    const struct plan_node *row = &plan->nodes[node];
    struct digest payloads[1];
    struct diag diag = DIAG_INIT;
    struct spec *spec = NULL;
    CLEANUP_BUF struct buf text = BUF_INIT;
    for (size_t i = 0; i < row->nclosure; i++)
        payloads[i] =
            bench->jobs[bench_farm_job(bench, plan->nodes[row->closure[i]].name)].output[BENCH_MANIFEST];
    struct bench_job *job = &bench->jobs[bench_farm_job(bench, row->name)];
    struct spec_inputs inputs = {.tree = tree,
                                 .package = tree_index(tree, tree_find(tree, view_text(row->name))),
                                 .base = bench->base,
                                 .payloads = payloads,
                                 .npayloads = row->nclosure};
    bench_must(spec_write(&inputs, &text, &job->key, &diag), &diag);
    bench_must(spec_parse(buf_view(&text), &spec, &diag), &diag);
    return spec;
}

static void make_outputs(const struct making *making, const struct tree *tree, const struct plan *plan,
                         size_t node)
{
    struct bench_farm *bench = making->bench;
    struct bench_job *job = &bench->jobs[bench_farm_job(bench, plan->nodes[node].name)];
    struct spec *spec = derive(making, tree, plan, node);
    struct payload payload;
    struct diag diag = DIAG_INIT;
    CLEANUP_CLOSE int dirfd = file_open_dir(bench->dirfd, "output", NULL);
    CLEANUP_FREE char *log =
        bench->options.uploads ? mem_format("log of %s\n", spec->name) : mem_string("log");
    put(making, "output/file", spec->name);
    bench_must(payload_pack(making->outputs, dirfd, write_pkginfo, spec, spec->epoch, &payload, &diag),
               &diag);
    job->output[BENCH_MANIFEST] = payload.manifest;
    job->output[BENCH_TAR] = payload.tar;
    if (bench->options.uploads || node == 0)
        bench_must(store_put(making->outputs, view_text(log), &job->output[BENCH_LOG], &diag), &diag);
    else
        job->output[BENCH_LOG] = digest_of(view_text(log));
    if (bench->options.uploads)
        job->objects = mem_zero(BENCH_OBJECTS, sizeof *job->objects);
    for (size_t i = 0; bench->options.uploads && i < BENCH_OBJECTS; i++)
        take_object(making, &job->output[i], &job->objects[i]);
    spec_free(spec);
}

static void put_rows(const struct making *making, const struct plan *plan)
{
    const struct bench_farm *bench = making->bench;
    struct db *db = farm_write(making->farm);
    struct db_base base = {
        .manifest = bench->base, .tar = digest_of(VIEW("tar")), .name = "bench", .imported_ms = 1};
    struct db_tree tree = {.commit = bench->pin.commit,
                           .url = bench->pin.url,
                           .tree_sha256 = bench->pin.sha256,
                           .pack = digest_of(VIEW("pack"))};
    struct db_plan row = {.id = plan->id,
                          .commit = bench->pin.commit,
                          .tree_sha256 = bench->pin.sha256,
                          .base = bench->base,
                          .state = "planned",
                          .created_ms = 1};
    db_put_base(db, &base);
    db_put_tree(db, &tree);
    db_put_plan(db, &row);
}

static void make_plan(const struct making *making)
{
    static const char *const everything[] = {"all"};
    struct bench_farm *bench = making->bench;
    struct diag diag = DIAG_INIT;
    struct plan *plan = NULL;
    struct digest stored;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct tree *tree = load_tree(making);
    bench_must(plan_make(tree, &bench->pin, &bench->base, everything, 1, &plan, &diag), &diag);
    plan_write(plan, &text);
    bench_must(store_put(making->farm->store, buf_view(&text), &stored, &diag), &diag);
    bench->plan = plan->id;
    bench->jobs = mem_zero(bench->options.jobs, sizeof *bench->jobs);
    bench_must(file_make_dirs(bench->dirfd, "output", 0755, &diag), &diag);
    for (size_t i = 0; i < plan->nnodes; i++)
        make_outputs(making, tree, plan, i);
    put_rows(making, plan);
    bench_must(farm_flush(making->farm, &diag), &diag);
    plan_free(plan);
    tree_free(tree);
}

/* ---- all of it ---- */

/* Outputs that are to be sent are made beside the farm's store, in memory where there is such a place. */
static void open_outputs(struct making *making, char path[64])
{
    struct diag diag = DIAG_INIT;
    path[0] = '\0';
    making->outputs = making->farm->store;
    if (!making->bench->options.uploads)
        return;
    strcpy(path,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/farm-bench-out.XXXXXX" : "/tmp/farm-bench-out.XXXXXX");
    if (mkdtemp(path) == NULL)
        bench_must(diag_errno(&diag, "%s", path), &diag);
    bench_must(store_open(AT_FDCWD, path, STORE_LEVEL_MIN, &making->outputs, &diag), &diag);
}

static void close_outputs(struct making *making, const char *path)
{
    struct diag diag = DIAG_INIT;
    if (!making->bench->options.uploads)
        return;
    store_close(making->outputs);
    bench_must(file_remove_tree(AT_FDCWD, path, &diag), &diag);
}

static void make_keys(struct making *making)
{
    making->enrolment = keys_generate();
    for (size_t i = 0; i < PERSONS; i++)
        making->people[i] = keys_generate();
    making->operators = mem_zero(making->bench->options.operators, sizeof *making->operators);
    for (size_t i = 0; i < making->bench->options.operators; i++)
        making->operators[i] = keys_generate();
}

static void free_keys(struct making *making)
{
    keys_free(making->enrolment);
    for (size_t i = 0; i < PERSONS; i++)
        keys_free(making->people[i]);
    for (size_t i = 0; i < making->bench->options.operators; i++)
        keys_free(making->operators[i]);
    free(making->operators);
}

struct bench_farm *bench_farm_new(const struct bench_farm_options *options)
{
    struct bench_farm *bench = mem_zero(1, sizeof *bench);
    struct making making = {.bench = bench};
    struct diag diag = DIAG_INIT;
    char outputs[64];
    bench->options = *options;
    snprintf(bench->path, sizeof bench->path, "%s/farm-bench.XXXXXX",
             options->dir != NULL ? options->dir : "/tmp");
    if (mkdtemp(bench->path) == NULL)
        bench_must(diag_errno(&diag, "%s", bench->path), &diag);
    bench->dirfd = file_open_dir(AT_FDCWD, bench->path, NULL);
    bench->base = digest_of(VIEW("base"));
    make_keys(&making);
    open_farm(&making);
    open_outputs(&making, outputs);
    struct digest policy = make_tree(&making);
    install_root(&making, &policy);
    make_workers(&making);
    make_plan(&making);
    close_outputs(&making, outputs);
    farm_close(making.farm);
    free_keys(&making);
    return bench;
}

struct bench_farm *bench_farm_free(struct bench_farm *bench)
{
    struct diag diag = DIAG_INIT;
    if (bench->pid > 0)
        bench_farm_stop(bench);
    for (size_t i = 0; i < bench->options.jobs; i++) {
        struct bench_object *objects = bench->jobs[i].objects;
        for (size_t k = 0; objects != NULL && k < BENCH_OBJECTS; k++)
            buf_done(&objects[k].stored);
        free(objects);
    }
    bench_must(file_remove_tree(AT_FDCWD, bench->path, &diag), &diag);
    close(bench->dirfd);
    free(bench->workers);
    free(bench->jobs);
    free(bench->pin.url);
    free(bench);
    return NULL;
}
