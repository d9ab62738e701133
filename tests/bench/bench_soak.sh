#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# bench_soak.sh [--seconds N] [--sample N] [--seed N]: does anything grow?
#
# A farm on this machine, all durable and with a log: a coordinator, and four workers of three operators in real sandboxes at quorum 2. Every
# plan is of a new commit of the package tree with some recipes changed, so that plans and jobs are new all the time; sometimes two run
# at once, some are cancelled, some fail. Meanwhile workers are killed, stopped, frozen, paused, and now and then a new one joins and is revoked
# later. alder-1 is never restarted: it shows what a worker's process gathers. "farmctl gc" runs as an operator's timer would run it. A
# release is made at the beginning, and is handed over and verified at the end, after the coordinator has gone over its whole database again.
#
# What is kept for how long is minutes here instead of days, so that a farm that lets go reaches its level long before half time. Every
# --sample seconds one line says how large everything is. At the end a figure for each quantity: its slope over the second half of the run
# (least squares), and as the ratio its value at the end against that at half time, each the mean of a tenth of the run. Flat is a slope
# around 0 and a ratio around 1. No figure is asserted; what is: that the farm worked until the end, that nothing was lost, and that the
# coordinator's descriptors did not become many.
. "$(dirname "$0")/../integration/lib.sh"

seconds=3600 sample_every=15 seed=$$
while [ $# -gt 1 ]; do
    case $1 in
    --seconds) seconds=$2 ;;
    --sample) sample_every=$2 ;;
    --seed) seed=$2 ;;
    *) break ;;
    esac
    shift 2
