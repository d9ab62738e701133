#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Killing a worker (KILL and STOP) passes its lease on, and a late answer is kept and is no second vote; killing the coordinator
# in the middle loses nothing and counts nothing twice.
. "$(dirname "$0")/lib.sh"
test_begin crash

build_seconds=3
tree_plain one
tree_plain two one
tree_commit
farm_up alder birch cedar
farm_plan

worker_with_lease() { # prints a worker that builds now
    farmctl status --json | grep -o '"worker":"[a-z]*-1"' | head -n 1 | cut -d'"' -f4
}
has_lease() { [ -n "$(worker_with_lease)" ]; }

farmctl build "$plan" >/dev/null
wait_for 30 "a lease is out" has_lease
victim=$(worker_with_lease)
say "kill -9 $victim while it builds"
kill -KILL "${pids[$victim]}"
wait_for 60 "one is agreed all the same" job_is one agreed

say "kill -9 the coordinator while the next is built"
wait_for 30 "a lease is out" has_lease
coordinator_kill
coordinator_start
wait_for 60 "two is agreed" job_is two agreed
expect "one is still agreed" job_is one agreed
expect_status 0 farmctl build --wait "$plan"
votes=$(sqlite3 "$work/coordinator/farm.db" "SELECT max(n) FROM (SELECT count(*) AS n FROM vote GROUP BY job, round, operator)")
expect "no operator voted twice" test "$votes" = 1

say "a stopped worker's lease passes on; its late answer is kept, and is no second vote"
for name in alder birch cedar; do
    kill -KILL "${pids[$name-1]}" 2>/dev/null || true
    wait "${pids[$name-1]}" 2>/dev/null || true
done
worker_run alder-1
FARM_TEST_SLOW=3 worker_run birch-1 "$tests_bin/slow-worker" run
wait_for 30 "two workers are online" workers_online 2
build_seconds=0
tree_plain three
tree_commit
farm_plan three
farmctl build "$plan" >/dev/null
wait_for 30 "birch has built it" grep -q "built node=extra/three" "$work/log/worker-birch-1.log"
kill -STOP "${pids[birch-1]}"
worker_run cedar-1
wait_for 60 "three is agreed without it" job_is three agreed
kill -CONT "${pids[birch-1]}"
answers() { # to the job called three
    sqlite3 "$work/coordinator/farm.db" "SELECT $1 FROM attestation a JOIN lease l ON l.position = a.lease
        JOIN job j ON j.number = l.job WHERE j.node = 'extra/three'"
}
late_came() { [ "$(answers 'count(*)')" = 3 ]; }
wait_for 60 "the late answer arrives" late_came
votes=$(sqlite3 "$work/coordinator/farm.db" "SELECT max(n) FROM (SELECT count(*) AS n FROM vote GROUP BY job, round, operator)")
expect "no operator voted twice" test "$votes" = 1
expect "the late one is marked open" test "$(answers 'group_concat(fate)' | grep -o open)" = open
expect "three is agreed as before" job_is three agreed
expect "the database is whole" test "$(sqlite3 "$work/coordinator/farm.db" 'PRAGMA integrity_check')" = ok
