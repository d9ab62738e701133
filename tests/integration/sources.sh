#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What is laid out for a build: an archive, a second one that is bundled into it, and a patch that lies beside the recipe. Both workers see the same, and
# a patch that does not apply is the package's failure, not a worker's.
. "$(dirname "$0")/lib.sh"
test_begin sources

pack() { # NAME: its directory as a tar
    tar -C "$work" --sort=name --owner=0 --group=0 --mtime=@1700000000 -cf "$work/$1.tar" "$1"
}
pin() { # PACKAGE NAME...: lines of the lock
    local package=$1 name
    shift
    printf '  %s:\n' "$package"
    for name in "$@"; do
        printf '    - url: https://sources.invalid/%s.tar\n      filename: %s.tar\n      sha256: %s\n      size: %s\n      epoch: 1700000000\n' \
            "$name" "$name" "$(sha256sum <"$work/$name.tar" | cut -d' ' -f1)" "$(stat -c %s "$work/$name.tar")"
    done
}
source_of() { # NAME
    printf '  - url: https://sources.invalid/%s.tar\n    filename: %s.tar\n    sha256: %s\n' "$1" "$1" "$(sha256sum <"$work/$1.tar" | cut -d' ' -f1)"
}
patched() { # PACKAGE PATCH-FILE: a package of both sources
    mkdir -p "$work/tree/packages/extra/$1"
    tree_package "$1" <<'BUILD'
build() {
    cat greeting vendor/part/text >made
}
do_install() {
    mkdir -p "$DESTDIR/usr/share/$PKG_NAME"
    cp made "$DESTDIR/usr/share/$PKG_NAME/made"
}
BUILD
    sed -i "s/\$PKG_NAME/$1/" "$work/tree/packages/extra/$1/build.sh"
    {
        sed '/^source:/,$d' "$work/tree/packages/extra/$1/package.yml"
        printf 'source:\n'
        source_of main-1.0
        source_of part-2.0
        printf 'bundled_deps:\n  - part-2.0 -> vendor/part\npatches:\n  - change.patch\n'
        sed '1,/^source:/d' "$work/tree/packages/extra/$1/package.yml"
    } >"$work/recipe"
    mv "$work/recipe" "$work/tree/packages/extra/$1/package.yml"
    cp "$2" "$work/tree/packages/extra/$1/change.patch"
}

mkdir "$work/main-1.0" "$work/part-2.0"
echo "hello" >"$work/main-1.0/greeting"
echo "of the part" >"$work/part-2.0/text"
pack main-1.0 && pack part-2.0
printf -- '--- a/greeting\n+++ b/greeting\n@@ -1 +1 @@\n-hello\n+hello, patched\n' >"$work/good.patch"
printf -- '--- a/greeting\n+++ b/greeting\n@@ -1 +1 @@\n-good bye\n+good bye, patched\n' >"$work/bad.patch"
patched good "$work/good.patch"
patched bad "$work/bad.patch"
{
    printf 'version: 1\nsources:\n'
    pin bad main-1.0 part-2.0
    pin good main-1.0 part-2.0
} >"$work/tree/farm/farm.lock"
tree_commit
farm_up alder birch

say "what nobody brought is named, and nothing starts"
farm_plan good 2>/dev/null
expect_status 1 farmctl build --wait "$plan"
expect_text "main-1.0.tar" "$work/out"
expect_text "part-2.0.tar" "$work/out"
expect_status 0 farmctl source add "$work/main-1.0.tar" "$work/part-2.0.tar"

say "archive, bundle and patch are where the recipe finds them"
expect_status 0 farmctl build --wait "$plan"
expect_status 0 farmctl why good --json
payload=$(jq -r .payload "$work/out")
release_make laid
expect_status 0 farmctl release export laid "$work/export"
archive=$(find "$work/export" -name 'good-*.igos.tar.gz')
expect "both workers built this" test "$(tar -xOzf "$archive" ./usr/share/good/made 2>/dev/null || tar -xOzf "$archive" usr/share/good/made)" = $'hello, patched\nof the part'
expect "it is what was agreed" test "${#payload}" = 64

say "a patch that does not apply"
farm_plan bad 2>/dev/null
expect_status 1 farmctl build --wait "$plan"
expect "the package failed" test "$(job_state bad)" = failed
expect_status 0 farmctl log bad
expect_text "greeting" "$work/out"
