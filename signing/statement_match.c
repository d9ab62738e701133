/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "statement_match.h"

#include "moment.h"

#include <stdlib.h>

/* What is left of the text, and where the next string goes. After the first piece that does not fit nothing fits any more. */
struct reader {
    struct view rest;
    char *room; /* a string is shorter than its quoted form, so a text's strings have room in its size */
    bool fits;
};

static bool starts(struct reader *reader, struct view piece)
{
    if (!reader->fits || !view_starts(reader->rest, piece))
        return false;
    reader->rest = view_of(reader->rest.data + piece.size, reader->rest.size - piece.size);
    return true;
}

static void expect(struct reader *reader, struct view piece)
{
    reader->fits = starts(reader, piece);
}

#define EXPECT(reader, literal) expect(reader, VIEW(literal))

/* Whether the writer gives this byte as it is, in a string. */
static bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

/* Up to the next quote, which stays. */
static struct view plain(struct reader *reader)
{
    struct view found = {reader->rest.data, 0};
    while (reader->fits && found.size < reader->rest.size && is_plain((unsigned char)found.data[found.size]))
        found.size++;
    reader->rest = view_of(found.data + found.size, reader->rest.size - found.size);
    return found;
}

static const char *keep(struct reader *reader, struct view text)
{
    if (!reader->fits) /* then nothing says that there is room */
        return "";
    char *kept = reader->room;
    if (text.size > 0)
        memcpy(kept, text.data, text.size);
    kept[text.size] = '\0';
    reader->room += text.size + 1;
    return kept;
}

static const char *text(struct reader *reader)
{
    EXPECT(reader, "\"");
    const char *kept = keep(reader, plain(reader));
    EXPECT(reader, "\"");
    return kept;
}

static void bytes(struct reader *reader, unsigned char *ret, size_t size)
{
    EXPECT(reader, "\"");
    reader->fits = reader->fits && hex_decode(plain(reader), ret, size);
    EXPECT(reader, "\"");
}

static void digest(struct reader *reader, struct digest *ret)
{
    bytes(reader, ret->bytes, sizeof ret->bytes);
}

static void digest_set(struct reader *reader, struct digest *ret)
{
    EXPECT(reader, "{\"sha256\":");
    digest(reader, ret);
    EXPECT(reader, "}");
}

/* Only in the form in which a time is written. */
static void time_of(struct reader *reader, int64_t *ret_ms)
{
    EXPECT(reader, "\"");
    struct view found = plain(reader);
    reader->fits = reader->fits && moment_parse(found, ret_ms) &&
                   view_equal(view_text(moment_format(*ret_ms).text), found);
    EXPECT(reader, "\"");
}

static void external(struct reader *reader, struct statement *s)
{
    EXPECT(reader, "\"externalParameters\":{\"package\":{\"kind\":");
    s->kind = text(reader);
    EXPECT(reader, ",\"name\":");
    s->package = text(reader);
    EXPECT(reader, ",\"release\":");
    s->release = text(reader);
    EXPECT(reader, ",\"tier\":");
    s->tier = text(reader);
    EXPECT(reader, ",\"version\":");
    s->version = text(reader);
    EXPECT(reader, "},\"tree\":{\"commit\":");
    s->tree_commit = text(reader);
    EXPECT(reader, ",\"tree_sha256\":");
    digest(reader, &s->tree_sha256);
    EXPECT(reader, ",\"url\":");
    s->tree_url = text(reader);
    EXPECT(reader, "}},");
}

static void source(struct reader *reader, struct statement_source *ret)
{
    *ret = (struct statement_source){.git = false};
    EXPECT(reader, "},\"digest\":{");
    if (starts(reader, VIEW("\"gitCommit\":"))) {
        ret->git = true;
        ret->commit = text(reader);
        EXPECT(reader, ",\"gitTree\":");
    } else {
        EXPECT(reader, "\"sha256\":");
    }
    digest(reader, &ret->digest);
    EXPECT(reader, "},\"name\":");
    ret->name = text(reader);
    EXPECT(reader, "}");
}

static void dependency(struct reader *reader, struct statement_dependency *ret)
{
    EXPECT(reader, "},\"digest\":");
    digest_set(reader, &ret->payload);
    EXPECT(reader, ",\"name\":");
    ret->name = text(reader);
    EXPECT(reader, "}");
}

