/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "statement.h"

/* Domain and version in front, as in every signed statement. */
static const char domain[] = "sim-statement-v1";

static struct digest seal(struct view body, const struct digest *secret)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    buf_add(&text, secret, sizeof *secret);
    buf_add_view(&text, body);
    return digest_of(buf_view(&text));
}

/* Padding would be signed too: the fields go one by one. */
static void write_body(const struct statement *statement, struct buf *ret)
{
    uint64_t numbers[3] = {statement->worker, statement->failure, statement->salt};
    buf_add(ret, domain, sizeof domain);
    buf_add(ret, numbers, sizeof numbers);
    buf_add(ret, &statement->nonce, sizeof statement->nonce);
    buf_add(ret, &statement->key, DIGEST_SIZE);
    buf_add(ret, &statement->payload, DIGEST_SIZE);
    buf_add(ret, &statement->tar, DIGEST_SIZE);
    buf_add(ret, &statement->log, DIGEST_SIZE);
}

void statement_sign(const struct statement *statement, const struct digest *secret, struct buf *ret)
{
    CLEANUP_BUF struct buf body = BUF_INIT;
    write_body(statement, &body);
    struct digest signature = seal(buf_view(&body), secret);
    buf_add_view(ret, buf_view(&body));
    buf_add(ret, &signature, sizeof signature);
}

static void take(const char **at, void *ret, size_t size)
{
    memcpy(ret, *at, size);
    *at += size;
}

int statement_open(struct view envelope, const struct digest *secret, struct statement *ret)
{
    uint64_t numbers[3];
    size_t size = sizeof domain + sizeof numbers + 5 * DIGEST_SIZE;
    if (envelope.size != size + DIGEST_SIZE || memcmp(envelope.data, domain, sizeof domain) != 0)
        return FARM_E_SYNTAX;
    struct digest signature = seal(view_of(envelope.data, size), secret);
    if (memcmp(envelope.data + size, &signature, sizeof signature) != 0)
        return FARM_E_SIGNATURE;
    const char *at = envelope.data + sizeof domain;
    take(&at, numbers, sizeof numbers);
    take(&at, &ret->nonce, sizeof ret->nonce);
    take(&at, &ret->key, DIGEST_SIZE);
    take(&at, &ret->payload, DIGEST_SIZE);
    take(&at, &ret->tar, DIGEST_SIZE);
    take(&at, &ret->log, DIGEST_SIZE);
    ret->worker = numbers[0];
    ret->failure = (enum failure_kind)numbers[1];
    ret->salt = numbers[2];
    return 0;
}
