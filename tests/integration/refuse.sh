#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# K1: a coordinator leases a spec that the tree does not give: the worker refuses and says so. K7, K8: a base that the root does
# not allow, a tree that the owner does not.
. "$(dirname "$0")/lib.sh"
test_begin refuse

tree_plain one
tree_commit
coordinator_start
farm_base
root_install alder birch
worker_enrol alder
coordinator_kill

say "K1: the same state, run by a coordinator that lies"
"$tests_bin/lying-coordinator" --config "$work/farm.conf" >>"$work/log/coordinator.log" 2>&1 &
pids[coordinator]=$!
wait_for 30 "the coordinator answers" farmctl status
worker_run alder-1
wait_for 30 "the worker is online" workers_online 1
farm_plan
farmctl build "$plan" >/dev/null
wait_for 60 "the worker refuses" grep -q "the lease names the job" "$work/log/worker-alder-1.log"
expect_text "gives" "$work/log/worker-alder-1.log"
expect "nothing was built" test "$(find "$work/worker-alder-1/spool" -type f | wc -l)" = 0
farmctl why one >"$work/why"
expect_text "refused" "$work/why"

say "K8: a tree that the owner did not list"
kill -TERM "${pids[alder-1]}" && wait "${pids[alder-1]}" || true
coordinator_kill
sed -i 's|^trees = .*|trees = https://git.example.org/|' "$work/worker-alder-1/worker.conf"
rm "$work/log/worker-alder-1.log"
worker_run alder-1
coordinator_start
wait_for 60 "the worker refuses the tree" grep -q "goes back.*trees" "$work/log/worker-alder-1.log"
expect "nothing was built" test "$(find "$work/worker-alder-1/spool" -type f | wc -l)" = 0

say "admitting the same worker again is no second one"
expect_status 0 farmctl worker admit "$work/entry-alder-1.json"
expect "one worker" test "$(farmctl worker list --json | grep -o '"worker"' | wc -l)" = 1
