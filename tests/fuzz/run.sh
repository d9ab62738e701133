#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# run.sh: fuzzes. One JSON line a target on standard output: time and processor time, executions, executions a second, coverage (edges and
# libFuzzer's features), inputs in the grown corpus, crashes, most memory. What was found stays below the build directory: fuzz/corpus/TARGET (grown)
# and fuzz/crashes. Exit status: 0, 1 if something crashed, 2 if it could not run.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: tests/fuzz/run.sh [--seconds N | --cpu-seconds N] [--jobs N] [TARGET...]
       tests/fuzz/run.sh --minimise [TARGET...]
       tests/fuzz/run.sh --list

  --seconds N      for each target, by the clock (60)
  --cpu-seconds N  for each target, of processor time: as much for each on a machine that is busy
  --jobs N         targets at a time (1)
  --minimise       replaces tests/fuzz/corpus/TARGET by the smallest inputs that reach all that the committed and the grown corpus reach
  --list           the targets
  TARGET           as in fuzz_TARGET.c; all of them if none is given

The programs come from the preset "fuzz", which is built first; FARM_BINARY_DIR names another build directory, which is taken as it is.
TEXT
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/../.." && pwd)
RSS_MB=2560 MALLOC_MB=1152 TIMEOUT_S=20
CORPUS_FILES=150 CORPUS_BYTES=307200 # of a target, as committed

build() {
    [ -z "${FARM_BINARY_DIR:-}" ] || return 0
    (cd "$tree" && cmake --preset fuzz && cmake --build --preset fuzz --target fuzz) >&2
}

targets() {
    find "$here" -maxdepth 1 -name 'fuzz_*.c' -printf '%f\n' | sed 's/^fuzz_//; s/\.c$//' | sort |
        while read -r name; do
            [ ! -x "$programs/fuzz_$name" ] || echo "$name"
        done
}

statistic() { # LOG NAME
    sed -n "s/^stat::$2: *//p" "$1" | tail -1
}

progress() { # LOG WORD: the number behind "cov:" or "ft:" or "corp:" in the last line that has it
    grep -o "$2: [0-9]*" "$1" | tail -1 | grep -o '[0-9]*$'
}

processor_ms() { # PID: what it has used; nothing if it has ended
    awk -v hertz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print int(($12 + $13) * 1000 / hertz) }' "/proc/$1/stat" 2>/dev/null || true
}

# Ends PID as libFuzzer wishes to be ended, with its statistics, once it has used its share of the processors.
watch_processor() { # PID
    local used=0 now
    while now=$(processor_ms "$1") && [ -n "$now" ]; do
        used=$now
        ((cpu_seconds == 0 || used < cpu_seconds * 1000)) || kill -USR1 "$1" 2>/dev/null || true
        sleep 0.5
    done
    echo "$((used / 1000))"
}

figures() { # TARGET LOG STATUS PROCESSOR_SECONDS SECONDS
    local crashes
    crashes=$(find "$found/crashes" -name "$1-*" ! -name '*-slow-unit-*' | wc -l) # a unit is slow on a busy machine, too
    printf '{"target":"%s","seconds":%d,"cpu_seconds":%d,"executions":%d,"execs_per_s":%d,"edges":%d,"features":%d,"corpus":%d,"crashes":%d,"peak_rss_mb":%d}\n' \
        "$1" "$5" "$4" "$(statistic "$2" number_of_executed_units)" "$(statistic "$2" average_exec_per_sec)" \
        "$(progress "$2" cov)" "$(progress "$2" ft)" "$(progress "$2" corp)" "$crashes" "$(statistic "$2" peak_rss_mb)"
    [ "$3" = 0 ] && [ "$crashes" = 0 ]
}

