#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A build that fails: its kind and last lines are shown, what it blocks is listed, nothing is skipped, other branches finish,
# --wait exits 1. R5: a promised file that is missing is an assertion failure.
. "$(dirname "$0")/lib.sh"
test_begin failure

tree_plain good
tree_plain better good
tree_package bad good <<'BUILD'
build() {
    echo "this compiler speaks"
    echo "error: the moon is full" >&2
    exit 3
}
BUILD
tree_plain after bad
tree_package empty <<'BUILD'
do_install() {
    mkdir -p "$DESTDIR/usr/share/empty"
    echo other >"$DESTDIR/usr/share/empty/unexpected"
}
BUILD
tree_commit
farm_up alder birch
farm_plan
expect_status 1 farmctl build --wait "$plan"
expect_text "the moon is full" "$work/out"
expect_text "blocks 1: extra/after" "$work/out"
expect "the failure is a failure" job_is bad failed
expect "what needs it is blocked, not skipped" job_is after blocked
expect "the other branch is finished" job_is better agreed
expect "a missing promised file fails" job_is empty failed
farmctl status >"$work/status"
expect_text "extra/bad: build" "$work/status"
expect_text "extra/empty: assertion" "$work/status"
expect_status 0 farmctl log bad
expect_text "this compiler speaks" "$work/out"
expect_status 0 farmctl log empty
expect_text "/usr/share/empty/made" "$work/out"
expect_status 1 farmctl release draft gap "$plan"
expect_status 0 farmctl why after
expect_text "extra/bad" "$work/out"
