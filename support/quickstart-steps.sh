# SPDX-License-Identifier: GPL-3.0-or-later
#
# The steps of ./quickstart, sourced by it. Each is a function that does nothing when its result is there already, so that a
# second run takes seconds, and an interrupted one goes on where it stopped.
#
# From the caller: here, tree, state, coordinator, log, operators, managers, bin, started.

# The one list of what the farm builds and runs with; run-tests uses it too.
. "$here/support/debian-packages.sh"

# Shows what a running step logged last: in place on a terminal, as a line now and then elsewhere.
show_progress() { # NAME LOG SECONDS
    local last
    last=$(tail -n 1 "$2" 2>/dev/null | tr -d '\000-\037' | cut -c1-90) || true # the step may not have begun its log
    if [ -t 1 ]; then
        printf '\r\033[K==> %-13s %s' "$1" "$last"
    elif [ "$3" -gt 0 ] && [ $(($3 % 20)) = 0 ]; then
        printf '    %-13s %s s: %s\n' "$1" "$3" "$last"
    fi
}

step() { # NAME FUNCTION: runs it with its output in the log, and shows how long it took
    local name=$1 log_file=$log/$2.log begun=$SECONDS shown=-1 pid
    # In the background, so that the shell's errexit holds in there and the progress can be shown.
    "$2" >"$log_file" 2>&1 &
    pid=$!
    trap 'kill "$pid" 2>/dev/null || true; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        [ $((SECONDS - begun)) = "$shown" ] || show_progress "$name" "$log_file" $((SECONDS - begun))
        shown=$((SECONDS - begun))
        sleep 0.05
    done
    [ ! -t 1 ] || printf '\r\033[K'
    if ! wait "$pid"; then
        printf '==> %-13s failed\n--- the last lines of %s:\n' "$name" "$log_file" >&2
        tail -n 25 "$log_file" >&2
        exit 1
    fi
    trap - INT TERM
    printf '==> %-13s done in %s s%s\n' "$name" $((SECONDS - begun)) \
        "$([ ! -s "$log/$2.note" ] || printf ': %s' "$(cat "$log/$2.note")")"
}

note() { # what a step wants to be said about it in one line
    echo "$*" >"$log/${FUNCNAME[1]}.note"
}

# ---- 1. packages and build ----

# In the foreground: sudo may ask for a password, and people shall see what is installed.
install_packages() {
    local missing
    missing=$(missing_packages "${FARM_BUILD_PACKAGES[@]}" "${FARM_RUN_PACKAGES[@]}")
    if [ -n "$missing" ]; then
        # shellcheck disable=SC2086
        install_missing $missing
    fi
    echo "==> packages      all there"
}

build_farm() {
    [ -e "$here/build/CMakeCache.txt" ] ||
        cmake -S "$here" -B "$here/build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DFARM_TESTS=OFF
    cmake --build "$here/build"
    note "programs in build/bin"
}

# ---- 2. base ----

make_base() {
    note "$(du -h "$state/base.tar" 2>/dev/null | cut -f1) (kept)"
    [ ! -e "$state/base.tar" ] || return 0
    FARM_APT_CACHE=${FARM_APT_CACHE:-$state/apt-cache} "$here/support/make-base.sh" "$state/base.tar.new"
    mv "$state/base.tar.new" "$state/base.tar"
    note "$(du -h "$state/base.tar" | cut -f1)"
}

# ---- 3. processes ----

is_running() { # PIDFILE PROGRAM: is that process there, and still that program?
    local pid
    pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$bin/$2" ]
}

free_port() { # FIRST: the first port from there on that nobody listens on
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        port=$((port + 1))
    done
    echo "$port"
}

write_coordinator_conf() {
    local control bulk
    control=$(free_port 7440)
    bulk=$(free_port $((control + 1)))
    cat >"$coordinator/farm.conf" <<CONF
; Written by ./quickstart; farm.conf.example explains every key.
[coordinator]
state_dir = $coordinator
control_listen = 127.0.0.1:$control
bulk_listen = 127.0.0.1:$bulk
advertise = 127.0.0.1
local_repositories = $here, $state
CONF
}

