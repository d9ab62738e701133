/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a release is made of: tree, plan, payloads, keys. How it is written is in release_fixture_write.c. */
#include "release_fixture_private.h"

#include "pkginfo.h"
#include "treedigest.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const default_policy =
    "version: 1\ndefaults:\n  quorum: 2\n  anchors: 1\n  distinct: [operator]\n";

void fixture_must(int result, const struct diag *diag)
{
    if (result < 0)
        fail_msg("%s", diag_text(diag, result));
}

void fixture_put(int dirfd, const char *path, struct view text, mode_t mode)
{
    struct diag diag = DIAG_INIT;
    const char *slash = strrchr(path, '/');
    if (slash != NULL) {
        CLEANUP_FREE char *parent = mem_string_n(path, (size_t)(slash - path));
        fixture_must(file_make_dirs(dirfd, parent, 0755, &diag), &diag);
    }
    /* Not durably: a test that waits for the disk a thousand times measures the disk. */
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    fixture_must(file_write_all(fd, text.data, text.size), NULL);
}

/* ---- the tree ---- */

enum { LAYERS = 8 };

/* splitmix64 (Steele, Lea and Flood, 2014): the same shape gives the same tree. */
static uint64_t scramble(uint64_t seed)
{
    uint64_t z = seed * 0x9e3779b97f4a7c15u + 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void put_recipe(const struct release_fixture *f, const char *name, const char *rest)
{
    CLEANUP_FREE char *path = mem_format("tree/packages/extra/%s/package.yml", name);
    CLEANUP_FREE char *script = mem_format("tree/packages/extra/%s/build.sh", name);
    CLEANUP_FREE char *text =
        mem_format("name: %s\ndescription: A package\nlicense: MIT\ntier: extra\nbuild_style: custom\n"
                   "source: []\n%s",
                   name, rest);
    fixture_put(f->dirfd, path, view_text(text), 0644);
    fixture_put(f->dirfd, script, VIEW("do_install() { :; }\n"), 0755);
}

/* Package i lies in layer i mod LAYERS. */
static void put_synthetic(const struct release_fixture *f, size_t i)
{
    CLEANUP_BUF struct buf rest = BUF_INIT;
    CLEANUP_FREE char *name = mem_format("pkg%04zu", i);
    size_t layer = i % LAYERS, per_layer = f->shape.packages / LAYERS;
    buf_add_text(&rest, "version: \"1.0\"\nrelease: 1\n");
    for (size_t k = 0; layer > 0 && per_layer > 0 && k < 1 + scramble(i) % 2; k++) {
        size_t other = scramble(i * 2 + k + 1) % per_layer * LAYERS + layer - 1;
        buf_add_format(&rest, "%spkg%04zu", k == 0 ? "dependencies:\n  build: [" : ", ", other);
    }
    if (strchr(rest.data, '[') != NULL)
        buf_add_text(&rest, "]\n");
    put_recipe(f, name, rest.data);
}

static void put_packages(const struct release_fixture *f)
{
    for (size_t i = 0; i < f->shape.packages; i++)
        put_synthetic(f, i);
    if (f->shape.packages > 0)
        return;
    put_recipe(f, "liba", "version: \"1.0\"\nrelease: 1\n");
    put_recipe(f, "appb",
               "version: \"2.1\"\nrelease: 3\ndependencies:\n  build: [liba]\n  runtime: [liba]\n");
}

static void make_tree(struct release_fixture *f)
{
    struct diag diag = DIAG_INIT;
    struct problems problems = PROBLEMS_INIT;
    put_packages(f);
    fixture_put(f->dirfd, "tree/farm/policy.yml", view_text(f->policy), 0644);
    CLEANUP_CLOSE int tree = file_open_dir(f->dirfd, "tree", NULL);
    int result = tree_load(tree, &f->tree, &problems, &diag);
    if (problems.count > 0)
        fail_msg("%s: %s", problems.items[0].file, problems.items[0].text);
    fixture_must(result, &diag);
    f->pin.url = mem_string("https://example.org/tree.git");
    strcpy(f->pin.commit, "0123456789abcdef0123456789abcdef01234567");
    fixture_must(treedigest_of_dir(tree, &f->pin.sha256, &diag), &diag);
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

/* ---- payloads ---- */

static void write_pkginfo(void *context, const struct manifest *manifest, struct buf *ret)
{
    pkginfo_write(context, manifest, ret);
}

/* A few packages have most of the bytes, as in life: the share of the n-th largest is that of 1 / (n + 2). */
static uint64_t size_of(const struct release_fixture *f, size_t at)
{
    enum { PRIME = 7919 };
    size_t count = f->shape.packages, rank = at * PRIME % count;
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += 1.0 / (double)(i + 2);
    return (uint64_t)((double)f->shape.bytes / (double)(rank + 2) / sum);
}

/* Files of at most 4 MiB, cut from the corpus wherever. */
static void put_synthetic_files(const struct release_fixture *f, size_t at, const char *dir)
{
    enum { FILE_MAX = 4 << 20, SHORTEST = 4096 };
    uint64_t left = size_of(f, at) + SHORTEST;
    for (size_t n = 0; left > 0; n++) {
        CLEANUP_FREE char *file = mem_format("%s/usr/lib/%s/file%zu", dir, f->plan->nodes[at].name, n);
        size_t size = left < FILE_MAX ? (size_t)left : FILE_MAX;
        size = size < f->shape.corpus.size ? size : f->shape.corpus.size;
        size_t offset = scramble(at * 100003 + n) % (f->shape.corpus.size - size + 1);
        fixture_put(f->dirfd, file, view_of(f->shape.corpus.data + offset, size), 0644);
        left -= size;
    }
}

static void pack(struct release_fixture *f, size_t at)
{
    struct fixture_package *package = &f->packages[at];
    const char *name = f->plan->nodes[at].name;
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *dir = mem_format("build-%s", name);
    CLEANUP_FREE char *file = mem_format("%s/usr/%s", dir, name);
    fixture_put(f->dirfd, file, view_text(name), 0644);
    if (f->shape.packages > 0)
        put_synthetic_files(f, at, dir);
    CLEANUP_CLOSE int dirfd = file_open_dir(f->dirfd, dir, NULL);
    fixture_must(payload_pack(f->store, dirfd, write_pkginfo, package->spec, package->spec->epoch,
                              &package->payload, &diag),
                 &diag);
    fixture_must(store_get(f->store, &package->payload.manifest, 1 << 24, &package->manifest_text, &diag),
                 &diag);
    fixture_must(file_remove_tree(f->dirfd, dir, &diag), &diag);
}

static void build_package(struct release_fixture *f, size_t at)
{
    struct fixture_package *package = &f->packages[at];
    const struct plan_node *node = &f->plan->nodes[at];
    CLEANUP_FREE struct digest *payloads = mem_zero(node->nclosure + 1, sizeof *payloads);
    struct diag diag = DIAG_INIT;
    for (size_t i = 0; i < node->nclosure; i++)
        payloads[i] = f->packages[node->closure[i]].payload.manifest;
    struct spec_inputs inputs = {.tree = f->tree,
                                 .package = tree_index(f->tree, tree_find(f->tree, view_text(node->name))),
                                 .base = f->base,
                                 .payloads = payloads,
                                 .npayloads = node->nclosure};
    fixture_must(spec_write(&inputs, &package->spec_text, &package->job, &diag), &diag);
    fixture_must(spec_parse(buf_view(&package->spec_text), &package->spec, &diag), &diag);
    pack(f, at);
}

/* ---- the whole ---- */

static void make_place(struct release_fixture *f)
{
    struct diag diag = DIAG_INIT;
    if (f->shape.directory != NULL) {
        f->path = mem_string(f->shape.directory);
        fixture_must(file_make_dirs(AT_FDCWD, f->path, 0755, &diag), &diag);
    } else {
        /* In memory where there is such a place: the store syncs each of its directories. */
        f->path = mem_string(access("/dev/shm", W_OK) == 0 ? "/dev/shm/farm-test-release.XXXXXX"
                                                           : "/tmp/farm-test-release.XXXXXX");
        assert_non_null(mkdtemp(f->path));
    }
    f->dirfd = file_open_dir(AT_FDCWD, f->path, NULL);
    f->release_dirfd = -1;
}

/* The anchors witness the log. */
static void name_log(struct release_fixture *f)
{
    struct root_log *log = &f->farm->root->log;
    log->present = true;
    log->key = log_fixture_key(f->log);
    log->witnesses = mem_zero(FIXTURE_ANCHORS, sizeof *log->witnesses);
    for (size_t i = 0; i < FIXTURE_ANCHORS; i++)
        log->witnesses[log->nwitnesses++] = mem_string(fixture_operators[i]);
    log->threshold = FIXTURE_ANCHORS;
}

static void make_plan(struct release_fixture *f)
{
    static const char *const everything[] = {"all"};
    struct diag diag = DIAG_INIT;
    fixture_must(plan_make(f->tree, &f->pin, &f->base, everything, 1, &f->plan, &diag), &diag);
    f->npackages = f->plan->nnodes;
    assert_int_equal(f->npackages, f->shape.packages > 0 ? f->shape.packages : RELEASE_FIXTURE_PACKAGES);
    if (f->shape.packages == 0)
        assert_string_equal(f->plan->nodes[LIBA].name, "liba");
    f->packages = mem_zero(f->npackages, sizeof *f->packages);
}

struct release_fixture *release_fixture_make(const struct fixture_shape *shape)
{
    struct release_fixture *f = mem_zero(1, sizeof *f);
    struct diag diag = DIAG_INIT;
    f->shape = *shape;
    f->policy = shape->policy != NULL ? shape->policy : default_policy;
    make_place(f);
    f->farm = farm_fixture_new();
    f->log = log_fixture_new(FIXTURE_ORIGIN);
    make_tree(f);
    make_base(f);
    make_plan(f);
    fixture_must(store_open(f->dirfd, "store", 1, &f->store, &diag), &diag);
    for (size_t i = 0; i < f->npackages; i++) {
        build_package(f, i);
        for (size_t k = 0; k < 2; k++)
            release_fixture_add_vote(f, (struct fixture_vote){.package = i, .operator_index = k, .round = 1});
    }
    f->farm->root->policy = digest_of(view_text(f->policy));
    f->farm->root->bases[0] = f->base;
    name_log(f);
    f->sequence = 1;
    f->claimed_operators = 2;
    f->cosigners = 3;
    f->cosigned_ms = FIXTURE_NOW + 1000;
    return f;
}

struct release_fixture *release_fixture_new(const char *policy)
{
    return release_fixture_make(&(struct fixture_shape){.policy = policy});
}

struct release_fixture *release_fixture_free(struct release_fixture *f)
{
    for (size_t i = 0; i < f->npackages; i++) {
        buf_done(&f->packages[i].spec_text);
        buf_done(&f->packages[i].manifest_text);
        spec_free(f->packages[i].spec);
    }
    for (size_t i = 0; i < f->nwaivers; i++)
        waiver_done(&f->waivers[i]);
    free(f->waivers);
    free(f->packages);
    free(f->votes);
    buf_done(&f->base_text);
    plan_free(f->plan);
    tree_free(f->tree);
    free(f->pin.url);
    store_close(f->store);
    log_fixture_free(f->log);
    farm_fixture_free(f->farm);
    close(f->dirfd);
    if (f->release_dirfd >= 0)
        close(f->release_dirfd);
    if (f->shape.directory == NULL)
        assert_int_equal(file_remove_tree(AT_FDCWD, f->path, NULL), 0);
    free(f->path);
    free(f);
    return NULL;
}

void release_fixture_add_vote(struct release_fixture *f, struct fixture_vote vote)
{
    f->votes = mem_reserve(f->votes, &f->votes_capacity, f->nvotes + 1, sizeof *f->votes);
    f->votes[f->nvotes++] = vote;
}

void release_fixture_add_waiver(struct release_fixture *f, struct waiver waiver, size_t people)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    waiver_write(&waiver, &text);
    for (size_t i = 0; i < people; i++) {
        CLEANUP_FREE char *armored =
            farm_fixture_sign(f->farm->people[i], SSHSIG_NAMESPACE_WAIVER, buf_view(&text));
        waiver_add_signature(&waiver, view_text(armored));
    }
    f->waivers = mem_grow(f->waivers, f->nwaivers + 1, sizeof *f->waivers);
    f->waivers[f->nwaivers++] = waiver;
}
