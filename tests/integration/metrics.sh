#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What monitoring sees: the figures of a small run, over HTTP and over the control socket, in a format that is checked strictly; log lines as
# JSON, levels that change at run time, and a configuration that is read again.
. "$(dirname "$0")/lib.sh"
test_begin metrics
format=$source_dir/tests/integration/metrics-format.awk

say "the check itself refuses what is wrong"
check_refuses() { # TEXT
    if printf '%b' "$1" | awk -f "$format" >"$work/out" 2>&1; then fail "accepted: $1"; fi
}
good='# HELP igos_farm_a_total h h\n# TYPE igos_farm_a_total counter\n'
printf '%b' "${good}igos_farm_a_total 1\n" | awk -f "$format" || fail "refused what is right"
check_refuses ''
check_refuses "$good"
check_refuses "${good}igos_farm_a_total -1\n"
check_refuses "${good}igos_farm_a_total 1\nigos_farm_a_total 1\n"
check_refuses "${good}igos_farm_b_total 1\n"
check_refuses "${good}igos_farm_a_total{x=\"a\"b\"} 1\n"
check_refuses "${good}igos_farm_a_total 0x1\n"
check_refuses "${good}igos_farm_a_total 1\n\n"
check_refuses '# HELP igos_farm_a h h\n# TYPE igos_farm_a counter\nigos_farm_a 1\n'
check_refuses '# HELP igos_farm_a_ms h h\n# TYPE igos_farm_a_ms gauge\nigos_farm_a_ms 1\n'
bucket='# HELP igos_farm_t h h\n# TYPE igos_farm_t histogram\nigos_farm_t_bucket{le="1"} 2\n'
check_refuses "${bucket}igos_farm_t_bucket{le=\"+Inf\"} 1\nigos_farm_t_sum 1\nigos_farm_t_count 1\n"
check_refuses "${bucket}igos_farm_t_sum 1\nigos_farm_t_count 2\n"

tree_plain one
tree_plain two one
tree_package wrong <<'BUILD'
build() { return 1; }
do_install() { :; }
BUILD
tree_commit
conf_extra+=$'\nlog_format = json\n[web]\nlisten = 127.0.0.1:0'
farm_up alder birch
address=$(jq -r -R 'fromjson? | select(.message == "metrics are served") | .address' "$work/log/coordinator.log")
[ -n "$address" ] || fail "the log names no address for metrics"
farm_plan
expect_status 1 farmctl build --wait "$plan"

figure() { # NAME WITH LABELS: from the control socket, which is never old
    farmctl metrics | awk -v name="$1" 'substr($0, 1, length(name) + 1) == name " " { print $NF }'
}
figure_is() { # NAME VALUE
    [ "$(figure "$1")" = "$2" ] || fail "$1 is \"$(figure "$1")\", expected $2"
}
at_least() { # NAME VALUE
    awk -v is="$(figure "$1")" -v wanted="$2" 'BEGIN { exit !(is != "" && is + 0 >= wanted) }'
}

say "the figures are those of the run: two packages agreed, one failed, at quorum 2"
figure_is 'igos_farm_nodes{state="agreed"}' 2
figure_is 'igos_farm_nodes{state="failed"}' 1
figure_is 'igos_farm_plans{state="failed"}' 1
figure_is igos_farm_leases_granted_total 6
figure_is 'igos_farm_leases_ended_total{state="answered"}' 6
figure_is igos_farm_leases_live 0
figure_is 'igos_farm_answers_total{fate="counted"}' 6
figure_is 'igos_farm_verdicts_total{state="agreed"}' 2
figure_is 'igos_farm_verdicts_total{state="failed"}' 1
figure_is 'igos_farm_workers{state="online"}' 2
figure_is igos_farm_operators 2
for name in igos_farm_uploads_total igos_farm_bulk_sent_bytes_total igos_farm_bulk_received_bytes_total igos_farm_database_size_bytes \
    igos_farm_commit_duration_seconds_count igos_farm_turn_duration_seconds_count igos_farm_pool_wait_seconds_count \
    igos_farm_disk_free_bytes process_resident_memory_bytes process_open_fds; do
    expect "$name is above zero" at_least "$name" 1
done
expect "log entries are counted" test "$(figure igos_farm_log_entries)" = "$(log_number size)"
wait_for 20 "objects are counted" at_least igos_farm_store_objects 10
expect "the root's expiry is as it says" at_least igos_farm_root_expiry_time_seconds "$(date +%s)"

