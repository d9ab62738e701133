/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fixture.h"

#include "gitpin.h"
#include "sandbox.h"
#include "spec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A base of the machine's own tools, a package tree under git, and an archive; all made with everyday tools.
 */
static const char script[] =
    "set -eu\n"
    "export LC_ALL=C GIT_CONFIG_NOSYSTEM=1 HOME=/nonexistent\n"
    "mkdir -p base/usr/bin base/usr/lib base/usr/lib64 base/etc base/tmp base/proc base/sys base/dev "
    "base/root base/mnt\n"
    "ln -s usr/bin base/bin; ln -s usr/lib base/lib; ln -s usr/lib64 base/lib64\n"
    "for tool in bash mkdir cp cat ls nproc env sleep chmod ln mv rm touch id; do\n"
    "    path=$(command -v $tool); cp -L $path base/usr/bin/\n"
    "    for lib in $(ldd $path | grep -o '/[^ ]*'); do\n"
    "        mkdir -p base/$(dirname $lib); [ -e base/$lib ] || cp -L $lib base/$lib; done\n"
    "done\n"
    "mkdir -p hello-1.0; echo source > hello-1.0/file; touch -d @1000000000 hello-1.0/file hello-1.0\n"
    "tar -cf hello-1.0.tar hello-1.0; sum=$(sha256sum hello-1.0.tar | cut -d' ' -f1)\n"
    "package() { mkdir -p tree/packages/extra/$1; cat > tree/packages/extra/$1/build.sh; {\n"
    "    echo \"name: $1\"; echo 'version: \"1.0\"'; echo 'release: 1'; echo 'description: a test'; echo "
    "'license: MIT'\n"
    "    echo 'tier: extra'; echo 'build_style: custom'; shift; printf '%s\\n' \"$@\"; } > "
    "tree/packages/extra/$name/package.yml; }\n"
    "src='source: [{url: \"https://example.org/hello-1.0.tar\", sha256: '$sum'}]'\n"
    "name=hello; package hello \"$src\" 'verify_paths: [/usr/share/hello]' <<'END'\n"
    "build() { cat file > built; nproc >> built; env | { while read l; do case $l in IGOS_JOBS*) echo $l;; "
    "esac; done; } >> built; }\n"
    "do_install() { mkdir -p $DESTDIR/usr/share; cp built $DESTDIR/usr/share/hello; }\n"
    "END\n"
    "name=user; package user 'source: []' 'dependencies: {host: [hello]}' <<'END'\n"
    "do_install() { mkdir -p $DESTDIR/usr/share; cat /usr/share/hello > $DESTDIR/usr/share/user; }\n"
    "END\n"
    "name=fails; package fails 'source: []' <<'END'\n"
    "build() { echo about to fail; false; }\n"
    "do_install() { :; }\n"
    "END\n"
    "name=lies; package lies 'source: []' 'verify_paths: [/usr/share/promised]' <<'END'\n"
    "do_install() { mkdir -p $DESTDIR/usr/share; echo x > $DESTDIR/usr/share/other; }\n"
    "END\n"
    "name=slow; package slow 'source: []' <<'END'\n"
    "build() { sleep 60; }\n"
    "do_install() { :; }\n"
    "END\n"
    "name=rude; package rude 'source: []' <<'END'\n"
    "do_install() { mkdir -p $DESTDIR/lib; echo x > $DESTDIR/lib/librude.so; }\n"
    "END\n"
    "name=victim; package victim 'source: []' 'dependencies: {build: [rude]}' <<'END'\n"
    "do_install() { :; }\n"
    "END\n"
    "name=old; package old 'source: []' <<'END'\n"
    "do_install() { mkdir -p $DESTDIR/usr/share; echo old > $DESTDIR/usr/share/clash; echo o > "
    "$DESTDIR/usr/share/kept; }\n"
    "END\n"
    "name=new; package new 'source: []' 'supersedes: [old]' 'dependencies: {build: [old]}' <<'END'\n"
    "do_install() { mkdir -p $DESTDIR/usr/share; echo new > $DESTDIR/usr/share/clash; }\n"
    "END\n"
    "name=both; package both 'source: []' 'dependencies: {build: [new]}' <<'END'\n"
    "do_install() { mkdir -p $DESTDIR/usr/share; cat /usr/share/clash /usr/share/kept > "
    "$DESTDIR/usr/share/both; }\n"
    "END\n"
    "mkdir -p tree/farm; printf 'version: 1\\ndefaults: {jobs: 1, cores: 1, memory: 256MiB, disk: 64MiB, "
    "wall: 1m}\\n' "
    "> tree/farm/resources.yml\n"
    "cd tree; git init -q .; git -c core.autocrlf=false add -A -f\n"
    "git -c user.name=t -c user.email=t@example.org commit -q -m t --date=@1000000000\n";

/* The dates of the archive's members, all of them. */
enum { ARCHIVE_EPOCH = 1000000000 };

