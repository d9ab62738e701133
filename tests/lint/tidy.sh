#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# clang-tidy and clang's analyzer find nothing in what users run (.clang-tidy says what is looked for).
# Usage: tidy.sh SOURCE-DIR BINARY-DIR
set -euo pipefail
source_dir=$1 binary_dir=$2
command -v clang-tidy >/dev/null || { echo "skipped: clang-tidy is not installed"; exit 77; }
cd "$source_dir"
found=$binary_dir/clang-tidy.txt
# Those that do not compile with clang say "error:"; xargs keeps that in its status as well.
status=0
git ls-files 'proto/*.c' 'signing/*.c' 'coordinator/*.c' 'worker/*.c' |
    xargs -P2 -n4 clang-tidy -p "$binary_dir" --quiet >"$found" 2>"$found.err" || status=$?
grep -E ': (warning|error):' "$found" | sed "s|$source_dir/||" | sort -u || true
if [ "$status" != 0 ]; then
    cat "$found.err"
    exit 1
fi
! grep -qE ': (warning|error):' "$found"
