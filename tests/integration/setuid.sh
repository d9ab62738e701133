#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A7: two packages install a setuid file. Both are built and agreed on; only the one for which the policy says "setuid: allowed" passes the
# gate, and the refusal names the file.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
test_begin setuid

setuid_package() { # NAME
    tree_package "$1" <<BUILD
do_install() {
    mkdir -p "\$DESTDIR/usr/bin" "\$DESTDIR/usr/share/$1"
    echo "$1" >"\$DESTDIR/usr/share/$1/made"
    echo "$1" >"\$DESTDIR/usr/bin/$1"
    chmod 4755 "\$DESTDIR/usr/bin/$1"
}
BUILD
}
setuid_package meant
setuid_package sneaky
write_policy
cat >>"$work/tree/farm/policy.yml" <<'POLICY'
rules:
  - match: {package: meant}
    set: {setuid: allowed}
POLICY
tree_commit
farm_up alder birch

say "what the policy means to be setuid passes"
farm_plan meant
farmctl build --wait "$plan" >/dev/null
release_make meant
farmctl handoff meant --phase image --to "$work/meant" >/dev/null
grep -q '^\./usr/bin/meant type=file mode=4755 ' "$work"/meant/manifests/meant-1.0.mtree || fail "the bit is part of what was agreed"

say "what it does not is refused, and named"
farm_plan sneaky
farmctl build --wait "$plan" >/dev/null
release_make sneaky
expect_status 1 farmctl handoff sneaky --phase image --to "$work/sneaky"
expect_text "/usr/bin/sneaky has mode 4755" "$work/out"
expect "nothing was handed over" test ! -e "$work/sneaky"
