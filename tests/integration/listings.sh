#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What only shows: listings as tables and as JSON, the tree looked at without a coordinator, the status that redraws itself, and a worker that is drained.
. "$(dirname "$0")/lib.sh"
test_begin listings

tree_plain one
tree_plain two one
tree_commit
farm_up alder birch
farm_plan 2>/dev/null

say "bases, sources, trees"
expect_status 0 farmctl base list
expect_text "mini" "$work/out"
expect_status 0 farmctl base list --json
expect "its name and digest" test "$(jq -r '.bases[] | select(.name == "mini") | .base' "$work/out" | grep -c '^[0-9a-f]\{64\}$')" = 1
expect_status 0 farmctl tree list
expect_text "$(git -C "$work/tree" rev-parse HEAD | cut -c 1-8)" "$work/out"
expect_status 0 farmctl tree list --json
expect "one tree, with its digest" test "$(jq -r '.trees[].tree_sha256' "$work/out" | grep -c '^[0-9a-f]\{64\}$')" = 1
seq 1000 >"$work/file"
sum=$(sha256sum <"$work/file" | cut -d' ' -f1)
expect_status 0 farmctl source list --json
expect "no source yet" test "$(jq '.sources | length' "$work/out")" = 0
expect_status 0 farmctl source add "$work/file"
expect_status 0 farmctl source list
expect_text "${sum:0:8}" "$work/out"
expect_status 0 farmctl source list --json
expect "what was added" test "$(jq -r '.sources[0] | "\(.pin) \(.size)"' "$work/out")" = "$sum 3893"

say "without a coordinator: a directory, a commit, a plan"
alone() { FARM_SOCKET=/nonexistent "$@"; }
expect_status 0 alone farmctl tree check "$work/tree"
expect_text "2 " "$work/out"
expect_status 0 alone farmctl tree check "$work/tree@HEAD"
expect_status 0 alone farmctl tree check --json "$work/tree@HEAD"
jq -e . "$work/out" >/dev/null || fail "no JSON: $(cat "$work/out")"
expect_status 2 alone farmctl tree check "$work/tree@nowhere"
expect_status 0 alone farmctl plan --dry-run "$work/tree@HEAD" two
expect "in the order in which they are built" test "$(grep -o 'extra/[a-z]*' "$work/out" | uniq | tr '\n' ' ')" = "extra/one extra/two "
expect_status 0 alone farmctl plan --dry-run --json "$work/tree@HEAD" one
jq -e . "$work/out" >/dev/null || fail "no JSON: $(cat "$work/out")"

say "the status that redraws itself"
farmctl watch --json >"$work/watched" 2>&1 &
pids[watch]=$!
wait_for 20 "it shows the status at once" test -s "$work/watched"
farmctl build --wait "$plan" >/dev/null
watched_done() { tail -n 1 "$work/watched" | jq -e '.plans[0].state == "done"'; }
wait_for 20 "it shows that the plan is done" watched_done
kill -TERM "${pids[watch]}" && wait "${pids[watch]}" 2>/dev/null || true
unset 'pids[watch]'

say "a worker that is drained finishes and goes"
expect_status 0 farmctl worker drain birch-1
gone() { ! kill -0 "${pids[birch-1]}" 2>/dev/null; }
wait_for 30 "it ends by itself" gone
wait "${pids[birch-1]}" || fail "it ended with status $?"
expect_status 2 farmctl worker drain nobody-1
