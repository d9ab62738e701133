#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# mini-base.sh OUT.tar: a root filesystem of a few MiB for tests: this machine's bash and a few tools with the libraries that
# they need. Real programs in a real root, but made in a second; not reproducible across machines, which tests do not need.
set -euo pipefail

tools=(bash cat chmod chown cp cut dd env find grep head id install ln ls make mkdir mv nproc od patch printf pwd readlink rm
    rmdir sed seq sh sleep sort stat tail tar tee test touch tr true uname wc xargs gzip timeout unshare mount)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{usr/bin,usr/lib,usr/lib64,etc,tmp,var/tmp,root,proc,sys,dev,sources,mnt}
ln -s usr/bin "$root/bin"
ln -s usr/bin "$root/sbin"
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
printf 'root:x:0:0:root:/root:/bin/bash\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"

copy_libraries() { # PROGRAM: its libraries, at the paths where the program looks for them
    local library
    ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root$(dirname "$(readlink -f "$(dirname "$library")")/x")"
        cp -nL "$library" "$root$(readlink -f "$(dirname "$library")")/$(basename "$library")"
    done
}
for tool in "${tools[@]}"; do
    path=$(type -P "$tool") || continue
    cp -L "$path" "$root/usr/bin/$tool"
    copy_libraries "$path"
done
[ -e "$root/usr/lib64/ld-linux-x86-64.so.2" ] || cp -L /lib64/ld-linux-x86-64.so.2 "$root/usr/lib64/"
tar -C "$root" --owner=0 --group=0 --numeric-owner -cf "$1" .
