#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A plan that ended leaves the coordinator's memory and is there for everybody who asks: listings, releases, the same plan again, another
# plan with the same jobs, a late answer, a revocation, a restart.
. "$(dirname "$0")/lib.sh"
test_begin memory
command -v jq >/dev/null || skip "jq is not installed"

conf_extra+=$'\nplan_memory = 1s'
tree_plain one
tree_plain two one
tree_commit
farm_up alder birch
farm_plan
expect_status 0 farmctl build --wait "$plan"

sql() { sqlite3 "$work/coordinator/farm.db" "$1"; }
leases() { sql "SELECT count(*) FROM lease"; }
is_forgotten() { farmctl jobs --json | jq -e --arg plan "$plan" '[.. | objects | select(.plan? == $plan)] == []' >/dev/null; }
forgotten() { wait_for 30 "the plan leaves memory" is_forgotten; }

say "who asks has it back"
forgotten
granted=$(leases)
expect_status 0 farmctl status
expect_text "done" "$work/out"
expect "it is counted as agreed" test "$(farmctl status --json | jq --arg plan "$plan" '[.. | objects | select(.plan? == $plan and .counts?)][0].counts.agreed')" = 2
expect "one is agreed" job_is one agreed
forgotten
expect_status 0 farmctl why one
expect_text "agreed" "$work/out"
forgotten
expect_status 0 farmctl log two
forgotten
expect_status 1 farmctl blast-radius --operator alder --plan "$plan"
forgotten
expect_status 0 farmctl build --wait "$plan"
expect "nothing was built again" test "$(leases)" = "$granted"

say "a release of it"
forgotten
release_make first
forgotten
expect_status 0 farmctl handoff first --phase image --to "$work/handoff/"
expect_status 0 farm-verify "$work/handoff" --trust "$work/root.json" --state "$work/gate.state" --phase image

say "another plan with a job of it builds nothing again"
first=$plan
tree_plain three
tree_commit
farm_plan one three
expect_status 0 farmctl build --wait "$plan"
expect "only three was built" test "$(sql "SELECT count(DISTINCT job) FROM lease")" = 3

say "a late answer to a lease that is forgotten is open, and no second vote"
kill -KILL "${pids[birch-1]}"
wait "${pids[birch-1]}" 2>/dev/null || true
FARM_TEST_SLOW=3 worker_run birch-1 "$tests_bin/slow-worker" run
wait_for 30 "both are online" workers_online 2
tree_plain four
tree_commit
farm_plan four
farmctl build "$plan" >/dev/null
wait_for 30 "birch has built it" grep -q "built node=extra/four" "$work/log/worker-birch-1.log"
kill -STOP "${pids[birch-1]}"
worker_enrol cedar
worker_run cedar-1
plan_is() { [ "$(sql "SELECT state FROM plan WHERE hex(id) = upper('$plan')")" = "$1" ]; }
wait_for 60 "four is agreed without it" plan_is done
forgotten
kill -CONT "${pids[birch-1]}"
answers() { # to the job called four
    sql "SELECT $1 FROM attestation a JOIN lease l ON l.position = a.lease JOIN job j ON j.number = l.job WHERE j.node = 'extra/four'"
}
late_came() { [ "$(answers 'count(*)')" = 3 ]; }
wait_for 60 "the late answer arrives" late_came
expect "it is open" test "$(answers 'group_concat(fate)' | grep -o open)" = open
expect "four is agreed as before" job_is four agreed

say "checked-out trees of forgotten plans are collected, and made again from their packs"
forgotten
expect "there are trees" test "$(ls "$work/coordinator/trees" | wc -l)" -ge 3
expect_status 0 farmctl gc
expect "nothing is checked out" test -z "$(ls "$work/coordinator/trees")"
granted=$(leases)
expect_status 0 farmctl build --wait "$first"
expect "nothing was built again" test "$(leases)" = "$granted"
expect "its tree is checked out, and no other" test "$(ls "$work/coordinator/trees" | wc -l)" = 1

say "a plan that nobody started leaves memory, and can be started then"
tree_plain five
tree_commit
farm_plan five
sleep 3
expect "five is known" grep -q '"planned"' <(farmctl jobs --json --plan "$plan")
sleep 3
expect_status 0 farmctl build --wait "$plan"
expect "five is agreed" job_is five agreed
expect_status 2 farmctl why no-such-package

say "the status has the newest plans"
packages=(one two three four five)
for subset in $(seq 22); do
    chosen=()
    for i in 0 1 2 3 4; do [ $((subset >> i & 1)) = 0 ] || chosen+=("${packages[i]}"); done
    farm_plan "${chosen[@]}" 2>/dev/null
done
listed() { farmctl status --json "$@" | jq '.plans | length'; }
known=$(farmctl status --json | jq .plans_known)
expect "there are many" test "$known" -gt 22
expect "twenty are listed" test "$(listed)" = 20
expect "the newest is" grep -q "$plan" <(farmctl status --json)
expect "the first is not" test "$(farmctl status --json | jq --arg plan "$first" '[.plans[] | select(.plan == $plan)] | length')" = 0
expect "all are listed on demand" test "$(listed --all)" = "$known"
expect_status 0 farmctl status
expect_text "older plans (farmctl status --all)" "$work/out"

say "a restart leaves old plans where they are, and has them for who asks"
forgotten
kill -TERM "${pids[coordinator]}"
wait "${pids[coordinator]}"
coordinator_start
expect "nothing was read back" is_forgotten
plan=$first
expect "the first is not in memory" is_forgotten
granted=$(leases)
expect "two is agreed" job_is two agreed
expect "nothing was built again" test "$(leases)" = "$granted"

say "a revoked operator's answers count no longer, in memory or not"
forgotten
farmctl worker revoke alder-1 >/dev/null
expect_status 0 farmctl why two
expect_text "void" "$work/out"
expect "two is agreed no more" test "$(job_state two)" != agreed
