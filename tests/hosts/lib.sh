# SPDX-License-Identifier: GPL-3.0-or-later
#
# lib.sh of the hosts group: each host is a network namespace that lives as long as a process of this test; the test itself, the
# coordinator and farmctl are in one of their own, so nothing here touches the machine's network. Sourced by the tests beside it.
#
#   host NAME                          a namespace without any link
#   in_host NAME COMMAND...
#   cable NAME NUMBER DELAY LOSS       between it and the coordinator: milliseconds each way, percent of packets lost each way; again: a new one
#   cable_cut NAME; cable_mend NAME
#   hosts_up OPERATOR...               coordinator and workers, each worker in the host of its operator's name
if [ -z "${FARM_TEST_HOSTS:-}" ]; then
    unshare --net true 2>/dev/null || { echo "skipped: network namespaces cannot be made here"; exit 77; }
    FARM_TEST_HOSTS=1 exec unshare --net "$0" "$@"
fi
. "$(dirname "${BASH_SOURCE[0]}")/../integration/lib.sh"
command -v ip >/dev/null || { echo "skipped: iproute2 is not installed"; exit 77; }
coordinator_address=10.77.0.1

host() { # NAME
    local own
    own=$(readlink /proc/self/ns/net)
    unshare --net sleep 600 &
    pids[host-$1]=$!
    wait_for 10 "the host $1" host_is_apart "$1" "$own"
    in_host "$1" ip link set lo up
}

host_is_apart() { # NAME OWN
    local its
    its=$(readlink "/proc/${pids[host-$1]}/ns/net") && [ "$its" != "$2" ]
}

in_host() { # NAME COMMAND...
    local name=$1
    shift
    nsenter --net="/proc/${pids[host-$name]}/ns/net" "$@"
}

cable() { # NAME NUMBER DELAY LOSS
    [ -w /dev/net/tun ] || skip "/dev/net/tun is not there"
    if [ -n "${pids[cable-$1]:-}" ]; then
        kill "${pids[cable-$1]}"
        wait "${pids[cable-$1]}" 2>/dev/null || true
    fi
    : >"$work/cable-$1"
    "$FARM_BINARY_DIR/tests/hosts/wire" $$ "to-$1" "${pids[host-$1]}" uplink "$3" "$4" >"$work/cable-$1" &
    pids[cable-$1]=$!
    wait_for 10 "the cable of $1" grep -q ready "$work/cable-$1"
    ip addr add "10.77.$2.1" peer "10.77.$2.2" dev "to-$1"
    ip link set "to-$1" up
    in_host "$1" ip addr add "10.77.$2.2" peer "10.77.$2.1" dev uplink
    in_host "$1" ip link set uplink up
    in_host "$1" ip route add default dev uplink
}

cable_cut() { kill -USR1 "${pids[cable-$1]}"; }
cable_mend() { kill -USR2 "${pids[cable-$1]}"; }

hosts_up() { # OPERATOR...
    local name
    ip link set lo up
    ip addr add "$coordinator_address/32" dev lo
    cat >"$work/farm.conf" <<CONF
[coordinator]
state_dir = $work/coordinator
control_listen = 0.0.0.0:7440
bulk_listen = 0.0.0.0:7441
advertise = $coordinator_address
local_repositories = $work
log_level = debug
$conf_extra
CONF
    coordinator_start
    farm_base
    root_install "$@"
    for name in "$@"; do
        worker_enrol "$name"
        worker_run "$name-1" nsenter --net="/proc/${pids[host-$name]}/ns/net" "$bin/farm-worker" run
    done
    wait_for 30 "all workers are online" workers_online $#
}

# A package whose payload is 8 KB for each THOUSAND, and 4 KB when it is packed, so many TIMES: the base has no tool that makes noise, but a
# shell. (Above 512 KiB, the packer's window, a repetition is as good as noise.)
tree_heavy() { # NAME THOUSANDS SECONDS [TIMES]
    tree_package "$1" <<BUILD
build() {
    sleep $3
    x=$2
    for ((i = 0; i < ${2}000; i++)); do
        printf '%08x' \$((x = (x * 1103515245 + 12345) & 0xffffffff))
    done >noise
    noise=\$(<noise)
    for ((i = 0; i < ${4:-1}; i++)); do
        printf '%s' "\$noise"
    done >payload
}
do_install() {
    mkdir -p "\$DESTDIR/usr/share/$1"
    cp payload "\$DESTDIR/usr/share/$1/made"
}
BUILD
}

build_timed() { # PACKAGE
    local start
    start=$(date +%s%3N)
    farm_plan "$1"
    expect_status 0 timeout 150 farmctl build --wait "$plan"
    took_ms=$(($(date +%s%3N) - start))
    expect "$1 is agreed" job_is "$1" agreed
}

two_hosts() { # DELAY: alder and birch, each at the end of a cable, have built "calm": so they have the base
    local name number=1
    for name in alder birch; do
        host $name
        cable $name $number "$1" 0
        number=$((number + 1))
    done
    hosts_up alder birch
    build_timed calm
}

# The answer that counts is that of the worker's first lease: what it had built was not lost. (A second lease may be granted when it is back
# and before its answer is there; that one is withdrawn.)
first_work_counts() { # WORKER PACKAGE
    local lease
    lease=$(sed -n "s/.*INFO  building node=extra\/$2 lease=\([0-9a-f]*\).*/\1/p" "$work/log/worker-$1.log" | head -n 1)
    [ -n "$lease" ] && grep -q "answer worker=$1 fate=counted kind=none .*lease=$lease" "$work/log/coordinator.log"
}

# N9: what is in the store is whole, and is what its name says.
objects_are_whole() {
    local object name
    for object in "$work"/coordinator/store/objects/??/*; do
        name=$(basename "$(dirname "$object")")$(basename "$object")
        [ "$(zstd -qdc "$object" | sha256sum | cut -d' ' -f1)" = "$name" ] || return 1
    done
}
