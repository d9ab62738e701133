# SPDX-License-Identifier: GPL-3.0-or-later
#
# lib.sh: a farm for one integration test, sourced by the tests beside it. Real processes, real sockets on loopback, a real
# sandbox; only the base and the packages are small.
#
#   test_begin NAME           a directory of the test's own; everything is stopped and removed when the test ends
#   tree_package NAME ...     adds a recipe to the tree;  tree_commit  commits it
#   farm_up OPERATOR...       coordinator, trust root with a log, one worker for each operator
#   log_cosigned              waits until all that is logged now was cosigned by enough witnesses
#   farm_plan; farm_build     prints nothing; the plan's id is in $plan
#   expect WHAT CONDITION...  says what was expected when the command fails
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${FARM_BINARY_DIR:=$source_dir/build}"
bin=$FARM_BINARY_DIR/bin
tests_bin=$FARM_BINARY_DIR/tests/support
export PATH=$bin:$PATH LC_ALL=C.UTF-8

managers=(mara niko olga)
soon=$(date -u -d '+30 days' +%F)
declare -A pids=()
quorum=2
anchors=1
margin=0
# What each worker gives, and how much is logged.
worker_gives=(--slots 1 --cores 1 --memory 1G --disk 2G --cache 1G)
: "${log_level:=debug}"
# no: the trust root names no log, and nothing is witnessed.
: "${FARM_TEST_LOG:=yes}"
# Times are short here, so that a lost worker is missed within a test.
conf_extra=$'session_timeout = 3s\nlease_grace = 2s\nheartbeat = 1s\nlease_margin = 30s'

say() { echo "--- $*"; }

