#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The documents agree with the programs: verbs that are mentioned exist, --help works, every option of a --help stands in its man
# page, man pages are made without a warning, links lead somewhere, and every test that THREATS.md names exists. Needs no farm.
set -euo pipefail
shopt -s inherit_errexit

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${FARM_BINARY_DIR:=$source_dir/build}"
bin=$FARM_BINARY_DIR/bin
export LC_ALL=C.UTF-8
work=$(mktemp -d "${TMPDIR:-/var/tmp}/farm-test-docs.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$source_dir"

problems=0
problem() {
    echo "docs: $*" >&2
    problems=$((problems + 1))
}

documents=(README.md docs/*.md)
pages=(docs/man/*.scd)
programs=(farm-coordinator farm-worker farmctl farm-sign farm-verify)
sign_commands=(keygen pubkey root entry directory release waiver)

# ---- what the programs say of themselves ----

# Prints a --help; fails if it does not exit with 0 or says nothing.
help_of() { # PROGRAM [VERB]
    local status=0
    "$bin/$1" "${@:2}" --help >"$work/help" 2>"$work/errors" || status=$?
    if [ "$status" != 0 ] || [ ! -s "$work/help" ] || [ -s "$work/errors" ]; then
        problem "$* --help: exit status $status, $(wc -l <"$work/help") lines"
    fi
    cat "$work/help"
}

all_helps_of() { # PROGRAM
    local verb
    help_of "$1"
    case $1 in
        farmctl) for verb in "${verbs[@]}"; do help_of farmctl "$verb"; done ;;
        farm-sign) for verb in "${sign_commands[@]}"; do help_of farm-sign "$verb"; done ;;
    esac
}

for program in "${programs[@]}"; do
    [ -x "$bin/$program" ] || { echo "docs: $bin/$program is not built" >&2; exit 2; }
    grep -q "^$program [0-9]" <<<"$("$bin/$program" --version)" || problem "$program --version says no version"
done

"$bin/farmctl" --help >"$work/farmctl.help"
mapfile -t verbs < <(sed -n 's/^  \([a-z][a-z-]*[a-z]\)  .*/\1/p' "$work/farmctl.help")
[ "${#verbs[@]}" -ge 15 ] || problem "only ${#verbs[@]} verbs were found in farmctl --help"

# ---- every verb that the documents mention ----

mentioned() { # PROGRAM: words behind it, in code and in man pages
    cat "${documents[@]}" "${pages[@]}" farm.conf.example | tr -d '*_' |
        grep -oE "(^|[^-/a-z])$1 [a-z][a-z-]*[a-z]" | sed "s/.*$1 //" | sort -u
}

for verb in $(mentioned farmctl); do
    # Prose: "farmctl talks", "farmctl looks", "farmctl to"
    case $verb in
        talks | looks | asks | to | and | connects | replaces | request | itself | at | socket | frames) continue ;;
    esac
    [[ " ${verbs[*]} " == *" $verb "* ]] || problem "the documents mention \"farmctl $verb\", which does not exist"
done
for verb in "${verbs[@]}"; do
    grep -qE "^\*$verb( |\*)" docs/man/farmctl.1.scd || problem "farmctl.1 does not explain \"$verb\""
done

# ---- every option of a --help stands in its man page ----

page_of() {
    local found=(docs/man/"$1".[0-9].scd)
    echo "${found[0]}"
}

for program in "${programs[@]}"; do
    page=$(page_of "$program")
    [ -e "$page" ] || { problem "$program has no man page"; continue; }
    # Both are read without markup; an option is a word that begins with dashes.
    tr -d '*_' <"$page" | grep -oE -- '(^|[^a-z-])--?[a-z][a-z-]*' | grep -oE -- '--?[a-z][a-z-]*$' | sort -u >"$work/in-page"
    all_helps_of "$program" >"$work/all-helps"
    grep -oE -- '(^|[ (|[,"])--?[A-Za-z][a-z-]*' "$work/all-helps" | grep -oE -- '--[a-z][a-z-]*$' | sort -u >"$work/in-help"
    [ -s "$work/in-help" ] || problem "no options were found in $program --help"
    while read -r option; do
        grep -qxe "$option" "$work/in-page" || problem "$page does not explain $option"
    done <"$work/in-help"
    cat "$work/all-helps" >>"$work/every-help"
    sed "s|^|$page |" "$work/in-page" | grep -e ' --' | grep -ve ' --help$' -e ' --version$' >>"$work/promised"
done

# And the other way round: nothing is promised that no program has. (A page may name another program's option.)
while read -r page option; do
    grep -qF -- "$option" "$work/every-help" || problem "$page explains $option, which no --help knows"
done <"$work/promised"

# Every key of the configuration stands in its page.
while read -r key; do
    grep -q "\*$key\*" docs/man/farm.conf.5.scd || problem "farm.conf.5 does not explain the key $key"
done < <(sed -n 's/^\([a-z_]*\) =.*/\1/p' farm.conf.example)

# ---- man pages are made without warnings ----

for page in "${pages[@]}"; do
    made=$work/$(basename "${page%.scd}")
    scdoc <"$page" >"$made" 2>"$work/errors" || problem "$page: scdoc: $(cat "$work/errors")"
    [ ! -s "$work/errors" ] || problem "$page: scdoc: $(cat "$work/errors")"
    if command -v man >/dev/null; then
        man --warnings -E UTF-8 -l "$made" >/dev/null 2>"$work/errors" || true
        [ ! -s "$work/errors" ] || problem "$page: man: $(head -n 3 "$work/errors")"
    fi
done

# ---- links ----

# GitHub's names of headings: lower case, blanks become dashes, what is neither letter, digit, blank, dash nor underscore goes.
anchors_of() {
    awk '/^```/ { code = !code } !code && /^#+ / { sub(/^#+ /, ""); print tolower($0) }' "$1" | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

for document in "${documents[@]}"; do
    while read -r link; do
        case $link in http://* | https://* | mailto:*) continue ;; esac
        file=${link%%#*} anchor=
        [[ $link != *'#'* ]] || anchor=${link#*#}
        target=$document
        [ -z "$file" ] || target=$(dirname "$document")/$file
        [ -e "$target" ] || { problem "$document links to $link, which does not exist"; continue; }
        [ -z "$anchor" ] || grep -qx -- "$anchor" <<<"$(anchors_of "$target")" || problem "$document links to $link: no such heading"
    done < <(grep -oE '\]\([^) ]+\)' "$document" | sed 's/^](//; s/)$//')
done

# ---- the tests that THREATS.md names ----

grep -hoE '^(static )?void [a-zA-Z0-9_]+\(void \*\*' -r tests/unit tests/golden tests/sim | sed 's/(.*//; s/.* //' | sort -u >"$work/tests"
# shellcheck disable=SC2016 # backquotes are what is looked for
while read -r name; do
    case $name in
        *.sh) [ -x "tests/integration/$name" ] || [ -x "tests/network/$name" ] || [ -x "tests/hosts/$name" ] ||
            problem "THREATS.md names the script $name, which does not exist" ;;
        fault.*) [ -e "tests/fault/fault_${name#fault.}.c" ] || problem "THREATS.md names the test $name, which does not exist" ;;
        *) grep -qx "$name" "$work/tests" || grep -rqE "^(static )?void $name\(" tests || [ -e "tests/sim/$name.c" ] ||
            problem "THREATS.md names the test $name, which does not exist" ;;
    esac
done < <(sed -n '/^## Workers/,/^## What is not promised/p' docs/THREATS.md | grep '^|' | awk -F'|' '{ print $(NF-1) }' |
    grep -oE '[`][a-zA-Z0-9_.]+[`]' | tr -d '\140' | sort -u)
for number in W{1..18} K{1..8} E{1..7} N{1..9} D{1..8} A{1..9} G{1..10} R{1..6} S{1..16} L{1..8} C{1..3} I{1..3}; do
    grep -q "^| $number |" docs/THREATS.md || problem "THREATS.md does not speak of case $number"
done

if [ "$problems" -gt 0 ]; then
    echo "docs: $problems problems" >&2
    exit 1
fi
echo "docs: ${#documents[@]} documents and ${#pages[@]} man pages agree with the programs"
