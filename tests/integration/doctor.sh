#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# farmctl doctor and farm-worker doctor: all well, with the coordinator running and without it; and each thing that is broken is found
# and named, with what to do.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
test_begin doctor

state=$work/coordinator
tree_plain one
tree_commit
farm_up alder
doctor() { farmctl doctor --config "$work/farm.conf" "$@"; }
finds() { # LEVEL CHECK TEXT: by farmctl doctor, whose exit status must fit
    expect_status "$([ "$1" = fail ] && echo 1 || echo 0)" doctor
    grep -E "^$1 +$2: " "$work/out" >"$work/line" || { cat "$work/out"; fail "expected $1 of the check $2"; }
    expect_text "$3" "$work/line"
}
worker_finds() { # LEVEL CHECK TEXT
    expect_status "$([ "$1" = fail ] && echo 1 || echo 0)" farm-worker doctor --state "$work/worker-alder-1"
    grep -E "^$1 +$2: " "$work/out" >"$work/line" || { cat "$work/out"; fail "expected $1 of the check $2"; }
    expect_text "$3" "$work/line"
}

say "a farm that runs"
finds ok configuration "$work/farm.conf"
for check in "state directory" coordinator.key disk database ports address coordinator versions descriptors workers; do
    grep -qE "^ok +$check: " "$work/out" || { cat "$work/out"; fail "$check is not ok"; }
done
for library in Linux SQLite libzmq libgit2 libcurl libmicrohttpd; do
    grep -E "^ok +versions: .*$library [0-9]" "$work/out" >"$work/line" || { cat "$work/out"; fail "no version of $library"; }
done
finds warn backup "farmctl backup DIR"
expect_status 0 farmctl backup "$work/backup"
finds ok backup "$work/backup"
expect_status 0 doctor --json
expect_text '"worst":"' "$work/out"
expect_text '{"check":"state directory","do":"","level":"ok"' "$work/out"
worker_finds ok sandbox "a build that does nothing ran"
worker_finds ok coordinator "answers"
worker_finds ok versions "libzmq "
worker_finds ok "trust root" "version 1"
expect_status 0 farm-worker doctor --json --state "$work/worker-alder-1"
expect_text '"level":"ok"' "$work/out"

say "what is broken is named, also while the coordinator does not run"
kill -TERM "${pids[coordinator]}"
wait "${pids[coordinator]}" || fail "the coordinator did not stop cleanly"
finds warn coordinator "no coordinator answers"
finds ok ports "is free"
worker_finds fail coordinator "Connection refused"
chmod 644 "$state/coordinator.key"
finds fail coordinator.key "chmod 600 it"
chmod 600 "$state/coordinator.key"
chmod 755 "$state"
finds fail "state directory" "chmod 700 it"
chmod 700 "$state"
touch -d '+1 day' "$state/workers.json"
finds fail clock "the clock says"
touch "$state/workers.json"
touch "$state/store/damaged/$(printf 'ab%.0s' {1..32}).1"
finds warn store "1 objects were found damaged"
rm "$state"/store/damaged/*
mv "$state/root.json" "$work/kept"
finds warn "trust root" "farmctl root install"
echo '{}' >"$state/root.json"
finds fail "trust root" "root.json"
mv "$work/kept" "$state/root.json"
sed "s/^control_listen.*/control_listen = 192.0.2.1:7440/; /^bulk_listen/d; \$areserve = 1T" "$work/farm.conf" >"$work/bad.conf"
expect_status 1 farmctl doctor --config "$work/bad.conf"
expect_text "fail  ports: cannot be listened on: 192.0.2.1:7440" "$work/out"
expect_text "fail  disk: " "$work/out"
echo "no_such_key = 1" >>"$work/bad.conf"
expect_status 1 farmctl doctor --config "$work/bad.conf"
expect_text "no_such_key" "$work/out"
expect_text "none  disk: not looked at" "$work/out"
(cd / && FARM_SOCKET="$work/no.sock" expect_status 2 farmctl doctor)
expect_status 2 farmctl doctor more

say "the same for a worker"
chmod 640 "$work/worker-alder-1/worker.key"
worker_finds fail worker.key "chmod 600 it"
chmod 600 "$work/worker-alder-1/worker.key"
expect_status 2 farm-worker doctor --state "$work/nowhere"
expect_status 2 farm-worker status --json --state "$work/worker-alder-1"
coordinator_start
finds ok coordinator "runs since"
