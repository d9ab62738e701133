#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# With keep_finished, plans that ended long ago are dropped by gc: what was built for them alone leaves the store. What a release or a younger plan
# needs stays, nothing counts as lost, the evidence is still verified at each start, and who asks for such a plan again has it built again.
. "$(dirname "$0")/lib.sh"
test_begin retention
for tool in jq sqlite3; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done

conf_extra+=$'\nplan_memory = 1s\nkeep_finished = 4s\ncollect_grace = 0s'
tree_plain one
tree_plain two one
tree_plain three one
tree_plain four three
tree_plain five
tree_commit
farm_up alder birch

sql() { sqlite3 -cmd '.timeout 5000' "$work/coordinator/farm.db" "$1"; }
object_path() { echo "$work/coordinator/store/objects/${1:0:2}/${1:2}"; }
answer_of() { # COLUMN NODE: of its newest answer
    sql "SELECT lower(hex(a.$1)) FROM attestation a JOIN lease l ON l.position = a.lease JOIN job j ON j.number = l.job
        WHERE j.node = 'extra/$2' AND a.tar IS NOT NULL ORDER BY a.received_ms DESC LIMIT 1"
}
leases_of() { sql "SELECT count(*) FROM lease l JOIN job j ON j.number = l.job WHERE j.node = 'extra/$1'"; }
is_dropped() { [ "$(sql "SELECT dropped_ms IS NOT NULL FROM plan WHERE hex(id) = upper('$1')")" = 1 ]; }
gc_drops() { farmctl gc >/dev/null && is_dropped "$1"; }
lost() { farmctl scrub --json | jq .lost_count; }
nothing_lost() { [ "$(lost)" = 0 ]; }
build_plan() { # SELECTOR...: the id is in $plan
    farm_plan "$@" 2>/dev/null
    expect_status 0 farmctl build --wait "$plan"
}

build_plan one two
released=$plan
release_make kept
build_plan one three
dropped=$plan
one=$(answer_of tar one) three=$(answer_of tar three) log_of_three=$(answer_of log three)

say "what ended long ago goes with the next collection"
expect_status 0 farmctl gc
expect "nothing goes before its time" test -e "$(object_path "$three")"
answers=$(sql 'SELECT count(*) FROM attestation')
wait_for 30 "it is dropped" gc_drops "$dropped"
expect "its own archive is gone" test ! -e "$(object_path "$three")"
expect "and its build log" test ! -e "$(object_path "$log_of_three")"
expect "and its text" test ! -e "$(object_path "$dropped")"
expect "what a release shares with it stays" test -e "$(object_path "$one")"
expect "the release's plan stays" test -e "$(object_path "$released")"
expect "no answer went" test "$(sql 'SELECT count(*) FROM attestation')" = "$answers"
expect_status 2 farmctl jobs --plan "$dropped"
expect_text "was dropped on" "$work/out"
expect_text "makes it again" "$work/out"
expect "the status knows it no more" test "$(farmctl status --all --json | jq --arg plan "$dropped" '[.plans[] | select(.plan == $plan)] | length')" = 0

say "nothing is lost: for the scrub, a backup, a start"
scrub_is_over() { farmctl scrub --json | jq -e '.last != null' >/dev/null; }
expect_status 0 farmctl scrub --now
wait_for 60 "the scrub has read everything" scrub_is_over
expect "nothing is lost" test "$(lost)" = 0
expect_status 0 farmctl backup "$work/backup"
expect_status 0 farmctl handoff kept --phase image --to "$work/handoff/"
expect_status 0 farm-verify "$work/handoff" --trust "$work/root.json" --state "$work/gate.state" --phase image
kill -TERM "${pids[coordinator]}"
wait "${pids[coordinator]}"
coordinator_start
expect "nothing is lost after a start" test "$(lost)" = 0
wait_for 60 "the workers are back" workers_online 2

say "asked for again, it is built again, and only what is gone"
before_one=$(leases_of one) before_three=$(leases_of three)
build_plan one three
expect "it is the same plan" test "$plan" = "$dropped"
expect "three was built again" test "$(leases_of three)" -gt "$before_three"
expect "one was not" test "$(leases_of one)" = "$before_one"
expect "its archive is here" test -e "$(object_path "$three")"
wait_for 10 "nothing is lost any more" nothing_lost

say "a younger plan keeps what it shares with one that is dropped"
before_three=$(leases_of three)
farm_plan one three four 2>/dev/null
younger=$plan
expect_status 0 farmctl build --wait "$younger"
expect "three was not built again" test "$(leases_of three)" = "$before_three"
sql "UPDATE plan SET finished_ms = finished_ms + 60000 WHERE hex(id) = upper('$younger')" # it is much younger
wait_for 30 "the older one is dropped again" gc_drops "$dropped"
expect "the younger is not" test "$(sql "SELECT dropped_ms IS NULL FROM plan WHERE hex(id) = upper('$younger')")" = 1
expect "three is still here" test -e "$(object_path "$three")"
wait_for 10 "nothing is lost any more" nothing_lost

say "an answer that was alone when its plan was dropped keeps nothing; the next one with its outputs does"
kill -TERM "${pids[birch-1]}"
wait "${pids[birch-1]}" || true
farm_plan five 2>/dev/null
alone=$plan
expect_status 0 farmctl build "$alone"
has_answers() { [ "$(sql "SELECT count(*) FROM attestation a JOIN lease l ON l.position = a.lease JOIN job j ON j.number = l.job
    WHERE j.node = 'extra/five'")" = "$1" ]; }
wait_for 60 "alder has built it" has_answers 1
expect_status 0 farmctl cancel "$alone"
wait_for 30 "it is dropped" gc_drops "$alone"
five=$(answer_of tar five)
expect "its archive is gone" test ! -e "$(object_path "$five")"
worker_run birch-1
wait_for 60 "birch is back" workers_online 2
build_plan five
expect "birch's answer was enough" has_answers 2
expect_status 0 farmctl gc
expect "its archive is here, and stays" test -e "$(object_path "$five")"
wait_for 10 "nothing is lost" nothing_lost
