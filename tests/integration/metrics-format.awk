# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prometheus' text format 0.0.4, strictly, and the conventions for names: status 1 and a line for each thing that is wrong.
# https://prometheus.io/docs/instrumenting/exposition_formats/  https://prometheus.io/docs/practices/naming/
function wrong(text) { print FILENAME ":" NR ": " text ": " $0; bad = 1 }
function family_of(name) {
    base = name
    if ((type[current] == "histogram" && (sub(/_bucket$/, "", base) || sub(/_sum$/, "", base) || sub(/_count$/, "", base))) ||
        (type[current] == "summary" && (sub(/_sum$/, "", base) || sub(/_count$/, "", base))))
        return base
    return name
}
function end_of_family() {
    if (current == "")
        return
    if (!(current in type)) wrong(current " has a HELP and no TYPE")
    if (!(current in samples)) wrong(current " has no sample")
    if (type[current] == "histogram") {
        if (last_bound != "+Inf") wrong(current " does not end with +Inf")
        if (last_count != total_count) wrong(current "_count is not its last bucket")
    }
}
/\r/ { wrong("carriage return") }
/^# HELP / {
    end_of_family()
    current = $3
    if (current in help) wrong("second HELP")
    help[current] = 1
    if (NF < 4) wrong("HELP without words")
    last_bound = ""; last_count = -1; total_count = -2
    next
}
/^# TYPE / {
    if ($3 != current) wrong("TYPE does not follow its HELP")
    if (current in type) wrong("second TYPE")
    if (NF != 4 || $4 !~ /^(counter|gauge|histogram|summary)$/) wrong("TYPE")
    type[current] = $4
    if ($4 == "counter" && current !~ /_total$/) wrong("a counter that does not end in _total")
    if ($4 != "counter" && current ~ /_total$/) wrong("_total, and no counter")
    if (current ~ /(_ms|_milliseconds|_kb|_mib|_minutes|_percent)(_|$)/) wrong("not a base unit")
    if (current !~ /^(igos_farm_|process_)[a-z][a-z0-9_]*$/) wrong("name")
    next
}
/^#/ { wrong("a comment that is neither HELP nor TYPE"); next }
/^$/ { wrong("empty line"); next }
{
    if ($0 !~ /^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\[\\"n])*"\})? ([+-]?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|NaN|[+-]Inf)$/) {
        wrong("not a sample")
        next
    }
    name = $0; sub(/[{ ].*/, "", name)
    series = $0; sub(/ [^ ]*$/, "", series)
    if (!(current in type) || family_of(name) != current) wrong("a sample outside of its family")
    if (series in seen) wrong("the same series twice")
    seen[series] = 1
    samples[current] = 1
    if (type[current] == "counter" && $NF < 0) wrong("a counter below zero")
    if (type[current] == "histogram" && name ~ /_bucket$/) {
        bound = series; sub(/.*le="/, "", bound); sub(/".*/, "", bound)
        if (last_bound == "+Inf" || (last_bound != "" && bound != "+Inf" && bound + 0 <= last_bound + 0)) wrong("bounds do not rise")
        if ($NF + 0 < last_count) wrong("buckets fall")
        last_bound = bound; last_count = $NF + 0
    }
    if (type[current] == "histogram" && name ~ /_count$/) total_count = $NF + 0
}
END {
    end_of_family()
    if (NR == 0) { print "empty"; bad = 1 }
    exit bad
}
