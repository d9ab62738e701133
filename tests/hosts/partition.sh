#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# N9 and a partition of an hour. The cable is cut in the middle of an upload: nothing of it is seen in the store, and afterwards it
# goes on where it was. Then it is cut while a build runs, for longer than every time that is configured here, or that stands in the code:
# sessions end after 2 s, leases of absent workers 1 s later, each lease 15 s + 2 s after it began, and connections after 30 s without a
# sign. An hour differs from that in nothing that anybody counts. The finished answer waits in the worker's spool, and counts when it
# comes.
. "$(dirname "$0")/lib.sh"
test_begin partition
conf_extra=$'session_timeout = 2s\nlease_grace = 1s\nheartbeat = 1s\nlease_margin = 2s'

tree_plain calm
tree_heavy upload 130 0 5
tree_heavy hour 20 3
write_policy
sed -i 's/wall: 2m/wall: 15s/' "$work/tree/farm/resources.yml"
tree_commit
two_hosts 5

spooled() { # WORKER
    [ -n "$(ls "$work/worker-$1/spool")" ]
}
is_uploading() {
    [ -n "$(find "$work/coordinator/store/incoming" -name '*.part' -size +64k -print -quit)" ]
}
birch_has_answered() { # for all three packages
    [ "$(grep -c 'answer worker=birch-1 fate=counted' "$work/log/coordinator.log")" = 3 ]
}
received() {
    farmctl status --json | jq '.network.bulk.received_bytes'
}

say "a cut in the middle of uploads"
for name in alder birch; do
    in_host $name tc qdisc add dev uplink root tbf rate 4mbit burst 8k latency 200ms
done
before=$(received)
farm_plan upload
farmctl build "$plan" >/dev/null
wait_for 60 "an upload is under way" is_uploading
cable_cut alder
cable_cut birch
touch "$work/cut"
expect "nothing half is seen" objects_are_whole
sleep 6
expect "nothing half is seen" objects_are_whole
expect "both are missed" test "$(farmctl worker list | grep -c offline)" = 2
cable_mend alder
cable_mend birch
wait_for 120 "the uploads go on and count" job_is upload agreed
for name in alder birch; do
    expect "what $name built first counts" first_work_counts $name-1 upload
done
expect "what arrived is whole" objects_are_whole
artifact=$(find "$work/coordinator/store/objects" -type f -newer "$work/cut" -printf '%s\n' | sort -n | tail -1)
sent=$(($(received) - before))
say "received $sent bytes of two uploads of $artifact"
expect "uploads went on where they were" test "$sent" -le $((2 * artifact + 256 * 1024))
for name in alder birch; do
    in_host $name tc qdisc del dev uplink root
done

say "a cut that outlasts everything"
farm_plan hour
farmctl build "$plan" >/dev/null
wait_for 30 "both build" job_is hour running
cable_cut alder
wait_for 30 "birch has answered" birch_has_answered
wait_for 30 "alder's answer waits in its spool" spooled alder-1
sleep 32
expect "alder is missed" test "$(farmctl worker list | awk '$1 == "alder-1" { print $3 }')" = offline
cable_mend alder
wait_for 100 "the finished work counts" job_is hour agreed
expect "what alder built first counts" first_work_counts alder-1 hour
