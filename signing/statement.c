/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing: struct to JSON, with the rules that both directions share. Reading is in statement_parse.c. */
#include "statement.h"

#include "identity.h"
#include "moment.h"
#include "statement_json.h"

#include <assert.h>

/* A set of one; in-toto's DigestSet. */
static json_t *digest_set(const struct digest *sha256)
{
    return json_pack("{s:o}", "sha256", json_digest(sha256));
}

static json_t *subject(const struct statement *statement, const char *suffix, const struct digest *digest)
{
    CLEANUP_FREE char *name = mem_format("%s-%s%s", statement->package, statement->version, suffix);
    return json_pack("{s:s, s:o}", "name", name, "digest", digest_set(digest));
}

static json_t *subjects(const struct statement *statement)
{
    json_t *list = json_array();
    if (statement->failure != FAILURE_NONE) {
        json_array_append_new(list, subject(statement, ".job", &statement->job));
    } else {
        json_array_append_new(list, subject(statement, ".mtree", &statement->payload));
        json_array_append_new(list, subject(statement, ".tar", &statement->tar));
    }
    return list;
}

static json_t *annotation(const char *kind)
{
    return json_pack("{s:s}", "kind", kind);
}

static json_t *source_json(const struct statement_source *source)
{
    json_t *digests = source->git ? json_pack("{s:s, s:o}", "gitCommit", source->commit, "gitTree",
                                              json_digest(&source->digest))
                                  : digest_set(&source->digest);
    return json_pack("{s:s, s:o, s:o}", "name", source->name, "digest", digests, "annotations",
                     annotation("source"));
}

static json_t *resolved(const struct statement *statement)
{
    json_t *list = json_array();
    for (size_t i = 0; i < statement->nsources; i++)
        json_array_append_new(list, source_json(&statement->sources[i]));
    for (size_t i = 0; i < statement->ndependencies; i++)
        json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "name", statement->dependencies[i].name,
                                              "digest", digest_set(&statement->dependencies[i].payload),
                                              "annotations", annotation("dependency")));
    return list;
}

static json_t *build_definition(const struct statement *s)
{
    json_t *tree = json_pack("{s:s, s:s, s:o}", "url", s->tree_url, "commit", s->tree_commit, "tree_sha256",
                             json_digest(&s->tree_sha256));
    json_t *package = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", s->package, "version", s->version,
                                "release", s->release, "tier", s->tier, "kind", s->kind);
    return json_pack("{s:s, s:{s:o, s:o}, s:{s:o, s:o}, s:o}", "buildType", STATEMENT_BUILD_TYPE,
                     "externalParameters", "tree", tree, "package", package, "internalParameters", "job",
                     json_digest(&s->job), "base", json_digest(&s->base), "resolvedDependencies",
                     resolved(s));
}

static json_t *environment(const struct statement *statement)
{
    json_t *facts = json_object();
    for (size_t i = 0; i < statement->nfacts; i++)
        json_object_set_new(facts, statement->facts[i].name, json_string(statement->facts[i].value));
    return json_pack("{s:s, s:s, s:o}", "name", "environment", "uri", STATEMENT_ENVIRONMENT, "annotations",
                     facts);
}

static json_t *run_details(const struct statement *s)
{
    CLEANUP_FREE char *id = mem_format(STATEMENT_BUILDER_PREFIX "%s:%s", s->operator_name, s->worker);
    char nonce[2 * STATEMENT_NONCE_SIZE + 1];
    hex_encode(s->nonce.bytes, sizeof s->nonce.bytes, nonce);
    json_t *metadata =
        json_pack("{s:s, s:s, s:s}", "invocationId", nonce, "startedOn", moment_format(s->started_ms).text,
                  "finishedOn", moment_format(s->finished_ms).text);
    json_t *log = json_pack("{s:s, s:o}", "name", "log", "digest", digest_set(&s->log));
    return json_pack("{s:{s:s}, s:o, s:[o, o]}", "builder", "id", id, "metadata", metadata, "byproducts", log,
                     environment(s));
}

static json_t *predicate(const struct statement *statement)
{
    json_t *definition = build_definition(statement), *details = run_details(statement);
    if (statement->failure == FAILURE_NONE)
        return json_pack("{s:o, s:o}", "buildDefinition", definition, "runDetails", details);
    return json_pack("{s:s, s:[{s:s, s:o}], s:[s], s:[], s:[], s:o, s:o}", "result", "FAILED",
                     "configuration", "name", "job", "digest", digest_set(&statement->job), "failedTests",
                     failure_kind_name(statement->failure), "passedTests", "warnedTests", "buildDefinition",
                     definition, "runDetails", details);
}

json_t *statement_json(const struct statement *statement)
{
    const char *type = statement->failure == FAILURE_NONE ? STATEMENT_PROVENANCE : STATEMENT_TEST_RESULT;
    json_t *value = json_pack("{s:s, s:o, s:s, s:o}", "_type", STATEMENT_TYPE, "subject", subjects(statement),
                              "predicateType", type, "predicate", predicate(statement));
    assert(value != NULL); /* jansson refuses texts that are not UTF-8; statement_check has seen them */
    return value;
}

/* --- rules --- */

static int bad(struct diag *diag, const char *member)
{
    return diag_set(diag, FARM_E_REFUSED, "statement: %s: missing, too long, or not in its form", member);
}