start_coordinator() {
    mkdir -p -m 700 "$coordinator"
    [ -e "$coordinator/farm.conf" ] || write_coordinator_conf
    note "running already"
    ! is_running "$coordinator/pid" farm-coordinator || return 0
    setsid "$bin/farm-coordinator" --config "$coordinator/farm.conf" >>"$log/coordinator.log" 2>&1 </dev/null &
    echo $! >"$coordinator/pid"
    local tries
    for tries in $(seq 300); do
        ! farmctl status >/dev/null 2>&1 || break
        kill -0 "$(cat "$coordinator/pid")" 2>/dev/null || { tail -n 5 "$log/coordinator.log"; return 1; }
        sleep 0.1
    done
    [ "$tries" -lt 300 ] || { echo "the coordinator does not answer"; return 1; }
    note "process $(cat "$coordinator/pid"), log $log/coordinator.log"
}

import_base() {
    if [ -e "$state/base.digest" ]; then
        note "$(cut -c1-16 "$state/base.digest") (kept)"
        return 0
    fi
    farmctl base import --name quickstart "$state/base.tar" >"$state/base.digest.new"
    mv "$state/base.digest.new" "$state/base.digest"
    note "$(cut -c1-16 "$state/base.digest")"
}

# ---- 4. the package tree: a copy with fixed author and date, farm-verify pinned to this checkout's commit ----

append_own_pin() {
    local pin=$here/examples/foundation/farm/farm-verify.pin.in out=$1
    git -c safe.directory='*' -C "$here" rev-parse HEAD >/dev/null ||
        { echo "this checkout is no git repository, so farm-verify cannot be pinned to its commit"; return 1; }
    farmctl pin farm-verify --git "file://$here" --ref HEAD --repository "$here" >"$state/own.pin"
    field() { sed -n "s/^ *$1: //p" "$state/own.pin"; }
    sed -e "s|@FARM_GIT_URL@|file://$here|" -e "s|@FARM_GIT_REF@|HEAD|" \
        -e "s|@FARM_GIT_COMMIT@|$(field commit)|" -e "s|@FARM_TREE_SHA256@|$(field tree_sha256)|" \
        -e "s|@FARM_GIT_EPOCH@|$(field epoch)|" "$pin" >>"$out"
}

tree_source() {
    if [ "$tree" = foundation ]; then
        echo "$here/examples/foundation"
    else
        (cd "$tree" && pwd)
    fi
}

commit_tree() {
    local source
    source=$(tree_source)
    rm -rf "$state/tree.new"
    mkdir "$state/tree.new"
    cp -R "$source/." "$state/tree.new/"
    rm -rf "$state/tree.new/.git"
    if [ -e "$state/tree.new/farm/farm-verify.pin.in" ]; then
        append_own_pin "$state/tree.new/farm/farm.lock"
    fi
    git init -q -b main "$state/tree.new"
    # Fixed author and date: the same content is the same commit, so a second run makes no second plan.
    GIT_AUTHOR_NAME=quickstart GIT_AUTHOR_EMAIL=quickstart@localhost GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' \
        GIT_COMMITTER_NAME=quickstart GIT_COMMITTER_EMAIL=quickstart@localhost \
        GIT_COMMITTER_DATE='2026-01-01T00:00:00Z' GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null \
        bash -c 'git -C "$1" -c core.autocrlf=false add -A -f && git -C "$1" commit -q -m "example tree"' _ "$state/tree.new"
    rm -rf "$state/tree"
    mv "$state/tree.new" "$state/tree"
    farmctl tree check "$state/tree@HEAD"
    note "commit $(git -C "$state/tree" rev-parse --short=12 HEAD)"
}

# ---- 5. people, their keys, and the trust root that names them ----

make_keys() {
    local name
    mkdir -p -m 700 "$state/keys"
    for name in "${managers[@]}" enrolment "${operators[@]}"; do
        [ -e "$state/keys/$name" ] || farm-sign keygen --comment "$name" "$state/keys/$name"
    done
}

# Version 1 is root.json, which checks start from; later ones are root-2.json and so on.
newest_root() {
    local later
    later=$(find "$state" -maxdepth 1 -name 'root-*.json' | sort -V | tail -n 1)
    echo "${later:-$state/root.json}"
}

# Signs a draft, and only then gives it its name, so that an interrupted run finds it whole or not at all.
finish_root() { # DRAFT NAME [--previous FILE]
    local draft=$1 path=$2 name
    shift 2
    for name in "${managers[0]}" "${managers[1]}"; do
        farm-sign root sign "$draft" "$@" --key "$state/keys/$name"
    done
    rm -rf "$path.sig.d"
    mv "$draft.sig.d" "$path.sig.d"
    mv "$draft" "$path"
}

