#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# W11: a worker whose key is bad. From a position in the log: what it had said before stands, what it said since is void, what was agreed
# with it is built again by others, and a restart in between changes nothing. From the beginning, in the middle of a build: its session
# ends, nothing that it ever said counts, and it does not come back. Releases are made of what is left.
. "$(dirname "$0")/lib.sh"
test_begin revoke
command -v jq >/dev/null || skip "jq is not installed"
command -v sqlite3 >/dev/null || skip "sqlite3 is not installed"

tree_plain one
tree_plain two one
tree_commit
coordinator_start
farm_base

# As root_install() of lib.sh, and names the log, without which nothing shows what was said before a position.
root_with_log() { # WITNESS OPERATOR...
    local name arguments=() witness=$1
    shift
    for name in "${managers[@]}"; do
        arguments+=(--root-key "$name=$(key_of "$name").pub" --release-key "$name=$(key_of "$name").pub")
    done
    for name in "$@"; do
        arguments+=(--anchor "$name=$(key_of "$name").pub")
    done
    farm-sign root init --out "$work/root.json" "${arguments[@]}" --root-threshold 2 --release-threshold 2 \
        --enrolment-key "enrolment=$(key_of enrolment).pub" --enrolment-threshold 1 \
        --log "$(farmctl log show --vkey)" --witness "$witness" --log-threshold 1 \
        --expires "$soon" --policy "$work/tree/farm/policy.yml" --base "$base" >/dev/null
    for name in mara niko; do
        farm-sign root sign "$work/root.json" --key "$(key_of "$name")" >/dev/null
    done
    farmctl root install "$work/root.json" >/dev/null
}

root_with_log alder alder birch cedar dogwood
for name in alder birch cedar dogwood; do
    worker_enrol "$name"
done

log_position() { # WORKER JOB: of its answer
    sqlite3 -readonly "$work/coordinator/farm.db" "SELECT a.position FROM attestation a JOIN lease l ON l.position = a.lease
        JOIN job j ON j.number = l.job WHERE l.worker = '$1' AND j.node = 'extra/$2' ORDER BY a.position LIMIT 1"
}

newer_entry() { # WORKER OPTION...: the entry again, changed and signed anew, in $work/newer-WORKER.json
    local worker=$1
    shift
    cp "$work/entry-$worker.json" "$work/newer-$worker.json"
    farm-sign entry "$work/newer-$worker.json" --key "$(key_of "${worker%-*}")" "$@" >/dev/null
    farm-sign entry "$work/newer-$worker.json" --key "$(key_of enrolment)" >/dev/null
}

operators_of() { # RELEASE PACKAGE: "alder birch"
    jq -r --arg name "$2" '.packages[] | select(.name == $name) | .operators | sort | join(" ")' "$work/$1.json"
}

round_of() { # JOB
    farmctl jobs --plan "$plan" --json | jq -r --arg node "extra/$1" '.jobs[] | select(.node == $node) | .round'
}

say "alder and birch build both packages"
worker_run alder-1
worker_run birch-1
wait_for 30 "two workers are online" workers_online 2
farm_plan
expect_status 0 farmctl build --wait "$plan"

say "birch's key was stolen before it answered for two"
position=$(log_position birch-1 two)
newer_entry birch-1 --compromised-from "$position"
expect_status 1 farmctl worker expire birch-1 --entry "$work/newer-birch-1.json"
expect_text "not yet" "$work/out"
expect_status 0 farmctl worker revoke birch-1 --entry "$work/newer-birch-1.json"
expect_text "count no longer: 1" "$work/out"
expect_text "extra/two" "$work/out"
expect "what it had said before stands" job_is one agreed
expect "what was agreed with it is open again" [ "$(job_state two)" != agreed ]
expect "nothing can be released meanwhile" expect_status 1 farmctl release draft early "$plan"
expect_status 0 farmctl why two
expect_text "void" "$work/out"
expect_status 0 farmctl worker list
expect_text "revoked" "$work/out"

