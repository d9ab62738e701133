#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# W1: a lying worker with a valid key, four operators. Nothing is released while it is disputed; the files are named; further
# operators settle it; everything stays, and the dissent stands in the release.
. "$(dirname "$0")/lib.sh"
test_begin dispute

tree_plain one
tree_plain two one
tree_commit
coordinator_start
farm_base
root_install alder birch cedar dogwood
for name in alder birch cedar dogwood; do
    worker_enrol "$name"
done

say "one honest and one lying operator"
worker_run alder-1
FARM_TEST_LIE=x worker_run birch-1 "$tests_bin/lying-worker" run
wait_for 30 "two workers are online" workers_online 2
farm_plan
farmctl build "$plan" >/dev/null
wait_for 60 "the job is disputed" job_is one disputed

expect_status 0 farmctl status
expect_text "dispute" "$work/out"
expect_text "extra/one" "$work/out"
expect_status 1 farmctl diff one
expect_text "usr/share/one/made" "$work/out"
expect_text "content" "$work/out"
expect_text "alder" "$work/out"
expect_text "birch" "$work/out"
expect_status 0 farmctl why one
expect "what depends on it did not start" job_is two waiting

say "nothing can be released meanwhile"
expect_status 1 farmctl release draft first "$plan"
expect_text "extra/one is disputed" "$work/out"

say "further operators settle it"
worker_run cedar-1
worker_run dogwood-1
wait_for 60 "the job is agreed" job_is one agreed
wait_for 60 "and what depends on it" job_is two agreed
farmctl jobs --plan "$plan" --json >"$work/jobs.json"

say "all answers stay, and the dissent stands in the release"
expect_status 1 farmctl diff one
expect_text "rival" "$work/out"
expect_status 0 farmctl status
expect_text "dissent (settled)" "$work/out"
release_make first
grep -o '"dissent":[0-9]*' "$work/first.json" | sort -u >"$work/dissent"
expect_text '"dissent":1' "$work/dissent"
expect_status 0 farmctl handoff first --phase image --to "$work/handoff"
expect_status 0 farm-verify "$work/handoff" --trust "$work/root.json" -v
expect_text "dissent" "$work/out"