first_root() { # DRAFT
    local name arguments=()
    for name in "${managers[@]}"; do
        arguments+=(--root-key "$name=$state/keys/$name.pub" --release-key "$name=$state/keys/$name.pub")
    done
    for name in "${operators[@]}"; do
        arguments+=(--anchor "$name=$state/keys/$name.pub" --witness "$name")
    done
    farm-sign root init --out "$1" "${arguments[@]}" --root-threshold 2 --release-threshold 2 \
        --enrolment-key "enrolment=$state/keys/enrolment.pub" --enrolment-threshold 1 --log "$(farmctl log show --vkey)" \
        --policy "$state/tree/farm/policy.yml" --base "$(cat "$state/base.digest")" --expires 365
}

# What the tree, the base and the coordinator are now, in the next version of the root.
next_root() { # OLD DRAFT
    local name witnesses=()
    farm-sign root set "$1" policy "$state/tree/farm/policy.yml" --out "$2"
    farm-sign root set "$2" expires 365
    grep -q "$(cat "$state/base.digest")" "$2" || farm-sign root add "$2" base "$(cat "$state/base.digest")"
    if grep -q '"log":null' "$2"; then
        for name in "${operators[@]}"; do
            witnesses+=(--witness "$name")
        done
        farm-sign root set "$2" log "$(farmctl log show --vkey)" "${witnesses[@]}"
    fi
}

root_is_right() { # FILE
    [[ $(sed 's/.*"expires":"\([^"]*\)","format".*/\1/' "$1") > $(date -u -d "+30 days" +%FT%TZ) ]] &&
        grep -q "$(sha256sum "$state/tree/farm/policy.yml" | cut -d' ' -f1)" "$1" &&
        grep -q "$(cat "$state/base.digest")" "$1" && ! grep -q '"log":null' "$1"
}

make_root() {
    local newest version draft=$state/root-draft
    make_keys
    rm -rf "$draft" "$draft.sig.d"
    if [ ! -e "$state/root.json" ]; then
        first_root "$draft"
        finish_root "$draft" "$state/root.json"
    fi
    newest=$(newest_root)
    farmctl root install "$newest"
    version=$(sed 's/.*"version":\([0-9]*\)}$/\1/' "$newest")
    if ! root_is_right "$newest"; then
        version=$((version + 1))
        next_root "$newest" "$draft"
        finish_root "$draft" "$state/root-$version.json" --previous "$newest"
        farmctl root install "$state/root-$version.json"
    fi
    note "version $version, threshold 2 of ${#managers[@]} managers, anchors and witnesses ${operators[*]}"
}

# ---- 6. workers ----

start_worker() { # OPERATOR
    local name=$1 dir=$state/worker-$1
    if [ ! -e "$dir/request.json" ]; then
        farm-worker init --join "$(farmctl join)" --operator "$name" --worker "$name-1" --state "$dir" \
            --slots 1 --cores 2 --allow-tree "file://$state"
    fi
    if [ ! -e "$state/admitted-$name" ]; then
        farm-sign entry init --request "$dir/request.json" --operator-key "$state/keys/$name.pub" \
            --expires "$(date -u -d "+365 days" +%F)" --out "$state/entry-$name.json"
        farm-sign entry "$state/entry-$name.json" --key "$state/keys/$name"
        farm-sign entry "$state/entry-$name.json" --key "$state/keys/enrolment"
        farmctl worker admit "$state/entry-$name.json"
        touch "$state/admitted-$name"
    fi
    if ! is_running "$state/worker-$name.pid" farm-worker; then
        setsid "$bin/farm-worker" run --state "$dir" >>"$log/worker-$name.log" 2>&1 </dev/null &
        echo $! >"$state/worker-$name.pid"
    fi
}

workers_online() {
    farmctl worker list | awk '$3 == "online" { n++ } END { print n + 0 }'
}

