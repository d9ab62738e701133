#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# W15, W16: a build that tries the network, the worker's keys, the host's files, more memory, more processes and more disk than
# allowed gets none of it; the farm goes on.
. "$(dirname "$0")/lib.sh"
test_begin hostile

# What a package tries must fail inside; if anything succeeds, it says so in its payload, and the test finds it.
tree_package spy <<BUILD
build() {
    : >found
    if (exec 3<>/dev/tcp/127.0.0.1/\$((0x\$(printf '%x' ${control_port:=$((20000 + RANDOM % 12000))})))) 2>/dev/null; then echo network >>found; fi
    for file in $work/worker-*/worker.key $work/keys/* $work/farm.conf /etc/shadow /proc/1/root$work/farm.conf /root/.ssh; do
        if [ -e "\$file" ]; then echo "sees \$file" >>found; fi
    done
    if [ "\$(ls /proc | grep -c '^[0-9]')" -gt 20 ]; then echo "sees processes" >>found; fi
    if mount -t tmpfs x /mnt 2>/dev/null; then echo mounts >>found; fi
    if unshare -U true 2>/dev/null; then echo "makes user namespaces" >>found; fi
    if touch /usr/bin/bash 2>/dev/null && [ -e $work/tree ]; then echo "writes the host" >>found; fi
    env | grep -i farm >>found || true
}
do_install() {
    mkdir -p "\$DESTDIR/usr/share/spy"
    cp found "\$DESTDIR/usr/share/spy/made"
}
BUILD
tree_package forker <<'BUILD'
build() {
    bomb() { bomb | bomb & }
    bomb
    sleep 20
    exit 1
}
BUILD
tree_package eater <<'BUILD'
build() {
    head -c 4G /dev/zero | tail -c 4G >/dev/null
}
do_install() {
    mkdir -p "$DESTDIR/usr/share/eater"
    echo ate >"$DESTDIR/usr/share/eater/made"
}
BUILD
tree_package filler <<'BUILD'
build() {
    for i in $(seq 64); do head -c 32M /dev/urandom >fill$i || exit 1; done
}
do_install() {
    mkdir -p "$DESTDIR/usr/share/filler"
    echo filled >"$DESTDIR/usr/share/filler/made"
}
BUILD
tree_plain innocent
tree_commit
farm_up alder birch
farm_plan
expect_status 1 farmctl build --wait "$plan"
expect "the innocent package is built" job_is innocent agreed
expect "the spy finds nothing that differs" job_is spy agreed
expect "eating memory fails" job_is eater failed
expect "filling the disk fails" job_is filler failed
expect "forking without end fails" job_is forker failed
farmctl status >"$work/status"
expect_text "extra/eater: memory" "$work/status"
farmctl plan "$work/tree@HEAD" spy >"$work/spyplan"
expect_status 0 farmctl build --wait "$(cat "$work/spyplan")"
plan=$(cat "$work/spyplan")
release_make spied
farmctl release export spied "$work/export" >/dev/null
tar -xzOf "$work/export/artifacts/spy-1.0.igos.tar.gz" ./usr/share/spy/made >"$work/found"
[ ! -s "$work/found" ] || { cat "$work/found"; fail "the build reached what it must not"; }
expect "both workers live" workers_online 2