/* Sources stand before dependencies. */
static void resolved(struct reader *reader, struct statement_match *match, struct statement *s)
{
    const struct view kind_source = VIEW("{\"annotations\":{\"kind\":\"source\""),
                      kind_dependency = VIEW("{\"annotations\":{\"kind\":\"dependency\"");
    EXPECT(reader, "\"resolvedDependencies\":[");
    for (bool more = !starts(reader, VIEW("]")); more && reader->fits; more = starts(reader, VIEW(","))) {
        if (s->nsources > STATEMENT_SOURCES_MAX || s->ndependencies > STATEMENT_DEPENDENCIES_MAX) {
            reader->fits = false;
        } else if (s->ndependencies == 0 && starts(reader, kind_source)) {
            match->sources = mem_reserve(match->sources, &match->sources_capacity, s->nsources + 1,
                                         sizeof *match->sources);
            source(reader, &match->sources[s->nsources++]);
        } else {
            expect(reader, kind_dependency);
            match->dependencies = mem_reserve(match->dependencies, &match->dependencies_capacity,
                                              s->ndependencies + 1, sizeof *match->dependencies);
            dependency(reader, &match->dependencies[s->ndependencies++]);
        }
    }
    if (s->nsources + s->ndependencies > 0)
        EXPECT(reader, "]");
    s->sources = match->sources;
    s->dependencies = match->dependencies;
}

static void builder(struct reader *reader, struct statement *s)
{
    EXPECT(reader, "\"builder\":{\"id\":\"" STATEMENT_BUILDER_PREFIX);
    struct view worker = plain(reader), operator_name;
    reader->fits = reader->fits && memchr(worker.data, ':', worker.size) != NULL;
    view_split(&worker, ':', &operator_name);
    s->operator_name = keep(reader, operator_name);
    s->worker = keep(reader, worker);
    EXPECT(reader, "\"},");
}

/* Sorted by name, each name once. */
static void facts(struct reader *reader, struct statement_match *match, struct statement *s)
{
    EXPECT(reader, "{\"annotations\":{");
    for (bool more = !starts(reader, VIEW("}")); more && reader->fits; more = starts(reader, VIEW(","))) {
        match->facts = mem_reserve(match->facts, &match->facts_capacity, s->nfacts + 1, sizeof *match->facts);
        struct statement_fact *fact = &match->facts[s->nfacts++];
        fact->name = text(reader);
        EXPECT(reader, ":");
        fact->value = text(reader);
        reader->fits = reader->fits && s->nfacts <= STATEMENT_FACTS_MAX &&
                       (s->nfacts == 1 || strcmp(fact[-1].name, fact->name) < 0);
    }
    if (s->nfacts > 0)
        EXPECT(reader, "}");
    EXPECT(reader, ",\"name\":\"environment\",\"uri\":\"" STATEMENT_ENVIRONMENT "\"}");
    s->facts = match->facts;
}

static void details(struct reader *reader, struct statement_match *match, struct statement *s)
{
    EXPECT(reader, "\"runDetails\":{");
    builder(reader, s);
    EXPECT(reader, "\"byproducts\":[{\"digest\":");
    digest_set(reader, &s->log);
    EXPECT(reader, ",\"name\":\"log\"},");
    facts(reader, match, s);
    EXPECT(reader, "],\"metadata\":{\"finishedOn\":");
    time_of(reader, &s->finished_ms);
    EXPECT(reader, ",\"invocationId\":");
    bytes(reader, s->nonce.bytes, sizeof s->nonce.bytes);
    EXPECT(reader, ",\"startedOn\":");
    time_of(reader, &s->started_ms);
    EXPECT(reader, "}}},");
}

static void subject(struct reader *reader, const struct statement *s, const char *suffix, struct digest *ret)
{
    EXPECT(reader, "{\"digest\":");
    digest_set(reader, ret);
    EXPECT(reader, ",\"name\":\"");
    expect(reader, view_text(s->package));
    EXPECT(reader, "-");
    expect(reader, view_text(s->version));
    expect(reader, view_text(suffix));
    EXPECT(reader, "\"}");
}

bool statement_match(struct view given, struct statement_match *match, struct statement *ret)
{
    struct statement s = {.failure = FAILURE_NONE};
    if (given.size == 0 || given.size > STATEMENT_SIZE_MAX)
        return false;
    match->texts = mem_alloc(given.size);
    struct reader at = {.rest = given, .room = match->texts, .fits = true}, *reader = &at;
    EXPECT(reader, "{\"_type\":\"" STATEMENT_TYPE "\",\"predicate\":{\"buildDefinition\":{"
                   "\"buildType\":\"" STATEMENT_BUILD_TYPE "\",");
    if (!reader->fits)
        return false;
    external(reader, &s);
    EXPECT(reader, "\"internalParameters\":{\"base\":");
    digest(reader, &s.base);
    EXPECT(reader, ",\"job\":");
    digest(reader, &s.job);
    EXPECT(reader, "},");
    resolved(reader, match, &s);
    EXPECT(reader, "},");
    details(reader, match, &s);
    EXPECT(reader, "\"predicateType\":\"" STATEMENT_PROVENANCE "\",\"subject\":[");
    subject(reader, &s, ".mtree", &s.payload);
    EXPECT(reader, ",");
    subject(reader, &s, ".tar", &s.tar);
    EXPECT(reader, "]}");
    if (!reader->fits || reader->rest.size > 0)
        return false;
    *ret = s;
    return true;
}

void statement_match_done(struct statement_match *match)
{
    free(match->texts);
    free(match->sources);
    free(match->dependencies);
    free(match->facts);
}
