# SPDX-License-Identifier: GPL-3.0-or-later
#
# lib.sh of the network group: a farm of two honest workers behind a coordinator with 1,024 descriptors, an admitted worker that is
# none, and attacks by tests/network/flooder. Sourced by the tests beside it.
#
#   attack_begin BOUND NAME...   the farm; one package for each attack, which is built while it lasts
#   attack NAME WAY PORT [KEY]   says what the memory was and what it became; fails if the build does not end, if memory grows by more
#                                than BOUND MiB, or if the log does
#   counter SOCKET MEMBER        a counter of the coordinator's sockets, of "farmctl status --json"
. "$(dirname "${BASH_SOURCE[0]}")/../integration/lib.sh"
flooder=$FARM_BINARY_DIR/tests/network/flooder
# Memory that was freed stays in the sanitizer's quarantine, 256 MiB of it: nothing could be said about what is in use.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:quarantine_size_mb=4
# Lines beside those of the build and of the workers' coming and going: ten a minute for each worker, ten for each port's guard,
# and as many that say how many were left out.
lines_max=150

attack_begin() { # BOUND NAME...
    local name
    bound=$1
    shift
    command -v jq >/dev/null || skip "jq is not installed"
    ulimit -Sn 1024
    control_port=$((20000 + RANDOM % 10000))
    bulk_port=$((control_port + 1))
    for name in calm "$@"; do
        tree_plain "$name"
    done
    tree_commit
    farm_up alder birch
    # Its key is admitted and it never runs: the flooder speaks for it.
    worker_enrol mallow
    key=$work/mallow.key
    install -m 0600 "$work/worker-mallow-1/worker.key" "$key" # the worker's own belongs to its user
    server_key=$(farmctl join | cut -d: -f5)
    build_timed calm
    calm_ms=$took_ms
}

build_timed() { # PACKAGE
    local start
    start=$(date +%s%3N)
    farm_plan "$1"
    expect_status 0 timeout 120 farmctl build --wait "$plan"
    took_ms=$(($(date +%s%3N) - start))
    expect "$1 is agreed" job_is "$1" agreed
}

memory_of() { # FIELD: of the coordinator, in MiB
    awk -v field="$1:" '$1 == field { print int($2 / 1024) }' "/proc/${pids[coordinator]}/status"
}

lines_of_log() {
    grep -vc ' DEBUG ' "$work/log/coordinator.log" || true
}

counter() { # SOCKET MEMBER
    farmctl status --json | jq -e --arg socket "$1" --arg member "$2" '.network[$socket][$member]'
}

attack() { # NAME WAY PORT [KEY]
    local before peak lines status=0 flood
    before=$(memory_of VmRSS)
    lines=$(lines_of_log)
    echo 5 >"/proc/${pids[coordinator]}/clear_refs" # the peak begins here
    "$flooder" "$2" 100 "$3" "$server_key" ${4:+"$4"} >"$work/flood" &
    flood=$!
    pids[flooder]=$flood
    sleep 1
    build_timed "$1"
    expect "descriptors are left" test "$(find "/proc/${pids[coordinator]}/fd" -mindepth 1 2>/dev/null | wc -l)" -lt 1000
    expect "the attack went on meanwhile" kill -TERM "$flood"
    wait "$flood" || status=$?
    unset "pids[flooder]"
    [ "$status" = 0 ] || fail "the flooder ended with $status"
    peak=$(memory_of VmHWM)
    lines=$(($(lines_of_log) - lines))
    say "$1: $(cat "$work/flood") build ${took_ms} ms (calm: $calm_ms) memory $before MiB, at most $peak MiB, log lines $lines"
    [ $((peak - before)) -le "$bound" ] || fail "memory grew from $before to $peak MiB; at most $bound more are allowed"
    [ "$lines" -le "$lines_max" ] || fail "$lines lines of log"
    expect "the coordinator lives" kill -0 "${pids[coordinator]}"
}
