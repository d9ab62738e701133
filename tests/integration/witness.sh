#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# K3, L1, L2: a coordinator that leaves an answer out of its log, shows a forked or a shrunken one. Its workers raise an alarm, cosign
# nothing, take no leases, and tell their owner, also after a restart, until the owner clears it. Before that, honestly: a worker
# that knows nothing but the join string follows the trust root, and what it cosigned can be handed to a release manager.
. "$(dirname "$0")/lib.sh"
test_begin witness

export FARM_TEST_WHEN=$work/lie FARM_TEST_STATE=$work/coordinator

worker_stop() { # WORKER
    kill -TERM "${pids[$1]}" && wait "${pids[$1]}" || true
}

worker_log() { # WORKER TEXT: is it in the log since it was emptied?
    grep -qF -- "$2" "$work/log/worker-$1.log"
}

coordinator_lies() { # HOW; from the beginning
    coordinator_kill
    touch "$FARM_TEST_WHEN"
    FARM_TEST_LIE=$1 "$tests_bin/lying-log" --config "$work/farm.conf" >>"$work/log/coordinator.log" 2>&1 &
    pids[coordinator]=$!
    wait_for 30 "the lying coordinator answers" farmctl status
}

coordinator_is_honest_again() {
    coordinator_kill
    rm -f "$FARM_TEST_WHEN"
    coordinator_start
}

alarm_is() { # WORKER HEADLINE: told by status, alarm show and the exit status
    expect_status 0 farm-worker status --state "$work/worker-$1"
    head -n 1 "$work/out" >"$work/first"
    expect_text "ALARM since " "$work/first"
    expect_text "$2" "$work/first"
    expect_status 1 farm-worker alarm show --state "$work/worker-$1"
    expect_text "$2" "$work/out"
    expect_text "farm-worker alarm clear" "$work/out"
}

has_alarm() { # WORKER
    [ -e "$work/worker-$1/alarm.json" ]
}

cosigned_size() { # WORKER
    sed -n 2p "$work/worker-$1/cosigned" 2>/dev/null || echo 0
}

cosigns_more_than() { # WORKER SIZE
    [ "$(cosigned_size "$1")" -gt "$2" ]
}

# It saw and cosigned all that there is.
is_up_to_date() { # WORKER
    local size
    size=$(farmctl log show | sed -n 's/^log .*: \([0-9]*\) entries$/\1/p')
    [ -n "$size" ] && [ "$(cosigned_size "$1")" = "$size" ]
}

clears() { # WORKER
    expect_status 0 farm-worker alarm clear --state "$work/worker-$1"
    expect_text "expected: " "$work/out"
    expect_status 0 farm-worker alarm show --state "$work/worker-$1"
    expect_text "no alarm stands" "$work/out"
}

# Nothing but the join string, and the request as the line that is pasted.
enrol_by_code() { # OPERATOR
    local name=$1 worker=$1-1 code
    farm-worker init --join "$(farmctl join)" --operator "$name" --worker "$worker" --state "$work/worker-$worker" \
        --slots 1 --cores 1 --memory 1G --disk 2G --cache 1G --allow-tree "file://$work" >"$work/init-$worker"
    code=$(grep -m 1 '^igos-request:1:' "$work/init-$worker")
    farm-sign entry init --request "$code" --operator-key "$(key_of "$name").pub" --expires "$soon" \
        --out "$work/entry-$worker.json"
    farm-sign entry "$work/entry-$worker.json" --key "$(key_of "$name")" >/dev/null
    farm-sign entry "$work/entry-$worker.json" --key "$(key_of enrolment)" >/dev/null
    farmctl worker admit "$work/entry-$worker.json" >/dev/null
}

for package in one two three four; do
    tree_plain $package
done
tree_commit
coordinator_start
farm_base
root_install alder birch
for name in alder birch; do
    enrol_by_code $name
    worker_run $name-1
done
wait_for 120 "both workers are online" workers_online 2

say "a worker that was given nothing but the join string follows root and directory"
expect "the root was not given" test ! -e "$work/worker-alder-1/root.json"
wait_for 20 "the root is followed" worker_log alder-1 "trust root: version 1"
farm_plan one 2>/dev/null
expect_status 0 farmctl build --wait "$plan"

say "answers are proven, and the log cosigned by both"
for name in alder birch; do
    wait_for 20 "$name's answer is proven" grep -q '"unproven":\[\]' "$work/worker-$name-1/witness.json"
    wait_for 20 "$name cosigns" cosigns_more_than $name-1 2
