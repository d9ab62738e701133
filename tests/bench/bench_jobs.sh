#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# bench_jobs.sh [--jobs N] [--rounds N] [--slots N] [--samples N]: what the farm adds to a build.
#
# A farm on this machine: one coordinator, one worker for each of two operators, quorum 2, every answer durable and its verdict logged.
# Each round builds N trivial packages, every one of them twice, and then the same machine runs as many builds in a plain loop (bench_jobs.c)
# and as many derivations in nix (its sandbox off, one user, a store of its own). A figure is the median over the rounds; its ratio
# is the median of the ratios of each round, so that what else the machine does meets both sides alike. Processor time is that of
# coordinator, workers and all their builds; on a machine that is busy with other things it says more than the clock.
#
# Then one package at a time on the idle farm, up to the first command of its recipe, which writes the time to the build's log: from the
# moment at which its job was ready, as the lease's row has it (in whole milliseconds, rounded down), and from before the request that
# makes it ready.
. "$(dirname "$0")/../integration/lib.sh"

jobs=200 rounds=5 slots=2 samples=200
while [ $# -gt 1 ]; do
    case $1 in
    --jobs) jobs=$2 ;;
    --rounds) rounds=$2 ;;
    --slots) slots=$2 ;;
    --samples) samples=$2 ;;
    *) break ;;
    esac
    shift 2
