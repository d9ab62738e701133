#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# fetch-sources.sh LOCKFILE OUTDIR: brings the archives that a farm.lock pins, each under its pinned file name.
#
# The pinned URL is asked first; where that cannot be reached, the distribution's source package is taken, which
# debian-sources.tsv beside the lock names. Where bytes come from does not matter: only the pinned size and SHA-256 decide,
# and nothing that fails them stays in OUTDIR. Nothing on the system is changed: apt works with lists and state of its own.
# git pins are left to the coordinator, which fetches those itself.
#
# The lock is read in the plain layout in which it is written there (one key a line); the farm's own reader is the one that
# judges the file. Exit status: 0 all there, 1 something is missing, 2 could not run.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian-sources.sh"

# A host is given up after this many seconds without a connection, or this long at less than SLOW_BYTES a second.
CONNECT_SECONDS=5
SLOW_SECONDS=15
SLOW_BYTES=2000

# So many different hosts out of reach mean that there is no way out, and the rest is not tried.
HOSTS_UNTIL_OFFLINE=2

declare -A dead_hosts=()
work=

# Prints "package url filename sha256 size" of each archive, tab-separated.
lock_archives() {
    awk '
        function flush() {
            if (url != "") {
                if (name == "") { name = url; sub(/.*\//, "", name) }
                printf "%s\t%s\t%s\t%s\t%s\n", package, url, name, sha256, size
            }
            url = name = sha256 = size = ""
        }
        /^ *#/ || /^ *$/ { next }
        /^[^ ]/ { flush(); inside = ($1 == "sources:"); next }
        !inside { next }
        /^  [^ -][^ ]*: *$/ { flush(); package = $1; sub(/:$/, "", package); next }
        /^ *- / { flush(); sub(/^ *- /, "      ") }
        $1 == "url:" { url = $2 }
        $1 == "filename:" { name = $2 }
        $1 == "sha256:" { sha256 = $2 }
        $1 == "size:" { size = $2 }
        END { flush() }' "$1"
}

lock_git_packages() {
    awk '/^  [^ -][^ ]*: *$/ { p = $1; sub(/:$/, "", p) } /^ *- git:/ { print p }' "$1"
}

is_pinned() { # FILE SHA256 SIZE
    [ -f "$1" ] && [ "$(stat -c %s "$1")" = "${3:-$(stat -c %s "$1")}" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]
}

fetch_url() { # URL FILE SIZE
    local host=${1#*://}
    host=${host%%/*}
    [ -z "${dead_hosts[$host]:-}" ] && [ ${#dead_hosts[@]} -lt $HOSTS_UNTIL_OFFLINE ] || return 1
    local status=0
    curl --silent --show-error --fail --location --proto '=https,http' --max-redirs 5 \
        --connect-timeout $CONNECT_SECONDS --speed-time $SLOW_SECONDS --speed-limit $SLOW_BYTES \
        ${3:+--max-filesize "$3"} --output "$2" "$1" 2>"$work/curl" || status=$?
    case $status in
        0) return 0 ;;
        # A name that does not resolve, no connection, a failed handshake, or silence: the host is out of reach.
        5 | 6 | 7 | 28 | 35 | 56) dead_hosts[$host]=1 ;;
    esac
    echo "sources: $(tail -n 1 "$work/curl")"
    return 1
}

# apt-get with everything private: what it would write on the system goes to $work instead.
private_apt() {
    apt-get -o "Dir::Etc::SourceList=$work/sources.list" -o "Dir::Etc::SourceParts=-" \
        -o "Dir::State=$work/state" -o "Dir::State::status=/var/lib/dpkg/status" -o "Dir::Cache=$work/cache" \
        -o "APT::Sandbox::User=" -o "Acquire::Languages=none" "$@"
}

prepare_apt() {
    [ ! -e "$work/apt-ready" ] || return 0
    echo "sources: reading the distribution's index of source packages"
    mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/got"
    debian_sources deb-src "$work" >"$work/sources.list" || return 1
    private_apt -qq update >&2 || return 1
    touch "$work/apt-ready"
}

fetch_debian() { # PACKAGE FILE
    local source version name
    [ -r "$table" ] || return 1
    IFS=$'\t' read -r source version name < <(awk -F'\t' -v p="$1" '$1 == p { print $2 "\t" $3 "\t" $4 }' "$table") || return 1
    prepare_apt || return 1
    # The version in the table is where the file was seen; any later packaging of the same release carries the same one.
    # The exit status does not matter: other files of the source package may fail, and ours is checked by its digest.
    local wanted
    for wanted in "$source=$version" "$source"; do
        (cd "$work/got" && private_apt -qq source --download-only --only-source "$wanted" >"$work/apt.log" 2>&1) || true
        [ ! -f "$work/got/$name" ] || break
    done
    [ -f "$work/got/$name" ] && mv "$work/got/$name" "$2"
}

fetch_one() { # PACKAGE URL FILENAME SHA256 SIZE
    local target=$out/$3 part=$work/part
    if is_pinned "$target" "$4" "$5"; then
        echo "sources: $3: already there"
        return 0
    fi
    rm -f "$part"
    if fetch_url "$2" "$part" "$5" && is_pinned "$part" "$4" "$5"; then
        mv "$part" "$target"
        echo "sources: $3: from its pinned URL"
        return 0
    fi
    rm -f "$part"
    if fetch_debian "$1" "$part" && is_pinned "$part" "$4" "$5"; then
        mv "$part" "$target"
        echo "sources: $3: from the distribution's source package"
        return 0
    fi
    echo "sources: $3 (package $1): no place had bytes with SHA-256 $4; tried $2 and the distribution." \
        "Get the file elsewhere, put it into $out and run this again." >&2
    return 1
}

if [ $# != 2 ] || [ ! -r "${1:-}" ]; then
    echo "usage: fetch-sources.sh LOCKFILE OUTDIR (the lock must be readable)" >&2
    exit 2
fi
for tool in curl apt-get sha256sum; do
    command -v $tool >/dev/null || { echo "fetch-sources: $tool is missing" >&2; exit 2; }
done

lock=$1
table=$(dirname "$lock")/debian-sources.tsv
mkdir -p "$2"
out=$(cd "$2" && pwd)
work=$(mktemp -d "$out/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

missing=0
while IFS=$'\t' read -r package url filename sha256 size; do
    fetch_one "$package" "$url" "$filename" "$sha256" "$size" || missing=$((missing + 1))
done < <(lock_archives "$lock")
for package in $(lock_git_packages "$lock"); do
    echo "sources: $package: a git pin, fetched by the coordinator"
done
if [ $missing != 0 ]; then
    echo "sources: $missing missing" >&2
    exit 1
fi