/* Names and versions become file names. */
static bool is_word(const char *text)
{
    struct view view = view_text(text);
    return view.size > 0 && view.size <= 255 && view_is_token(view) && strchr(text, '/') == NULL;
}

static bool is_text(const char *text)
{
    struct view view = view_text(text);
    return view.size > 0 && view.size <= STATEMENT_TEXT_MAX && view_is_utf8(view);
}

static bool is_commit(const char *text)
{
    unsigned char bytes[32];
    struct view view = view_text(text);
    return (view.size == 40 || view.size == 64) && hex_decode(view, bytes, view.size / 2);
}

static int check_sources(const struct statement *s, struct diag *diag)
{
    if (s->nsources > STATEMENT_SOURCES_MAX || s->ndependencies > STATEMENT_DEPENDENCIES_MAX)
        return bad(diag, "resolvedDependencies");
    for (size_t i = 0; i < s->nsources; i++)
        if (!is_text(s->sources[i].name) || (s->sources[i].git && !is_commit(s->sources[i].commit)))
            return bad(diag, "resolvedDependencies: a source");
    for (size_t i = 0; i < s->ndependencies; i++)
        if (!is_word(s->dependencies[i].name))
            return bad(diag, "resolvedDependencies: a dependency");
    return 0;
}

static int check_facts(const struct statement *s, struct diag *diag)
{
    if (s->nfacts > STATEMENT_FACTS_MAX)
        return bad(diag, "byproducts: environment");
    for (size_t i = 0; i < s->nfacts; i++)
        if (!is_word(s->facts[i].name) || !is_text(s->facts[i].value))
            return bad(diag, "byproducts: environment");
    return 0;
}

int statement_check(const struct statement *s, struct diag *diag)
{
    if (!is_word(s->package) || !is_word(s->version) || !is_word(s->release) || !is_word(s->tier) ||
        !is_word(s->kind))
        return bad(diag, "externalParameters.package");
    if (!is_text(s->tree_url) || !is_commit(s->tree_commit))
        return bad(diag, "externalParameters.tree");
    if (!identity_name_is_valid(view_text(s->worker)) || !identity_name_is_valid(view_text(s->operator_name)))
        return bad(diag, "builder.id");
    if (s->started_ms < 0 || s->finished_ms < s->started_ms)
        return bad(diag, "metadata: startedOn and finishedOn");
    int result = check_sources(s, diag);
    return result < 0 ? result : check_facts(s, diag);
}

void statement_write(const struct statement *statement, struct buf *ret)
{
    assert(statement_check(statement, NULL) >= 0);
    CLEANUP_JSON json_t *value = statement_json(statement);
    json_write(value, ret);
}

int statement_sign(const struct statement *statement, const struct key_pair *keys, struct buf *ret,
                   struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = statement_check(statement, diag);
    if (result < 0)
        return result;
    statement_write(statement, &text);
    if (text.size > STATEMENT_SIZE_MAX)
        return diag_set(diag, FARM_E_LIMIT, "statement: %zu bytes, the limit is %d", text.size,
                        STATEMENT_SIZE_MAX);
    return dsse_sign(DSSE_TYPE_INTOTO, buf_view(&text), &keys, 1, ret, diag);
}

/* --- against the spec --- */

static int mismatch(struct diag *diag, const char *member)
{
    return diag_set(diag, FARM_E_REFUSED, "statement: %s is not the job spec's", member);
}

const char *statement_source_name(const struct spec_source *source)
{
    const char *name = source->kind == PIN_GIT ? source->into : source->filename;
    return name != NULL ? name : ".";
}

static bool same_source(const struct statement_source *source, const struct spec_source *wanted)
{
    bool git = wanted->kind == PIN_GIT;
    return source->git == git && digest_equal(&source->digest, &wanted->digest) &&
           strcmp(source->name, statement_source_name(wanted)) == 0 &&
           (!git || strcmp(source->commit, wanted->commit) == 0);
}

static int check_inputs(const struct statement *s, const struct spec *spec, struct diag *diag)
{
    if (s->nsources != spec->nsources || s->ndependencies != spec->ndependencies)
        return mismatch(diag, "the number of resolvedDependencies");
    for (size_t i = 0; i < s->nsources; i++)
        if (!same_source(&s->sources[i], &spec->sources[i]))
            return mismatch(diag, s->sources[i].name);
    for (size_t i = 0; i < s->ndependencies; i++)
        if (strcmp(s->dependencies[i].name, spec->dependencies[i].name) != 0 ||
            !digest_equal(&s->dependencies[i].payload, &spec->dependencies[i].payload))
            return mismatch(diag, s->dependencies[i].name);
    return 0;
}

int statement_check_spec(const struct statement *s, const struct spec *spec, struct diag *diag)
{
    if (!digest_equal(&s->job, &spec->key))
        return mismatch(diag, "internalParameters.job");
    if (!digest_equal(&s->base, &spec->base))
        return mismatch(diag, "internalParameters.base");
    if (strcmp(s->package, spec->name) != 0 || strcmp(s->version, spec->version) != 0 ||
        strcmp(s->release, spec->release) != 0 || strcmp(s->tier, spec->tier) != 0 ||
        strcmp(s->kind, spec->kind) != 0)
        return mismatch(diag, "externalParameters.package");
    return check_inputs(s, spec, diag);
}
