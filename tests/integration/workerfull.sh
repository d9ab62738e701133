#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# D7: a worker's disk is full. It gives its lease back with words about its own machine, nothing is blamed on the package, and the worker stays;
# when somebody makes room it builds again by itself.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ "$(id -u)" = 0 ] || skip "a file system of its own needs root"
# A mount name space of our own, so that nothing stays mounted whatever happens.
if [ -z "${FARM_TEST_UNSHARED:-}" ]; then
    FARM_TEST_UNSHARED=1 exec unshare --mount --propagation private "$0" "$@"
fi

quorum=1
test_begin workerfull
mkdir -m 0700 "$work/worker-alder-1"
# A build leaves a GiB free (the launcher's reserve), so the disk is larger than that; while it is full, it is memory.
[ "$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)" -gt 4096 ] || skip "4 GiB of free memory"
mount -t tmpfs -o size=1600m,mode=0700 tmpfs "$work/worker-alder-1" 2>/dev/null || skip "no tmpfs can be mounted here"
trap 'umount -l "$work/worker-alder-1" 2>/dev/null || true; test_end' EXIT

tree_plain first
tree_plain second first
tree_commit
farm_up alder
farm_plan

# All of it, but for a page or two: file systems differ in what the last bytes are.
fill() {
    fallocate -l "$(($(df --output=avail -k "$work/worker-alder-1" | tail -n 1) - 8))K" "$work/worker-alder-1/ballast"
}

say "a worker without room takes the lease, and gives it back saying why"
fill
farmctl build "$plan" >/dev/null
told() { grep -q "No space left on device" "$work/log/worker-alder-1.log"; }
wait_for 60 "the worker says that its disk is full" told
farmctl why first >"$work/why"
expect_text "alder-1 of operator alder: refused:" "$work/why"
expect_text "No space left on device" "$work/why"
expect "the package is not said to fail" job_is first ready
expect "the worker still runs" kill -0 "${pids[alder-1]}"
expect "the worker is still there" workers_online 1

say "with room again it builds by itself"
rm "$work/worker-alder-1/ballast"
wait_for 120 "both packages are agreed" job_is second agreed