done
wait_for 20 "both cosignatures stand under one checkpoint" test -e "$work/coordinator/log/cosigned"
farm-worker cosigned --state "$work/worker-alder-1" >"$work/alder.note"
expect_text "— alder/alder-1 " "$work/alder.note"
expect_status 0 farm-worker status --state "$work/worker-alder-1"
expect_text "trust root: version 1" "$work/out"
expect_text "entries seen" "$work/out"

say "a release whose cosignatures the coordinator withholds passes with those that come by hand"
release_make handmade
farmctl release export handmade "$work/early" >/dev/null # it calls the witnesses, and waits for them
# Before the export, so that it holds every entry that they cover.
for name in alder birch; do
    wait_for 90 "$name cosigns all of it" is_up_to_date $name-1
    farm-worker cosigned --state "$work/worker-$name-1" >"$work/$name.note"
done
farmctl release export handmade "$work/export" >/dev/null
sed -i '/^— \(alder\|birch\)\//d' "$work/export/log/checkpoint"
expect_status 1 farm-verify "$work/export" --trust "$work/root.json" --state "$work/state"
expect_text "0 of 2 needed operators cosigned" "$work/out"
expect_status 1 farm-verify "$work/export" --trust "$work/root.json" --state "$work/state" --cosignature "$work/alder.note"
expect_text "missing: birch" "$work/out"
expect_status 0 farm-verify "$work/export" --trust "$work/root.json" --state "$work/state" \
    --cosignature "$work/alder.note" --cosignature "$work/birch.note"

say "K3: proofs of answers are left out"
coordinator_lies omit
farm_plan two 2>/dev/null
farmctl build "$plan" >/dev/null
for name in alder-1 birch-1; do
    wait_for 120 "$name raises an alarm" has_alarm $name
    alarm_is $name "the log does not hold an answer of this worker"
    wait_for 10 "$name says so in its log" worker_log $name "ALARM: the log does not hold an answer of this worker"
done
before=$(cosigned_size alder-1)

say "no leases and no cosignatures, across a restart and under an honest coordinator"
coordinator_is_honest_again
worker_stop alder-1
: >"$work/log/worker-alder-1.log"
worker_run alder-1
wait_for 20 "it connects" worker_log alder-1 "connected; waiting for work"
expect "the alarm is told at start" worker_log alder-1 "ALARM since "
alarm_is alder-1 "the log does not hold an answer of this worker"
farm_plan three 2>/dev/null
farmctl build "$plan" >/dev/null
sleep 4
expect "nothing is built" test "$(job_state three)" != agreed
expect "no lease is taken" test -z "$(grep -F 'building node=extra/three' "$work"/log/worker-*.log)"
expect "nothing is cosigned" test "$(cosigned_size alder-1)" = "$before"
farmctl why three >"$work/why"
expect_text "paused" "$work/why"

say "cleared by their owners, they go on: the proofs come now"
clears alder-1
clears birch-1
wait_for 60 "the package is built" job_is three agreed
for name in alder-1 birch-1; do
    wait_for 30 "everything of $name is proven" grep -q '"unproven":\[\]' "$work/worker-$name/witness.json"
    wait_for 20 "$name cosigns again" cosigns_more_than $name "$before"
done

say "L1: a forked checkpoint"
before=$(cosigned_size alder-1)
coordinator_lies fork
for name in alder-1 birch-1; do
    wait_for 120 "$name raises an alarm" has_alarm $name
done
alarm_is alder-1 "the log shows another history than before"
expect_text "the checkpoint that this worker kept" "$work/out"
expect_text "the checkpoint that it was shown" "$work/out"
expect "nothing is cosigned" test "$(cosigned_size alder-1)" = "$before"
coordinator_is_honest_again
worker_stop alder-1
worker_run alder-1
alarm_is alder-1 "the log shows another history than before"
clears alder-1
clears birch-1
for name in alder-1 birch-1; do
    wait_for 30 "$name cosigns all of it" is_up_to_date $name
done

say "L2: a shrunken tree"
coordinator_lies shrink
for name in alder-1 birch-1; do
    wait_for 120 "$name raises an alarm" has_alarm $name
done
alarm_is birch-1 "the log has lost entries"
coordinator_is_honest_again
worker_stop birch-1
worker_run birch-1
alarm_is birch-1 "the log has lost entries"
expect "alder saw it, too" has_alarm alder-1
clears birch-1
clears alder-1
for name in alder-1 birch-1; do
    wait_for 30 "$name cosigns all of it" is_up_to_date $name
done

say "K3: another answer stands in the log in place of the one that came"
coordinator_lies other
wait_for 120 "both are online" workers_online 2
farm_plan four 2>/dev/null
farmctl build "$plan" >/dev/null
wait_for 120 "alder raises an alarm" has_alarm alder-1
alarm_is alder-1 "the log does not hold an answer of this worker"
expect_text "it is about another answer to this lease" "$work/out"
