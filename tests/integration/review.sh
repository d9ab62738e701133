#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What people look at before they trust: blast-radius on a farm with three operators and a chain of packages, release diff between two
# releases (R3), and errors as JSON.
. "$(dirname "$0")/lib.sh"
test_begin review

command -v jq >/dev/null || skip "jq is not installed"

is() { # FILE FILTER VALUE: of a JSON document
    local got
    got=$(jq -r "$2" "$1")
    [ "$got" = "$3" ] || { cat "$1" >&2; fail "expected $2 to be $3, it is $got"; }
}
fingerprint_of() { # NAME: of that person's key, as ssh-keygen -l prints it
    echo "SHA256:$(cut -d' ' -f2 "$(key_of "$1").pub" | base64 -d | openssl dgst -sha256 -binary | base64 | tr -d =)"
}

margin=1
tree_plain bottom
tree_plain middle bottom
tree_plain top middle
tree_plain alone
tree_commit
farm_up alder birch
farm_plan
expect_status 0 farmctl build --wait "$plan"
release_make first

say "an operator without whom nothing has a quorum"
expect_status 1 farmctl blast-radius --operator birch
expect_text "4 artifacts have no quorum without it" "$work/out"
expect_text "if the same bytes come again: 8 builds" "$work/out"
expect_text "first" "$work/out"
expect_status 1 farmctl blast-radius --operator birch --json
cp "$work/out" "$work/birch.json"
is "$work/birch.json" '.plans[0].agreed' 4
is "$work/birch.json" '.plans[0].answered' 4
is "$work/birch.json" '.plans[0].lost | length' 4
is "$work/birch.json" '.plans[0].lost[0].node' extra/bottom
is "$work/birch.json" '.plans[0].lost[0].dependents' 2
is "$work/birch.json" '.plans[0].lost[0].builds' 2
is "$work/birch.json" '.plans[0].lost[0].builds_by_anchors' 1
is "$work/birch.json" '.plans[0].lost[0].state' pending
is "$work/birch.json" '.plans[0].lost[0].releases[0]' first
is "$work/birch.json" '.plans[0].same.builds' 8
is "$work/birch.json" '.plans[0].other.builds' 8

say "the same by its worker and by each of its keys"
hex=$(jq -r .ed25519 "$work/entry-birch-1.json")
keyid=$(printf '{"keytype":"ed25519","keyval":{"public":"%s"},"scheme":"ed25519"}' "$hex" | sha256sum | cut -d' ' -f1)
for asked in "--worker birch-1" "--key $hex" "--key $keyid" "--key $(fingerprint_of birch)" "--operator birch --all"; do
    # shellcheck disable=SC2086 # two words
    expect_status 1 farmctl blast-radius --json $asked
    cmp -s "$work/out" "$work/birch.json" || { cat "$work/out"; fail "expected the same answer to $asked"; }
done
expect_status 0 farmctl blast-radius --worker birch-1 --from 1000000
expect_text "Nothing loses its quorum" "$work/out"

say "whom it does not know"
expect_status 2 farmctl blast-radius --worker nobody
expect_status 2 farmctl blast-radius --key "$(fingerprint_of mara)"
expect_text "the key of mara in the role" "$work/out"
expect_status 2 farmctl blast-radius
expect_status 2 farmctl blast-radius --worker birch-1 --operator birch
farmctl blast-radius --json --worker nobody >"$work/out" 2>/dev/null || true
is "$work/out" '.status' 2
expect_text 'no worker \"nobody\"' "$work/out"
farmctl nonsense --json >"$work/out" 2>/dev/null || true
is "$work/out" '.status' 2

say "R3: a release against the one before"
worker_enrol cedar # new in the directory
rm -r "$work/tree/packages/extra/alone"
tree_plain newcomer bottom
sed -i 's/^version: .*/version: "1.1"/; s/^verify_paths:$/configure_flags: [--without-ssl]/; /made$/d' \
    "$work/tree/packages/extra/middle/package.yml"
sed -i 's/2000/2001/' "$work/tree/packages/extra/middle/build.sh"
margin=0
write_policy
tree_commit
# The next trust root allows that policy, names another anchor, and one manager is enough from now on.
farm-sign root add "$work/root.json" anchor cedar --key "$(key_of cedar).pub" --out "$work/root2.json" >/dev/null
farm-sign root threshold "$work/root2.json" release 1 >/dev/null
farm-sign root set "$work/root2.json" policy "$work/tree/farm/policy.yml" >/dev/null
for signer in mara niko; do
    farm-sign root sign "$work/root2.json" --key "$(key_of "$signer")" --previous "$work/root.json" >/dev/null
done
farmctl root install "$work/root2.json" >/dev/null
wait_for 30 "the workers follow" workers_online 2
farm_plan
expect_status 0 farmctl build --wait "$plan"
farmctl release draft --out "$work/second.json" second "$plan" >/dev/null
expect_status 1 farmctl release diff second
expect_text "Against first (number 1): 1 added, 1 removed" "$work/out"
expect_text "[verify-path-lost]" "$work/out"
expect_text "[feature-disabled]" "$work/out"
expect_text "[package-removed]" "$work/out"
expect_text "bottom: the margin that settles a dispute was 1 and is 0 [margin-lowered]" "$work/out"
expect_text "release: 2 persons had to sign, 1 do now [threshold-lowered]" "$work/out"
expect_text "cedar is an anchor operator now [anchor-gained]" "$work/out"
expect_text "1.0-1 -> 1.1-1" "$work/out"
expect_text "WEAKEST LINK" "$work/out"
expect_text "itself" "$work/out"
farmctl release diff second --json >"$work/diff.json" || true
is "$work/diff.json" '.against.release' first
is "$work/diff.json" '.added[0].package' newcomer
is "$work/diff.json" '.removed[0].package' alone
is "$work/diff.json" '.changed[0].package' middle
is "$work/diff.json" '.changed[0].inputs[0]' recipe
is "$work/diff.json" '.changed[1].package' top
is "$work/diff.json" '.changed[1].inputs[0]' dependencies
is "$work/diff.json" '.unchanged' 1
is "$work/diff.json" '.unchecked | length' 0
is "$work/diff.json" '.operators.came[0]' cedar
is "$work/diff.json" '.weakest | length' 4
farmctl release show second >"$work/show"
expect_text "[verify-path-lost]" "$work/show"
expect_text "farmctl release diff second" "$work/show"
farmctl release show second --json >"$work/show.json"
is "$work/show.json" '.release' second
expect_status 0 farmctl release diff first
expect_text "no signed release before it" "$work/out"
expect_status 1 farmctl release diff --against second first
expect_status 2 farmctl release diff --against nothing second