done
[ $# = 0 ] || { echo "usage: bench_soak.sh [--seconds N] [--sample N] [--seed N]" >&2; exit 2; }
for tool in jq sqlite3; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done
exec 3>&1 >&2 # figures alone go to standard output

log_level=info
kept=$((seconds / 12 > 5 ? seconds / 12 : 5)) # five minutes of an hour
conf_extra+=$'\n'"plan_memory = $((kept / 5))s"$'\n'"keep_finished = ${kept}s"$'\n'"collect_grace = $((kept / 5))s"
worker_gives=(--slots 2 --cores 2 --memory 2G --disk 4G --cache 256M)
workers=(alder-1 alder-2 birch-1 cedar-1)

below() { # PERCENT: true so often
    [ $((RANDOM % 100)) -lt "$1" ]
}

# ---- the tree ----

names=(low-a low-b low-c low-d mid-a mid-b mid-c top)
declare -A needs=([mid-a]="low-a low-b" [mid-b]="low-b low-c" [mid-c]="low-d" [top]="mid-a mid-b mid-c")

package() { # NAME [COMMAND]: with other bytes each time, hence another job
    local from=$((RANDOM * RANDOM))
    # shellcheck disable=SC2086
    tree_package "$1" ${needs[$1]:-} <<BUILD
build() {
    for needed in ${needs[$1]:-}; do
        test -e /usr/share/\$needed/made || return 1
    done
    sleep 0.$((RANDOM % 4))
    seq $from $((from + RANDOM + 10000)) >payload
    ${2:-true}
}
do_install() {
    mkdir -p "\$DESTDIR/usr/share/$1"
    cp payload "\$DESTDIR/usr/share/$1/made"
}
BUILD
}

broken=
next_tree() { # some recipes change; what was broken is mended
    local name
    for name in "${names[@]}"; do
        if [ "$name" = "$broken" ] || below 30; then package "$name"; fi
    done
    broken=
    if below 8; then
        broken=${names[RANDOM % ${#names[@]}]}
        package "$broken" false
    fi
    package top
    tree_commit
}

# ---- plans: one after another, sometimes two at once ----

declare -A running=() began=()
declare -i plans=0 done_plans=0 failed_plans=0 cancelled_plans=0 collections=0 churns=0

next_plan() {
    local id
    next_tree
    id=$(farmctl plan "$work/tree@HEAD" 2>"$work/out") || { cat "$work/out" >&2; fail "a plan is made"; }
    farmctl build --wait "$id" >"$work/out.$id" 2>&1 &
    running[$id]=$!
    began[$id]=$SECONDS
    plans+=1
    if below 5; then
        sleep 0.$((RANDOM % 10))
        farmctl cancel "$id" >/dev/null 2>&1 || true
    fi
}

reap_plans() {
    local id status
    for id in "${!running[@]}"; do
        if kill -0 "${running[$id]}" 2>/dev/null; then
            [ $((SECONDS - began[$id])) -lt 600 ] || { farmctl jobs --plan "$id" >&2; fail "plan $id ends"; }
            continue
        fi
        status=0
        wait "${running[$id]}" || status=$?
        [ "$status" -lt 2 ] || { cat "$work/out.$id" >&2; fail "the farm says how plan $id ended"; }
        rm -f "$work/out.$id"
        unset "running[$id]" "began[$id]"
    done
}

# ---- churn ----

declare -A back_at=() # second -> what is to be done to whom then
later() { # SECONDS COMMAND...
    local at=$((SECONDS + $1))
    shift
    back_at[$at.$RANDOM]=$*
}
due_again() {
    local at command
    for at in "${!back_at[@]}"; do
        if [ "${at%.*}" -le "$SECONDS" ]; then
            command=${back_at[$at]}
            unset "back_at[$at]"
            $command
        fi
    done
}

end_worker() { # SIGNAL WORKER
    kill "-$1" "${pids[$2]}" 2>/dev/null || true
    melt "$2" # a frozen one would never end
    wait "${pids[$2]}" 2>/dev/null || true
    unset "pids[$2]"
}
melt() {
    [ -z "${pids[$1]:-}" ] || kill -CONT "${pids[$1]}" 2>/dev/null || true
}
resume() {
    farmctl worker resume "$1" >/dev/null
}

guest=0
guest_leaves() {
    end_worker KILL "guest-$guest"
    farmctl worker revoke "guest-$guest" >/dev/null
    rm -rf "$work/worker-guest-$guest"
}
guest_joins() {
    guest=$((guest + 1))
    worker_enrol guest "guest-$guest"
    worker_run "guest-$guest"
    later $((kept / 5 + 2)) guest_leaves
}

churn() {
    local worker=${workers[RANDOM % ${#workers[@]}]} rest=$((RANDOM % 6 + 1))
    churns+=1
    [ -n "${pids[$worker]:-}" ] || return 0 # on its way already
    case $((RANDOM % 5)) in
    0 | 1) if [ "$worker" != alder-1 ]; then end_worker KILL "$worker"; later "$rest" worker_run "$worker"; fi ;;
    2) if [ "$worker" != alder-1 ]; then end_worker TERM "$worker"; later "$rest" worker_run "$worker"; fi ;;
    3) kill -STOP "${pids[$worker]}"; later "$rest" melt "$worker" ;;
    4) farmctl worker pause "$worker" >/dev/null; later "$rest" resume "$worker" ;;
    esac
}

collect() { # refused while imports, fetches or exports run: a timer comes again
    if farmctl gc >"$work/gc" 2>&1; then collections+=1; fi
}

# ---- how large it is ----

status_of() { # PID FIELD: a number of /proc/PID/status
    sed -n "s/^$2:[[:space:]]*\([0-9]*\).*/\1/p" "/proc/$1/status" 2>/dev/null || true
}
descriptors_of() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; }
files_below() { find "$@" -mindepth 1 2>/dev/null | wc -l; }
bytes_below() { # as the disk has them
    find "$@" -type f -printf '%b\n' 2>/dev/null | awk '{ n += $1 } END { print n * 512 }'
}
database_bytes() { # with the write-ahead log, which is as large as it has ever been between two starts
    stat -c %s "$work"/coordinator/farm.db{,-wal} 2>/dev/null | awk '{ n += $1 } END { print n + 0 }'
}

workers_sum() { # status FIELD | descriptors: of the workers that are there, and how many those are
    local worker sum=0 count=0 value
    for worker in "${workers[@]}"; do
        [ -n "${pids[$worker]:-}" ] || continue
        if [ "$1" = descriptors ]; then value=$(descriptors_of "${pids[$worker]}"); else value=$(status_of "${pids[$worker]}" "$2"); fi
        [ "${value:-0}" -gt 0 ] || continue
        sum=$((sum + value))
        count=$((count + 1))
    done
    echo $((count > 0 ? sum / count : 0))
}

worker_dirs() { # BELOW
    local worker list=()
    for worker in "${workers[@]}"; do list+=("$work/worker-$worker/$1"); done
    printf '%s\n' "${list[@]}"
}

sample() {
    local coordinator=${pids[coordinator]} steady=${pids[alder-1]} state=$work/coordinator
    local spools builds trees roots stores
    mapfile -t spools < <(worker_dirs spool)
    mapfile -t builds < <(worker_dirs builds)
    mapfile -t trees < <(worker_dirs trees)
    mapfile -t roots < <(worker_dirs roots)
    mapfile -t stores < <(worker_dirs store)
    cat >>"$work/samples" <<SAMPLE
{"name":"soak_sample","second":$((SECONDS - started)),"plans":$plans,"running":${#running[@]}\
,"coordinator_rss_kB":$(status_of "$coordinator" VmRSS),"coordinator_descriptors":$(descriptors_of "$coordinator")\
,"coordinator_threads":$(status_of "$coordinator" Threads)\
,"steady_worker_rss_kB":$(status_of "$steady" VmRSS),"steady_worker_descriptors":$(descriptors_of "$steady")\
,"steady_worker_threads":$(status_of "$steady" Threads)\
,"worker_rss_kB":$(workers_sum status VmRSS),"worker_descriptors":$(workers_sum descriptors)\
,"database_bytes":$(database_bytes),"store_bytes":$(bytes_below "$state/store/objects")\
,"store_objects":$(find "$state/store/objects" -type f | wc -l),"log_bytes":$(bytes_below "$state/log")\
,"tree_directories":$(find "$state/trees" -mindepth 1 -maxdepth 1 | wc -l),"scratch_files":$(files_below "$state/scratch" "$state/store/incoming")\
,"git_bytes":$(bytes_below "$state/git"),"worker_spool_files":$(files_below "${spools[@]}"),"worker_build_files":$(files_below "${builds[@]}")\
,"worker_tree_directories":$(find "${trees[@]}" -mindepth 1 -maxdepth 1 | wc -l),"worker_roots_bytes":$(bytes_below "${roots[@]}")\
,"worker_store_bytes":$(bytes_below "${stores[@]}")}
SAMPLE
    tail -n 1 "$work/samples" >&3
}

figures() { # of everything that a sample has
    jq -cs --argjson length "$seconds" '
        def mean: add / length;
        def slope: (map(.x) | mean) as $x | (map(.y) | mean) as $y |
            (map((.x - $x) * (.x - $x)) | add) as $square |
            if $square == 0 then 0 else (map((.x - $x) * (.y - $y)) | add) / $square end;
        . as $all | (last.second / 2) as $half | (last.second / 10) as $tenth |
        def around($key; $from; $to): [$all[] | select(.second >= $from and .second <= $to)[$key]] | if length > 0 then mean else null end;
        ($all[0] | keys_unsorted | map(select(. as $key | ["name", "second", "plans", "running"] | index($key) | not))[]) as $key |
        around($key; $half - $tenth / 2; $half + $tenth / 2) as $middle | around($key; $all[-1].second - $tenth; $all[-1].second) as $last |
        {name: "soak_\($key)", value: ([$all[] | select(.second >= $half) | {x: (.second / 3600), y: .[$key]}] | slope | round), unit: "per hour",
         ratio: (if $middle == null or $middle == 0 then null else $last / $middle * 1000 | round / 1000 end),
         reference: "the same at half time", middle: ($middle // 0 | round), end: ($last | round),
         most: ([$all[][$key]] | max)}' "$work/samples" >&3
}

# ---- all ----

work_on() { # until the time is over
    local next_sample=0 next_gc=$((SECONDS + kept / 5)) next_churn=$((SECONDS + 3)) next_guest=$((SECONDS + kept)) together=1
    while [ $((SECONDS - started)) -lt "$seconds" ]; do
        reap_plans
        if [ ${#running[@]} -lt "$together" ]; then
            next_plan
            together=$((RANDOM % 4 == 0 ? 2 : 1))
        fi
        due_again
        if [ "$SECONDS" -ge "$next_churn" ]; then churn; next_churn=$((SECONDS + RANDOM % 12 + 2)); fi
        if [ "$SECONDS" -ge "$next_guest" ]; then guest_joins; next_guest=$((SECONDS + kept)); fi
        if [ "$SECONDS" -ge "$next_gc" ]; then collect; next_gc=$((SECONDS + kept / 5)); fi
        if [ "$SECONDS" -ge "$next_sample" ]; then sample; next_sample=$((SECONDS + sample_every)); fi
        sleep 0.2
    done
}

settle() { # everybody back, and what runs ends
    local waited
    while [ ${#back_at[@]} -gt 0 ]; do due_again; sleep 0.2; done
    for waited in $(seq 1500); do
        reap_plans
        [ ${#running[@]} -gt 0 ] || return 0
        sleep 0.2
    done
    fail "the last plans end"
}

sql() { sqlite3 -cmd '.timeout 5000' "$work/coordinator/farm.db" "$1"; }
figure() { # NAME VALUE UNIT
    printf '{"name":"%s","value":%s,"unit":"%s"}\n' "$@" >&3
}

counts() {
    local state leases answers agreed entries bytes
    leases=$(sql 'SELECT count(*) FROM lease') answers=$(sql 'SELECT count(*) FROM attestation')
    agreed=$(sql "SELECT count(*) FROM verdict WHERE state = 'agreed'") entries=$(sql 'SELECT count(*) FROM log_entry')
    bytes=$(sql 'SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()')
    for state in done failed cancelled; do
        figure "soak_plans_$state" "$(sql "SELECT count(*) FROM plan WHERE state = '$state'")" plans
    done
    figure soak_jobs_agreed "$agreed" jobs
    figure soak_leases "$leases" leases
    figure soak_answers "$answers" answers
    figure soak_log_entries "$entries" entries
    figure soak_database_per_answer $((bytes / (answers > 0 ? answers : 1))) bytes
    figure soak_churns "$churns" events
    figure soak_collections "$collections" runs
    expect "jobs were agreed" test "$agreed" -gt 0
    expect "objects were collected" test "$collections" -gt 0
}

test_begin soak
say "--seconds $seconds --sample $sample_every --seed $seed"
coordinator_start
RANDOM=$seed # not before: the ports are chosen by it too, and must not be those of the run before
for name in "${names[@]}"; do package "$name"; done
tree_commit
farm_base
root_install alder birch cedar
for worker in "${workers[@]}"; do
    worker_enrol "${worker%-*}" "$worker"
    worker_run "$worker"
done
wait_for 120 "all workers are online" workers_online ${#workers[@]}
farm_plan
expect_status 0 timeout 240 farmctl build --wait "$plan"
release_make kept

started=$SECONDS
work_on
settle
collect
sample
figures
counts
# A bound that only a leak for each plan or connection breaks, however short the run.
expect "the coordinator closes what it opens" \
    test "$(descriptors_of "${pids[coordinator]}")" -lt $(($(head -n 1 "$work/samples" | jq .coordinator_descriptors) + 40))

say "the coordinator goes over all of it, and has lost nothing"
kill -TERM "${pids[coordinator]}"
expect "it stops" wait "${pids[coordinator]}"
expect "the database is whole" test "$(sql 'PRAGMA integrity_check')" = ok
from=$(date +%s%3N)
coordinator_start
figure soak_start $(($(date +%s%3N) - from)) ms
scrub_is_over() { farmctl scrub --json | jq -e '.last != null' >/dev/null; }
farmctl scrub --now >/dev/null
wait_for 300 "the scrub has read everything" scrub_is_over
expect "no object is lost" test "$(farmctl scrub --json | jq .lost_count)" = 0
wait_for 60 "the workers are back" workers_online 2
expect_status 0 farmctl handoff kept --phase image --to "$work/handoff/"
expect_status 0 farm-verify "$work/handoff" --trust "$work/root.json" --state "$work/gate.state" --phase image
