#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The transparency log of a running farm: shown, proven, verified without a coordinator, cosigned by its workers. A coordinator that is
# killed at any moment goes on with it (D6); rows that were deleted (D2) and an older database (D3) refuse to start; after the loss of a
# log the next one begins under another name, and the workers follow the trust root there.
. "$(dirname "$0")/lib.sh"
test_begin log

state=$work/coordinator
tree_plain one
tree_plain two one
for name in a b c d e f; do tree_plain "more-$name"; done
tree_commit
farm_up alder birch
farm_plan one two
expect_status 0 farmctl build --wait "$plan"
vkey=$(farmctl log show --vkey)

coordinator_stop() {
    kill -TERM "${pids[coordinator]}"
    wait "${pids[coordinator]}" || fail "the coordinator did not stop cleanly"
}
sql() { sqlite3 "$state/farm.db" "$1"; }
no_alarms() {
    [ -z "$(find "$work"/worker-* -name alarm.json)" ]
}

say "show"
expect_status 0 farmctl log show
expect_text "log intergenos-farm/" "$work/out"
expect_text "vkey $vkey" "$work/out"
expect_text "the trust root asks for 2 of alder, birch: " "$work/out"
expect_status 2 farmctl log show --entries 0..100000
expect_status 2 farmctl log show --entries x
expect_status 0 farmctl log show --entries 0..1000
for kind in root directory plan lease envelope lease-end verdict; do expect_text "  $kind " "$work/out"; done
expect_status 0 farmctl log show --json
expect_text '"vkey":"'"$vkey"'"' "$work/out"

say "both workers cosign what they saw"
log_cosigned
expect_status 0 farmctl log show
expect_text "cosigned by alder (alder-1), a listed operator" "$work/out"
expect_text "cosigned by birch (birch-1), a listed operator" "$work/out"
expect_text "birch: reached at " "$work/out"

say "prove"
expect_status 0 farmctl log prove --out "$work/proof" 3
expect_text "entry 3 is in the log" "$work/out"
expect_status 0 farmctl log verify --vkey "$vkey" "$work/proof"
expect_text "verified" "$work/out"
expect_status 0 farmctl log verify --trust "$work/root.json" --workers "$state/workers.json" "$work/proof"
expect_text "2 listed operators cosigned, 2 are asked for" "$work/out"
envelope=$(sql "SELECT lower(hex(digest)) FROM attestation LIMIT 1")
expect_status 0 farmctl log prove --out "$work/proof" "$envelope"
expect_status 0 farmctl log verify --vkey "$vkey" "$work/proof" --json
expect_text '"sha256":"'"$envelope"'"' "$work/out"
expect_status 2 farmctl log prove 1000000
expect_status 2 farmctl log prove "$(printf '%064d' 0)"

say "a proof that was changed, and another log's key"
sed 's/^index .*/index 1/' "$work/proof" >"$work/changed"
expect_status 1 farmctl log verify --vkey "$vkey" "$work/changed"
other=$(printf '%s' "$vkey" | sed 's|^intergenos-farm/.|another/|')
expect_status 1 farmctl log verify --vkey "$other" "$work/proof"

