/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading: JSON to struct. The fields are taken where they must stand; then the struct is written again and compared, so that
 * nothing else can be in there. What is in the canonical form needs neither (statement_match.h).
 */
#include "statement.h"

#include "jsonsame.h"
#include "moment.h"
#include "statement_match.h"

#include <stdlib.h>

static const char *const NAME = "statement";

/* Strings are borrowed from the document, or from what was matched. */
struct parsed {
    struct statement statement; /* first: statement_free gets its address */
    struct statement_match match;
    json_t *document;
    struct statement_source *sources;
    struct statement_dependency *dependencies;
    struct statement_fact *facts;
    char *worker, *operator_name;
};

struct statement *statement_free(struct statement *statement)
{
    struct parsed *parsed = (struct parsed *)statement;
    if (parsed == NULL)
        return NULL;
    statement_match_done(&parsed->match);
    json_decref(parsed->document);
    free(parsed->sources);
    free(parsed->dependencies);
    free(parsed->facts);
    free(parsed->worker);
    free(parsed->operator_name);
    free(parsed);
    return NULL;
}

void statement_free_p(struct statement **statement)
{
    *statement = statement_free(*statement);
}

/* The objects of the document, found once. */
struct places {
    json_t *predicate, *definition, *tree, *package, *internal, *resolved, *details, *builder, *metadata,
        *byproducts;
};

static int find_places(const json_t *document, struct places *at, struct diag *diag)
{
    json_t *external;
    int result;
    if ((result = json_get_object(document, NAME, "predicate", &at->predicate, diag)) < 0 ||
        (result = json_get_object(at->predicate, NAME, "buildDefinition", &at->definition, diag)) < 0 ||
        (result = json_get_object(at->definition, NAME, "externalParameters", &external, diag)) < 0 ||
        (result = json_get_object(external, NAME, "tree", &at->tree, diag)) < 0 ||
        (result = json_get_object(external, NAME, "package", &at->package, diag)) < 0 ||
        (result = json_get_object(at->definition, NAME, "internalParameters", &at->internal, diag)) < 0 ||
        (result = json_get_array(at->definition, NAME, "resolvedDependencies", &at->resolved, diag)) < 0 ||
        (result = json_get_object(at->predicate, NAME, "runDetails", &at->details, diag)) < 0 ||
        (result = json_get_object(at->details, NAME, "builder", &at->builder, diag)) < 0 ||
        (result = json_get_object(at->details, NAME, "metadata", &at->metadata, diag)) < 0)
        return result;
    return json_get_array(at->details, NAME, "byproducts", &at->byproducts, diag);
}

static int read_digest_set(const json_t *descriptor, struct digest *ret, struct diag *diag)
{
    json_t *set;
    int result = json_get_object(descriptor, NAME, "digest", &set, diag);
    return result < 0 ? result : json_get_digest(set, NAME, "sha256", ret, diag);
}

/* What kind of statement, and its subjects; names and number are json_same's to check. */
static int read_result(const json_t *document, const struct places *at, struct statement *s,
                       struct diag *diag)
{
    const char *type;
    json_t *subjects, *failed;
    int result;
    if ((result = json_get_text(document, NAME, "predicateType", &type, diag)) < 0 ||
        (result = json_get_array(document, NAME, "subject", &subjects, diag)) < 0)
        return result;
    if (strcmp(type, STATEMENT_PROVENANCE) == 0) {
        result = read_digest_set(json_array_get(subjects, 0), &s->payload, diag);
        return result < 0 ? result : read_digest_set(json_array_get(subjects, 1), &s->tar, diag);
    }
    if (strcmp(type, STATEMENT_TEST_RESULT) != 0)
        return diag_set(diag, FARM_E_UNSUPPORTED,
                        "%s: predicateType is neither provenance v1 nor test-result v0.1", NAME);
    if ((result = json_get_array(at->predicate, NAME, "failedTests", &failed, diag)) < 0)
        return result;
    const char *kind = json_string_value(json_array_get(failed, 0));
    int failure = kind != NULL ? failure_kind_parse(view_text(kind)) : -1;
    if (failure <= FAILURE_NONE)
        return diag_set(diag, FARM_E_SYNTAX, "%s: failedTests names no kind of failure", NAME);
    s->failure = (enum failure_kind)failure;
    return 0;
}