say "over HTTP the same names and labels, and none of them names a worker, a job or a key"
curl -sS --fail "http://$address/metrics" -D "$work/headers" -o "$work/web.prom"
expect_text "text/plain; version=0.0.4" "$work/headers"
farmctl metrics >"$work/ctl.prom"
names_of() { sed -n 's/^\([a-z][^ ]*\) .*/\1/p' "$1" | sort; }
wait_for 20 "the published text has all of it" bash -c "curl -sS http://$address/metrics | grep -q '^igos_farm_store_objects '"
curl -sS --fail "http://$address/metrics" -o "$work/web.prom"
farmctl metrics >"$work/ctl.prom"
diff <(names_of "$work/ctl.prom") <(names_of "$work/web.prom") || fail "other series than farmctl metrics"
! names_of "$work/web.prom" | grep -E 'alder|birch|extra/|[0-9a-f]{16}' || fail "a label that strangers choose"
for file in "$work/web.prom" "$work/ctl.prom"; do
    awk -f "$format" "$file" || fail "the format"
done
expect "healthy" test "$(curl -sS "http://$address/healthz")" = ok
expect "every metric of a run that is documented in the guide exists" test -z "$(comm -23 \
    <(grep -o 'igos_farm_[a-z_]*' "$source_dir/docs/OPERATORS.md" | sort -u) \
    <({ names_of "$work/web.prom" | sed 's/{.*//'; sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' "$work/web.prom"; } | sort -u))"

say "a worker that is gone is counted so"
kill -TERM "${pids[birch-1]}"
wait "${pids[birch-1]}" || true
one_is_online() { [ "$(figure 'igos_farm_workers{state="online"}')" = 1 ]; }
wait_for 20 "one is online" one_is_online
figure_is 'igos_farm_workers{state="known"}' 2

say "the log: every line is an object with the documented names"
grep '^{' "$work/log/coordinator.log" >"$work/json"
jq -es 'length > 10 and all(.[]; has("time") and has("level") and has("message"))' "$work/json" >"$work/out" || fail "not all lines are objects"
expect "a granted lease names all that it is about" jq -es 'any(.[]; .message == "lease granted" and .node == "extra/one" and
    (.worker | IN("alder-1", "birch-1")) and (.job | length == 64) and (.lease | length == 64) and .round == 1)' "$work/json" >"$work/out"
keys=$(jq -r 'keys[]' "$work/json" | sort -u)
for key in $keys; do
    [[ $key == time || $key == level || $key == message ]] || grep -q "^| \`$key\` |" "$source_dir/docs/OPERATORS.md" || fail "field $key is not documented"
done

say "levels at run time"
expect "the level is debug" test "$(farmctl log-level)" = debug
expect "and error now" test "$(farmctl log-level error)" = error
expect_status 2 farmctl log-level loud
expect_text "expected error, warning, info or debug" "$work/out"
expect "still error" test "$(farmctl log-level)" = error

say "SIGHUP reads levels and format again, names what needs a restart, and takes over nothing from a file that is wrong"
sed -i 's/^log_level = .*/log_level = warning/; s/^log_format = .*/log_format = text/; s/^heartbeat = .*/heartbeat = 2s/' "$work/farm.conf"
kill -HUP "${pids[coordinator]}"
level_is() { [ "$(farmctl log-level)" = "$1" ]; }
wait_for 10 "the level of the file" level_is warning
expect_text 'WARN  changed keys need a restart reason=heartbeat' "$work/log/coordinator.log"
sed -i 's/^log_level = .*/log_level = loud/' "$work/farm.conf"
kill -HUP "${pids[coordinator]}"
wait_for 10 "the mistake is named" grep -q 'ERROR configuration not taken over reason=.*log_level' "$work/log/coordinator.log"
expect "the level stays" level_is warning
expect_status 2 farm-coordinator --config "$work/farm.conf" --check
sed -i 's/^log_level = .*/log_level = info/' "$work/farm.conf"

say "a worker does the same with worker.conf"
sed -i 's/^log_level = .*/log_level = debug/; s/^log_format = .*/log_format = json/' "$work/worker-alder-1/worker.conf"
kill -HUP "${pids[alder-1]}"
wait_for 10 "it says so" grep -q '{.*"message":"configuration read again","log_level":"debug"}' "$work/log/worker-alder-1.log"

say "one that cannot listen does not start"
sed -i "s/^listen = .*/listen = $address/" "$work/farm.conf"
kill -TERM "${pids[coordinator]}"
wait "${pids[coordinator]}" || fail "the coordinator ended with status $?"
! curl -sS --max-time 2 "http://$address/healthz" >/dev/null 2>&1 || fail "somebody answers after the end"
sed -i 's/^listen = .*/listen = nowhere:1/' "$work/farm.conf"
expect_status 2 farm-coordinator --config "$work/farm.conf" --check
expect_text "a numeric address is expected" "$work/out"

say "promtool"
if command -v promtool >/dev/null; then
    promtool check metrics <"$work/web.prom" >"$work/out" 2>&1 || { cat "$work/out"; fail "promtool finds something"; }
    [ ! -s "$work/out" ] || { cat "$work/out"; fail "promtool advises something"; }
    sed -n '/^    groups:/,/^$/s/^    //p' "$source_dir/docs/OPERATORS.md" >"$work/rules.yml"
    expect_status 0 promtool check rules "$work/rules.yml"
else
    echo "promtool (Debian: prometheus) is absent: its own check is skipped, the one above was made"
fi
