#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# run.sh LOG_PEER SCRATCH: our log as Go's packages see it, and theirs as we do.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
log_peer=$1
scratch=$2

skip() {
    echo "skipped: $1 (Debian: apt-get install golang-go golang-golang-x-mod-dev)"
    exit 77
}
command -v go >/dev/null || skip "there is no Go compiler"
[ -d /usr/share/gocode/src/golang.org/x/mod/sumdb/tlog ] || skip "Go's package golang.org/x/mod is not there"

rm -rf "$scratch"
mkdir -p "$scratch"
trap 'rm -rf "$scratch"' EXIT
# From Debian's source packages alone: no modules, no network.
export GOPATH=/usr/share/gocode GO111MODULE=off GOFLAGS='' GOPROXY=off GOTOOLCHAIN=local
export GOCACHE=$scratch/cache
(cd "$here/peer" && go vet . && go build -o "$scratch/peer" .)

for size in 1 2 255 256 257 700 66000; do
    mkdir "$scratch/ours" "$scratch/theirs"
    "$log_peer" write "$scratch/ours" "$size"
    "$scratch/peer" check "$scratch/ours"
    "$scratch/peer" write "$scratch/theirs" "$size"
    "$log_peer" check "$scratch/theirs"
    rm -rf "$scratch/ours" "$scratch/theirs"
done
