#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The statements have the members and types that in-toto Statement v1 and SLSA's verification summary v1 ask for, and the digests are
# those of the files in the release, as sha256sum computes them.
. "$(dirname "$0")/lib.sh"
needs jq jq

unpack_envelopes

# in-toto/attestation, spec/v1/statement.md
statement='
    def hex: type == "string" and test("^[0-9a-f]{64}$");
    def digests: type == "object" and length > 0 and all(.[]; type == "string" and test("^[0-9a-f]+$"));
    def uri: type == "string" and test("^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$");
    ._type == "https://in-toto.io/Statement/v1"
    and (.subject | type == "array" and length > 0)
    and all(.subject[]; (.name | type == "string") and (.digest | digests) and (.digest.sha256 | hex))
    and ([.subject[].name] | length == (unique | length))
    and (.predicateType | uri)
    and (.predicate | type == "object")'
# slsa.dev/spec/v1.1/verification_summary
summary='
    def uri: type == "string" and test("^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$");
    .predicateType == "https://slsa.dev/verification_summary/v1"
    and (.predicate
        | (.verifier.id | uri)
        and (.timeVerified | fromdateiso8601 > 0)
        and (.resourceUri | uri and startswith("pkg:generic/intergenos/"))
        and (.policy.uri | uri) and (.policy.digest.sha256 | test("^[0-9a-f]{64}$"))
        and (.inputAttestations | type == "array" and length > 0)
        and all(.inputAttestations[]; .digest.sha256 | test("^[0-9a-f]{64}$"))
        and .verificationResult == "PASSED"
        and (.verifiedLevels | type == "array" and length > 0 and all(.[]; type == "string"))
        and ([.verifiedLevels[] | select(startswith("SLSA_BUILD_"))] | length == 1))'

for envelope in "$scratch"/envelopes/*.json; do
    jq -r .payload "$envelope" | base64 -d >"$scratch/body"
    [ "$(jq -r .payloadType "$envelope")" = application/vnd.in-toto+json ] || fail "another payload type in $envelope"
    jq -e "$statement" "$scratch/body" >/dev/null || fail "no in-toto statement: $(cat "$scratch/body")"
    case $(jq -r .predicateType "$scratch/body") in
        https://slsa.dev/verification_summary/v1)
            jq -e "$summary" "$scratch/body" >/dev/null || fail "no verification summary: $(cat "$scratch/body")" ;;
        https://slsa.dev/provenance/v1)
            jq -e '.predicate.buildDefinition.buildType and .predicate.runDetails.builder.id' "$scratch/body" >/dev/null ||
                fail "no provenance: $(cat "$scratch/body")" ;;
        *) fail "a predicate that was not expected: $(cat "$scratch/body")" ;;
    esac
done

say "digests, files and levels"
for file in "$export_dir"/summaries/*.vsa.jsonl; do
    name=$(basename "$file" .vsa.jsonl)
    archive=$export_dir/artifacts/$name.igos.tar.gz
    manifest=$export_dir/manifests/$name.mtree
    levels=$(jq -r .payload "$file" | while read -r payload; do
        base64 -d <<<"$payload" >"$scratch/body"
        expected="$name.mtree $(sha256sum <"$manifest" | cut -d' ' -f1)
$name.tar $(gzip -dc "$archive" | sha256sum | cut -d' ' -f1)
$name.igos.tar.gz $(sha256sum <"$archive" | cut -d' ' -f1)"
        [ "$(jq -r '.subject[] | "\(.name) \(.digest.sha256)"' "$scratch/body")" = "$expected" ] ||
            fail "the subjects of $file are not the files: $(jq -c .subject "$scratch/body")"
        [ "$(jq -r .predicate.policy.digest.sha256 "$scratch/body")" = "$(sha256sum <"$export_dir/inputs/policy.yml" | cut -d' ' -f1)" ] ||
            fail "$file names another policy"
        jq -r '.predicate.verifiedLevels | join("+")' "$scratch/body"
    done)
    [ "$levels" = "SLSA_BUILD_LEVEL_1+INTERGENOS_QUORUM_2
SLSA_BUILD_REPRODUCED" ] || fail "the levels of $file are $levels"
done
