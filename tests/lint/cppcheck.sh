#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# cppcheck finds nothing in the tree. Style is the compiler's, clang-format's and STYLE's business; 'unreadVariable' does not know the cleanup
# attribute. What it gets wrong in one place is suppressed there, in a comment with the reason; what everywhere, here:
#   resourceLeak             does not know the cleanup attribute either; the sanitizers count descriptors and memory
#   readdirCalled, getpwnamCalled   readdir() is safe on a stream of one's own, and readdir_r() is deprecated
#   funcArgOrderDifferent    takes a macro's arguments for its function's
# hostile.c does what is forbidden, to see it fail.
# Usage: cppcheck.sh SOURCE-DIR BINARY-DIR
set -euo pipefail
source_dir=$1 binary_dir=$2
command -v cppcheck >/dev/null || { echo "skipped: cppcheck is not installed"; exit 77; }
mkdir -p "$binary_dir/cppcheck"
found=$binary_dir/cppcheck.txt
cppcheck --project="$binary_dir/compile_commands.json" --cppcheck-build-dir="$binary_dir/cppcheck" -i"$binary_dir" -j2 --quiet \
    --enable=warning,performance,portability --inline-suppr --std=c11 \
    --library="$source_dir/tests/lint/cppcheck.cfg" --suppress="*:$binary_dir/*" \
    --suppress=resourceLeak --suppress=readdirCalled --suppress=getpwnamCalled --suppress=funcArgOrderDifferent \
    -i"$source_dir/tests/unit/sandbox/hostile.c" \
    --template='{file}:{line}: {severity}: {message} [{id}]' 2>"$found"
sed "s|$source_dir/||" "$found"
[ ! -s "$found" ]
