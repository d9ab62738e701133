#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A chain of three packages on two operators, released, verified and handed over; and what "nothing there" looks like.
. "$(dirname "$0")/lib.sh"
test_begin basic

tree_plain one
tree_plain two one
tree_plain three one two
tree_commit
farm_up alder birch cedar
farm_plan
expect_status 0 farmctl build --wait "$plan"
for name in one two three; do
    expect "$name is agreed" job_is "$name" agreed
done
say "the same plan again needs no build"
started=$(farmctl status --json | grep -o '"started":"[^"]*","state":"done"')
expect_status 0 farmctl build --wait "$plan"
expect_status 0 farmctl build "$plan"
expect_text "done already" "$work/out"
expect "the plan is done" test -n "$started"
expect "its times stay" test "$(farmctl status --json | grep -o '"started":"[^"]*","state":"done"')" = "$started"

say "a draft is no release"
farmctl release draft --out "$work/first.json" first "$plan" >/dev/null
expect_status 1 farmctl handoff first --phase image --to "$work/handoff"
expect "no hand-off appeared" test ! -e "$work/handoff"

release_make second
expect_status 0 farmctl handoff second --phase image --to "$work/handoff"
expect_status 0 farm-verify "$work/handoff" --trust "$work/root.json" --state "$work/verify.state" --phase image -v
expect_text "extra/three" "$work/out"
expect_status 2 farm-verify "$work/handoff" --trust "$work/root.json" --phase image
expect_status 0 farmctl release export second "$work/export"
expect_status 0 farm-verify "$work/export" --trust "$work/root.json"
expect_text "Freshness not checked" "$work/out"
