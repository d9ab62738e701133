#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# K1: a coordinator leases a spec that the tree does not give. K7: a base that the root does not allow. K8: a tree or a host that the
# owner did not list, a tree that is not what its URL has, a private address. The worker refuses each, says so, and builds nothing.
. "$(dirname "$0")/lib.sh"
test_begin refuse

for name in spec base tree host name address again; do tree_plain "$name"; done
tree_commit
# What the coordinator will pass its tree off as.
mkdir "$work/trusted"
GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@localhost GIT_COMMITTER_NAME=t \
    GIT_COMMITTER_EMAIL=t@localhost bash -c 'cd "$1" && git init -q -b main . && git commit -q --allow-empty -m x' _ "$work/trusted"
coordinator_start
farm_base
root_install alder birch
worker_enrol alder
conf=$work/worker-alder-1/worker.conf
log=$work/log/worker-alder-1.log

lying_start() { # HOW
    coordinator_kill
    FARM_TEST_LIE=$1 "$tests_bin/lying-coordinator" --config "$work/farm.conf" >>"$work/log/coordinator.log" 2>&1 &
    pids[coordinator]=$!
    wait_for 30 "the lying coordinator answers" farmctl status
}
worker_restart() {
    if [ -n "${pids[alder-1]:-}" ]; then
        kill -TERM "${pids[alder-1]}" && wait "${pids[alder-1]}" || true
    fi
    : >"$log"
    worker_run alder-1
    wait_for 30 "the worker is online" workers_online 1
}
allow() { # KEY VALUE: in the owner's lists
    sed -i "s|^$1 = .*|$1 = $2|" "$conf"
}
asks_for() { # PACKAGE: each case its own, since a job that was refused three times halts
    farm_plan --base mini "$1" 2>/dev/null
    farmctl build "$plan" >/dev/null
}
case_end() { # a plan that goes on would be built, rightly, by the next case's coordinator
    farmctl cancel "$plan" >/dev/null
}
refuses() { # WORDS: as the worker says it and as the farm's operator sees it; nothing was built
    wait_for 60 "the worker refuses: $1" grep -qF -- "$1" "$log"
    wait_for 30 "the coordinator knows" grep -q "worker=alder-1 state=refused reason=.*$1" "$work/log/coordinator.log"
    expect "nothing was built" test "$(grep -c ' built ' "$log")" = 0
    expect "nothing is kept to be sent" test "$(find "$work/worker-alder-1/spool" -type f | wc -l)" = 0
}

say "K1: a job that the tree does not give"
lying_start spec
worker_restart
asks_for spec
refuses "the lease names the job"
expect_text "gives" "$log"
farmctl why spec >"$work/why"
expect_text "refused" "$work/why"
case_end

say "K7: a base that the root does not allow"
mkdir "$work/unpacked"
tar -C "$work/unpacked" -xf "$FARM_MINI_BASE"
echo backdoor >"$work/unpacked/etc/extra"
tar -C "$work/unpacked" -cf "$work/other.tar" .
lying_start base
worker_restart
other=$(farmctl base import --name other "$work/other.tar")
plan=$(farmctl plan --base other "$work/tree@HEAD" base 2>/dev/null)
farmctl build "$plan" >/dev/null
refuses "does not allow the base $other"
case_end

say "K8: a tree, then a host, that the owner did not list"
coordinator_kill
coordinator_start
allow trees https://git.example.org/
worker_restart
asks_for tree
refuses "trees in worker.conf"
case_end
allow trees "file://$work,https://git.example.org/"
allow hosts git.example.net
lying_start url=https://git.example.org/tree
worker_restart
asks_for host
refuses "hosts in worker.conf"
case_end
allow hosts ""

say "K8: the coordinator's tree under the name of a trusted one"
allow verify_upstream yes
lying_start "url=file://$work/trusted"
worker_restart
asks_for name
refuses "is not there, on any branch or tag"
case_end

say "K8: private addresses"
allow trees ""
lying_start url=https://localhost/tree
worker_restart
asks_for address
refuses "private or local address"
case_end

say "the same worker builds what its own lists and its own eyes allow"
allow trees "file://$work"
coordinator_kill
coordinator_start
worker_restart
worker_enrol birch
worker_run birch-1
farm_plan --base mini again 2>/dev/null
expect_status 0 farmctl build --wait "$plan"
expect "the tree came from its URL" test "$(find "$work/worker-alder-1/trees" -maxdepth 1 -name '*-*-*' | wc -l)" = 1
expect "the other worker's from the coordinator" test "$(find "$work/worker-birch-1/trees" -maxdepth 1 -name '*-*-*' | wc -l)" = 0

say "admitting the same worker again is no second one"
expect_status 0 farmctl worker admit "$work/entry-alder-1.json"
expect "two workers" test "$(farmctl worker list --json | grep -o '"worker"' | wc -l)" = 2
