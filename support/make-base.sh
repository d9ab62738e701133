#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make-base.sh OUT.tar: the root filesystem that the example builds start from.
#
# It holds Debian's essential packages, a C and C++ toolchain and the usual build tools, and deliberately no development
# files of anything that the example tree builds itself (OpenSSL's are in it because nothing there builds OpenSSL). The tar
# is a function of the package versions alone: everything that remembers when, where or on what machine it was made is left
# out or removed, owners are root, and no file keeps a setuid bit. Two runs against the same mirror state give the same bytes.
#
# Works as root, and as a plain user: in a user namespace (uidmap, and an entry in /etc/subuid and /etc/subgid), else through
# fakechroot. All three give the same bytes. Nothing on the system is changed.
#
#   FARM_APT_CACHE  directory that keeps downloaded packages between runs (default: none are kept)
#   FARM_BASE_MODE  mmdebstrap's mode, if the choice made here does not fit (root, unshare, fakechroot)
#
# Exit status: 0 done, 1 failed, 2 could not run.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian-sources.sh"

# Files newer than this (maintainer scripts make them) get this time: the release day of Debian 12.
BASE_EPOCH=1686355200

PACKAGES=(
    # compilers and the C library
    gcc g++ libc6-dev linux-libc-dev libssl-dev
    # build systems
    make cmake ninja-build meson pkgconf autoconf automake libtool m4 bison flex
    # what build scripts call
    perl python3 gawk patch file bzip2 xz-utils zstd
)

# Weight that no build needs. path-include keeps the licences, which redistribution of the tar requires.
EXCLUDED=(
    'path-exclude=/usr/share/man/*'
    'path-exclude=/usr/share/info/*'
    'path-exclude=/usr/share/locale/*'
    'path-exclude=/usr/share/lintian/*'
    'path-exclude=/usr/share/bug/*'
    'path-exclude=/usr/share/doc/*'
    'path-include=/usr/share/doc/*/copyright'
    # debugging aids of the compiler, and static archives of what is linked dynamically
    'path-exclude=/usr/bin/*lto-dump*'
    'path-exclude=/usr/lib/gcc/*/lib?san*.a'
    'path-exclude=/usr/lib/x86_64-linux-gnu/lib?san.so*'
    'path-exclude=/usr/lib/x86_64-linux-gnu/libcrypto.a'
    'path-exclude=/usr/lib/x86_64-linux-gnu/libssl.a'
)

# Runs as root of the new tree, whose path is $1, after everything is installed. The dynamic linker's cache goes too: its
# content depends on directory order, and without it the linker looks into the default directories by itself. So do Python's
# compiled files: they differ now and then between runs, and every build could rewrite them.
#
# tmp is left to mmdebstrap, because the configuration is in there that keeps apt inside the new tree: without that file, an
# apt-get that mmdebstrap starts would work on the system's own lists. For the same reason its own clean-up of apt is skipped.
CLEAN='set -e
cd "$1"
rm -f etc/hostname etc/resolv.conf etc/machine-id etc/ld.so.cache etc/.pwd.lock
rm -f etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/subuid- etc/subgid-
rm -f etc/apt/sources.list etc/apt/sources.list.d/* etc/apt/apt.conf.d/99mmdebstrap etc/dpkg/dpkg.cfg.d/99mmdebstrap
rm -f var/lib/dpkg/*-old var/lib/dpkg/lock* var/lib/dpkg/available var/cache/ldconfig/aux-cache
rm -rf var/lib/apt var/cache/apt var/cache/debconf var/log var/backups var/tmp/*
mkdir -p var/log
find . -xdev -name __pycache__ -prune -exec rm -rf {} +
find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev \) -prune -o -exec chown -h 0:0 {} +
find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev \) -prune -o ! -type l -perm /6000 -exec chmod ug-s {} +'

die() { # STATUS WORD...
    local status=$1
    shift
    echo "make-base: $*" >&2
    exit "$status"
}

has_subordinate_ids() {
    local who
    who=$(id -un)
    command -v newuidmap >/dev/null && command -v newgidmap >/dev/null &&
        grep -qE "^($who|$(id -u)):" /etc/subuid && grep -qE "^($who|$(id -u)):" /etc/subgid
}

choose_mode() {
    if [ -n "${FARM_BASE_MODE:-}" ]; then
        echo "$FARM_BASE_MODE"
    elif [ "$(id -u)" = 0 ]; then
        echo root
    elif has_subordinate_ids; then
        echo unshare
    elif command -v fakechroot >/dev/null && command -v fakeroot >/dev/null; then
        echo fakechroot
    else
        die 2 "a plain user needs the packages fakechroot and fakeroot, or uidmap and a range of ids:" \
            "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
    fi
}

[ $# = 1 ] || die 2 "usage: make-base.sh OUT.tar"
for tool in mmdebstrap apt-get dpkg; do
    command -v $tool >/dev/null || die 2 "$tool is missing; install the package of that name"
done

out=$1
mode=$(choose_mode)
work=$(mktemp -d "${TMPDIR:-/tmp}/make-base.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "base: asking apt for this machine's Debian suites"
debian_sources deb "$work" >"$work/sources.list"
sed -E 's/^deb \[[^]]*\] [^ ]+ /base: using suite /' "$work/sources.list"

options=(--mode="$mode" --variant=essential --format=tar --skip=output/dev --skip=cleanup/apt)
options+=(--include="$(IFS=,; echo "${PACKAGES[*]}")")
for rule in "${EXCLUDED[@]}"; do
    options+=(--dpkgopt="$rule")
done
while read -r setting; do
    [ -z "$setting" ] || options+=(--aptopt="$setting")
done < <(debian_transport_settings)

if [ -n "${FARM_APT_CACHE:-}" ]; then
    mkdir -p "$FARM_APT_CACHE"
    cache=$(cd "$FARM_APT_CACHE" && pwd)
    echo "base: packages are kept in $cache"
    options+=(--skip=download/empty --skip=essential/unlink)
    options+=(--setup-hook='mkdir -p "$1"/var/cache/apt/archives')
    options+=(--setup-hook="sync-in '$cache' /var/cache/apt/archives")
    options+=(--customize-hook="sync-out /var/cache/apt/archives '$cache'")
fi
options+=(--customize-hook="${CLEAN//$'\n'/; }")

export SOURCE_DATE_EPOCH=$BASE_EPOCH LC_ALL=C.UTF-8

echo "base: installing ${#PACKAGES[@]} packages and what they need (mode $mode)"
start=$SECONDS
if ! mmdebstrap "${options[@]}" '' "$work/base.tar" "$work/sources.list" 2>&1 |
    tee "$work/log" | sed -un -E '/hook|tempdir|requested|chroot arch/d; s/^I: /base: /p'; then
    tail -n 30 "$work/log" >&2
    die 1 "mmdebstrap failed; its last lines are above"
fi

# The device nodes were left out together with their directory, which a sandbox mounts on.
mkdir "$work/dev"
tar --append --file="$work/base.tar" --directory="$work" --format=ustar --owner=0 --group=0 --numeric-owner \
    --mode=0755 --mtime="@$BASE_EPOCH" ./dev
mv "$work/base.tar" "$out"
echo "base: $out, $(($(stat -c %s "$out") / 1048576)) MiB, $((SECONDS - start)) s"
echo "base: sha256 $(sha256sum "$out" | cut -d' ' -f1)"
