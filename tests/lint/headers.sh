#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every header compiles alone, included twice, with the flags of a target of its directory: it includes what it needs, and nothing
# that its room may not see.
# Usage: headers.sh SOURCE-DIR BINARY-DIR
set -euo pipefail
source_dir=$1 binary_dir=$2
cd "$source_dir"
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# One compilation of each target, as "directory of the source<TAB>command"; a directory may have several targets.
targets=$(jq -r --arg source "$source_dir/" '[.[] | {directory: (.file | ltrimstr($source) | sub("/[^/]*$"; "")),
    target: (.command | capture(" -o (?<object>[^ ]*\\.dir)/").object), command}] | unique_by([.directory, .target])[] |
    [.directory, .command] | @tsv' "$binary_dir/compile_commands.json")

compiles_alone() { # HEADER
    local command
    : >"$errors"
    while IFS= read -r command; do
        (cd "$binary_dir" && printf '#include "%s"\n#include "%s"\n' "$source_dir/$1" "$source_dir/$1" |
            eval "${command%% -o *} -std=c17 -fsyntax-only -x c -") 2>>"$errors" && return
    done < <(awk -F'\t' -v directory="$(dirname "$1")" '$1 == directory { print $2 }' <<<"$targets")
    return 1
}

checked=0 failed=0
while read -r header; do
    checked=$((checked + 1))
    compiles_alone "$header" && continue
    failed=$((failed + 1))
    echo "$header does not compile alone"
    cat "$errors"
done < <(git ls-files '*.h')
echo "$checked headers, $failed failed"
[ "$checked" -gt 0 ] && [ "$failed" = 0 ]
