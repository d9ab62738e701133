#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A program in the background in which a sanitizer finds something when it is asked to end makes its test fail (lib.sh): shown with a leak and with a race.
. "$(dirname "$0")/lib.sh"
sanitizer=$(sed -n 's/^FARM_SANITIZE:[^=]*=//p' "$FARM_BINARY_DIR/CMakeCache.txt")
case $sanitizer in
    *address*) mistake=leak words="LeakSanitizer: detected memory leaks" ;;
    *thread*) mistake=race words="ThreadSanitizer: data race" ;;
    *) skip "no sanitizer is built in (presets asan, tsan)" ;;
esac

say "a $mistake in a program that nobody waits for"
status=0
(
    test_begin faulty
    "$tests_bin/faulty" "$mistake" >"$work/made" &
    pids[faulty]=$!
    wait_for 10 "it is made" test -s "$work/made"
) >"${TMPDIR:-/var/tmp}/farm-test-faulty.$$" 2>&1 || status=$?
said=$(cat "${TMPDIR:-/var/tmp}/farm-test-faulty.$$")
rm "${TMPDIR:-/var/tmp}/farm-test-faulty.$$"
case $status,$said in
    1,*"$words"*"a sanitizer found something"*) ;;
    *) echo "$said" >&2 && echo "FAILED: exit status $status, and no word of the $mistake" >&2 && exit 1 ;;
esac

say "without a mistake"
test_begin sanitizers
expect "nothing was reported" sanitizer_reports
