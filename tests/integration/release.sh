#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Releases: what the policy holds back needs a waiver (S12), competing drafts (S6), what came after a draft stays out of it, a reopened
# verdict cannot be signed, hand-offs wait for the log's witnesses, and nothing without a seal passes where one is needed (S16).
. "$(dirname "$0")/lib.sh"
test_begin release

json() { # JQ-EXPRESSION FILE
    jq -r "$1" "$2"
}
command -v jq >/dev/null || skip "jq is not installed"

tree_plain one
tree_plain two one
tree_plain kernel
tree_plain engine one
write_policy
sed -i 's/^  hold: \[\]/  hold: [kernel]/' "$work/tree/farm/policy.yml"
cat >>"$work/tree/farm/policy.yml" <<'POLICY'
rules:
  - match: {package: engine}
    set: {evidence: hardware}
POLICY
tree_commit
farm_up alder birch
farm_plan
expect_status 0 farmctl build --wait "$plan"

waiver() { # NAME PACKAGE VERSION RULE SIGNER...
    local name=$1 signer
    farm-sign waiver new --package "$2" --version "$3" --rule "$4" --reason "A test." --expires 30 --out "$work/$name.waiver" >/dev/null
    for signer in "${@:5}"; do
        farm-sign waiver sign "$work/$name.waiver" --key "$(key_of "$signer")" >/dev/null
    done
}
draft_refused() { # TEXT ARGUMENT...
    expect_status 1 farmctl release draft "${@:2}" refused "$plan"
    expect_text "$1" "$work/out"
}

say "S12: what the policy holds back is held, and said"
expect_status 0 farmctl release draft --out "$work/held.json" held "$plan"
expect_text "held: kernel (held by policy)" "$work/out"
expect_text "held: engine (no evidence from hardware)" "$work/out"
expect "two packages are left" test "$(json '[.packages[].name] | join(" ")' "$work/held.json")" = "one two"

say "S12: waivers that do not hold"
waiver one-signer extra/kernel 1.0 hold mara
waiver stranger extra/kernel 1.0 hold mara alder
waiver needless extra/one 1.0 hold mara niko
waiver version extra/kernel 2.0 hold mara niko
waiver rule extra/kernel 1.0 evidence mara niko
draft_refused "1 of 2 needed persons" --waiver "$work/one-signer.waiver"
draft_refused "1 of 2 needed persons" --waiver "$work/stranger.waiver"
draft_refused "waives nothing" --waiver "$work/needless.waiver"
draft_refused "waives nothing" --waiver "$work/version.waiver"
draft_refused "waives nothing" --waiver "$work/rule.waiver"
jq -c '.waiver.rule = "quorum"' "$work/needless.waiver" >"$work/quorum.waiver"
draft_refused "cannot be waived" --waiver "$work/quorum.waiver"
jq -c '.waiver.package = "extra/kernel"' "$work/needless.waiver" >"$work/moved.waiver"
draft_refused "0 of 2 needed persons" --waiver "$work/moved.waiver"
expect_status 2 farmctl release draft --waiver "$work/nowhere" refused "$plan"

say "waivers that do"
waiver kernel extra/kernel 1.0 hold mara niko
waiver engine extra/engine 1.0 evidence niko olga
expect_status 2 farmctl release draft --waiver "$work/kernel.waiver" --waiver "$work/kernel.waiver" refused "$plan"
expect_status 0 farmctl release draft --json --waiver "$work/engine.waiver" --waiver "$work/kernel.waiver" --out "$work/first.json" \
    first "$plan"
expect "the answer is JSON" test "$(json '.packages' "$work/out")" = 4
expect "both are in the release" test "$(json '[.waivers[].waiver.package] | join(" ")' "$work/first.json")" = "extra/engine extra/kernel"
expect "nobody says that the engine was validated" \
    test "$(json '.packages[] | select(.name == "engine") | .gpu' "$work/first.json")" = not-validated

say "who signed, and who did not"
sign() { # RELEASE PERSON...
    local person
    for person in "${@:2}"; do
        farm-sign release "$work/$1.json" --key "$(key_of "$person")" >/dev/null
    done
}
sign first mara
expect_status 0 farmctl release submit --json first "$work/first.json"
expect "one of two" test "$(json '"\(.signatures) of \(.threshold), \(.state)"' "$work/out")" = "1 of 2, draft"
expect_status 0 farmctl release show --json first
expect "mara signed" test "$(json '[.signers[].person] | join(" ")' "$work/out")" = mara
expect "the others did not" test "$(json '.missing | sort | join(" ")' "$work/out")" = "niko olga"
expect "the log has both witnesses" test "$(json '.log.threshold' "$work/out")" = 2
expect_status 0 farmctl release show first
expect_text "not signed by: niko, olga" "$work/out"
expect_status 1 farmctl handoff first --phase image --to "$work/handoff"
expect_text "too few signatures" "$work/out"

say "S6: drafts compete for one place"
expect_status 0 farmctl release draft --out "$work/rival.json" rival "$plan"
sign rival mara niko
sign first niko
expect_status 0 farmctl release submit first "$work/first.json"
expect_text "2 of 2 signatures: signed" "$work/out"
expect_status 1 farmctl release submit rival "$work/rival.json"
expect_text "another release was signed as number 1" "$work/out"
expect_status 0 farmctl release list
expect_text "signed" "$work/out"
expect_status 1 farmctl release draft first "$plan"

