#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# D6: the coordinator is killed with -9 at random moments of real runs, and workers are, again and again (FARM_TEST_KILLS of each). Nothing
# that was accepted is lost or counted twice, what was being built or sent goes on, and in the end everything is agreed and can be released.
. "$(dirname "$0")/lib.sh"
test_begin kills

kills=${FARM_TEST_KILLS:-3}
seed=${FARM_TEST_SEED:-$$}
RANDOM=$seed
operators=(alder birch cedar)
say "FARM_TEST_KILLS=$kills FARM_TEST_SEED=$seed"

# Three layers. What the large ones send takes a while, so that a kill meets uploads too.
layer() { # NAME LAYER-BELOW...
    tree_package "$@" <<BUILD
build() {
    for needed in ${*:2}; do
        test -e /usr/share/\$needed/made || return 1
    done
    sleep 0.$((RANDOM % 10))
    seq $((RANDOM + 1)) $((RANDOM * 20 + 100000)) >payload
}
do_install() {
    mkdir -p "\$DESTDIR/usr/share/$1"
    cp payload "\$DESTDIR/usr/share/$1/made"
}
BUILD
}
grow_tree() { # other bytes in every recipe each time, hence other jobs
    local name
    for name in a b c; do layer "low-$name"; done
    tree_package large <<BUILD
build() { seq $((RANDOM + 1)) 4000000 >payload; }
do_install() {
    mkdir -p "\$DESTDIR/usr/share/large"
    cp payload "\$DESTDIR/usr/share/large/made"
}
BUILD
    for name in a b c; do layer "mid-$name" low-a low-b; done
    layer top mid-a mid-b mid-c low-c large
    tree_commit
}
grow_tree
farm_up "${operators[@]}"

sql() { sqlite3 -cmd '.timeout 5000' "$work/coordinator/farm.db" "$1"; }

# What workers were told is durable: the leases of their "result accepted" lines.
acknowledged() {
    cat "$work"/log/worker-*.log | sed -n 's/.*result accepted .*lease=\([0-9a-f]\{64\}\).*/\1/p' | sort -u
}

# With the coordinator dead: the database by itself, and against what was promised.
check_state() {
    acknowledged >"$work/promised"
    expect "the database is whole" test "$(sql 'PRAGMA integrity_check')" = ok
    expect "no row points to nothing" test -z "$(sql 'PRAGMA foreign_key_check')"
    sql "SELECT lower(hex(l.nonce)) FROM attestation a JOIN lease l ON l.position = a.lease" | sort -u >"$work/kept"
    expect "no acknowledged answer is lost" test -z "$(comm -23 "$work/promised" "$work/kept")"
    expect "no lease counts twice" test -z "$(sql 'SELECT lease FROM attestation GROUP BY lease, payload, failure HAVING count(*) > 1')"
    expect "no agreed job without the votes of two operators" test -z "$(sql "SELECT v.job FROM verdict v WHERE v.state = 'agreed' AND
        (SELECT count(DISTINCT o.operator) FROM vote o JOIN attestation a ON a.position = o.attestation
         WHERE o.job = v.job AND o.round = v.round AND a.payload = v.payload) < 2")"
    expect "every vote is its operator's own answer" test -z "$(sql "SELECT o.job FROM vote o JOIN attestation a ON a.position = o.attestation
        JOIN lease l ON l.position = a.lease WHERE l.operator <> o.operator OR l.job <> o.job OR l.round <> o.round")"
    expect "every object that a vote names is there" test -z "$(objects_missing)"
}
objects_missing() {
    local object
    for object in $(sql "SELECT DISTINCT lower(hex(tar)) FROM attestation WHERE tar IS NOT NULL"); do
        [ -e "$work/coordinator/store/objects/${object:0:2}/${object:2}" ] || echo "$object"
    done
}

moment() { # up to two and a half seconds
    sleep "$((RANDOM % 2)).$((RANDOM % 10))$((RANDOM % 10))"
}
kill_worker() { # and start it again
    local worker=${operators[RANDOM % ${#operators[@]}]}-1
    kill -KILL "${pids[$worker]}"
    wait "${pids[$worker]}" 2>/dev/null || true
    worker_run "$worker"
}
plans=0
next_plan() {
    [ "$plans" = 0 ] || grow_tree
    plans=$((plans + 1))
    farm_plan
    farmctl build "$plan" >/dev/null
}
plan_is_done() {
    farmctl status --json | jq -e --arg plan "$plan" '[.. | objects | select(.plan? == $plan)][0].state == "done"' >/dev/null
}

next_plan
: >"$work/killed"
for round in $(seq "$kills"); do
    moment
    kill_worker
    moment
    date +%s%3N >>"$work/killed"
    coordinator_kill
    check_state
    coordinator_start
    if plan_is_done; then next_plan; fi
done

say "after $kills kills of the coordinator and as many of workers the last plan is done all the same"
expect_status 0 timeout 240 farmctl build --wait "$plan"
coordinator_kill
check_state
expect "answers were promised at all" test -s "$work/promised"
taken=$(sql "SELECT count(DISTINCT l.position) FROM lease l JOIN attestation a ON a.lease = l.position
    JOIN (SELECT value AS ms FROM json_each('[$(paste -sd, "$work/killed")]')) k ON k.ms > l.granted_ms AND k.ms < a.received_ms")
coordinator_start
wait_for 60 "the workers are back" workers_online 3
release_make kept
expect_status 0 farmctl handoff kept --phase image --to "$work/handoff/"
expect_status 0 farm-verify "$work/handoff" --trust "$work/root.json" --state "$work/gate.state" --phase image
say "$plans plans, $(sql 'SELECT count(*) FROM attestation') answers, $taken of them to leases from before a kill;" \
    "$(cat "$work"/log/worker-*.log | grep -c 'upload goes on') uploads went on where they were"
[ "$kills" -lt 10 ] || expect "some builds were taken over by the next coordinator" test "$taken" -gt 0
