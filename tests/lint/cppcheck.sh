#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# cppcheck finds nothing in the tree. Style is the compiler's, clang-format's and STYLE's business; 'unreadVariable' does not know the cleanup
# attribute. What it gets wrong in one place is suppressed there, in a comment with the reason.
# Usage: cppcheck.sh SOURCE-DIR BINARY-DIR
set -euo pipefail
source_dir=$1 binary_dir=$2
command -v cppcheck >/dev/null || { echo "skipped: cppcheck is not installed"; exit 77; }
mkdir -p "$binary_dir/cppcheck"
found=$binary_dir/cppcheck.txt
cppcheck --project="$binary_dir/compile_commands.json" --cppcheck-build-dir="$binary_dir/cppcheck" -i"$binary_dir" -j2 --quiet \
    --enable=warning,performance,portability --inline-suppr --std=c11 \
    --library="$source_dir/tests/lint/cppcheck.cfg" --suppress="*:$binary_dir/*" \
    --template='{file}:{line}: {severity}: {message} [{id}]' 2>"$found"
sed "s|$source_dir/||" "$found"
[ ! -s "$found" ]