say "verify the tiles, and a release's log, without a coordinator"
release_make first
expect_status 0 farmctl release export first "$work/export"
expect_status 0 farmctl log verify --vkey "$vkey" "$state/log"
expect_text "  envelope" "$work/out"
cp -r "$state/log" "$work/tiles"
coordinator_stop
expect_status 0 farmctl log verify --trust "$work/root.json" "$work/tiles"
expect_status 0 farmctl log verify --trust "$work/root.json" --workers "$work/export/root/workers.json" "$work/export/log"
expect_text "verified" "$work/out"
flip() { # FILE OFFSET
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
for file in $(cd "$work/tiles" && find tile -type f) checkpoint; do
    cp "$work/tiles/$file" "$work/kept"
    flip "$work/tiles/$file" 21
    expect_status 1 farmctl log verify --vkey "$vkey" "$work/tiles"
    cp "$work/kept" "$work/tiles/$file"
done
expect_status 0 farmctl log verify --vkey "$vkey" "$work/tiles"
coordinator_start
expect_status 0 farmctl log one

say "D6: killed again and again, it goes on"
farm_plan
farmctl build "$plan" >/dev/null
for wait in 0.2 0.5 0.9 0.3 1.2 0.7 0.1 0.4; do
    sleep "$wait"
    coordinator_kill
    coordinator_start
done
wait_for 120 "everything is built" job_is more-f agreed
expect_status 0 farmctl build --wait "$plan"
expect_status 0 farmctl log verify --vkey "$vkey" "$state/log"
log_cosigned
expect "no worker saw a log that was not one" no_alarms

say "D2: rows deleted, with everything that refers to them"
coordinator_stop
cp "$state/farm.db" "$work/farm.db"
refused_start() { # SQL TEXT
    cp "$work/farm.db" "$state/farm.db"
    rm -f "$state/farm.db-wal" "$state/farm.db-shm"
    sqlite3 "$state/farm.db" "PRAGMA foreign_keys = OFF; $1"
    expect_status 1 timeout 20 farm-coordinator --config "$work/farm.conf"
    expect_text "$2" "$work/out"
}
forget="CREATE TEMP TABLE gone AS SELECT job FROM lease WHERE operator = 'birch' LIMIT 1;
    DELETE FROM vote WHERE job IN (SELECT job FROM gone); DELETE FROM verdict WHERE job IN (SELECT job FROM gone);
    DELETE FROM attestation WHERE lease IN (SELECT position FROM lease WHERE job IN (SELECT job FROM gone));
    DELETE FROM lease WHERE job IN (SELECT job FROM gone);"
refused_start "$forget" "it shows a lease that the database does not have"
refused_start "$forget DELETE FROM log_entry WHERE position = 20" "the log has no entry 20"
refused_start "UPDATE log_entry SET entry = replace(entry, 'birch', 'alder') WHERE position = (SELECT max(position) FROM lease WHERE operator = 'birch')" \
    "is other than the one that was shown"
cp "$work/farm.db" "$state/farm.db"

say "D3: an older database, below what was cosigned"
coordinator_start
tree_plain late
tree_commit
farm_plan late
expect_status 0 farmctl build --wait "$plan"
log_cosigned
coordinator_stop
cp "$state/farm.db" "$work/newest.db"
refused_start "" "older than the log"
mv "$state/log/checkpoint" "$work/checkpoint"
refused_start "" "log/cosigned, which witnesses signed"
mv "$work/checkpoint" "$state/log/checkpoint"

say "the loss of a log: nothing newer than that database is left"
mv "$state/log" "$work/lost-log"
cp "$work/farm.db" "$state/farm.db"
sed -i 's|^log_level = .*|&\nlog_origin = test.example/second|' "$work/farm.conf"
rm -f "$state"/farm.db-*
coordinator_start
expect_text "no worker is let in" "$work/log/coordinator.log"
expect "nobody is online" test "$(farmctl worker list | awk '$3 == "online"' | wc -l)" = 0
cp "$work/root.json" "$work/root-1.json" && cp -r "$work/root.json.sig.d" "$work/root-1.json.sig.d"
farm-sign root set "$work/root-1.json" log "$(farmctl log show --vkey)" --previous "$work/worker-alder-1/cosigned" \
    --out "$work/root-2.json" >/dev/null
for signer in mara niko; do farm-sign root sign "$work/root-2.json" --key "$(key_of "$signer")" >/dev/null; done
expect_status 0 farmctl root install "$work/root-2.json"
wait_for 60 "the workers are back" workers_online 2
farm_plan late
expect_status 0 farmctl build --wait "$plan"
log_cosigned
expect_status 0 farmctl log show
expect_text "log test.example/second" "$work/out"
expect_text "cosigned by birch (birch-1), a listed operator" "$work/out"
expect "nobody took it for a forgery" no_alarms
expect_status 0 farmctl log verify --trust "$work/root-2.json" --workers "$state/workers.json" "$state/log"
