#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What a restart must not forget, what a crash between a file and a row leaves, and what a coordinator refuses to start with.
. "$(dirname "$0")/lib.sh"
test_begin restart

tree_plain one
tree_commit
conf_extra+=$'\npool_threads = 1'
farm_up alder birch
farm_plan
expect_status 0 farmctl build --wait "$plan"

coordinator_stop() {
    local status=0
    kill -TERM "${pids[coordinator]}"
    wait "${pids[coordinator]}" || status=$?
    expect "the coordinator stops cleanly" test "$status" = 0
}
sql() { sqlite3 "$work/coordinator/farm.db" "$1"; }
worker_is() { # WORKER STATE
    [ "$(farmctl worker list | awk -v worker="$1" '$1 == worker { print $3 }')" = "$2" ]
}
worker_is_here() { # WORKER, also a paused one
    farmctl worker list --json | jq -e --arg worker "$1" 'any(.. | objects; .worker? == $worker and .online)' >/dev/null
}
refused() { # TEXT
    expect_status "${2:-2}" timeout 20 farm-coordinator --config "$work/farm.conf"
    expect_text "$1" "$work/out"
}

say "a release keeps the directory that it was drafted with"
farmctl release draft --out "$work/first.json" first "$plan" >/dev/null
worker_enrol cedar
for signer in mara olga; do farm-sign release "$work/first.json" --key "$(key_of "$signer")" >/dev/null; done
farmctl release submit first "$work/first.json" >/dev/null
expect_status 0 farmctl handoff first --phase image --to "$work/handoff/"
expect_status 0 farm-verify "$work/handoff" --trust "$work/root.json" --state "$work/gate.state" --phase image

say "a pause by the farm's operator outlasts the worker's word, its restart, and ours"
farmctl worker pause alder-1 >/dev/null
expect "alder is paused" worker_is alder-1 paused
kill -TERM "${pids[alder-1]}"
wait "${pids[alder-1]}" || true
worker_run alder-1
wait_for 30 "alder is back" worker_is_here alder-1
expect "alder is paused still" worker_is alder-1 paused
coordinator_stop
sql "INSERT INTO operator_flag VALUES ('birch', 'outvoted on 3 jobs', 1)"
coordinator_start
expect "alder is paused after a restart" worker_is alder-1 paused
expect "birch is flagged after a restart" worker_is birch-1 flagged
farmctl operator clear birch >/dev/null
farmctl worker resume alder-1 >/dev/null
wait_for 30 "alder is online" worker_is alder-1 online
wait_for 30 "birch is online" worker_is birch-1 online

# The doors open when the directory has been read back, and not before.
for worker in alder-1 birch-1; do
    expect "nobody told $worker that it is not admitted" test "$(grep -c "does not admit" "$work/log/worker-$worker.log")" = 0
done

say "a crash while a worker is admitted: it was in the file, and not yet in the table"
coordinator_stop
sql "DELETE FROM worker WHERE name = 'cedar-1'"
coordinator_start
expect "cedar is known" worker_is cedar-1 offline
expect "and in the table" test "$(sql "SELECT state FROM worker WHERE name = 'cedar-1'")" = active

say "a crash while a worker is revoked: it was out of the file, and not yet of the table"
farmctl worker revoke cedar-1 >/dev/null
coordinator_stop
sql "UPDATE worker SET state = 'active' WHERE name = 'cedar-1'"
coordinator_start
expect "cedar is not admitted" test "$(farmctl worker list | grep -c cedar-1)" = 0
coordinator_stop
sql "UPDATE worker SET state = 'revoked' WHERE name = 'cedar-1'"
coordinator_start

say "a revoked machine stays out, under its name and with its keys"
expect_status 1 farmctl worker admit "$work/entry-cedar-1.json"
expect_text "was revoked" "$work/out"

say "an entry that runs out, and the next one"
worker_with_expiry() { # WORKER TIME: as worker_enrol does, but for the time
    rm -rf "$work/entry-$1.json"*
    farm-sign entry init --request "$work/worker-$1/request.json" --operator-key "$(key_of dogwood).pub" --expires "$2" \
        --out "$work/entry-$1.json"
    farm-sign entry "$work/entry-$1.json" --key "$(key_of dogwood)" >/dev/null
    farm-sign entry "$work/entry-$1.json" --key "$(key_of enrolment)" >/dev/null
    farmctl worker admit "$work/entry-$1.json" >/dev/null
}
worker_enrol dogwood
worker_with_expiry dogwood-1 "$(date -u -d '+4 seconds' +%FT%TZ)"
coordinator_stop
sleep 4
coordinator_start
worker_run dogwood-1
sleep 2
expect "dogwood is not let in" worker_is dogwood-1 expired
expect_text "its entry expired" "$work/log/coordinator.log"
worker_with_expiry dogwood-1 "$soon"
wait_for 60 "dogwood is online" worker_is dogwood-1 online

say "a log that is followed has the last line, too"
tree_package talker <<'BUILD'
build() {
    echo "the first line"
    sleep 3
    echo "the last line"
}
do_install() {
    mkdir -p "$DESTDIR/usr/share/talker"
    echo made >"$DESTDIR/usr/share/talker/made"
}
BUILD
tree_commit
farm_plan talker
expect "its jobs are planned" job_is talker planned
farmctl build "$plan" >/dev/null
wait_for 30 "talker is built" job_is talker running
expect_status 0 timeout 60 farmctl log talker
expect_text "the last line" "$work/out"

say "errors are JSON, too, for who asks for JSON"
expect_status 2 farmctl why nobody --json
expect_text '{"error":"no job' "$work/out"
echo "name: [" >"$work/tree/packages/extra/one/package.yml"
expect_status 1 farmctl plan --dry-run "$work/tree" --json
expect_text '"problems":[{"file":"packages/extra/one/package.yml"' "$work/out"
git -C "$work/tree" checkout -q -- packages

say "stopping with work waiting"
for number in 1 2 3 4 5 6 7 8; do
    farmctl plan "$work/tree@HEAD" >/dev/null 2>&1 &
done
sleep 0.2
coordinator_stop

say "what it refuses to start with"
coordinator_start
refused "another coordinator runs"
coordinator_stop
mv "$work/coordinator/coordinator.key" "$work/kept"
refused "coordinator.key is missing"
mv "$work/kept" "$work/coordinator/coordinator.key"
mv "$work/coordinator/workers.json" "$work/kept"
refused "workers.json is missing"
mv "$work/kept" "$work/coordinator/workers.json"
echo "precious" >"$work/precious"
echo "control_socket = $work/precious" >>"$work/farm.conf"
refused "not a socket"
expect_text "precious" "$work/precious"
