#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Two workers at the end of bad cables: 50 ms and a loss of 5 % each way; and then through 2 Mbit/s. Slow is all that it is.
# The cables are tests/hosts/wire.c: not every kernel has sch_netem.
. "$(dirname "$0")/lib.sh"
test_begin far

tree_plain calm
tree_heavy far 40 0
tree_heavy narrow 60 0
tree_commit
two_hosts 0
say "over good cables: $took_ms ms"

cable alder 1 50 5
cable birch 2 50 5
wait_for 60 "both workers are back" workers_online 2
build_timed far
say "with 100 ms and 5 % lost each way: $took_ms ms"
expect "what arrived is whole" objects_are_whole

cable alder 1 5 0
cable birch 2 5 0
for name in alder birch; do
    in_host $name tc qdisc add dev uplink root tbf rate 2mbit burst 8k latency 200ms
done
wait_for 60 "both workers are back" workers_online 2
build_timed narrow
say "through 2 Mbit/s: $took_ms ms"