fuzz_one() { # TARGET
    local grown=$found/corpus/$1 log=$found/$1.log status=0 options=() began=$SECONDS pid used
    mkdir -p "$grown"
    [ ! -f "$here/$1.dict" ] || options+=("-dict=$here/$1.dict")
    nice -n 19 "$programs/fuzz_$1" -max_total_time="$((cpu_seconds ? 0 : seconds))" -rss_limit_mb="$RSS_MB" -malloc_limit_mb="$MALLOC_MB" -timeout="$TIMEOUT_S" \
        -max_len="$(longest "$1")" -print_final_stats=1 -artifact_prefix="$found/crashes/$1-" "${options[@]}" "$grown" "$here/corpus/$1" \
        >"$log" 2>&1 &
    pid=$!
    used=$(watch_processor "$pid")
    wait "$pid" || status=$?
    figures "$1" "$log" "$status" "$used" "$((SECONDS - began))" || {
        echo "$1: see $log and $found/crashes; replay: $programs/fuzz_$1 FILE" >&2
        return 1
    }
}

# The target's own limit, as C computes it: "8 * 1024".
longest() { # TARGET
    local text
    text=$(grep -o 'input_max = [^,}]*' "$here/fuzz_$1.c" | head -1 | sed 's/.*= //')
    echo $((text))
}

# The smallest first, while they fit: a committed corpus is for regressions, and is run by everybody.
keep_some() { # FROM TO
    local files bytes name size # of the seeds and crashes, which stay
    files=$(find "$2" -type f | wc -l) bytes=$(find "$2" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')
    find "$1" -type f -printf '%s %f\n' | sort -n | while read -r size name; do
        ((++files <= CORPUS_FILES && (bytes += size) <= CORPUS_BYTES)) || continue
        cp "$1/$name" "$2/$name"
    done
}

minimise_one() { # TARGET
    local merged=$found/merged/$1 grown=$found/corpus/$1
    rm -rf "$merged"
    mkdir -p "$merged" "$grown" "$here/corpus/$1"
    nice -n 19 "$programs/fuzz_$1" -merge=1 -use_counters=0 -rss_limit_mb="$RSS_MB" -timeout="$TIMEOUT_S" -max_len="$(longest "$1")" \
        "$merged" "$here/corpus/$1" "$grown" >"$found/$1.merge.log" 2>&1
    find "$here/corpus/$1" -type f ! -name 'crash-*' ! -name 'seed-*' -delete
    keep_some "$merged" "$here/corpus/$1"
    echo "$1: $(find "$here/corpus/$1" -type f | wc -l) files, $(du -sb "$here/corpus/$1" | cut -f1) bytes" >&2
}

seconds=60 cpu_seconds=0 jobs=1 action=fuzz_one
while [ $# -gt 0 ]; do
    case $1 in
        --seconds) seconds=${2:?} && shift ;;
        --cpu-seconds) cpu_seconds=${2:?} && shift ;;
        --jobs) jobs=${2:?} && shift ;;
        --minimise) action=minimise_one ;;
        --list) action=list ;;
        -h | --help) usage && exit 0 ;;
        -*) usage >&2 && exit 2 ;;
        *) break ;;
    esac
    shift
done
build || exit 2
programs=${FARM_BINARY_DIR:-$tree/build-fuzz}/tests/fuzz
found=${FARM_BINARY_DIR:-$tree/build-fuzz}/fuzz
known=$(targets)
[ -n "$known" ] || { echo "$programs: no targets there; build with the preset \"fuzz\"" >&2 && exit 2; }
[ "$action" != list ] || { echo "$known" && exit 0; }
[ $# -gt 0 ] || mapfile -t all <<<"$known"
[ $# -gt 0 ] || set -- "${all[@]}"
for name in "$@"; do
    [ -x "$programs/fuzz_$name" ] || { echo "$name: no such target; --list names them" >&2 && exit 2; }
done

mkdir -p "$found/crashes" "$found/corpus"
TMPDIR=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)/farm-fuzz.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
status=0
for name in "$@"; do
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
        wait -n || status=1
    done
    "$action" "$name" &
done
while [ -n "$(jobs -p)" ]; do
    wait -n || status=1
    jobs >/dev/null
done
exit $status
