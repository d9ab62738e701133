# SPDX-License-Identifier: GPL-3.0-or-later
#
# lib.sh: sourced by the checks beside it. Each gets the directory that export.sh made:
#
#     export/        a release directory          keys/       key pairs of its people, for this release alone
#     root.json      the trust root               waiver.json entry-alder-1.json    as they were signed, with .sig.d where it has one
set -euo pipefail
export LC_ALL=C.UTF-8
: "${FARM_BINARY_DIR:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build}"
export PATH=$FARM_BINARY_DIR/bin:$PATH
release=${1:?which release?}
export_dir=$release/export

say() { echo "--- $*"; }

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

skip() {
    echo "skipped: $*"
    exit 77
}

needs() { # PROGRAM DEBIAN-PACKAGE
    command -v "$1" >/dev/null || skip "$1 is not installed (Debian: $2)"
}

refused() { # WHAT COMMAND...: must fail
    local what=$1
    shift
    if "$@" >"$scratch/refused" 2>&1; then
        fail "$what was accepted by: $*"
    fi
}

[ -e "$export_dir/release.json" ] || fail "there is no release in $release; export.sh makes one"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Every DSSE envelope of the release, one file each in $scratch/envelopes: the lines of the receipts without our two members, and
# the summaries. Beside each the PEM file that signed it.
unpack_envelopes() {
    local file line at=0 id
    mkdir "$scratch/envelopes"
    while read -r line; do
        at=$((at + 1))
        printf '%s' "$line" >"$scratch/envelopes/$at.json"
        id=$(jq -r .payload "$scratch/envelopes/$at.json" | base64 -d | jq -r .predicate.runDetails.builder.id)
        ln -s "$export_dir/keys/${id##*:}.pem" "$scratch/envelopes/$at.pem"
    done < <(cat "$export_dir"/receipts/*.jsonl | jq -cS 'select(.kind == "envelope") | del(.kind, .job)' | sort -u)
    [ "$at" -ge 4 ] || fail "only $at answers of workers in the receipts"
    for file in "$export_dir"/summaries/*.vsa.jsonl; do
        while read -r line; do
            at=$((at + 1))
            printf '%s' "$line" >"$scratch/envelopes/$at.json"
            ln -s "$export_dir/keys/coordinator.pem" "$scratch/envelopes/$at.pem"
        done <"$file"
    done
    say "$at envelopes"
}
