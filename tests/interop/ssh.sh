#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What farm-sign signs, OpenSSH verifies; what OpenSSH signs, our programs accept. Release, root, worker entries, waivers.
. "$(dirname "$0")/lib.sh"
needs ssh-keygen openssh-client
needs jq jq

allowed=$scratch/allowed
for key in "$release"/keys/*.pub; do
    printf '%s %s\n' "$(basename "$key" .pub)" "$(cut -d' ' -f1,2 "$key")"
done >"$allowed"

# The person whose key made it, by OpenSSH's own search.
principal_of() { # SIGNATURE
    ssh-keygen -Y find-principals -f "$allowed" -s "$1" 2>/dev/null || fail "OpenSSH knows nobody who made $1"
}

check() { # NAMESPACE SIGNATURE DOCUMENT
    ssh-keygen -Y verify -f "$allowed" -I "$(principal_of "$2")" -n "$1" -s "$2" <"$3" >/dev/null 2>"$scratch/why" ||
        fail "OpenSSH refuses $2 over $3: $(cat "$scratch/why")"
    refused "another namespace" ssh-keygen -Y verify -f "$allowed" -I "$(principal_of "$2")" -n other@intergenos -s "$2" <"$3"
    cp "$3" "$scratch/altered"
    printf ' ' >>"$scratch/altered"
    refused "an altered document" ssh-keygen -Y verify -f "$allowed" -I "$(principal_of "$2")" -n "$1" -s "$2" \
        <"$scratch/altered"
}

check_all() { # NAMESPACE DIRECTORY DOCUMENT COUNT
    local signature count=0
    for signature in "$2"/*.sig; do
        check "$1" "$signature" "$3"
        count=$((count + 1))
    done
    [ "$count" -ge "$4" ] || fail "$2 has $count signatures, expected $4"
}

say "release and root, as farm-sign signed them"
check_all release@intergenos "$export_dir/release.json.sig.d" "$export_dir/release.json" 2
check_all root@intergenos "$export_dir/root/1.root.json.sig.d" "$export_dir/root/1.root.json" 2

# A document inside another one: its compact text, and its signatures as files.
unpack() { # NAME JQ-OF-THE-DOCUMENT JQ-OF-THE-SIGNATURES FILE
    local count at
    mkdir -p "$scratch/$1.sig.d"
    jq -cSaj "$2" "$4" >"$scratch/$1"
    count=$(jq "$3 | length" "$4")
    for at in $(seq 0 $((count - 1))); do
        jq -j "$3[$at]" "$4" >"$scratch/$1.sig.d/$at.sig"
    done
}

say "the entries of the worker directory"
for at in $(seq 0 $(($(jq '.entries | length' "$export_dir/root/workers.json") - 1))); do
    unpack "entry-$at" ".entries[$at].entry" ".entries[$at].signatures" "$export_dir/root/workers.json"
    check_all workers@intergenos "$scratch/entry-$at.sig.d" "$scratch/entry-$at" 2
done

say "the waiver"
unpack waiver .waivers[0].waiver .waivers[0].signatures "$export_dir/release.json"
check_all waiver@intergenos "$scratch/waiver.sig.d" "$scratch/waiver" 2

ssh_sign() { # PERSON NAMESPACE DOCUMENT: makes DOCUMENT.sig
    rm -f "$3.sig"
    ssh-keygen -q -Y sign -f "$scratch/keys/$1" -n "$2" "$3" 2>"$scratch/why" || fail "$(cat "$scratch/why")"
}
cp -r "$release/keys" "$scratch/keys"
chmod 600 "$scratch"/keys/*

say "a release that OpenSSH signed"
cp -r "$export_dir" "$scratch/export"
rm "$scratch"/export/release.json.sig.d/*
for person in niko olga; do
    cp "$export_dir/release.json" "$scratch/release.json"
    ssh_sign "$person" release@intergenos "$scratch/release.json"
    farm-sign release "$scratch/release.json" --import "$scratch/release.json.sig" >"$scratch/out" || fail "$(cat "$scratch/out")"
done
cp "$scratch"/release.json.sig.d/*.sig "$scratch/export/release.json.sig.d/"
farm-verify "$scratch/export" --trust "$release/root.json" >"$scratch/out" 2>&1 ||
    fail "farm-verify refuses a release that OpenSSH signed: $(cat "$scratch/out")"
cp "$export_dir/release.json" "$scratch/wrong.json"
ssh_sign niko waiver@intergenos "$scratch/wrong.json" # S3
refused "a signature in another namespace" farm-sign release "$scratch/wrong.json" --import "$scratch/wrong.json.sig"

say "a root that OpenSSH signed"
cp "$release/root.json" "$scratch/root.json"
for person in mara olga; do
    ssh_sign "$person" root@intergenos "$scratch/root.json"
    farm-sign root sign "$scratch/root.json" --import "$scratch/root.json.sig" >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
done
farm-sign root show "$scratch/root.json" >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"

say "a waiver that OpenSSH signed"
jq -cSa '.signatures = []' "$release/waiver.json" >"$scratch/waiver.json"
for person in niko olga; do
    jq -cSaj .waiver "$scratch/waiver.json" >"$scratch/waiver.text"
    ssh_sign "$person" waiver@intergenos "$scratch/waiver.text"
    farm-sign waiver sign "$scratch/waiver.json" --import "$scratch/waiver.text.sig" >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
done
farm-sign waiver show "$scratch/waiver.json" --trust "$release/root.json" >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"

say "a worker's entry that OpenSSH signed"
cp "$release/entry-alder-1.json" "$scratch/entry.json"
for person in alder enrolment; do
    ssh_sign "$person" workers@intergenos "$scratch/entry.json"
    farm-sign entry "$scratch/entry.json" --import "$scratch/entry.json.sig" >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
done
check_all workers@intergenos "$scratch/entry.json.sig.d" "$scratch/entry.json" 2
