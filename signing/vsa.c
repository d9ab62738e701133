/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The two statements of a package, as in-toto Statement v1:
 *
 *     {"_type":"https://in-toto.io/Statement/v1",
 *      "predicate":{"inputAttestations":[{"digest":{"sha256":"<envelope>"},"uri":"receipts/zlib-1.3.1.intoto.jsonl"}],
 *                   "policy":{"digest":{"sha256":"<policy.yml>"},"uri":"git+<tree>@<commit>#farm/policy.yml"},
 *                   "resourceUri":"pkg:generic/intergenos/<tier>/<name>@<version>-<release>","timeVerified":"<time>",
 *                   "verificationResult":"PASSED","verifiedLevels":["SLSA_BUILD_LEVEL_1","INTERGENOS_QUORUM_2"],
 *                   "verifier":{"id":"urn:intergenos:farm:coordinator:<origin>"}},
 *      "predicateType":"https://slsa.dev/verification_summary/v1",
 *      "subject":[payload manifest, canonical tar, archive]}
 *
 * The resource is a package URL, so that a summary of one package cannot be shown for another of equal bytes; the statements of
 * the inputs are to be found in the receipt that the URI names, relative to the release.
 */
#include "vsa.h"

#include "json.h"
#include "moment.h"

#define STATEMENT_TYPE "https://in-toto.io/Statement/v1"

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

/* RFC 3986: whatever could mean something else in a URI is written %XX, but for the characters of 'kept'. */
static void add_escaped(struct buf *uri, const char *text, const char *kept)
{
    for (; *text != '\0'; text++)
        if (is_unreserved(*text) || strchr(kept, *text) != NULL)
            buf_add_byte(uri, *text);
        else
            buf_add_format(uri, "%%%02X", (unsigned char)*text);
}

static json_t *uri_value(struct buf *uri)
{
    json_t *value = json_view(buf_view(uri));
    buf_done(uri);
    return value;
}

static json_t *digest_set(const struct digest *sha256)
{
    return json_pack("{s:o}", "sha256", json_digest(sha256));
}

static json_t *subject(json_t *name, const struct digest *digest)
{
    return json_pack("{s:o, s:o}", "name", name, "digest", digest_set(digest));
}

static json_t *subjects(const struct release_package *package)
{
    return json_pack("[o, o, o]",
                     subject(json_sprintf("%s-%s.mtree", package->name, package->version), &package->payload),
                     subject(json_sprintf("%s-%s.tar", package->name, package->version), &package->tar),
                     subject(json_string(package->archive), &package->archive_sha256));
}

/* purl-spec: type "generic", a namespace of two parts, everything else escaped. */
static json_t *resource_uri(const struct release_package *package)
{
    struct buf uri = BUF_INIT;
    buf_add_text(&uri, "pkg:generic/intergenos/");
    add_escaped(&uri, package->tier, "");
    buf_add_byte(&uri, '/');
    add_escaped(&uri, package->name, "");
    buf_add_byte(&uri, '@');
    add_escaped(&uri, package->version, "");
    buf_add_byte(&uri, '-');
    add_escaped(&uri, package->release, "");
    return uri_value(&uri);
}

/* SPDX's form of a place in a version control system. A tree that is a directory has no scheme of its own. */
static json_t *policy_uri(const struct release *release)
{
    struct buf uri = BUF_INIT;
    buf_add_text(&uri, release->tree.url[0] == '/' ? "git+file://" : "git+");
    add_escaped(&uri, release->tree.url, ":/?@!$&'()*+,;=%[]");
    buf_add_format(&uri, "@%s#farm/policy.yml", release->tree.commit);
    return uri_value(&uri);
}

static json_t *policy(const struct release *release)
{
    return json_pack("{s:o, s:o}", "uri", policy_uri(release), "digest", digest_set(&release->policy));
}

static json_t *inputs_json(const struct vsa_inputs *inputs)
{
    json_t *list = json_array();
    CLEANUP_FREE char *path = release_path(RELEASE_RECEIPTS, inputs->package, ".intoto.jsonl");
    for (size_t i = 0; i < inputs->nenvelopes; i++) {
        struct buf uri = BUF_INIT;
        add_escaped(&uri, path, "/");
        json_array_append_new(list, json_pack("{s:o, s:o}", "uri", uri_value(&uri), "digest",
                                              digest_set(&inputs->envelopes[i])));
    }
    return list;
}

