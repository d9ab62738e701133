/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Statement: what a worker says about a lease, as in-toto Statement v1. A build is SLSA provenance v1, a failure is
 * test-result v0.1 with result FAILED. The exact JSON is in docs/FORMATS.md.
 *
 * Reading is closed: after the fields are taken, the statement is generated again and must be the same JSON value, so that
 * nothing is in there that this program did not understand (cases W8, W12, E6, E7: extra, duplicate, missing or renamed
 * subjects, other digest algorithms, altered parameters). A text that already has the bytes which would be generated is matched
 * against them piece by piece, to the same end.
 *
 * Whether a vote is "open" is not the worker's to say and stands nowhere in here.
 */
#ifndef FARM_STATEMENT_H
#define FARM_STATEMENT_H

#include "dsse.h"
#include "json.h"
#include "spec.h"
#include "verdict.h"

#define STATEMENT_BUILD_TYPE  "urn:intergenos:farm:package-build:1"
#define STATEMENT_PROVENANCE  "https://slsa.dev/provenance/v1"
#define STATEMENT_TEST_RESULT "https://in-toto.io/attestation/test-result/v0.1"

enum {
    STATEMENT_NONCE_SIZE = 32,
    STATEMENT_SIZE_MAX = 512 * 1024,
    STATEMENT_SOURCES_MAX = 256,
    STATEMENT_DEPENDENCIES_MAX = 2000,
    STATEMENT_FACTS_MAX = 32,
    STATEMENT_TEXT_MAX = 4096 /* any one text in it */
};

/* One use of a lease. */
struct lease_nonce {
    unsigned char bytes[STATEMENT_NONCE_SIZE];
};

struct statement_source {
    bool git;
    const char *name;     /* as it lies in /sources; for git where it is unpacked ("into") */
    const char *commit;   /* git: hex; NULL for archives */
    struct digest digest; /* git: tree_sha256; archive: sha256 */
};
struct statement_dependency {
    const char *name;
    struct digest payload;
};
struct statement_fact {
    const char *name, *value;
};

/* Strings and arrays: the caller's when building, the statement's own when it came from statement_parse. */
struct statement {
    enum failure_kind failure; /* FAILURE_NONE: a build */
    const char *package, *version, *release, *tier;
    const char *kind; /* of the spec: "package" */
    struct digest job, base;
    const char *tree_url; /* information; what binds is commit and sha256 */
    const char *tree_commit;
    struct digest tree_sha256;
    struct digest payload, tar;             /* builds only: what came out */
    const struct statement_source *sources; /* in the spec's order */
    size_t nsources;
    const struct statement_dependency *dependencies; /* in the spec's order */
    size_t ndependencies;
    const char *worker,
        *operator_name; /* both in builder.id: urn:intergenos:farm:worker:<operator>:<worker> */
    struct lease_nonce nonce;
    int64_t started_ms, finished_ms; /* whole seconds are kept */
    struct digest log;               /* of the build log, uncompressed */
    const struct statement_fact
        *facts; /* coarse: kernel, cpu, farm version; sorted by name; informative only */
    size_t nfacts;
};

/* Appends the statement's canonical bytes. Asserts that names are valid: they are the caller's own. */
void statement_write(const struct statement *statement, struct buf *ret);
/* *ret is owned: statement_free. Errors: FARM_E_LIMIT, FARM_E_SYNTAX, FARM_E_REFUSED naming the member. */
int statement_parse(struct view text, struct statement **ret, struct diag *diag) MUST_USE;
struct statement *statement_free(
    struct statement *statement); /* only of statement_parse; accepts NULL, returns NULL */

/* What stands in statement_source.name for a source of the spec. Borrowed. */
const char *statement_source_name(const struct spec_source *source);
/* Does it speak of exactly this job: key, base, package, sources and dependencies? FARM_E_REFUSED naming the member. */
int statement_check_spec(const struct statement *statement, const struct spec *spec,
                         struct diag *diag) MUST_USE;

/* Write + dsse_sign in one: appends the envelope. */
int statement_sign(const struct statement *statement, const struct key_pair *keys, struct buf *ret,
                   struct diag *diag) MUST_USE;
/* dsse_verify by this one key + canonical form + statement_parse. */
int statement_open(struct view envelope, const struct public_key *key, struct statement **ret,
                   struct diag *diag) MUST_USE;

void statement_free_p(struct statement **statement);
#define CLEANUP_STATEMENT __attribute__((cleanup(statement_free_p)))

static inline bool lease_nonce_equal(const struct lease_nonce *a, const struct lease_nonce *b)
{
    return memcmp(a->bytes, b->bytes, STATEMENT_NONCE_SIZE) == 0;
}

#endif
