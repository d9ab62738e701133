#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# OpenSSL verifies every DSSE envelope of a release with the PEM files beside it: workers' answers and summaries.
. "$(dirname "$0")/lib.sh"
needs openssl openssl
needs jq jq

unpack_envelopes

# What DSSE signs.
write_pae() { # ENVELOPE OUT
    local type
    type=$(jq -j .payloadType "$1")
    jq -r .payload "$1" | base64 -d >"$scratch/body"
    {
        printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$(stat -c %s "$scratch/body")"
        cat "$scratch/body"
    } >"$2"
}

verify() { # PEM PAE SIGNATURE
    openssl pkeyutl -verify -pubin -inkey "$1" -rawin -in "$2" -sigfile "$3"
}

for envelope in "$scratch"/envelopes/*.json; do
    key=${envelope%.json}.pem
    write_pae "$envelope" "$scratch/pae"
    jq -r '.signatures[0].sig' "$envelope" | base64 -d >"$scratch/sig"
    verify "$key" "$scratch/pae" "$scratch/sig" >"$scratch/out" 2>&1 ||
        fail "OpenSSL refuses $(cat "$envelope" | head -c 200)...: $(cat "$scratch/out")"
    printf ' ' >>"$scratch/pae"
    refused "an altered statement" verify "$key" "$scratch/pae" "$scratch/sig"
done

say "keyids are the digests that securesystemslib computes"
for envelope in "$scratch"/envelopes/*.json; do
    raw=$(openssl pkey -pubin -in "${envelope%.json}.pem" -outform DER | tail -c 32 | od -An -v -tx1 | tr -d ' \n')
    expected=$(printf '{"keytype":"ed25519","keyval":{"public":"%s"},"scheme":"ed25519"}' "$raw" | sha256sum | cut -d' ' -f1)
    [ "$(jq -r '.signatures[0].keyid' "$envelope")" = "$expected" ] || fail "another keyid than $expected in $envelope"
done
