#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# expect_found.sh INVARIANTS PROGRAM ARGUMENT...: a simulator with a known mistake must end with status 1, naming one of the invariants
# ("quorum|past"). A crash, a time-out or another invariant is no find.
set -uo pipefail
invariants=$1
shift
output=$("$@" 2>&1)
status=$?
printf '%s\n' "$output"
[ "$status" = 1 ] || { echo "expected exit status 1, and it is $status: the mistake was not found"; exit 1; }
grep -Eq "invariant ($invariants) is broken" <<<"$output" || { echo "expected the invariant $invariants to be named"; exit 1; }
