#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# cosign verifies the summaries as attestations of the archives; it is not in Debian 12.
. "$(dirname "$0")/lib.sh"
command -v cosign >/dev/null || skip "cosign is not installed (it is not in Debian 12)"

for file in "$export_dir"/summaries/*.vsa.jsonl; do
    archive=$export_dir/artifacts/$(basename "$file" .vsa.jsonl).igos.tar.gz
    while read -r line; do
        printf '%s' "$line" >"$scratch/envelope"
        check=(cosign verify-blob-attestation --key "$export_dir/keys/coordinator.pem" --insecure-ignore-tlog=true
            --type https://slsa.dev/verification_summary/v1 --signature "$scratch/envelope")
        "${check[@]}" "$archive" >"$scratch/out" 2>&1 || fail "cosign refuses a summary of $archive: $(cat "$scratch/out")"
        refused "another file" "${check[@]}" "$export_dir/release.json"
    done <"$file"
done