say "the coordinator restarts before anybody has built it again"
coordinator_kill
coordinator_start
expect "the restart keeps it" [ "$(job_state two)" != agreed ]
expect "and one stands as before" job_is one agreed
sleep 2
expect "birch is not let in again" [ "$(farmctl worker list | awk '$1 == "birch-1" { print $3 }')" = revoked ]

say "others build it again"
worker_run cedar-1
wait_for 60 "two is agreed again" job_is two agreed
expect "in a new round, since open votes do not count" [ "$(round_of two)" = 2 ]
farmctl release draft --out "$work/first.json" first "$plan" >/dev/null
expect "birch's earlier answer is in the release" [ "$(operators_of first one)" = "alder birch" ]
expect "its later one is not" [ "$(operators_of first two)" = "alder cedar" ]

say "cedar is revoked in the middle of a build"
build_seconds=4 tree_plain three two
tree_commit
farm_plan
farmctl build "$plan" >/dev/null
wait_for 30 "cedar builds three" sh -c 'farmctl status | grep -q cedar-1'
expect_status 0 farmctl worker revoke cedar-1 --reason "left on a train"
expect_text "count no longer: 1" "$work/out"
expect_text "extra/two" "$work/out"
wait_for 20 "its session has ended" sh -c "! farmctl status | grep -q cedar-1"
expect_status 2 farmctl worker revoke nobody-1
expect_text "no worker" "$work/out"
expect_status 0 farmctl worker revoke cedar-1
expect_text "count no longer: 0" "$work/out"

worker_run dogwood-1
wait_for 90 "alder and dogwood have built two and three" job_is three agreed
expect "two as well" job_is two agreed
release_make second
expect "cedar is in none of it" [ "$(operators_of second two)" = "alder dogwood" ]
farmctl release export second "$work/second" >/dev/null
expect_status 0 farm-verify "$work/second" --trust "$work/root.json" -v

say "an entry that has ended: everything stands"
newer_entry dogwood-1 --expires "$(date -u -d '-1 day' +%F)"
expect_status 1 farmctl worker expire dogwood-1 --entry "$work/newer-dogwood-1.json"
expect_text "would count no longer" "$work/out"
newer_entry dogwood-1 --expires now
expect_status 0 farmctl worker expire dogwood-1 --entry "$work/newer-dogwood-1.json"
expect_text "count no longer: 0" "$work/out"
expect_text "every verdict stands" "$work/out"
wait_for 20 "it is gone" sh -c "farmctl worker list | grep dogwood-1 | grep -q expired"
farmctl release draft --out "$work/third.json" third "$plan" >/dev/null
expect "what it said counts in the next release" [ "$(operators_of third two)" = "alder dogwood" ]

say "a restart keeps all of it, and a void answer that is made to count again refuses to start"
kill -TERM "${pids[coordinator]}"
wait "${pids[coordinator]}" || fail "the coordinator did not stop cleanly"
cp "$work/coordinator/farm.db" "$work/farm.db"
sqlite3 "$work/coordinator/farm.db" "DELETE FROM voided"
expect_status 1 timeout 20 farm-coordinator --config "$work/farm.conf"
expect_text "it is missing, though its answer was counted" "$work/out"
sqlite3 "$work/coordinator/farm.db" "DELETE FROM voided; INSERT INTO vote SELECT l.job, l.round, l.operator, a.position, 0
    FROM attestation a JOIN lease l ON l.position = a.lease WHERE NOT EXISTS (SELECT 1 FROM vote v
    WHERE v.job = l.job AND v.round = l.round AND v.operator = l.operator)"
expect_status 1 timeout 20 farm-coordinator --config "$work/farm.conf"
expect_text "its worker was revoked, as the log shows, but it is not void" "$work/out"
cp "$work/farm.db" "$work/coordinator/farm.db"
rm -f "$work/coordinator/farm.db-wal" "$work/coordinator/farm.db-shm"
coordinator_start
for name in one two three; do
    expect "$name is agreed" job_is "$name" agreed
done