static int read_definition(const struct places *at, struct statement *s, struct diag *diag)
{
    int result;
    if ((result = json_get_text(at->tree, NAME, "url", &s->tree_url, diag)) < 0 ||
        (result = json_get_text(at->tree, NAME, "commit", &s->tree_commit, diag)) < 0 ||
        (result = json_get_digest(at->tree, NAME, "tree_sha256", &s->tree_sha256, diag)) < 0 ||
        (result = json_get_text(at->package, NAME, "name", &s->package, diag)) < 0 ||
        (result = json_get_text(at->package, NAME, "version", &s->version, diag)) < 0 ||
        (result = json_get_text(at->package, NAME, "release", &s->release, diag)) < 0 ||
        (result = json_get_text(at->package, NAME, "tier", &s->tier, diag)) < 0 ||
        (result = json_get_text(at->package, NAME, "kind", &s->kind, diag)) < 0 ||
        (result = json_get_digest(at->internal, NAME, "job", &s->job, diag)) < 0)
        return result;
    return json_get_digest(at->internal, NAME, "base", &s->base, diag);
}

static int read_source(const json_t *entry, struct statement_source *ret, struct diag *diag)
{
    json_t *set;
    int result;
    if ((result = json_get_text(entry, NAME, "name", &ret->name, diag)) < 0 ||
        (result = json_get_object(entry, NAME, "digest", &set, diag)) < 0)
        return result;
    ret->git = json_object_get(set, "gitTree") != NULL;
    if (!ret->git)
        return json_get_digest(set, NAME, "sha256", &ret->digest, diag);
    result = json_get_text(set, NAME, "gitCommit", &ret->commit, diag);
    return result < 0 ? result : json_get_digest(set, NAME, "gitTree", &ret->digest, diag);
}

static int read_dependency(const json_t *entry, struct statement_dependency *ret, struct diag *diag)
{
    int result = json_get_text(entry, NAME, "name", &ret->name, diag);
    return result < 0 ? result : read_digest_set(entry, &ret->payload, diag);
}

static int read_resolved(const struct places *at, struct parsed *parsed, struct diag *diag)
{
    struct statement *s = &parsed->statement;
    size_t count = json_array_size(at->resolved);
    if (count > STATEMENT_SOURCES_MAX + STATEMENT_DEPENDENCIES_MAX)
        return diag_set(diag, FARM_E_LIMIT, "%s: %zu resolvedDependencies", NAME, count);
    parsed->sources = mem_zero(count + 1, sizeof *parsed->sources);
    parsed->dependencies = mem_zero(count + 1, sizeof *parsed->dependencies);
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(at->resolved, i);
        const char *kind = json_string_value(json_object_get(json_object_get(entry, "annotations"), "kind"));
        int result = kind != NULL && strcmp(kind, "source") == 0
                         ? read_source(entry, &parsed->sources[s->nsources++], diag)
                         : read_dependency(entry, &parsed->dependencies[s->ndependencies++], diag);
        if (result < 0)
            return result;
    }
    s->sources = parsed->sources;
    s->dependencies = parsed->dependencies;
    return 0;
}

static int read_time(const json_t *object, const char *key, int64_t *ret, struct diag *diag)
{
    const char *text;
    int result = json_get_text(object, NAME, key, &text, diag);
    if (result < 0)
        return result;
    if (!moment_parse(view_text(text), ret))
        return diag_set(diag, FARM_E_SYNTAX, "%s: %s is not a time like 2026-11-22T16:45:38Z", NAME, key);
    return 0;
}

static int read_builder(const struct places *at, struct parsed *parsed, struct diag *diag)
{
    const char *id;
    int result = json_get_text(at->builder, NAME, "id", &id, diag);
    if (result < 0)
        return result;
    struct view prefix = VIEW(STATEMENT_BUILDER_PREFIX), rest = view_text(id), name;
    if (!view_starts(rest, prefix))
        return diag_set(diag, FARM_E_REFUSED, "%s: builder.id does not begin with " STATEMENT_BUILDER_PREFIX,
                        NAME);
    rest = view_of(rest.data + prefix.size, rest.size - prefix.size);
    view_split(&rest, ':', &name);
    parsed->operator_name = view_string(name);
    parsed->worker = view_string(rest);
    parsed->statement.operator_name = parsed->operator_name;
    parsed->statement.worker = parsed->worker;
    return 0;
}

