/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What people write: the example tree's own files, and one text of each kind with every key in it. */
#include "seeds.h"

#include "file.h"
#include "join.h"
#include "worker_conf.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void read_source(const char *path, struct buf *ret)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *full = mem_format(FARM_SOURCE_DIR "/%s", path);
    if (file_read(AT_FDCWD, full, 1 << 20, ret, &diag) < 0)
        fail_msg("%s", diag.text);
}

static void put_source(const char *target, const char *name, const char *path)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    read_source(path, &text);
    seed_put(target, name, buf_view(&text));
}

static void put_recipes(void)
{
    static const char *const names[] = {"extra/zlib", "extra/zstd",        "extra/libffi",
                                        "extra/lz4",  "extra/farm-verify", "desktop/libdrm"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP_FREE char *path = mem_format("examples/foundation/packages/%s/package.yml", names[i]);
        put_source("recipe", strchr(names[i], '/') + 1, path);
    }
}

#define HEX "d6781a21ac7c056e415d94e0b7164aadf80379b7f1ee92e971890690a6c36599"
#define ID  "dbc2f403d7a212fab737a3f7e1775bd9608d5496"

static const char full_recipe[] =
    "name: a\nversion: 1.2.3\nrelease: 1\ndescription: d\nlicense: MIT\ntier: base\nhomepage: https://a.org\n"
    "build_style: cmake\nsource:\n  - url: https://a.org/${name}-${version_major_minor}.tar.gz\n    "
    "sha256: " HEX "\n"
    "  - url: file:///x/b.tar\n    filename: b.tar\n    sha256: " HEX "\n"
    "patches:\n  - file: a.patch\n    sha256: " HEX "\nbundled_deps:\n  - b -> third/b\n"
    "dependencies:\n  build: [b, c]\n  host: [d]\n  runtime: [e]\nconfigure_flags:\n  - --prefix=/usr\n"
    "supersedes: [x]\nships_as: [y]\nverify_paths:\n  - /usr/bin/a\ngpu_targets: [gfx1030]\n"
    "direct_install: true\nskip_tracking: yes\ntests:\n  enabled: true\n  failure_policy: warn\n"
    "install_func: do_install\nvalidation:\n  - type: script\n    description: v\n    script: |\n      true\n"
    "    expect_contains: x\n    fatal: true\n";

static const char full_lock[] =
    "version: 1\nsources:\n  a:\n    - git: https://a.org/a\n      ref: refs/tags/v1\n"
    "      commit: " ID "\n      tree_sha256: " HEX "\n      epoch: 1656438637\n"
    "      into: .\n      absent: [third/x]\n"
    "  b:\n    - url: https://a.org/b.tar.gz\n      sha256: " HEX "\n      size: 12\n"
    "      epoch: 1\n      into: b\n      git: https://a.org/b\n      commit: " ID "\n"
    "      tree_sha256: " HEX "\n";

static const char full_policy[] =
    "version: 1\ndefaults:\n  quorum: 2\n  anchors: 1\n  distinct: [operator, cpu_vendor, kernel, site]\n"
    "  dissent: {margin: 1}\n  max_attempts: 3\n  open_votes: count\n  evidence: hardware\n  setuid: "
    "allowed\n"
    "  hold: [b]\nrules:\n  - match: {tier: ai, package: [a, b], kind: root}\n    set: {quorum: 3, hold: "
    "true}\n"
    "  - match: {tier: [base, ai]}\n    set: {anchors: 0, evidence: none}\n";

static const char full_resources[] =
    "version: 1\ntiers: [toolchain, core, base, ai]\nbase_tiers: [core]\n"
    "defaults: {jobs: 2, cores: 2, memory: 2GiB, disk: 8GiB, wall: 1h, priority: 0, split: none}\n"
    "rules:\n  - match: {tier: ai, package: llvm}\n    set: {memory: 16GiB, wall: 90m, priority: 5}\n";

static void put_worker_conf(void)
{
    struct worker_wish wish = {.name = "attic",
                               .operator_name = "alice",
                               .trees = "https://a.org/x",
                               .hosts = "*.a.org,b.org:8443",
                               .bases = HEX};
    struct worker_machine machine = {4, (uint64_t)8 << 30, (uint64_t)80 << 30};
    CLEANUP_BUF struct buf text = BUF_INIT;
    snprintf(wish.join.endpoint, sizeof wish.join.endpoint, "farm.example.org:7440");
    worker_conf_write(&wish, &machine, &text);
    /* Without the comments, which teach the fuzzer nothing. */
    CLEANUP_BUF struct buf seed = BUF_INIT;
    struct view rest = buf_view(&text), line;
    while (view_split(&rest, '\n', &line))
        if (line.size > 0 && line.data[0] != '#') {
            buf_add_view(&seed, line);
            buf_add_byte(&seed, '\n');
        }
    buf_add(&seed, "\0https://a.org/x/y\0:7441", 24);
    seed_put("worker_conf", "init", buf_view(&seed));
    seed_put("worker_conf", "least",
             view_of("[worker]\nname=a\noperator=b\ncoordinator=[::1]:7\nserver_key=" HEX "\nroot=" HEX
                     "\n\0https://b.org/t\0[::1]:9",
                     strlen("[worker]\nname=a\noperator=b\ncoordinator=[::1]:7\nserver_key=" HEX "\nroot=" HEX
                            "\n") +
                         1 + 15 + 1 + 7));
}