done
[ $# = 0 ] || { echo "usage: bench_jobs.sh [--jobs N] [--rounds N] [--slots N] [--samples N]" >&2; exit 2; }

bench=$FARM_BINARY_DIR/tests/bench/bench_jobs
exec 3>&1 >&2 # figures alone go to standard output
[ -x "$bench" ] || { echo "$bench is not built" >&2; exit 1; }
log_level=info
worker_gives=(--slots "$slots" --cores "$slots" --memory 8G --disk 64G --cache 4G)

# A file by the shell itself, so that the recipe's own work is next to nothing.
package_file() { # NAME
    tree_package "$1" <<BUILD
do_install() {
    mkdir -p "\$DESTDIR/usr/share/$1"
    echo made >"\$DESTDIR/usr/share/$1/made"
}
BUILD
}

package_clock() { # NAME
    package_file "$1"
    cat >>"$work/tree/packages/extra/$1/build.sh" <<'BUILD'
configure() {
    echo "began $EPOCHREALTIME"
}
BUILD
}

names() { # PREFIX COUNT
    seq -f "$1%g" "$2"
}

figure() { "$bench" print "$@" >&3; }
now() { date +%s.%N; }
quotient() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.6g", a / b }'; }
rate() { awk -v n="$1" -v from="$2" -v to="$3" 'BEGIN { printf "%.6g", n / (to - from) }'; }
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# ---- one round ----

# Of the farm's processes and of their children that have ended, in seconds.
farm_cpu() {
    local name ticks total=0
    for name in "${!pids[@]}"; do
        ticks=$(awk '{ print $14 + $15 + $16 + $17 }' "/proc/${pids[$name]}/stat")
        total=$((total + ticks))
    done
    quotient "$total" "$(getconf CLK_TCK)"
}

run_farm() { # ROUND: builds a second, and milliseconds of processor time for one; every job is built twice
    local id from to cpu
    mapfile -t selected < <(names "r$1-" "$jobs")
    id=$(farmctl plan "$work/tree@HEAD" "${selected[@]}" 2>/dev/null)
    cpu=$(farm_cpu)
    from=$(now)
    farmctl build --wait "$id" >"$work/out" 2>&1 || { cat "$work/out" >&2; fail "round $1 was built"; }
    to=$(now)
    awk -v n=$((2 * jobs)) -v from="$from" -v to="$to" -v before="$cpu" -v after="$(farm_cpu)" \
        'BEGIN { printf "%.6g %.6g\n", n / (to - from), 1000 * (after - before) / n }'
}

run_loop() { # one|each: runs a second, and milliseconds of processor time for one
    local state=$work/worker-alder-1
    "$bench" loop --state "$state" --base "$(cd "$state" && echo roots/base-*/root)" \
        --recipe "$(cd "$state" && echo trees/*/packages/extra/warm)" --name warm \
        --runs $((2 * jobs)) --parallel 2 --shells "$1"
}

nix_start() {
    export NIX_STORE_DIR=$work/nix/store NIX_STATE_DIR=$work/nix/state NIX_LOG_DIR=$work/nix/log NIX_CONF_DIR=$work/nix/conf
    export NIX_REMOTE= NIX_PATH= HOME=$work/nix/home
    mkdir -p "$work"/nix/{store,state,log,conf,home}
    cat >"$work/nix/jobs.nix" <<'NIX'
{ round, count }: builtins.genList (number: derivation {
  name = "job-${round}-${toString number}";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  args = [ "-c" "echo made >$out" ];
}) count
NIX
}

run_nix() { # ROUND: jobs a second
    local from to
    from=$(now)
    nix-build --no-out-link --max-jobs 2 --option sandbox false --option substituters '' --option build-users-group '' \
        --argstr round "$1" --arg count "$jobs" "$work/nix/jobs.nix" >"$work/nix/out" 2>&1 ||
        { tail "$work/nix/out" >&2; fail "nix built round $1"; }
    to=$(now)
    rate "$jobs" "$from" "$to"
}

note() { # FILE VALUE
    echo "$2" >>"$work/$1"
}

run_round() { # ROUND
    local each each_cpu one one_cpu farm cpu nix
    read -r each each_cpu <<<"$(run_loop each)"
    read -r farm cpu <<<"$(run_farm "$1")"
    read -r one one_cpu <<<"$(run_loop one)"
    expect "round $1 has figures" test -n "$each_cpu" -a -n "$cpu" -a -n "$one_cpu"
    note farm "$farm"
    note cpu "$cpu"
    note each "$each"
    note one "$one"
    note farm.each "$(quotient "$farm" "$each")"
    note farm.one "$(quotient "$farm" "$one")"
    note cpu.each "$(quotient "$cpu" "$each_cpu")"
    [ -n "${with_nix:-}" ] || return 0
    nix=$(run_nix "$1")
    note nix.jobs "$nix"
    note farm.nix "$(quotient "$(quotient "$farm" 2)" "$nix")"
}

report_rounds() {
    local farm
    farm=$(median <"$work/farm")
    figure jobs_loop_shell_a_phase "$(median <"$work/each")" runs/s
    figure jobs_loop_one_shell "$(median <"$work/one")" runs/s
    figure jobs_farm "$farm" builds/s "$(median <"$work/farm.each")" "the same overlay, bubblewrap and shells in a loop"
    figure jobs_farm "$farm" builds/s "$(median <"$work/farm.one")" "the same with one shell for all phases"
    figure jobs_farm_processor "$(median <"$work/cpu")" ms/build "$(median <"$work/cpu.each")" "processor time of a run of that loop"
    [ -n "${with_nix:-}" ] || { echo "nix-build is not here: its figure is left out"; return 0; }
    figure jobs_nix "$(median <"$work/nix.jobs")" jobs/s
    figure jobs_farm_agreed "$(quotient "$farm" 2)" jobs/s "$(median <"$work/farm.nix")" \
        "nix-build without sandbox and quorum"
}

# ---- from ready to started ----

run_samples() {
    local name id
    for name in $(names s "$samples"); do
        id=$(farmctl plan "$work/tree@HEAD" "$name" 2>/dev/null)
        sleep 0.2 # idle is also who removes what the last build left, and whose memory the kernel writes back
        echo "$name $("$bench" start "$id")" >>"$work/asked"
        farmctl build --wait "$id" >/dev/null 2>&1 || fail "$name was built"
    done
}

report_samples() {
    local name asked worker began ready
    while read -r name asked; do
        for worker in alder-1 birch-1; do
            began=$(farmctl log --worker "$worker" "extra/$name" 2>/dev/null | sed -n 's/^began //p')
            ready=$(sqlite3 -readonly "$work/coordinator/farm.db" "SELECT granted_ms / 1000.0 FROM lease JOIN job ON number = job
                WHERE node = 'extra/$name' AND worker = '$worker'")
            expect "the log of $name on $worker says when it began" test -n "$began" -a -n "$ready"
            awk -v ready="$ready" -v asked="$asked" -v began="$began" -v ready_file="$work/ready.ms" -v asked_file="$work/asked.ms" \
                'BEGIN { printf "%.3f\n", (began - ready) * 1000 >>ready_file; printf "%.3f\n", (began - asked) * 1000 >>asked_file }'
        done
    done <"$work/asked"
    "$bench" spread ready_to_started ms <"$work/ready.ms" >&3
    "$bench" spread request_to_started ms <"$work/asked.ms" >&3
}

# ---- all ----

test_begin bench-jobs
package_file warm
for round in $(seq "$rounds"); do
    for name in $(names "r$round-" "$jobs"); do package_file "$name"; done
done
for name in $(names s "$samples"); do package_clock "$name"; done
tree_commit
farm_up alder birch
farmctl build --wait "$(farmctl plan "$work/tree@HEAD" warm 2>/dev/null)" >/dev/null 2>&1
! type -P nix-build >/dev/null || { with_nix=yes; nix_start; }
for round in $(seq "$rounds"); do run_round "$round"; done
report_rounds
run_samples
report_samples
