/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A worker that builds honestly, and signs something else with its valid key. $FARM_TEST_STATEMENT:
 *
 *     extra-subject, duplicate-subject, missing-subject    (W12) other subjects than what came out
 *     other-job, other-parameters                          (W8) about another job, or with another version of the package
 *     other-nonce                                          (W6) an answer to a lease that it never had
 *     other-tar, other-payload                             (W14) bytes that are in the farm, but are not what it says they are
 */
#include "lease.h"

#include <stdlib.h>
#include <string.h>

int __real_lease_sign(const struct lease *lease, const struct workshop *shop, struct spool_entry **ret,
                      struct diag *diag);
int __wrap_lease_sign(const struct lease *lease, const struct workshop *shop, struct spool_entry **ret,
                      struct diag *diag);
int __real_statement_sign(const struct statement *statement, const struct key_pair *keys, struct buf *ret,
                          struct diag *diag);
int __wrap_statement_sign(const struct statement *statement, const struct key_pair *keys, struct buf *ret,
                          struct diag *diag);

/* A lie that cannot be told would pass the test for nothing. */
static void must(bool ok)
{
    if (!ok)
        abort();
}

static const char *lie_told(void)
{
    const char *lie = getenv("FARM_TEST_STATEMENT");
    must(lie != NULL);
    return lie;
}

/* Told by the message and the statement alike. */
static bool is_of_bytes(const char *lie)
{
    return strcmp(lie, "other-tar") == 0 || strcmp(lie, "other-payload") == 0;
}

/* What a statement can say by itself. False: it is about the text. */
static bool alter_statement(const char *lie, struct statement *statement)
{
    if (strcmp(lie, "other-job") == 0)
        statement->job = digest_of(VIEW("another job"));
    else if (strcmp(lie, "other-parameters") == 0)
        statement->version = "9.9";
    else if (strcmp(lie, "other-nonce") == 0)
        statement->nonce.bytes[0] ^= 1;
    else
        return is_of_bytes(lie);
    return true;
}

static void alter_subjects(const char *lie, json_t *subjects)
{
    must(json_array_size(subjects) > 0);
    if (strcmp(lie, "extra-subject") == 0) {
        json_t *more = json_deep_copy(json_array_get(subjects, 0));
        json_object_set_new(more, "name", json_string("gift"));
        json_array_append_new(subjects, more);
    } else if (strcmp(lie, "duplicate-subject") == 0) {
        json_array_append(subjects, json_array_get(subjects, 0));
    } else {
        must(strcmp(lie, "missing-subject") == 0);
        json_array_remove(subjects, json_array_size(subjects) - 1);
    }
}

static int sign_altered(const char *lie, const struct statement *statement, const struct key_pair *keys,
                        struct buf *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf honest = BUF_INIT, altered = BUF_INIT;
    CLEANUP_JSON json_t *value = NULL;
    statement_write(statement, &honest);
    must(json_read(buf_view(&honest), "statement", STATEMENT_SIZE_MAX, &value, diag) >= 0);
    alter_subjects(lie, json_object_get(value, "subject"));
    json_write(value, &altered);
    return dsse_sign(DSSE_TYPE_INTOTO, buf_view(&altered), &keys, 1, ret, diag);
}

int __wrap_statement_sign(const struct statement *statement, const struct key_pair *keys, struct buf *ret,
                          struct diag *diag)
{
    const char *lie = lie_told();
    struct statement told = *statement;
    must(statement->failure == FAILURE_NONE);
    if (alter_statement(lie, &told))
        return __real_statement_sign(&told, keys, ret, diag);
    return sign_altered(lie, statement, keys, ret, diag);
}

/* The build log takes the place of what was built: an object that is really there, under its own name. */
int __wrap_lease_sign(const struct lease *lease, const struct workshop *shop, struct spool_entry **ret,
                      struct diag *diag)
{
    struct lease told = *lease;
    if (strcmp(lie_told(), "other-tar") == 0)
        told.payload.tar = lease->log;
    if (strcmp(lie_told(), "other-payload") == 0)
        told.payload.manifest = lease->log;
    return __real_lease_sign(&told, shop, ret, diag);
}