static void put_joins(void)
{
    static const char *const endpoints[] = {"farm.example.org:7440", "[2001:db8::1]:1", "10.0.0.1:65535"};
    for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        struct join join = {.curve = {1, 2, 3}};
        snprintf(join.endpoint, sizeof join.endpoint, "%s", endpoints[i]);
        join_write(&join, &text);
        CLEANUP_FREE char *name = mem_format("%zu", i);
        seed_put("join", name, buf_view(&text));
    }
}

/* A tree for fuzz_tree.c: "path\n", then lines behind a tab. */
static void add_tree_file(struct buf *seed, const char *path, struct view text)
{
    struct view line;
    buf_add_format(seed, "%s\n", path);
    while (text.size > 0 && view_split(&text, '\n', &line))
        buf_add_format(seed, "\t%.*s\n", VIEW_ARG(line));
}

static void put_trees(void)
{
    CLEANUP_BUF struct buf seed = BUF_INIT;
    add_tree_file(&seed, "packages/base/a/package.yml", VIEW(full_recipe));
    add_tree_file(&seed, "farm/farm.lock", VIEW(full_lock));
    add_tree_file(&seed, "farm/policy.yml", VIEW(full_policy));
    add_tree_file(&seed, "farm/resources.yml", VIEW(full_resources));
    seed_put("tree", "full", buf_view(&seed));
    buf_clear(&seed);
    add_tree_file(&seed, "packages/extra/a/package.yml",
                  VIEW("name: a\nversion: 1\ndescription: d\nlicense: MIT\ntier: extra\nbuild_style: "
                       "custom\nsource: []\n"
                       "dependencies: {build: [b], runtime: [c]}\n"));
    add_tree_file(&seed, "packages/extra/a/build.sh", VIEW("do_install() { :; }\n"));
    add_tree_file(
        &seed, "packages/extra/b/package.yml",
        VIEW("name: b\nversion: 2\ndescription: d\nlicense: MIT\ntier: extra\nbuild_style: make\nsource: []\n"
             "dependencies: {host: [c]}\n"));
    add_tree_file(
        &seed, "packages/base/c-core/package.yml",
        VIEW("name: c-core\nversion: 2\ndescription: d\nlicense: MIT\ntier: base\nbuild_style: make\n"
             "source: []\nships_as: [c]\n"));
    add_tree_file(&seed, "scripts/pkg-functions.sh", VIEW("x\n"));
    seed_put("tree", "edges", buf_view(&seed));
}

void seeds_text(void)
{
    put_recipes();
    seed_put("recipe", "full", VIEW(full_recipe));
    put_source("lock", "example", "examples/foundation/farm/farm.lock");
    seed_put("lock", "full", VIEW(full_lock));
    put_source("policy", "example", "examples/foundation/farm/policy.yml");
    seed_put("policy", "full", VIEW(full_policy));
    put_source("resources", "example", "examples/foundation/farm/resources.yml");
    seed_put("resources", "full", VIEW(full_resources));
    put_source("conf", "example", "farm.conf.example");
    seed_put("conf", "least", VIEW("[coordinator]\nstate_dir = /s\nadvertise=h\n[worker]\nx = y\n"));
    seed_put("json", "all", VIEW("{\"a\":[1,-2.5e3,true,false,null,\"\\u00e4\\ud83d\\ude00\\n\"],\"b\":{}}"));
    seed_put("githttp", "refs",
             VIEW("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: "
                  "application/x-git-upload-pack-advertisement\r\n\r\n001e# service=git-upload-pack\n0000"
                  "003f1111111111111111111111111111111111111111 refs/heads/master\n0000"));
    seed_put("githttp", "moved", VIEW("HTTP/1.1 302 Found\r\nLocation: http://a.org/\r\n\r\nx"));
    seed_put("githttp", "page",
             VIEW("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\nx"));
    seed_put("url", "host", VIEW("https://a.org/x"));
    seed_put("url", "port", VIEW("http://[::1]:80/x@y"));
    put_worker_conf();
    put_joins();
    put_trees();
}