static int pack_tree(const char *tree, struct fixture *fixture, struct diag *diag)
{
    struct gitrepo *repo = NULL;
    struct gitpin_info info = {0};
    int error = gitpin_setup(diag);
    if (error >= 0)
        error = gitrepo_open(tree, &repo, diag);
    if (error >= 0)
        error = gitrepo_resolve(repo, "HEAD", fixture->pin.commit, diag);
    if (error >= 0)
        error = gitrepo_inspect(repo, fixture->pin.commit, GITPIN_LIMITS, &info, diag);
    fixture->pack_fd = open("pack", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (error >= 0)
        error = gitrepo_pack(repo, fixture->pin.commit, fixture->pack_fd, diag);
    gitrepo_close(repo);
    if (error >= 0)
        fixture->pin.sha256 = info.tree_sha256;
    return error;
}

int fixture_give_away(struct diag *diag)
{
    unsigned uid, gid;
    int error = sandbox_build_ids(NULL, &uid, &gid, diag);
    CLEANUP_FREE char *command = mem_format("chown -R %u:%u base hello-1.0.tar pack", uid, gid);
    return error < 0 ? error : system(command) != 0 ? diag_set(diag, -EIO, "%s", command) : 0;
}

int fixture_make(const char *top, struct fixture *ret, struct diag *diag)
{
    CLEANUP_FREE char *tree = mem_format("%s/tree", top);
    *ret = (struct fixture){.pin = {.url = (char *)"https://example.org/tree"}};
    if (chdir(top) < 0 || system(script) != 0)
        return diag_set(diag, FARM_E_UNAVAILABLE, "git, tar and coreutils are needed for the fixture");
    int error = pack_tree(tree, ret, diag);
    ret->base_fd = open("base", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ret->archive_fd = open("hello-1.0.tar", O_RDONLY | O_CLOEXEC);
    return error;
}

static int put_file(struct store *store, int fd, struct digest *ret, struct diag *diag)
{
    enum { FILE_MAX = 64 << 20 };
    uint64_t size;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return diag_errno(diag, "fixture");
    return store_put_fd(store, fd, FILE_MAX, NULL, ret, &size, diag);
}

int fixture_put(struct fixture *fixture, struct store *store, struct diag *diag)
{
    int error = payload_pack(store, fixture->base_fd, NULL, NULL, 0, &fixture->base, diag);
    if (error >= 0)
        error = put_file(store, fixture->archive_fd, &fixture->archive, diag);
    return error >= 0 ? put_file(store, fixture->pack_fd, &fixture->pack, diag) : error;
}

int fixture_key(const struct fixture *fixture, int tree_dirfd, const char *node,
                const struct payload *payloads, size_t npayloads, struct digest *ret, struct diag *diag)
{
    struct tree *tree = NULL;
    struct problems problems = PROBLEMS_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest digests[FIXTURE_PAYLOADS];
    for (size_t i = 0; i < npayloads; i++)
        digests[i] = payloads[i].manifest;
    int error = tree_load(tree_dirfd, &tree, &problems, diag);
    problems_print(&problems, stderr);
    problems_done(&problems);
    if (error < 0)
        return error;
    const struct package *package = tree_find(tree, view_text(node));
    const struct spec_inputs inputs = {tree,
                                       package != NULL ? tree_index(tree, package) : 0,
                                       fixture->base.manifest,
                                       digests,
                                       npayloads,
                                       ARCHIVE_EPOCH};
    error = package == NULL ? FARM_E_UNKNOWN : spec_write(&inputs, &text, ret, diag);
    tree_free(tree);
    return error;
}

void fixture_lease(const struct fixture *fixture, const unsigned char nonce[32], const char *node,
                   const struct digest *key, const struct payload *payloads, size_t npayloads,
                   struct fixture_lease *ret)
{
    wire__lease__init(&ret->lease);
    wire__tree__init(&ret->tree);
    wire__payload__init(&ret->base);
    wire__resources__init(&ret->resources);
    ret->tree.url = fixture->pin.url;
    ret->tree.commit = (char *)fixture->pin.commit;
    ret->tree.tree_sha256 = wire_digest(&fixture->pin.sha256);
    ret->tree.pack = wire_digest(&fixture->pack);
    ret->base.manifest = wire_digest(&fixture->base.manifest);
    ret->base.tar = wire_digest(&fixture->base.tar);
    for (size_t i = 0; i < npayloads; i++) {
        wire__payload__init(&ret->payloads[i]);
        ret->payloads[i].manifest = wire_digest(&payloads[i].manifest);
        ret->payloads[i].tar = wire_digest(&payloads[i].tar);
        ret->pointers[i] = &ret->payloads[i];
    }
    ret->lease.nonce = wire_bytes(view_of(nonce, 32));
    ret->lease.job_key = wire_digest(key);
    ret->lease.node = (char *)node;
    ret->lease.tree = &ret->tree;
    ret->lease.base_image = &ret->base;
    ret->lease.payloads = ret->pointers;
    ret->lease.n_payloads = npayloads;
    ret->lease.resources = &ret->resources;
}
