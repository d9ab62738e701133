#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# export.sh DIRECTORY: one real release of a real farm, for the checks beside it: three packages of which the policy holds one back, with
# a waiver for that; drafted, signed, exported, verified.
target=${1:?where to?}
set -- # lib.sh reads no arguments
. "$(dirname "$0")/../integration/lib.sh"
test_begin interop

tree_plain one
tree_plain two one
tree_plain held
write_policy
sed -i 's/^  hold: \[\]/  hold: [held]/' "$work/tree/farm/policy.yml"
tree_commit
farm_up alder birch
farm_plan
expect_status 0 farmctl build --wait "$plan"

say "a waiver for what the policy holds"
farm-sign waiver new --package extra/held --version 1.0 --rule hold --reason "Looked at; the difference is known." \
    --expires 30 --out "$work/waiver.json"
for signer in mara niko; do
    farm-sign waiver sign "$work/waiver.json" --key "$(key_of "$signer")" >/dev/null
done
expect_status 0 farmctl release draft --waiver "$work/waiver.json" --out "$work/first.json" first "$plan"
for signer in mara olga; do
    farm-sign release "$work/first.json" --key "$(key_of "$signer")" >/dev/null
done
expect_status 0 farmctl release submit first "$work/first.json"
expect_status 0 farmctl release export first "$work/export"
expect_status 0 farm-verify "$work/export" --trust "$work/root.json"
expect_text "extra/held" "$work/out"

rm -rf "$target"
mkdir -p "$target"
cp -r "$work/export" "$work/keys" "$work/root.json" "$work/root.json.sig.d" "$work/waiver.json" "$target/"
cp -r "$work"/entry-* "$target/"
