#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# W6, W8, W12, W14: a worker builds honestly and signs something else: another lease, another job, other subjects, other bytes. Its answer is
# refused in words and is no vote; the job is agreed without it.
. "$(dirname "$0")/lib.sh"
test_begin lies

lies=(other-nonce other-job other-parameters extra-subject duplicate-subject missing-subject other-tar other-payload)
for lie in "${lies[@]}"; do tree_plain "$lie"; done
tree_commit
quorum=3
conf_extra+=$'\nrefusals_limit = 1000'
write_policy
tree_commit
farm_up alder birch cedar
kill -TERM "${pids[birch-1]}" && wait "${pids[birch-1]}" || true

refused() {
    grep -q "worker=birch-1 state=refused reason=\"its answer was refused: " "$work/log/coordinator.log"
}

for lie in "${lies[@]}"; do
    say "$lie"
    : >"$work/log/coordinator.log"
    FARM_TEST_STATEMENT=$lie worker_run birch-1 "$tests_bin/lying-signer" run
    farm_plan "$lie" 2>/dev/null
    farmctl build "$plan" >/dev/null
    wait_for 60 "its answer is refused" refused
    grep -m 1 -o "its answer was refused: .*" "$work/log/coordinator.log"
    kill -KILL "${pids[birch-1]}" && wait "${pids[birch-1]}" 2>/dev/null || true
    expect "no quorum without its vote" test "$(job_state "$lie")" != agreed
    rm -rf "$work/worker-birch-1/spool"/* # what it signed is not taken, however often it comes
    worker_run birch-1
    wait_for 90 "agreed by honest answers" job_is "$lie" agreed
    farmctl why "$lie" --json >"$work/why"
    expect_text '"dissent":0' "$work/why"
    kill -TERM "${pids[birch-1]}" && wait "${pids[birch-1]}" || true
done

say "what it signed about its own lease stands in the log as a refusal, and is no evidence"
farmctl log show --entries 0..9999 --json >"$work/entries"
# Of the other four nobody can tell that they were meant for that lease.
expect "four refusals" test "$(grep -o '"kind":"refusal"' "$work/entries" | wc -l)" = 4
