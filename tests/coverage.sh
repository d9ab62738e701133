#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# coverage.sh: which lines and branches the tests execute. Builds the preset "coverage", runs the suite, and writes below build-coverage/coverage/:
# rooms.txt (a line for each room), files.txt (for each file), functions.txt (those that nothing called), html/index.html. docs/COVERAGE.md says what the
# counters cannot see. Exit status: 0, 1 if a test failed (the report is written all the same), 2 if it could not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. support/debian-packages.sh

usage() {
    cat <<'TEXT'
Usage: tests/coverage.sh [--jobs N] [--report]

  --jobs N    tests and compilers at a time (2)
  --report    builds and runs nothing: the report of what was run last
TEXT
}

directory=build-coverage
report=$directory/coverage
rooms=(proto/{base,conf,health,store,recipe,source,wire,link} signing coordinator/{conf,core,db,web,net,cli} worker/{sandbox,build} worker)
# More of the same seeds and calls executes no other lines, and who is killed leaves no counters.
skipped_labels='soak|bench|lint|interop' skipped_tests='sim\.more_seeds|sim\.large|fault\..*_full|integration\.kills'
jobs=2 run=yes

run_tests() {
    local status=0
    cmake --preset coverage -DFARM_TESTS=ON >/dev/null
    cmake --build --preset coverage -j "$jobs"
    find "$directory" -name '*.gcda' -delete
    # A worker that root starts becomes another user, and would not be allowed to add to what root's processes wrote.
    find "$directory" -name '*.gcno' | sed 's/gcno$/gcda/' | xargs touch
    find "$directory" -name '*.gcda' -exec chmod 0666 {} +
    FARM_TEST_COVERAGE=yes GCOV_ERROR_FILE=/dev/null ctest --test-dir "$directory" --no-tests=error --output-on-failure -j "$jobs" \
        -LE "$skipped_labels" -E "$skipped_tests" || status=1
    find "$directory" -name '*.gcda' -empty -delete
    return "$status"
}

# Generated code (protobuf) is left out by --filter. Counters of a process that died while it wrote them are passed over with a warning.
measure() {
    local searched=() kept=() room
    for room in proto signing coordinator worker; do
        searched+=("$directory/$room")
        kept+=(--filter "$room/")
    done
    gcovr --root . "${kept[@]}" --gcov-ignore-parse-errors --exclude-unreachable-branches -j "$jobs" \
        --json "$report/all.json" "${searched[@]}"
    gcovr --root . --add-tracefile "$report/all.json" --txt "$report/files.txt" --json-summary "$report/files.json" \
        --html-details "$report/html/index.html" --html-title "InterGenOS build farm"
}

# A file is of the longest room that its path begins with.
rooms_table() {
    local names
    names=$(printf '%s\n' "${rooms[@]}" coordinator | jq -R . | jq -s 'sort_by(-length)')
    jq -r --argjson rooms "$names" '
        def percent(a; b): if b == 0 then "-" else (1000 * a / b | round / 10 | tostring) end;
        def line(name): [name, length,
            (map(.line_total) | add), percent(map(.line_covered) | add; map(.line_total) | add),
            (map(.branch_total) | add), percent(map(.branch_covered) | add; map(.branch_total) | add)] | @tsv;
        ["room", "files", "lines", "%", "branches", "%"] as $head | ($head | @tsv),
        (.files | map(. + {room: (.filename as $f | $rooms | map(select(. as $r | $f | startswith($r + "/"))) | first)})
            | (group_by(.room)[] | (.[0].room // "other") as $name | line($name)), line("all"))' "$report/files.json" |
        column -t -s $'\t'
}

# Functions that were never entered, as FILE NAME.
uncalled() {
    find "$directory"/{proto,signing,coordinator,worker} -name '*.gcda' -print0 |
        xargs -0 -n 50 gcov --json-format --stdout 2>/dev/null |
        jq -r --arg root "$PWD/" '.files[] | .file as $f | select($f | startswith($root)) | .functions[]
            | [($f | ltrimstr($root)), .name, .execution_count] | @tsv' |
        awk -F'\t' '$1 !~ /^build/ { calls[$1 " " $2] += $3 } END { for (f in calls) if (calls[f] == 0) print f }' | sort
}

while [ $# -gt 0 ]; do
    case $1 in
        --jobs) jobs=${2:?--jobs needs a number}; shift ;;
        --report) run=no ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
missing=$(missing_packages "${FARM_BUILD_PACKAGES[@]}" "${FARM_RUN_PACKAGES[@]}" "${FARM_TEST_PACKAGES[@]}" "${FARM_COVERAGE_PACKAGES[@]}")
# shellcheck disable=SC2086
[ -z "$missing" ] || install_missing $missing
status=0
[ "$run" = no ] || run_tests || status=1
rm -rf "$report"
mkdir -p "$report/html"
measure >/dev/null
uncalled >"$report/functions.txt"
rooms_table | tee "$report/rooms.txt"
echo "each file: $report/files.txt; what nothing called: $report/functions.txt; each line: $report/html/index.html"
exit "$status"