static int read_metadata(const struct places *at, struct statement *s, struct diag *diag)
{
    const char *nonce;
    int result;
    if ((result = json_get_text(at->metadata, NAME, "invocationId", &nonce, diag)) < 0 ||
        (result = read_time(at->metadata, "startedOn", &s->started_ms, diag)) < 0 ||
        (result = read_time(at->metadata, "finishedOn", &s->finished_ms, diag)) < 0)
        return result;
    if (!hex_decode(view_text(nonce), s->nonce.bytes, sizeof s->nonce.bytes))
        return diag_set(diag, FARM_E_SYNTAX, "%s: invocationId is not a lease nonce", NAME);
    return 0;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct statement_fact *)left)->name, ((const struct statement_fact *)right)->name);
}

static int read_byproducts(const struct places *at, struct parsed *parsed, struct diag *diag)
{
    json_t *facts, *value;
    const char *key;
    size_t n = 0;
    int result;
    if ((result = read_digest_set(json_array_get(at->byproducts, 0), &parsed->statement.log, diag)) < 0 ||
        (result = json_get_object(json_array_get(at->byproducts, 1), NAME, "annotations", &facts, diag)) < 0)
        return result;
    if (json_object_size(facts) > STATEMENT_FACTS_MAX)
        return diag_set(diag, FARM_E_LIMIT, "%s: more than %d environment facts", NAME, STATEMENT_FACTS_MAX);
    parsed->facts = mem_zero(json_object_size(facts) + 1, sizeof *parsed->facts);
    json_object_foreach(facts, key, value)
    {
        struct statement_fact *fact = &parsed->facts[n++];
        fact->name = key;
        if ((result = json_get_text(facts, NAME, key, &fact->value, diag)) < 0)
            return result;
    }
    qsort(parsed->facts, n, sizeof *parsed->facts, by_name);
    parsed->statement.facts = parsed->facts;
    parsed->statement.nfacts = n;
    return 0;
}

static int read_all(struct parsed *parsed, struct diag *diag)
{
    struct statement *s = &parsed->statement;
    struct places at;
    int result;
    if ((result = find_places(parsed->document, &at, diag)) < 0 ||
        (result = read_result(parsed->document, &at, s, diag)) < 0 ||
        (result = read_definition(&at, s, diag)) < 0 || (result = read_resolved(&at, parsed, diag)) < 0 ||
        (result = read_builder(&at, parsed, diag)) < 0 || (result = read_metadata(&at, s, diag)) < 0 ||
        (result = read_byproducts(&at, parsed, diag)) < 0)
        return result;
    return statement_check(s, diag);
}

/* Any form of JSON. Says what is wrong. */
static int parse_json(struct view text, struct parsed *parsed, struct diag *diag)
{
    int result;
    if ((result = json_read(text, NAME, STATEMENT_SIZE_MAX, &parsed->document, diag)) < 0 ||
        (result = read_all(parsed, diag)) < 0)
        return result;
    CLEANUP_JSON json_t *again = statement_json(&parsed->statement);
    return json_same(parsed->document, again, NAME, diag);
}

int statement_parse(struct view text, struct statement **ret, struct diag *diag)
{
    struct parsed *parsed = mem_zero(1, sizeof *parsed);
    CLEANUP_STATEMENT struct statement *statement = &parsed->statement;
    int result = statement_match(text, &parsed->match, statement) ? statement_check(statement, diag)
                                                                  : parse_json(text, parsed, diag);
    if (result >= 0)
        *ret = STEAL(statement);
    return result;
}

int statement_open(struct view envelope, const struct public_key *key, struct statement **ret,
                   struct diag *diag)
{
    CLEANUP_BUF struct buf payload = BUF_INIT;
    int result = dsse_open(envelope, DSSE_TYPE_INTOTO, key, &payload, diag);
    return result < 0 ? result : statement_parse(buf_view(&payload), ret, diag);
}
