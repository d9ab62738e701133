#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# @sigstore/verify, from npm at pinned versions, verifies every DSSE envelope of a release with the PEM file beside it.
. "$(dirname "$0")/lib.sh"
needs node nodejs
needs npm npm
needs jq jq

unpack_envelopes
cp "$(dirname "$0")"/sigstore/{package.json,package-lock.json,check.js} "$scratch/"
cd "$scratch"
# Where packets vanish, npm would wait for many minutes.
timeout 150 npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --prefer-offline --loglevel=error \
    --fetch-retries=1 --fetch-timeout=30000 >npm.log 2>&1 || {
    cat npm.log
    ! grep -q EINTEGRITY npm.log || fail "npm got other bytes than package-lock.json pins"
    skip "npm cannot bring @sigstore/verify (no network?)"
}
node check.js envelopes
