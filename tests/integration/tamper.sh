#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# One byte changed in an artifact, a receipt, a manifest, the release, or in the database: refused, and named.
. "$(dirname "$0")/lib.sh"
test_begin tamper

tree_plain one
tree_plain two one
tree_commit
farm_up alder birch
farm_plan
expect_status 0 farmctl build --wait "$plan"
release_make first
farmctl release export first "$work/export" >/dev/null
expect_status 0 farm-verify "$work/export" --trust "$work/root.json"

# Flips one bit of the byte at an offset.
flip() { # FILE OFFSET
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

for file in artifacts/one-1.0.igos.tar.gz receipts/two-1.0.intoto.jsonl manifests/one-1.0.mtree release.json \
    inputs/plan.json inputs/policy.yml root/workers.json intergenos-archive-manifest.txt; do
    for offset in 40 $(($(stat -c %s "$work/export/$file") / 2)); do
        cp -r "$work/export" "$work/copy"
        flip "$work/copy/$file" "$offset"
        expect_status 1 farm-verify "$work/copy" --trust "$work/root.json"
        expect_text "$(basename "$file")" "$work/out"
        rm -rf "$work/copy"
    done
done

say "a file more, a file less"
cp -r "$work/export" "$work/copy"
echo more >"$work/copy/artifacts/more.igos.tar.gz"
expect_status 1 farm-verify "$work/copy" --trust "$work/root.json"
rm -rf "$work/copy"
cp -r "$work/export" "$work/copy"
rm "$work/copy/receipts/one-1.0.intoto.jsonl"
expect_status 1 farm-verify "$work/copy" --trust "$work/root.json"
expect_text "one-1.0.intoto.jsonl" "$work/out"
rm -rf "$work/copy"

say "the database"
kill -TERM "${pids[coordinator]}"
wait "${pids[coordinator]}" || fail "the coordinator did not stop cleanly"
cp "$work/coordinator/farm.db" "$work/farm.db"
refused_start() { # SQL TEXT
    cp "$work/farm.db" "$work/coordinator/farm.db"
    rm -f "$work/coordinator/farm.db-wal" "$work/coordinator/farm.db-shm"
    sqlite3 "$work/coordinator/farm.db" "PRAGMA foreign_keys = OFF; $1"
    expect_status 1 timeout 20 farm-coordinator --config "$work/farm.conf"
    expect_text "$2" "$work/out"
}
first="position = (SELECT min(position) FROM attestation)"
say "D1: an accepted digest"
refused_start "UPDATE attestation SET payload = x'$(printf 'ab%.0s' {1..32})' WHERE $first" "attestation"
say "D2: an attestation deleted"
refused_start "DELETE FROM attestation WHERE $first" "no attestation behind it"
say "D4: a forged verdict"
refused_start "UPDATE verdict SET payload = x'$(printf 'cd%.0s' {1..32})'" "not what the signed answers say"
refused_start "UPDATE vote SET operator = 'cedar' WHERE operator = 'birch'" "another operator's"
refused_start "DELETE FROM verdict; DELETE FROM vote WHERE operator = 'birch'" "it is missing, though its answer was counted"
refused_start "UPDATE attestation SET fate = 'extra' WHERE $first" "not counted as this vote"
say "an envelope"
refused_start "UPDATE attestation SET envelope = CAST(replace(CAST(envelope AS TEXT), 'a', 'b') AS BLOB) WHERE NOT $first" "another digest"
cp "$work/farm.db" "$work/coordinator/farm.db"
coordinator_start
expect "and as it was, it starts" job_is one agreed
