#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# D7: the coordinator's disk runs full while a plan is built. No lease is granted and no plan is taken, the reason stands in status
# and why; a running build's answer is still taken; when somebody makes room, the plan goes on by itself. Nothing is lost.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ "$(id -u)" = 0 ] || skip "a file system of its own needs root"
# A mount name space of our own, so that nothing stays mounted whatever happens.
if [ -z "${FARM_TEST_UNSHARED:-}" ]; then
    FARM_TEST_UNSHARED=1 exec unshare --mount --propagation private "$0" "$@"
fi

conf_extra+=$'\nreserve = 32M'
test_begin diskfull
mount -t tmpfs -o size=192m,mode=0700 tmpfs "$work/coordinator" 2>/dev/null || skip "no tmpfs can be mounted here"
trap 'umount -l "$work/coordinator" 2>/dev/null || true; test_end' EXIT

build_seconds=3 tree_plain first
tree_plain second first
tree_commit
farm_up alder birch
farm_plan

say "the disk fills while the first package is built"
farmctl build "$plan" >/dev/null
wait_for 20 "the first package is being built" job_is first running
free_mib=$(df --output=avail -m "$work/coordinator" | tail -n 1)
fallocate -l $((free_mib - 20))M "$work/coordinator/scratch/ballast"
held() { farmctl status | grep -q "No new work is taken"; }
wait_for 20 "the coordinator notices" held

say "the running build's answers are taken; the next package waits, and says why"
wait_for 60 "the first package is agreed" job_is first agreed
sleep 2
expect "the second package waits" job_is second ready
farmctl why second >"$work/why"
expect_text "No lease is granted to anybody now" "$work/why"
expect_text "less than the reserve of 32 MiB" "$work/why"
expect_status 2 farmctl plan "$work/tree@HEAD"
expect_text "make room" "$work/out"
expect_status 2 farmctl base import --name again "$FARM_MINI_BASE"

say "with room again it goes on by itself"
rm "$work/coordinator/scratch/ballast"
wait_for 60 "the second package is agreed" job_is second agreed
expect "the status is quiet again" bash -c '! farmctl status | grep -q "No new work"'

say "nothing was lost: a restart verifies everything"
coordinator_kill
coordinator_start
expect "both are still agreed" job_is first agreed
expect "both are still agreed" job_is second agreed
