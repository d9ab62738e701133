#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# R1, R2, R4: everything that is wrong with a tree is listed at once with file and line, and nothing starts. Wrong archive
# digests, too. G1: a moved ref changes nothing.
. "$(dirname "$0")/lib.sh"
test_begin problems

tree_plain one
tree_plain two one
mkdir -p "$work/tree/packages/extra/unpinned" "$work/tree/packages/extra/broken"
sed 's/^name: one/name: unpinned/; s/^source: \[\]/source:\n  - url: https:\/\/example.org\/x.tar.gz/' \
    "$work/tree/packages/extra/one/package.yml" >"$work/tree/packages/extra/unpinned/package.yml"
printf 'name: broken\n  version: [1\n' >"$work/tree/packages/extra/broken/package.yml"
sed -i 's/build: \[\]/build: [two, nowhere]/' "$work/tree/packages/extra/one/package.yml"
tree_commit
coordinator_start
farm_base
root_install alder birch

all_listed() {
    expect_text "packages/extra/one/package.yml:" "$work/out"
    expect_text "nowhere" "$work/out"
    expect_text "pin-missing" "$work/out"
    expect_text "packages/extra/broken/package.yml:2" "$work/out"
}
expect_status 1 farmctl tree check "$work/tree"
all_listed
expect_status 1 farmctl plan "$work/tree@HEAD"
all_listed
expect "no plan was made" test "$(farmctl status --json | grep -c '"plans":\[\]')" = 1

say "a cycle is shown as a path"
rm -r "$work/tree/packages/extra/broken" "$work/tree/packages/extra/unpinned"
sed -i 's/build: \[two, nowhere\]/build: [two]/' "$work/tree/packages/extra/one/package.yml"
tree_commit
expect_status 1 farmctl plan "$work/tree@HEAD"
expect_text "cycle" "$work/out"

say "archives with other bytes than their pins"
sed -i 's/build: \[two\]/build: []/' "$work/tree/packages/extra/one/package.yml"
cat >"$work/tree/farm/farm.lock" <<LOCK
version: 1
sources:
  one:
    - url: https://127.0.0.1:9/one.tar.gz
      sha256: $(printf 'aa%.0s' {1..32})
      size: 10
      epoch: 1000000000
  two:
    - url: https://127.0.0.1:9/two.tar.gz
      sha256: $(printf 'bb%.0s' {1..32})
      size: 10
      epoch: 1000000000
LOCK
for name in one two; do
    sed -i "s/^source: .*/source:\n  - url: https:\/\/127.0.0.1:9\/$name.tar.gz\n    sha256: $(printf "$([ $name = one ] && echo aa || echo bb)%.0s" {1..32})/" \
        "$work/tree/packages/extra/$name/package.yml"
done
tree_commit
farm_plan
expect_status 1 farmctl build "$plan"
expect_text "farm/farm.lock:4" "$work/out"
expect_text "farm/farm.lock:9" "$work/out"
expect "nothing started" test -z "$(farmctl status --json | grep -o '"leases":\[{')"

say "a file with other bytes is kept under its own digest, and helps nobody"
echo other >"$work/one.tar.gz"
expect_status 0 farmctl source add "$work/one.tar.gz"
expect_status 1 farmctl build "$plan"

say "G1, G2: a git pin whose ref moved is the commit; one whose tree digest differs is refused"
git init -q -b main "$work/upstream"
echo first >"$work/upstream/file"
commit_upstream() {
    GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@localhost GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@localhost \
        bash -c 'git -C "$1" add -A && git -C "$1" commit -q -m x && git -C "$1" tag -f release >/dev/null' _ "$work/upstream"
}
commit_upstream
pin=$(farmctl pin one --git "file://$work/upstream" --ref refs/tags/release --repository "$work/upstream")
pinned=$(sed -n 's/^ *commit: //p' <<<"$pin")
echo second >"$work/upstream/file"
commit_upstream
rm -r "$work/tree/packages/extra/two"
sed -i '/^source:/,/sha256/c source: []' "$work/tree/packages/extra/one/package.yml"
cat >"$work/tree/packages/extra/one/build.sh" <<'BUILD'
do_install() { mkdir -p "$DESTDIR/usr/share/one"; cp file "$DESTDIR/usr/share/one/made"; }
BUILD
printf 'version: 1\nsources:\n%s\n' "$pin" >"$work/tree/farm/farm.lock"
tree_commit
for name in alder birch; do worker_enrol "$name"; worker_run "$name-1"; done
wait_for 30 "two workers" workers_online 2
farm_plan
expect_status 0 farmctl build --wait "$plan"
release_make moved
farmctl release export moved "$work/export" >/dev/null
tar -xzOf "$work/export/artifacts/one-1.0.igos.tar.gz" ./usr/share/one/made >"$work/made"
expect "the pinned commit was built" grep -q first "$work/made"
expect "and it is named" grep -rq "$pinned" "$work/export/inputs/specs"
sed -i 's/tree_sha256: ..../tree_sha256: 0000/' "$work/tree/farm/farm.lock"
tree_commit
farm_plan
expect_status 1 farmctl build --wait "$plan"
expect_text "tree_sha256" "$work/out"
