# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# Which Debian repositories this machine uses, asked of apt itself, so that both kinds of list (one-line and deb822), mirrors
# and proxies come out right without our parsing them. Sourced by make-base.sh and fetch-sources.sh; changes nothing on the
# system. Third-party repositories are left out: only what calls itself Debian in its signed Release file counts, only the
# suites of the release that runs here, only component main, and always checked against Debian's own keyring.

DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Prints "URI SUITE" of each Debian suite that apt knows here. Options for apt-get may be given.
debian_suites_known() {
    local codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    apt-get "$@" indextargets --format '$(CREATED_BY)|$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)|$(RELEASE)' 2>/dev/null |
        awk -F'|' -v c="$codename" '
            $1 == "Packages" && $2 == "Debian" && $3 == "main" && (c == "" || $4 == c || index($4, c "-") == 1) && !seen[$5, $6]++ {
                print $5, $6
            }'
}

# debian_sources deb|deb-src DIR: prints list entries for a private sources.list. The origin of a suite is known once its
# lists were fetched; where the system has none, they are fetched into DIR.
debian_sources() {
    local kind=$1 dir=$2 suites uri suite
    if [ ! -r "$DEBIAN_KEYRING" ]; then
        echo "debian-sources: $DEBIAN_KEYRING is missing; install debian-archive-keyring" >&2
        return 2
    fi
    suites=$(debian_suites_known)
    if [ -z "$suites" ]; then
        mkdir -p "$dir/known/lists/partial" "$dir/known/cache"
        local private=(-o "Dir::State::lists=$dir/known/lists" -o "Dir::Cache=$dir/known/cache" -o "APT::Sandbox::User=")
        apt-get "${private[@]}" -qq update >&2 || true
        suites=$(debian_suites_known "${private[@]}")
    fi
    if [ -z "$suites" ]; then
        echo "debian-sources: apt here knows no Debian suite; check /etc/apt and try apt-get update" >&2
        return 2
    fi
    while read -r uri suite; do
        echo "$kind [signed-by=$DEBIAN_KEYRING] $uri $suite main"
    done <<<"$suites"
}

# The machine's own settings for reaching its mirror (proxies, retries, a mirror frozen in time), as apt.conf lines.
debian_transport_settings() {
    apt-config dump | grep -E '^Acquire::(https?::[^ ]+|Retries|Check-Date|Check-Valid-Until) ' || true
}