start_workers() {
    local name tries
    for name in "${operators[@]}"; do
        start_worker "$name"
    done
    for tries in $(seq 300); do
        [ "$(workers_online)" -lt ${#operators[@]} ] || break
        sleep 0.1
    done
    if [ "$(workers_online)" -lt 2 ]; then
        tail -n 3 "$log"/worker-*.log
        return 1
    fi
    note "$(workers_online) online, each of another operator"
}

# ---- 7. sources, plan, build ----

bring_sources() {
    mkdir -p "$state/sources"
    note "all there"
    local before file
    before=$(farmctl source list)
    "$here/support/fetch-sources.sh" "$state/tree/farm/farm.lock" "$state/sources"
    for file in "$state"/sources/*; do
        [ -f "$file" ] || continue
        grep -q "$(sha256sum "$file" | cut -d' ' -f1)" <<<"$before" || farmctl source add "$file"
    done
    note "$(find "$state/sources" -type f | wc -l) archives, by digest"
}

make_plan() {
    farmctl plan --base quickstart "$state/tree@HEAD" all --json >"$state/plan.json"
    sed 's/.*"plan":"\([0-9a-f]*\)".*/\1/' "$state/plan.json" >"$state/plan"
    note "$(cut -c1-12 "$state/plan"), $(grep -o '"node":' "$state/plan.json" | wc -l) jobs"
}

# Goes on over a restart of the coordinator: what was accepted is on its disk, and running builds go on meanwhile.
build_plan() {
    local status begun=$SECONDS
    echo "==> build         two operators for each package; farmctl watch shows more"
    while :; do
        status=0
        farmctl build --wait "$(cat "$state/plan")" >"$log/build.log" || status=$?
        [ "$status" = 2 ] || break
        if is_running "$coordinator/pid" farm-coordinator; then
            echo "quickstart: the build cannot be started" >&2
            exit 1
        fi
        echo "==> coordinator   it went away; starting it again"
        start_coordinator >"$log/start_coordinator.log" 2>&1 || { tail -n 20 "$log/start_coordinator.log" >&2; exit 1; }
    done
    if [ "$status" != 0 ]; then
        cat "$log/build.log" >&2
        exit 1
    fi
    echo "==> build         done in $((SECONDS - begun)) s"
}

# ---- 8. release and hand-off ----

release_name() {
    echo "$(basename "$tree")-$(cut -c1-12 "$state/plan")"
}

make_release() {
    local name dir signer
    name=$(release_name)
    dir=$state/releases/$name
    note "$name (kept)"
    if farmctl release list | awk -v name="$name" '$1 == name && $3 == "signed" { found = 1 } END { exit !found }'; then
        return 0
    fi
    mkdir -p "$dir"
    [ -e "$dir/release.json" ] || farmctl release draft --out "$dir/release.json" "$name" "$(cat "$state/plan")"
    for signer in "${managers[0]}" "${managers[2]}"; do
        farm-sign release "$dir/release.json" --key "$state/keys/$signer"
    done
    farmctl release submit "$name" "$dir/release.json"
    note "$name, signed by ${managers[0]} and ${managers[2]}"
}

# farm-verify runs once more by hand, in a network namespace of its own where that is allowed: offline for certain.
verify_offline() {
    local run=()
    if unshare --user --net --map-current-user true 2>/dev/null; then
        run=(unshare --user --net --map-current-user)
    fi
    "${run[@]}" "$bin/farm-verify" "$state/handoff/$(release_name)" --trust "$state/root.json" --state "$state/verify.state" --phase image -v
}

hand_off() {
    local name
    name=$(release_name)
    mkdir -p "$state/handoff"
    if [ ! -e "$state/handoff/$name" ]; then
        farmctl handoff "$name" --phase image --to "$state/handoff/$name"
    fi
    verify_offline
    note "farm-verify passed, offline"
}

# ---- 9. what a person needs to know ----

summary() {
    local status agreed
    status=$(farmctl status --json)
    agreed=$(grep -o '"agreed":[0-9]*' <<<"$status" | head -n 1 | cut -d: -f2)
    cat <<TEXT

A build farm runs on this machine.

  packages   $agreed agreed, each built by two operators
  log        $(farmctl log show | sed -n 's/^log .*: \(.*\)/\1/p'), cosigned by the operators' own workers
  disputes   $(grep -o '"disputes":\[[^]]*' <<<"$status" | grep -o '"node"' | wc -l)
  time       $((SECONDS - started)) s
  hand-off   $state/handoff/$(release_name)

  look       $bin/farmctl --socket $FARM_SOCKET status
  check      $bin/farm-verify $state/handoff/$(release_name) --trust $state/root.json -v
  stop       ./quickstart$([ "$state" = "$PWD/.farm" ] || echo " --state $state") --stop
TEXT
}

stop_one() { # PIDFILE PROGRAM
    local pid tries
    is_running "$1" "$2" || return 0
    pid=$(cat "$1")
    kill -TERM "$pid" 2>/dev/null || return 0
    for tries in $(seq 50); do
        kill -0 "$pid" 2>/dev/null || return 0
        # A worker's second TERM gives its leases back at once.
        [ "$tries" != 10 ] || kill -TERM "$pid" 2>/dev/null || true
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

stop_all() {
    local name
    for name in "${operators[@]}"; do
        stop_one "$state/worker-$name.pid" farm-worker
    done
    stop_one "$coordinator/pid" farm-coordinator
}