static json_t *levels(const struct vsa_inputs *inputs)
{
    if (inputs->reproduced)
        return json_pack("[s]", "SLSA_BUILD_REPRODUCED");
    return json_pack("[s, o]", "SLSA_BUILD_LEVEL_1",
                     json_sprintf("INTERGENOS_QUORUM_%zu", inputs->package->noperators));
}

static json_t *verifier(const struct vsa_inputs *inputs)
{
    struct buf uri = BUF_INIT;
    buf_add_text(&uri, VSA_VERIFIER);
    add_escaped(&uri, inputs->verifier, "/:@");
    return json_pack("{s:o}", "id", uri_value(&uri));
}

static json_t *predicate(const struct vsa_inputs *inputs)
{
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:s, s:o}", "verifier", verifier(inputs), "timeVerified",
                     moment_format(inputs->verified_ms).text, "resourceUri", resource_uri(inputs->package),
                     "policy", policy(inputs->release), "inputAttestations", inputs_json(inputs),
                     "verificationResult", "PASSED", "verifiedLevels", levels(inputs));
}

void vsa_write(const struct vsa_inputs *inputs, struct buf *ret)
{
    CLEANUP_JSON json_t *statement =
        json_pack("{s:s, s:o, s:s, s:o}", "_type", STATEMENT_TYPE, "subject", subjects(inputs->package),
                  "predicateType", VSA_PREDICATE_TYPE, "predicate", predicate(inputs));
    json_write(statement, ret);
}

/* In the order of the file. */
static struct vsa_inputs line_inputs(const struct vsa_inputs *inputs, int line)
{
    struct vsa_inputs copy = *inputs;
    copy.reproduced = line == 1;
    return copy;
}

enum { VSA_LINES = 2 };

int vsa_sign(const struct vsa_inputs *inputs, const struct key_pair *key, struct buf *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf lines = BUF_INIT;
    int result = 0;
    for (int line = 0; result >= 0 && line < VSA_LINES; line++) {
        CLEANUP_BUF struct buf statement = BUF_INIT;
        struct vsa_inputs of_line = line_inputs(inputs, line);
        vsa_write(&of_line, &statement);
        result = dsse_sign(DSSE_TYPE_INTOTO, buf_view(&statement), &key, 1, &lines, diag);
        buf_add_byte(&lines, '\n');
    }
    if (result >= 0)
        buf_add_view(ret, buf_view(&lines));
    return result;
}

static int check_line(struct view line, const char *where, const struct vsa_inputs *inputs,
                      const struct public_key *key, struct diag *diag)
{
    CLEANUP_BUF struct buf payload = BUF_INIT;
    CLEANUP_BUF struct buf expected = BUF_INIT;
    int result = dsse_open(line, DSSE_TYPE_INTOTO, key, &payload, diag);
    if (result < 0)
        return diag_wrap(diag, result, "%s", where);
    vsa_write(inputs, &expected);
    if (!view_equal(buf_view(&payload), buf_view(&expected)))
        return diag_set(diag, FARM_E_REFUSED,
                        "%s: this summary does not say what follows from the release and its receipts",
                        where);
    return 0;
}

int vsa_check(struct view file, const char *name, const struct vsa_inputs *inputs,
              const struct public_key *key, struct diag *diag)
{
    struct view rest = file, line;
    int number = 0, result = 0;
    if (file.size == 0 || file.data[file.size - 1] != '\n')
        return diag_set(diag, FARM_E_SYNTAX, "%s: empty, or cut off: the last line has no end", name);
    for (; rest.size > 0 && view_split(&rest, '\n', &line); number++) {
        if (number == VSA_LINES)
            return diag_set(diag, FARM_E_REFUSED, "%s: more than %d summaries", name, VSA_LINES);
        CLEANUP_FREE char *where = mem_format("%s:%d", name, number + 1);
        struct vsa_inputs of_line = line_inputs(inputs, number);
        if ((result = check_line(line, where, &of_line, key, diag)) < 0)
            return result;
    }
    if (number < VSA_LINES)
        return diag_set(diag, FARM_E_REFUSED, "%s: %d summaries must be there, here is %d", name, VSA_LINES,
                        number);
    return 0;
}
