#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# D8: bytes flip in the store of a farm. The scrub finds each, moves it aside, and nobody is served it; a source is fetched again, an agreed payload is
# built again, by themselves; a base when it is imported again; until then status, why and doctor name what is lost. What depends on it waits, goes on by
# itself, and is released.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
command -v python3 >/dev/null || skip "python3 serves the source here"
conf_extra+=$'\nallow_http = yes\nallow_private_addresses = yes\nscrub_interval = 0s'
test_begin scrub

state=$work/coordinator
mkdir "$work/www"
mkdir "$work/numbers" && seq 1 5000 >"$work/numbers/numbers"
tar -C "$work" --mtime=@1700000000 -cf "$work/www/numbers.tar" numbers
numbers=$(sha256sum <"$work/www/numbers.tar" | cut -d' ' -f1)
web_port=$((20000 + RANDOM % 12000))
(cd "$work/www" && exec python3 -m http.server --bind 127.0.0.1 "$web_port") >"$work/log/web.log" 2>&1 &
pids[web]=$!
tree_plain one
tree_plain two one
tree_plain four
tree_plain five one
mkdir -p "$work/tree/packages/extra/three"
cat >"$work/tree/packages/extra/three/package.yml" <<RECIPE
name: three
version: "1.0"
release: 1
description: test package three
license: GPL-3.0-or-later
tier: extra
build_style: custom
source:
  - url: http://127.0.0.1:$web_port/numbers.tar
    filename: numbers.tar
    sha256: $numbers
dependencies:
  build: []
  host: []
  runtime: []
verify_paths:
  - /usr/share/three/made
RECIPE
cat >"$work/tree/packages/extra/three/build.sh" <<'BUILD'
do_install() {
    mkdir -p "$DESTDIR/usr/share/three"
    cp "$IGOS_SOURCES/numbers.tar" "$DESTDIR/usr/share/three/made"
}
BUILD
cat >"$work/tree/farm/farm.lock" <<LOCK
version: 1
sources:
  three:
    - url: http://127.0.0.1:$web_port/numbers.tar
      filename: numbers.tar
      sha256: $numbers
      size: $(stat -c %s "$work/www/numbers.tar")
      epoch: 1700000000
LOCK
tree_commit
farm_up alder birch
farm_plan one three 2>/dev/null
expect_status 0 farmctl build --wait "$plan"
expect_status 0 farmctl scrub --now
expect_text "every object that the database names is there" "$work/out"

file_of() { echo "$state/store/objects/${1:0:2}/${1:2}"; }
rot() { # OBJECT: one bit in the middle of its file
    local file byte
    file=$(file_of "$1")
    [ -e "$file" ] || fail "object $1 is not in the store"
    chmod u+w "$file"
    byte=$(od -An -tu1 -j $(($(stat -c %s "$file") / 2)) -N 1 "$file")
    printf "$(printf '\\x%02x' $((byte ^ 4)))" | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") / 2)) conv=notrunc status=none
}
sql() { sqlite3 "file:$state/farm.db?mode=ro" "$1"; }
payload_of() { sql "SELECT lower(hex(a.tar)) FROM attestation a JOIN lease l ON l.position = a.lease JOIN job j ON j.number = l.job WHERE j.node = 'extra/$1' LIMIT 1"; }
is_lost() { ! farmctl scrub >"$work/lost" && grep -q "$1" "$work/lost"; }
is_whole() { farmctl scrub >"$work/lost"; }
in_store() { [ -e "$(file_of "$1")" ]; }
workers_stop() {
    local name
    for name in alder birch; do
        kill -TERM "${pids[$name-1]}"
        wait "${pids[$name-1]}" 2>/dev/null || true
    done
}
workers_start() {
    worker_run alder-1
    worker_run birch-1
    wait_for 60 "the workers are back" workers_online 2
}

