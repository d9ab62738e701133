#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# quickstart.sh: what a new user does, from a fresh clone: ./quickstart, on real packages. In the middle the coordinator is killed;
# the run completes all the same. A second run builds nothing. Then the same as an unprivileged user: equal digests.
# Takes some ten minutes; run by "./run-tests full".
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/farm-quickstart.XXXXXX")
user=64925 # no such user need exist

stop() {
    local status=$?
    for state in "$work"/*/.farm; do
        [ ! -d "$state" ] || "$(dirname "$state")/quickstart" --state "$state" --stop || true
    done
    rm -rf "$work"
    exit "$status"
}
trap stop EXIT
trap 'exit 143' TERM INT
chmod 755 "$work"

fail() {
    echo "FAILED: $*" >&2
    tail -n 20 "$work"/*/.farm/log/*.log >&2 || true
    exit 1
}

clone() { # NAME
    git -c safe.directory='*' clone -q "$source_dir" "$work/$1"
}

payloads() { # NAME: "package payload" of its hand-off, sorted
    grep -o '"name":"[^"]*","operators":[^]]*\],"payload":"[0-9a-f]*"' "$work/$1"/.farm/handoff/*/release.json |
        sed 's/.*"name":"\([^"]*\)".*"payload":"\([0-9a-f]*\)"/\1 \2/' | sort
}

leases() { # NAME
    sqlite3 "$work/$1/.farm/coordinator/farm.db" 'SELECT count(*) FROM lease'
}

kill_coordinator_midway() { # NAME: once something is agreed
    local socket=$work/$1/.farm/coordinator/control.sock tries
    for tries in $(seq 900); do
        if "$work/$1/build/bin/farmctl" --socket "$socket" status --json 2>/dev/null | grep -q '"agreed":[2-9]'; then
            kill -KILL "$(cat "$work/$1/.farm/coordinator/pid")"
            echo "--- killed the coordinator after the first packages"
            return 0
        fi
        sleep 1
    done
    echo "--- nothing was agreed in 15 minutes" >&2
}

echo "--- first run"
clone one
begun=$SECONDS
kill_coordinator_midway one &
"$work/one/quickstart" --state "$work/one/.farm" || fail "quickstart"
wait
echo "--- took $((SECONDS - begun)) s"
grep -q "starting it again" "$work/one/.farm/log/"*.log || [ "$(grep -c 'database verified' "$work/one/.farm/log/coordinator.log")" = 2 ] ||
    fail "the coordinator was not killed and started again"
[ "$(payloads one | wc -l)" -ge 9 ] || fail "at least nine packages in the hand-off, got $(payloads one | wc -l)"

echo "--- second run"
begun=$SECONDS before=$(leases one)
"$work/one/quickstart" --state "$work/one/.farm" >/dev/null || fail "second quickstart"
[ "$(leases one)" = "$before" ] || fail "the second run leased something"
echo "--- took $((SECONDS - begun)) s"

if [ "$(id -u)" != 0 ]; then
    echo "--- not root: this was the unprivileged run"
    exit 0
fi
echo "--- unprivileged, with the same base and sources"
clone two
mkdir -p "$work/two/.farm"
cp -r "$work/one/.farm/base.tar" "$work/one/.farm/sources" "$work/two/.farm/"
"$work/one/quickstart" --state "$work/one/.farm" --stop
chown -R "$user:$user" "$work/two"
(cd "$work/two" && setpriv --reuid "$user" --regid "$user" --clear-groups env HOME="$work/two" ./quickstart) ||
    fail "quickstart as an unprivileged user"
payloads one >"$work/payloads.one"
payloads two >"$work/payloads.two"
diff "$work/payloads.one" "$work/payloads.two" || fail "root and an unprivileged user disagree"
echo "--- $(wc -l <"$work/payloads.two") payload digests are equal"
