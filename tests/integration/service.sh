#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# As a service: what is installed, what systemd thinks of the units, and what both programs tell systemd and do when they are stopped.
. "$(dirname "$0")/lib.sh"
test_begin service
root=$work/root

say "everything is installed"
DESTDIR=$root cmake --install "$FARM_BINARY_DIR" >"$work/out" 2>&1 || { cat "$work/out"; fail "cmake --install"; }
prefix=$(sed -n 's/^CMAKE_INSTALL_PREFIX:[^=]*=//p' "$FARM_BINARY_DIR/CMakeCache.txt")
for file in bin/{farm-coordinator,farm-worker,farmctl,farm-sign,farm-verify} lib/systemd/system/farm-{{coordinator,worker,gc}.service,gc.timer} \
    lib/sysusers.d/intergenos-farm.conf lib/tmpfiles.d/intergenos-farm.conf; do
    expect "$file is installed" test -f "$root$prefix/$file"
done
units=$root$prefix/lib/systemd/system
for unit in farm-coordinator farm-worker farm-gc; do
    program=$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$units/$unit.service")
    expect "$unit.service starts what was installed" test -x "$root$program"
    expect "and nothing is left to be filled in" test -z "$(grep '@[A-Z_]*@' "$units/$unit.service")"
done

# What docs/OPERATORS.md says about a unit's exposure, for the systemd that it names.
documented() { sed -n "s/^| \`$1.service\` | \([0-9.]*\) |.*/\1/p" "$source_dir/docs/OPERATORS.md"; }
version_of_systemd() { systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p'; }
if command -v systemd-analyze >/dev/null; then
    say "systemd accepts the units"
    mkdir "$work/units"
    cp "$units/farm-gc.timer" "$work/units/"
    for unit in farm-coordinator farm-worker farm-gc; do
        sed "s|^\(Exec[A-Za-z]*\)=$prefix/|\1=$root$prefix/|" "$units/$unit.service" >"$work/units/$unit.service"
        systemd-analyze verify --man=no "$work/units/$unit.service" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
        # "Unknown key" is a warning with status 0; of the units of this machine it may say what it likes.
        ! grep -F "$unit.service" "$work/out" || fail "systemd-analyze verify finds something"
    done
    systemd-analyze verify --man=no "$work/units/farm-gc.timer" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
    ! grep -F farm-gc.timer "$work/out" || fail "systemd-analyze verify finds something"
    printf '[Service]\nExecStart=/bin/true\nProtectSystme=strict\n' >"$work/units/wrong.service"
    systemd-analyze verify --man=no "$work/units/wrong.service" >"$work/out" 2>&1 || true
    expect_text "ProtectSystme" "$work/out" # it would have said so
    say "exposure, by systemd-analyze security (0 is none, 10 is all)"
    for unit in farm-coordinator:20 farm-worker:60 farm-gc:15; do
        systemd-analyze security --offline=true --no-pager --threshold="${unit#*:}" "$work/units/${unit%:*}.service" >"$work/out" 2>&1 ||
            fail "${unit%:*}.service is more exposed than ${unit#*:} tenths"
        figure=$(sed -n 's/.*Overall exposure level for [^:]*: \([0-9.]*\).*/\1/p' "$work/out")
        echo "${unit%:*}.service $figure (systemd $(version_of_systemd))"
        [ "$(version_of_systemd)" != 252 ] || expect "the guide says $figure for ${unit%:*}" test "$(documented "${unit%:*}")" = "$figure"
    done
    say "users and directories"
    mkdir -p "$root/etc"
    systemd-sysusers --root="$root" "$root$prefix/lib/sysusers.d/intergenos-farm.conf" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
    for user in intergenos-farm farm-worker; do
        grep -q "^$user:.*nologin" "$root/etc/passwd" || fail "sysusers made no $user without a shell"
    done
    if [ "$(id -u)" = 0 ]; then
        systemd-tmpfiles --create --root="$root" "$root$prefix/lib/tmpfiles.d/intergenos-farm.conf" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
        expect "state is closed" test "$(stat -c %a "$root/var/lib/intergenos-farm" "$root/var/lib/farm-worker" | xargs)" = "700 700"
        expect "hand-offs are open" test "$(stat -c %a "$root/srv/intergenos-handoff")" = 755
    fi
else
    echo "systemd-analyze (Debian: systemd) is absent: units, users and directories are not checked"
fi

say "what the coordinator tells: ready, that it turns, that it stops"
build_seconds=4 tree_plain slow
tree_plain next slow
tree_commit
told=$work/told-coordinator
farm_up alder birch
coordinator_stop() { # which is asked to
    kill -TERM "${pids[coordinator]}"
    wait "${pids[coordinator]}" || fail "the coordinator ended with status $?"
}
coordinator_stop
WATCHDOG_USEC=400000 "$tests_bin/notified" "$told" "$bin/farm-coordinator" --config "$work/farm.conf" >>"$work/log/coordinator.log" 2>&1 &
pids[coordinator]=$!
wait_for 30 "the coordinator is ready" grep -q '^READY=1' "$told"
expect "ready is the first word, but for how far a slow start is" test "$(grep -v '^EXTEND_TIMEOUT_USEC=' "$told" | head -n 1 | cut -c 1-7)" = READY=1
beats() { [ "$(grep -c '^WATCHDOG=1$' "$told")" -ge "$1" ]; }
wait_for 20 "it says that it turns" beats 3
wait_for 30 "all workers are back" workers_online 2

say "SIGTERM in the middle of a build: nothing is lost, the log is published, the database is whole"
farm_plan
farmctl build "$plan" >/dev/null
wait_for 30 "it is being built" job_is slow running
coordinator_stop
wait_for 5 "it said so" grep -q '^STOPPING=1' "$told"
entries=$(sqlite3 "$work/coordinator/farm.db" "SELECT count(*) FROM log_entry")
expect "the log's checkpoint has every entry" test "$(sed -n 2p "$work/coordinator/log/checkpoint")" = "$entries"
expect "the database has taken in its write-ahead log" test ! -s "$work/coordinator/farm.db-wal"
expect "it is whole" test "$(sqlite3 "$work/coordinator/farm.db" 'PRAGMA integrity_check')" = ok
coordinator_start
wait_for 60 "the build was taken up again" job_is next agreed
expect "and nothing was built twice" test "$(grep -c ' built node=extra/slow' "$work/log/worker-alder-1.log")" = 1

say "what a worker tells; once stopped it finishes, twice it gives back"
told=$work/told-worker
kill -TERM "${pids[alder-1]}"
wait "${pids[alder-1]}" || fail "the worker ended with status $?"
worker_run alder-1 env WATCHDOG_USEC=400000 "$tests_bin/notified" "$told" "$bin/farm-worker" run
wait_for 30 "the worker is ready" grep -q '^READY=1' "$told"
wait_for 20 "it says that it turns" beats 3
wait_for 30 "all workers are back" workers_online 2
build_seconds=5 tree_plain long
tree_commit
farm_plan long
farmctl build "$plan" >/dev/null
wait_for 30 "both build" bash -c "grep -q 'building node=extra/long' '$work/log/worker-alder-1.log' && grep -q 'building node=extra/long' '$work/log/worker-birch-1.log'"
kill -TERM "${pids[alder-1]}"
kill -TERM "${pids[birch-1]}"
sleep 0.3
kill -TERM "${pids[birch-1]}"
wait "${pids[birch-1]}" || fail "the worker that was stopped twice ended with status $?"
wait "${pids[alder-1]}" || fail "the worker that was stopped once ended with status $?"
expect_text "STOPPING=1" "$told"
grep -q 'built node=extra/long' "$work/log/worker-alder-1.log" || fail "once: it did not finish its build"
! grep -q 'built node=extra/long' "$work/log/worker-birch-1.log" || fail "twice: it finished its build"
wait_for 10 "its lease came back" grep -q 'lease ended worker=birch-1 state=refused reason="this worker stops"' "$work/log/coordinator.log"

say "who listened for systemd has ended with the programs"
no_listener() { ! pgrep -f "^$tests_bin/notified $work/" >/dev/null; }
wait_for 10 "nobody listens any more" no_listener
