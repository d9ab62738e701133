#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A backup while builds go on, and the way back. D3: a restored log that somebody has seen more of is not continued (every witness would be
# right to raise an alarm): the farm stands still and says how to begin the next log; one that nobody has seen more of goes on under its
# name. Either way the plan that was half done completes without building again what was accepted before the backup.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# A mount name space of our own, for the disk that is full: nothing stays mounted whatever happens.
if [ "$(id -u)" = 0 ] && [ -z "${FARM_TEST_UNSHARED:-}" ]; then
    FARM_TEST_UNSHARED=1 exec unshare --mount --propagation private "$0" "$@"
fi
test_begin backup

state=$work/coordinator
tree_plain one
tree_plain two one
build_seconds=6 tree_plain three two # so that much happens after the backup that is made before it ends
tree_commit
farm_up alder birch
farm_plan one 2>/dev/null
expect_status 0 farmctl build --wait "$plan"
builds_of() { cat "$work"/log/worker-*.log | grep -c "building node=extra/$1 lease=[0-9a-f]*\$" || true; }
no_alarms() { [ -z "$(find "$work"/worker-* -name alarm.json)" ]; }
is_held() { farmctl status --json | grep -q '"held":"'; }
is_free() { farmctl status --json | grep -q '"held":null'; }
held_says() { farmctl status | grep -qF -- "$1"; }
lose_state() {
    coordinator_kill
    rm -rf "$state"
    mkdir -m 700 "$state"
}
restore() { farm-coordinator restore --config "$work/farm.conf" --from "$1"; }
flip() { # FILE OFFSET
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    chmod u+w "$1"
    printf "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

say "a backup of an idle farm"
expect_status 0 farmctl backup "$work/idle"
expect_text "coordinator.key, which is secret" "$work/out"
expect "only the owner reads it" test "$(stat -c %a "$work/idle" "$work/idle/coordinator.key" "$work/idle/farm.db" | sort -u | tr '\n' ' ')" = "600 700 "
expect_status 0 farm-coordinator restore --check --config "$work/farm.conf" --from "$work/idle"
expect_text "the backup is whole" "$work/out"

say "bad targets"
mkdir "$work/other" && touch "$work/other/file"
expect_status 1 farmctl backup "$work/other"
expect_text "exists and is no backup" "$work/out"
expect_status 1 farmctl backup "$state/inside"
expect_status 2 farmctl backup "$work/no/such/parent"
expect_status 2 farmctl backup
expect_status 2 restore "$work/other"
expect_text "it is no whole backup" "$work/out"
expect_status 1 restore "$work/idle"
expect_text "not empty" "$work/out"

say "D3: a witness says that it has seen more: neither a number nor a forged checkpoint ends the log, or counts for it"
worker_stop() { kill -TERM "${pids[$1]}" && wait "${pids[$1]}" || true; }
worker_stop alder-1
lose_state
expect_status 0 restore "$work/idle"
expect_status 1 restore "$work/idle"
coordinator_start
no_proof() { grep -q "not believed.*worker=alder-1.*reason=\"$1" "$work/log/coordinator.log"; }
for lie in number:"it shows no checkpoint" forged:"the note bears a signature"; do
    FARM_TEST_LIE=${lie%%:*} worker_run alder-1 "$tests_bin/lying-witness" run
    wait_for 60 "the coordinator does not believe it" no_proof "${lie#*:}"
    wait_for 60 "birch has seen no more" held_says "1 of 2 listed witnesses"
    expect "people are told who it is" held_says "worker alder-1 says that it has seen more and has not proved it"
    worker_stop alder-1
done
expect "the log is not over" test "$(grep -c "this log is over" "$work/log/coordinator.log")" = 0

say "D3: nothing happened since: the log goes on under its name"
worker_run alder-1
wait_for 60 "the witnesses confirm it" is_free
expect_text "work goes on" "$work/log/coordinator.log"
expect "the marker has gone" test ! -e "$state/restored.json"
farm_plan one 2>/dev/null
expect_status 0 farmctl build --wait "$plan"
expect "what was agreed is not built again" test "$(builds_of one)" = 2
expect "nobody raised an alarm" no_alarms

say "a backup while builds go on; an earlier one gets what is new"
farm_plan 2>/dev/null
farmctl build "$plan" >/dev/null
wait_for 60 "two is agreed" job_is two agreed
expect_status 0 farmctl backup "$work/idle"
expect "what was in it is linked" test "$(find "$work/idle/store" -type f -links 1 | wc -l)" = 0
expect_status 0 farm-coordinator restore --check --config "$work/farm.conf" --from "$work/idle"
mv "$work/idle" "$work/busy"
wait_for 60 "three is agreed" job_is three agreed
log_cosigned

say "damaged backups are refused, and the file is named"
object=$(cd "$work/busy" && find store -type f -size +1k | sort | head -n 1)
for file in farm.db coordinator.key root.json "$object" objects; do
    cp -r "$work/busy" "$work/bad"
    flip "$work/bad/$file" 30
    expect_status 1 farm-coordinator restore --check --config "$work/farm.conf" --from "$work/bad"
    expect_text "$work/bad/$file is damaged" "$work/out"
    rm -rf "$work/bad"
done
cp -r "$work/busy" "$work/bad"
rm -f "$work/bad/$object"
expect_status 2 farm-coordinator restore --check --config "$work/farm.conf" --from "$work/bad"
expect_text "$object" "$work/out"

say "altered ones, too"
altered() { # SED-SCRIPT TEXT
    rm -rf "$work/bad" && cp -r "$work/busy" "$work/bad"
    : >"$work/bad/farm.db-wal"
    sed -i "$1" "$work/bad/backup.json"
    expect "backup.json has changed" test -n "$(diff "$work/busy/backup.json" "$work/bad/backup.json")"
    expect_status 1 farm-coordinator restore --check --config "$work/farm.conf" --from "$work/bad"
    expect_text "$2" "$work/out"
}
empty=$(sha256sum </dev/null | cut -d' ' -f1)
altered "s/\"files\":\[/&{\"path\":\"farm.db-wal\",\"sha256\":\"$empty\",\"size\":0},/" "lists farm.db-wal, which no backup has"
altered 's/"objects":\([0-9]\)/"objects":9\1/' " objects, and backup.json says 9"
rm -rf "$work/bad"

say "kill -9 in the middle of a backup: none, or a whole one"
for wait in 0.00 0.03; do
    farmctl backup "$work/killed" >/dev/null 2>&1 &
    sleep "$wait"
    coordinator_kill
    wait $! || true
    [ ! -e "$work/killed" ] || expect_status 0 farm-coordinator restore --check --config "$work/farm.conf" --from "$work/killed"
    coordinator_start
done
expect_status 0 farmctl backup "$work/killed"
expect "nothing is left beside it" test -z "$(find "$work" -maxdepth 1 -name 'killed.partial-*')"

say "D8: what rots in a backup on another disk is found by those that follow, and replaced"
if mkdir "$work/disk" && mount -t tmpfs none "$work/disk" 2>/dev/null; then
    expect_status 0 farmctl backup "$work/disk/backup"
    expect_status 0 farmctl backup --json "$work/disk/backup"
    expect "all is linked, a share of it was read" test "$(jq '.linked == .objects and .rotten_count == 0 and .copied_bytes == 0' "$work/out")" = true
    objects=$(jq .objects "$work/out")
    rotten=$(cd "$work/disk/backup" && find store -type f -size +1k | sort | tail -n 1)
    flip "$work/disk/backup/$rotten" 30
    expect_status 1 farm-coordinator restore --check --config "$work/farm.conf" --from "$work/disk/backup"
    read=0
    for round in $(seq 16); do
        farmctl backup --json "$work/disk/backup" >"$work/out" && status=0 || status=$?
        read=$((read + $(jq .read "$work/out")))
        [ "$status" = 0 ] || break
    done
    expect "it is found within sixteen backups (this was the ${round}th)" test "$status" = 1
    name=${rotten#store/}
    expect "it is named" test "$(jq -r '.rotten[]' "$work/out")" = "${name/\//}"
    expect_text "objects had rotted in the earlier one" "$work/log/coordinator.log"
    expect_status 0 farm-coordinator restore --check --config "$work/farm.conf" --from "$work/disk/backup"
    for round in $(seq $((16 - round))); do
        expect_status 0 farmctl backup --json "$work/disk/backup"
        read=$((read + $(jq .read "$work/out")))
    done
    expect "sixteen backups have read each object once" test "$((read + 1))" = "$objects"
    umount "$work/disk"
else
    echo "not tried: cannot mount another file system"
fi

say "a disk that can only rename"
coordinator_kill
mkdir "$work/plain"
FARM_TEST_DISK=$work/plain "$tests_bin/plain-disk" --config "$work/farm.conf" >>"$work/log/coordinator.log" 2>&1 &
pids[coordinator]=$!
wait_for 30 "the coordinator answers" farmctl status
expect_status 0 farmctl backup "$work/plain/backup"
expect_status 2 farmctl backup "$work/plain/backup"
expect_text "RENAME_EXCHANGE" "$work/out"
expect_text "name a directory that does not exist each time" "$work/out"
expect "nothing is left beside it" test "$(ls "$work/plain")" = backup
expect_status 0 farm-coordinator restore --check --config "$work/farm.conf" --from "$work/plain/backup"
expect_status 0 farmctl backup "$work/plain/another"
coordinator_kill
coordinator_start

say "no room for it"
if mkdir "$work/small" && mount -t tmpfs -o size=200k none "$work/small" 2>/dev/null; then
    expect_status 2 farmctl backup "$work/small/backup"
    expect "nothing is left" test -z "$(ls "$work/small")"
    umount "$work/small"
    expect_status 0 farmctl status
else
    echo "not tried: cannot mount a small file system"
fi

say "D3: a restore that is interrupted, and a backup that is older than the log"
lose_state
rm -rf "$work/bad" && cp -r "$work/busy" "$work/bad"
flip "$work/bad/$object" 30
expect_status 1 restore "$work/bad"
expect_status 1 timeout 20 farm-coordinator --config "$work/farm.conf"
expect_text "a restore of a backup was interrupted" "$work/out"
sed 's/^advertise/log_origin = test.example\/another\n&/' "$work/farm.conf" >"$work/another.conf"
expect_status 2 farm-coordinator restore --config "$work/another.conf" --from "$work/busy"
expect_text "set log_origin = intergenos-farm/" "$work/out"
expect_status 0 restore "$work/busy"
coordinator_start
wait_for 60 "a witness shows that it has seen more" held_says "this log is over"
expect "no lease is granted" test "$(farmctl status --json | grep -c '"leases":\[\]')" = 1
sleep 1
expect "and nobody is alarmed" no_alarms

say "the next log"
kill -TERM "${pids[coordinator]}"
wait "${pids[coordinator]}" || fail "the coordinator did not stop cleanly"
sed -i 's/^advertise/log_origin = test.example\/second\n&/' "$work/farm.conf"
coordinator_start
expect "the old one's files are kept" test -e "$state/log.before/checkpoint" -a ! -e "$state/restored.json"
cp -r "$work/root.json" "$work/root-1.json" && cp -r "$work/root.json.sig.d" "$work/root-1.json.sig.d"
farm-worker cosigned --state "$work/worker-alder-1" >"$work/last"
farm-sign root set "$work/root-1.json" log "$(farmctl log show --vkey)" --previous "$work/last" --out "$work/root-2.json" >/dev/null
for signer in mara niko; do farm-sign root sign "$work/root-2.json" --key "$(key_of "$signer")" >/dev/null; done
expect_status 0 farmctl root install "$work/root-2.json"
wait_for 60 "the workers are back" workers_online 2
wait_for 60 "the plan goes on by itself, and is done" job_is three agreed
expect_status 0 farmctl build --wait "$plan"
expect "what was agreed before the backup is not built again" test "$(builds_of one) $(builds_of two)" = "2 2"
expect "nobody took it for a forgery" no_alarms
release_make after
expect_status 0 farmctl release export after "$work/export"
expect_status 0 farm-verify "$work/export" --trust "$work/root.json"
