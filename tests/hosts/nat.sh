#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Two workers behind one router that translates addresses: they dial out, nobody can dial in. In the middle of a build the router gets
# another address, and every mapping is gone; what was being built counts.
. "$(dirname "$0")/lib.sh"
test_begin nat
command -v nft >/dev/null || skip "nftables is not installed"

tree_plain calm
tree_heavy moved 20 4
tree_commit
host router
for name in alder birch; do
    host $name
done
# The coordinator's side of the router, and the private side, which the coordinator has no way to.
ip link add outside type veth peer name wan netns "/proc/${pids[host-router]}/ns/net" || skip "no veth in this kernel"
ip addr add 10.77.9.1/24 dev outside
ip link set outside up
in_host router ip addr add 10.77.9.2/24 dev wan
in_host router ip link set wan up
in_host router ip link add private type bridge || skip "no bridge in this kernel"
in_host router ip addr add 192.168.77.1/24 dev private
in_host router ip link set private up
number=2
for name in alder birch; do
    in_host router ip link add "$name" type veth peer name uplink netns "/proc/${pids[host-$name]}/ns/net"
    in_host router ip link set "$name" master private up
    in_host $name ip addr add "192.168.77.$number/24" dev uplink
    in_host $name ip link set uplink up
    in_host $name ip route add default via 192.168.77.1
    number=$((number + 1))
done
in_host router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
in_host router ip route add default via 10.77.9.1
in_host router nft -f - <<'RULES' || skip "no address translation in this kernel"
table ip farm {
    chain out {
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade
    }
}
RULES
hosts_up alder birch
expect "the coordinator sees the router alone" test "$(farmctl worker list --json | grep -o '10\.77\.9\.2' | wc -l)" = 2
expect "there is no way in" test -z "$(ip route get 192.168.77.2 2>/dev/null)"
build_timed calm
say "behind the router: $took_ms ms"

is_running() { job_is moved running; }
farm_plan moved
farmctl build "$plan" >/dev/null
wait_for 30 "both build" is_running
in_host router ip addr add 10.77.9.3/24 dev wan
in_host router ip addr del 10.77.9.2/24 dev wan
in_host router ip addr add 10.77.9.3/24 dev wan 2>/dev/null || true # the other went with the first of its net
in_host router ip route replace default via 10.77.9.1
wait_for 100 "what was being built counts" job_is moved agreed
for name in alder birch; do
    expect "what $name built first counts" first_work_counts $name-1 moved
done
expect "they came from the new address" test "$(farmctl worker list --json | grep -o '10\.77\.9\.3' | wc -l)" = 2