say "S16: a phase behind the seal needs one"
expect_status 1 farmctl handoff first --phase ukis-verity --to "$work/sealed"
expect_text "seal" "$work/out"
expect "no directory appeared" test ! -e "$work/sealed"

say "an export carries the log, summaries and keys, and removes what a crash left"
mkdir -p "$work/exports/old.partial-4194300-17/deep" "$work/exports/mine.partial-$$-17" "$work/exports/no.partial-x-17"
expect_status 0 farmctl release export --json first "$work/exports/first"
expect "all files are counted" test "$(json .files "$work/out")" = "$(find "$work/exports/first" -type f | wc -l)"
expect "what a dead process left is gone" test ! -e "$work/exports/old.partial-4194300-17"
expect "what a living one writes stays" test -d "$work/exports/mine.partial-$$-17"
expect "what only looks like it stays" test -d "$work/exports/no.partial-x-17"
expect_status 0 farm-verify "$work/exports/first" --trust "$work/root.json" --state "$work/verify.state"
expect_text 'WAIVED' "$work/out"
for file in log/checkpoint summaries/engine-1.0.vsa.jsonl keys/coordinator.pem keys/alder-1.pem keys/birch-1.pem; do
    expect "$file" test -s "$work/exports/first/$file"
done

say "what comes later is not in it: the same receipts, summaries and specs again"
expect_status 0 farmctl build --wait --from-scratch "$plan"
expect_status 0 farmctl release export first "$work/exports/again"
for part in release.json receipts summaries manifests artifacts inputs keys root; do
    expect "$part is the same" diff -r "$work/exports/first/$part" "$work/exports/again/$part"
done
expect_status 0 farm-verify "$work/exports/again" --trust "$work/root.json" --state "$work/verify.state"

say "release and waivers are logged when they are signed, no sooner"
expect_status 0 farmctl release draft --out "$work/second.json" --waiver "$work/kernel.waiver" second "$plan"
sign second olga niko
expect_status 0 farmctl release submit second "$work/second.json"
expect_status 0 farmctl release draft --out "$work/third.json" third "$plan"
expect_status 0 farmctl release export third "$work/exports/third"
cat "$work"/exports/third/log/tile/entries/* "$work"/exports/third/log/tile/entries/*/* >"$work/entries" 2>/dev/null || true
for entry in '"kind":"release","name":"first","sequence":1' '"kind":"release","name":"second","sequence":2' \
    '"kind":"waiver","package":"extra/kernel"' '"kind":"waiver","package":"extra/engine"'; do
    expect "$entry" grep -qaF "$entry" "$work/entries"
done
expect "an unsigned draft is not" test "$(grep -acF '"name":"rival"' "$work/entries")" = 0
expect "each waiver once a release" test "$(grep -aoF '"kind":"waiver","package":"extra/kernel"' "$work/entries" | wc -l)" = 2

say "a hand-off waits for the witnesses, and says who is missing"
for worker in alder-1 birch-1; do
    kill -KILL "${pids[$worker]}"
    wait "${pids[$worker]}" 2>/dev/null || true
done
sign third olga niko
expect_status 0 farmctl release submit third "$work/third.json"
expect_status 0 farmctl release draft --out "$work/fourth.json" fourth "$plan"
expect_status 1 farmctl release submit fourth "$work/third.json" # signatures over other bytes
sign fourth olga niko
expect_status 0 farmctl release submit fourth "$work/fourth.json"
expect_status 1 farmctl handoff fourth --phase image --to "$work/handoff" --wait 2
expect_text "waiting for cosignatures: 0 of 2" "$work/out"
expect_text "alder (alder-1), birch (birch-1)" "$work/out"
expect "no directory appeared" test ! -e "$work/handoff"
expect_status 0 farmctl release show fourth
expect_text "not covered by enough cosignatures" "$work/out"
expect_status 0 farmctl release export --wait 0 fourth "$work/exports/early"
expect_text "note: no checkpoint that covers release fourth" "$work/out"
expect_status 1 farm-verify "$work/exports/early" --trust "$work/root.json"
worker_run alder-1
worker_run birch-1
expect_status 0 farmctl handoff fourth --phase image --to "$work/handoff"
expect_status 0 farm-verify "$work/handoff" --trust "$work/root.json" --state "$work/verify.state" --phase image
expect_status 1 farm-verify "$work/exports/first" --trust "$work/root.json" --state "$work/verify.state" # S6, K4
expect_text "sequence" "$work/out"

say "a verdict that was reopened since the draft cannot be signed"
expect_status 0 farmctl release draft --out "$work/fifth.json" fifth "$plan"
kill -KILL "${pids[birch-1]}"
wait "${pids[birch-1]}" 2>/dev/null || true
FARM_TEST_LIE=x worker_run birch-1 "$tests_bin/lying-worker" run
wait_for 30 "the liar is online" workers_online 2
farmctl build --from-scratch "$plan" >/dev/null
wait_for 60 "the job is disputed" job_is one disputed
sign fifth olga niko
expect_status 1 farmctl release submit fifth "$work/fifth.json"
expect_text "extra/one is disputed" "$work/out"
expect_status 0 farmctl release show fifth
expect_text "signed by 0 of 2 needed" "$work/out"