fail() {
    echo "FAILED: $*" >&2
    for file in "$work"/log/*.log; do
        [ -f "$file" ] || continue
        echo "--- $file" >&2
        tail -n 15 "$file" >&2
    done
    exit 1
}

skip() {
    echo "skipped: $*"
    exit 77
}

expect() { # WHAT COMMAND...
    local what=$1
    shift
    "$@" || fail "expected: $what"
}

expect_status() { # STATUS COMMAND...: its exit status; output is kept in $work/out
    local wanted=$1 got=0
    shift
    "$@" >"$work/out" 2>&1 || got=$?
    [ "$got" = "$wanted" ] || { cat "$work/out" >&2; fail "expected exit status $wanted of '$*', got $got"; }
}

expect_text() { # TEXT FILE
    grep -qF -- "$1" "$2" || { cat "$2" >&2; fail "expected \"$1\" in the output"; }
}

# Three times as long as it takes on a slow machine: waiting ends as soon as it can, and a busy machine is no failure.
wait_for() { # SECONDS WHAT COMMAND...
    local seconds=$(($1 * 3)) what=$2 tries
    shift 2
    for tries in $(seq $((seconds * 10))); do
        if "$@" >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    fail "waited $seconds s for: $what"
}

test_begin() { # NAME
    [ -x "$bin/farm-coordinator" ] || { echo "$bin/farm-coordinator is not built" >&2; exit 1; }
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/farm-test-$1.XXXXXX")
    mkdir -p "$work"/{log,sanitizer,tree/packages,tree/scripts,tree/farm,keys,coordinator}
    chmod 700 "$work/coordinator"
    chmod 755 "$work"
    chmod 1777 "$work/sanitizer" # some programs run as somebody else
    export ASAN_OPTIONS=${ASAN_OPTIONS:-}:log_path=$work/sanitizer/report TSAN_OPTIONS=${TSAN_OPTIONS:-}:log_path=$work/sanitizer/report
    trap test_end EXIT
    trap 'exit 143' TERM INT
    export FARM_SOCKET=$work/coordinator/control.sock
    printf 'version: 1\nsources:\n' >"$work/tree/farm/farm.lock"
    say "$1 in $work"
}

# Who is killed leaves neither counters (tests/coverage.sh) nor a word about leaks: then they are asked to end first, and some time is
# left for it.
end_gently() {
    local tries
    [ ${#pids[@]} -gt 0 ] || return 0
    kill -CONT "${pids[@]}" 2>/dev/null || true
    kill -TERM "${pids[@]}" 2>/dev/null || true
    for tries in $(seq 300); do
        [ -n "$(jobs -pr)" ] || break
        sleep 0.1
    done
}

is_sanitized() {
    grep -qs '^FARM_SANITIZE:.*=.' "$FARM_BINARY_DIR/CMakeCache.txt"
}

# What any program said since the test began, in the background too: an error, a race, a leak.
sanitizer_reports() {
    [ -z "$(find "$work/sanitizer" -type f -print -quit)" ] && return
    head -n 60 "$work"/sanitizer/* >&2
    return 1
}

test_end() {
    local status=$? name
    if [ -n "${FARM_TEST_COVERAGE:-}" ] || { [ "$status" = 0 ] && is_sanitized; }; then
        end_gently
    fi
    for name in "${!pids[@]}"; do
        kill -CONT "${pids[$name]}" 2>/dev/null || true
        kill -KILL "${pids[$name]}" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    sanitizer_reports || { echo "FAILED: a sanitizer found something" >&2 && status=1; }
    [ -n "${FARM_TEST_KEEP:-}" ] || { chmod -R u+rwX "$work" 2>/dev/null || true; rm -rf "$work"; }
    [ "$status" != 0 ] || echo "passed"
    exit "$status"
}

# ---- the tree ----

# A package without sources whose build.sh is standard input.
tree_package() { # NAME [BUILD-DEPENDENCY...]
    local name=$1 directory=$work/tree/packages/extra/$1
    shift
    mkdir -p "$directory"
    cat >"$directory/package.yml" <<RECIPE
name: $name
version: "1.0"
release: 1
description: test package $name
license: GPL-3.0-or-later
tier: extra
build_style: custom
source: []
dependencies:
  build: [$(printf '%s, ' "$@" | sed 's/, $//')]
  host: []
  runtime: []
verify_paths:
  - /usr/share/$name/made
RECIPE
    cat >"$directory/build.sh"
}

# The usual one: a file, and the checked presence of what it depends on.
tree_plain() { # NAME [BUILD-DEPENDENCY...]
    tree_package "$@" <<BUILD
build() {
    for needed in ${*:2}; do
        test -e /usr/share/\$needed/made || return 1
    done
    sleep ${build_seconds:-0}
    seq 1 2000 >payload
}
do_install() {
    mkdir -p "\$DESTDIR/usr/share/$1"
    cp payload "\$DESTDIR/usr/share/$1/made"
}
BUILD
}

write_policy() {
    cat >"$work/tree/farm/policy.yml" <<POLICY
version: 1
defaults:
  quorum: $quorum
  anchors: $anchors
  distinct: [operator]
  dissent:
    margin: $margin
  max_attempts: 3
  open_votes: none
  evidence: none
  hold: []
POLICY
    cat >"$work/tree/farm/resources.yml" <<'RESOURCES'
version: 1
defaults:
  jobs: 1
  cores: 1
  memory: 256MiB
  disk: 256MiB
  wall: 2m
RESOURCES
}

tree_commit() {
    [ -e "$work/tree/farm/policy.yml" ] || write_policy
    [ -e "$work/tree/.git" ] || git init -q -b main "$work/tree"
    GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@localhost GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@localhost \
        GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null \
        bash -c 'git -C "$1" add -A -f && git -C "$1" commit -q --allow-empty -m tree' _ "$work/tree"
}

# ---- the farm ----

# The port lies below those that the kernel gives to whoever connects: else somebody may have it when the coordinator comes back.
coordinator_start() {
    if [ ! -e "$work/farm.conf" ]; then
        cat >"$work/farm.conf" <<CONF
[coordinator]
state_dir = $work/coordinator
control_listen = 127.0.0.1:${control_port:=$((20000 + RANDOM % 12000))}
bulk_listen = 127.0.0.1:$((control_port + 1))
advertise = 127.0.0.1
local_repositories = $work
log_level = $log_level
$conf_extra
CONF
    fi
    "$bin/farm-coordinator" --config "$work/farm.conf" >>"$work/log/coordinator.log" 2>&1 &
    pids[coordinator]=$!
    wait_for 30 "the coordinator answers" farmctl status
}

coordinator_kill() {
    kill -KILL "${pids[coordinator]}"
    wait "${pids[coordinator]}" 2>/dev/null || true
}

key_of() { # NAME: makes it if need be
    [ -e "$work/keys/$1" ] || farm-sign keygen --comment "$1" "$work/keys/$1" >/dev/null
    echo "$work/keys/$1"
}

root_install() { # OPERATOR...: all of them anchors; the first two witness the log, and both must
    local name arguments=()
    for name in "${managers[@]}"; do
        arguments+=(--root-key "$name=$(key_of "$name").pub" --release-key "$name=$(key_of "$name").pub")
    done
    for name in "$@"; do
        arguments+=(--anchor "$name=$(key_of "$name").pub")
    done
    if [ "$FARM_TEST_LOG" != no ]; then
        arguments+=(--log "$(farmctl log show --vkey)")
        for name in "${@:1:2}"; do
            arguments+=(--witness "$name")
        done
        arguments+=(--log-threshold "$([ $# -gt 1 ] && echo 2 || echo 1)")
    fi
    farm-sign root init --out "$work/root.json" "${arguments[@]}" --root-threshold 2 --release-threshold 2 \
        --enrolment-key "enrolment=$(key_of enrolment).pub" --enrolment-threshold 1 \
        --expires "$soon" --policy "$work/tree/farm/policy.yml" --base "$base" >/dev/null
    farm-sign root sign "$work/root.json" --key "$(key_of mara)" >/dev/null
    farm-sign root sign "$work/root.json" --key "$(key_of niko)" >/dev/null
    farmctl root install "$work/root.json" >/dev/null
}

worker_enrol() { # OPERATOR [WORKER]: keys, request, signed entry, admitted; not started
    local name=$1 worker=${2:-$1-1}
    farm-worker init --join "$(farmctl join)" --operator "$name" --worker "$worker" --state "$work/worker-$worker" \
        --root "$work/root.json" "${worker_gives[@]}" --allow-tree "file://$work" >/dev/null
    farm-sign entry init --request "$work/worker-$worker/request.json" --operator-key "$(key_of "$name").pub" \
        --expires "$soon" --out "$work/entry-$worker.json"
    farm-sign entry "$work/entry-$worker.json" --key "$(key_of "$name")" >/dev/null
    farm-sign entry "$work/entry-$worker.json" --key "$(key_of enrolment)" >/dev/null
    farmctl worker admit "$work/entry-$worker.json" >/dev/null
}

worker_run() { # WORKER [PROGRAM ARGUMENT...]
    local worker=$1
    shift
    [ $# -gt 0 ] || set -- "$bin/farm-worker" run
    "$@" --state "$work/worker-$worker" >>"$work/log/worker-$worker.log" 2>&1 &
    pids[$worker]=$!
}

workers_online() { # COUNT
    [ "$(farmctl worker list | awk '$3 == "online" { n++ } END { print n + 0 }')" -ge "$1" ]
}

farm_base() {
    [ -e "${FARM_MINI_BASE:=${TMPDIR:-/var/tmp}/farm-mini-base-$(id -u).tar}" ] ||
        { "$source_dir/tests/integration/mini-base.sh" "$FARM_MINI_BASE.$$" && mv "$FARM_MINI_BASE.$$" "$FARM_MINI_BASE"; }
    base=$(farmctl base import --name mini "$FARM_MINI_BASE")
}

farm_up() { # OPERATOR...
    local name
    coordinator_start
    farm_base
    root_install "$@"
    for name in "$@"; do
        worker_enrol "$name"
        worker_run "$name-1"
    done
    wait_for 30 "all workers are online" workers_online $#
}

farm_plan() { # [SELECTOR...]
    plan=$(farmctl plan "$work/tree@HEAD" "$@")
}

# ---- the log ----

log_number() { # MEMBER [OBJECT]: a number of "farmctl log show --json", of its member OBJECT or at the top
    farmctl log show --json >"$work/log.json"
    if [ $# -gt 1 ]; then
        sed -n "s/.*\"$2\":{[^{}]*\"$1\":\([0-9]*\).*/\1/p" "$work/log.json"
    else
        sed "s/{[^{}]*}//g" "$work/log.json" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"
    fi
}

log_is_cosigned() { # SIZE
    [ "$(log_number size cosigned)" -ge "$1" ]
}

log_cosigned() { # waits; a witness asks for checkpoints every few seconds, or once a minute when it has nothing to prove
    local size
    size=$(log_number size)
    wait_for 90 "$size entries of the log are cosigned" log_is_cosigned "$size"
}

job_state() { # NAME
    farmctl jobs --plan "$plan" | awk -v job="extra/$1" '$1 == job { print $3 }'
}

job_is() { # NAME STATE
    [ "$(job_state "$1")" = "$2" ]
}

release_make() { # NAME: drafted, signed by two, submitted
    local signer
    farmctl release draft --out "$work/$1.json" "$1" "$plan" >/dev/null
    for signer in mara olga; do
        farm-sign release "$work/$1.json" --key "$(key_of "$signer")" >/dev/null
    done
    farmctl release submit "$1" "$work/$1.json" >/dev/null
}