say "a build log: nobody can bring it back, until somebody accepts that"
log=$(sql "SELECT lower(hex(log)) FROM attestation LIMIT 1")
rot "$log"
expect_status 1 farmctl scrub --now
expect_text "farmctl scrub --accept-loss OBJECT" "$work/out"
expect_status 2 farmctl scrub --accept-loss nonsense
expect_text "is no object" "$work/out"
expect_status 2 farmctl scrub --accept-loss "$(payload_of one)"
expect_text "is not missing" "$work/out"
expect_status 0 farmctl scrub --accept-loss "$log"
expect_status 0 farmctl scrub --now

say "a source: found, and fetched again"
rot "$numbers"
farmctl scrub --now >"$work/out" 2>&1 || true
wait_for 20 "the source is here again" in_store "$numbers"
wait_for 20 "nothing is lost" is_whole
expect "the damaged one is kept" test -n "$(find "$state/store/damaged" -name "$numbers.*")"
expect_text "an object is damaged or missing" "$work/log/coordinator.log"

say "a source whose place is gone: named until somebody brings the bytes"
kill "${pids[web]}" && wait "${pids[web]}" 2>/dev/null || true
rot "$numbers"
expect_status 1 farmctl scrub --now
expect_text "lost  $numbers" "$work/out"
expect_text "farmctl source add FILE" "$work/out"
farmctl status >"$work/out"
expect_text "1 objects are damaged or missing (farmctl scrub)" "$work/out"
expect_status 1 farmctl doctor --config "$work/farm.conf"
expect_text "fail  store: 1 objects are damaged or missing" "$work/out"
expect_status 0 farmctl source add "$work/www/numbers.tar"
wait_for 20 "nothing is lost" is_whole

say "a payload that dependents need: it is still lost after a restart, and is built again by itself"
payload=$(payload_of one)
before=$(sql "SELECT count(*) FROM lease")
rot "$payload"
workers_stop
expect_status 1 farmctl scrub --now
expect_text "extra/one" "$work/out"
expect_text "its payload is agreed, and is built again: the job is ready, in round 2" "$work/out"
coordinator_kill
coordinator_start
wait_for 10 "it is known to be lost" is_lost "$payload"
expect "nobody is served it" test ! -e "$(file_of "$payload")"
farmctl status >"$work/out"
expect_text "1 lost payloads are built again" "$work/out"
expect_text "running" "$work/out"
farmctl why one >"$work/out"
expect_text "its bytes are lost" "$work/out"
farmctl metrics >"$work/out"
expect_text "igos_farm_lost_payloads 1" "$work/out"
farm_plan two 2>/dev/null # which needs it
expect_status 0 farmctl build "$plan"
farmctl why two >"$work/out"
expect_text "since its payload was lost from the store" "$work/out"
workers_start
wait_for 60 "it is here again" in_store "$payload"
expect_status 0 farmctl build --wait "$plan"
wait_for 20 "nothing is lost" is_whole
expect "the same bytes" test "$(payload_of one)" = "$payload"
expect "nobody built more than that, and what needs it" test $(($(sql "SELECT count(*) FROM lease") - before)) = 4

say "a payload that a worker finds missing: nobody had looked at it since"
workers_stop
rm -rf "$(file_of "$payload")" "$work"/worker-*/store "$work"/worker-*/roots # else they need not ask
workers_start
farm_plan five 2>/dev/null
expect_status 0 farmctl build --wait "$plan"
wait_for 20 "nothing is lost" is_whole
expect "it is here again" in_store "$payload"

say "a base"
rot "$(sql "SELECT lower(hex(tar)) FROM base LIMIT 1")"
expect_status 1 farmctl scrub --now
expect_text "farmctl base import again" "$work/out"
expect_status 0 farmctl base import --name mini "$FARM_MINI_BASE"
wait_for 20 "nothing is lost" is_whole

say "what depends on all of it is built, and released"
expect_status 0 farmctl scrub --now
farm_plan 2>/dev/null
expect_status 0 farmctl build --wait "$plan"
release_make after
expect_status 0 farmctl release export after "$work/export"
expect_status 0 farm-verify "$work/export" --trust "$work/root.json"
