#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The trust root's next version, made by people in different places who pass files around: a release manager is replaced, thresholds
# change. Both thresholds sign (S9); what skips a version, or only the new people signed, is refused; workers and farm-verify follow the
# chain from whichever version they trust; what was released before does not pass for new again (K4).
. "$(dirname "$0")/lib.sh"
test_begin rotation

tree_plain one
tree_plain two one
tree_commit
farm_up alder birch
farm_plan one 2>/dev/null
expect_status 0 farmctl build --wait "$plan"

say "a release under version 1"
release_make first
expect_status 0 farmctl handoff first --phase image --to "$work/handoff-1"
expect_status 0 farm-verify "$work/handoff-1" --trust "$work/root.json" --state "$work/old.state" --phase image
cp "$work/old.state" "$work/followed.state"

# ---- people ----

# Each has a directory with the own key; nothing else gets there but what somebody sends.
for person in mara niko olga pia; do
    key_of "$person" >/dev/null
    mkdir "$work/at-$person"
    mv "$work/keys/$person" "$work/keys/$person.pub" "$work/at-$person"
    cp "$work/root.json" "$work/at-$person"
done
own_key() { echo "$work/at-$1/$1"; }

send() { # FROM TO FILE: the file and the signatures that are there, added to those that the other has
    cp "$work/at-$1/$3" "$work/at-$2/$3"
    [ ! -d "$work/at-$1/$3.sig.d" ] || { mkdir -p "$work/at-$2/$3.sig.d" && cp "$work/at-$1/$3.sig.d"/* "$work/at-$2/$3.sig.d"; }
}
root_sign() { # PERSON FILE
    farm-sign root sign "$work/at-$1/$2" --key "$(own_key "$1")" --previous "$work/at-$1/root.json" >"$work/signing"
}
olga() { # COMMAND...: what olga does with the draft on her machine
    (cd "$work/at-olga" && farm-sign root "$@")
}

say "olga drafts version 2: pia for mara, three of three sign releases"
cp -r "$work/root.json.sig.d" "$work/at-olga/root.json.sig.d"
send pia olga pia.pub
for role in root release; do
    [ -e "$work/at-olga/root2.json" ] || olga add root.json $role --person pia --key pia.pub --out root2.json >/dev/null
    [ $role = root ] || olga add root2.json $role --person pia --key pia.pub >/dev/null
    olga remove root2.json $role --person mara >/dev/null
done
olga remove root2.json root --person niko >/dev/null # he signs releases still
olga threshold root2.json release 3 >/dev/null
mkdir "$work/at-olga/root2.json.sig.d"
expect_status 1 farmctl root install "$work/at-olga/root2.json"
expect_text "0 of 2 needed persons" "$work/out"
rmdir "$work/at-olga/root2.json.sig.d"

say "S9: signed only by the new ones"
send olga pia root2.json
root_sign olga root2.json
root_sign pia root2.json
send pia olga root2.json
expect_status 1 farm-sign root show "$work/at-olga/root2.json" --previous "$work/root.json"
expect_text "version 1, the one before: 1 of 2 (olga); missing: 1 of mara, niko" "$work/out"
expect_text "version 2 itself: 2 of 2 (olga, pia)" "$work/out"
expect_status 1 farmctl root install "$work/at-olga/root2.json"
expect_text "1 of 2 needed persons of the role root, as the version before names it" "$work/out"
expect "nothing was installed" test ! -e "$work/coordinator/roots/2.json"

say "niko sees what changes, signs, and it is enough"
send olga niko root2.json
root_sign niko root2.json
expect_text "- release    mara" "$work/signing"
expect_text "+ release    3 of 3 persons" "$work/signing"
expect_text "version 1, the one before: 2 of 2" "$work/signing"
send niko olga root2.json
expect_status 0 farm-sign root show "$work/at-olga/root2.json" --previous "$work/root.json"

say "S9: version 3 cannot skip version 2"
olga add root2.json unverified one --out root3.json >/dev/null
farm-sign root sign "$work/at-olga/root3.json" --key "$(own_key olga)" >/dev/null
send olga pia root3.json
farm-sign root sign "$work/at-pia/root3.json" --key "$(own_key pia)" >/dev/null
send pia olga root3.json
expect_status 1 farmctl root install "$work/at-olga/root3.json"
expect_text "version 3 cannot follow version 1" "$work/out"

say "version 2 is installed; the workers follow"
expect_status 0 farmctl root install "$work/at-olga/root2.json"
expect_status 1 farmctl root install "$work/root.json"
expect_text "version 1 cannot follow version 2" "$work/out"
expect_status 0 farmctl root show
expect_text "release    3 of 3: niko, olga, pia" "$work/out"
expect_text "cosigned by 2 of alder, birch" "$work/out"
coordinator_kill
coordinator_start
wait_for 30 "the workers are back" workers_online 2
for name in alder-1 birch-1; do # they ask when they connect, and every few minutes
    wait_for 30 "$name follows to version 2" grep -q "trust root: version 2" "$work/log/worker-$name.log"
done
expect "the chain is kept" test -e "$work/coordinator/roots/1.json" -a -e "$work/coordinator/roots/2.json"

say "a release under version 2"
farm_plan two 2>/dev/null
expect_status 0 farmctl build --wait "$plan"
farmctl release draft --out "$work/second.json" second "$plan" >/dev/null
for person in niko olga; do
    farm-sign release "$work/second.json" --key "$(own_key "$person")" >/dev/null
done
farmctl release submit second "$work/second.json" >/dev/null
cp "$work/second.json" "$work/by-mara.json"
farm-sign release "$work/by-mara.json" --key "$(own_key mara)" >/dev/null
expect_status 1 farmctl release submit second "$work/by-mara.json"
expect_text "its key is not in this role" "$work/out"
expect_status 1 farmctl handoff second --phase image --to "$work/handoff-2"
farm-sign release "$work/second.json" --key "$(own_key pia)" >/dev/null
expect_status 0 farmctl release submit second "$work/second.json"
log_cosigned
expect_status 0 farmctl handoff second --phase image --to "$work/handoff-2"

say "farm-verify follows the chain from whatever it trusts"
expect_status 0 farm-verify "$work/handoff-2" --trust "$work/root.json" --state "$work/followed.state" --phase image
expect_status 0 farm-verify "$work/handoff-2" --trust "$work/root.json" --state "$work/fresh.state" --phase image
expect_status 0 farm-verify "$work/handoff-2" --trust "$work/at-olga/root2.json" --state "$work/newer.state" --phase image
expect_status 1 farm-verify "$work/handoff-2" --trust "$work/at-olga/root3.json" --state "$work/newest.state" --phase image

say "K4: the release of before is not new again"
expect_status 1 farm-verify "$work/handoff-1" --trust "$work/root.json" --state "$work/followed.state" --phase image
expect_text "root version 2 was accepted before, this is 1" "$work/out"
expect_status 1 farm-verify "$work/handoff-1" --trust "$work/at-olga/root2.json" --state "$work/x.state" --phase image
expect_text "the release carries root version 1, you trust version 2" "$work/out"
expect_status 0 farm-verify "$work/handoff-1" --trust "$work/root.json" --state "$work/old.state" --phase image

say "a link that was taken out of the chain, or changed"
cp -r "$work/handoff-2" "$work/bad"
rm -r "$work/bad/root/1.root.json.sig.d"
expect_status 1 farm-verify "$work/bad" --trust "$work/at-olga/root2.json" --state "$work/x.state" --phase image
rm -r "$work/bad" && cp -r "$work/handoff-2" "$work/bad"
for signature in "$work/bad/root/2.root.json.sig.d"/*; do
    rm "$signature"
    expect_status 1 farm-verify "$work/bad" --trust "$work/root.json" --state "$work/x.state" --phase image
    cp "$work/handoff-2/root/2.root.json.sig.d/${signature##*/}" "$signature"
done
expect_status 0 farm-verify "$work/bad" --trust "$work/root.json" --state "$work/x.state" --phase image

say "several versions at once"
cp "$work/at-olga/root3.json" "$work/root3.json" && cp -r "$work/at-olga/root3.json.sig.d" "$work/root3.json.sig.d"
expect_status 0 farmctl root install "$work/root.json" "$work/at-olga/root2.json" "$work/root3.json"
expect_status 0 farmctl root show --json
expect_text '"version":3' "$work/out"
