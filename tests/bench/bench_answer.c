/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench_answer.h"

#include "base64.h"
#include "statement.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILL_MAX = STATEMENT_TEXT_MAX - 1 };

struct bench_answer {
    const struct bench_farm *farm;
    char fill[FILL_MAX + 1]; /* what makes the statement as long as it shall be */
    int64_t now_ms;
    struct buf statement, pae, envelope;
};

static void write_statement(struct bench_answer *answer, const struct bench_worker *worker, size_t job,
                            const struct digest *nonce)
{
    const struct bench_farm *farm = answer->farm;
    const struct bench_job *about = &farm->jobs[job];
    struct bench_job_name name = bench_farm_job_name(job), before = bench_farm_job_name(job - job % 2);
    const struct statement_dependency dependency = {before.text,
                                                    farm->jobs[job - job % 2].output[BENCH_MANIFEST]};
    const struct statement_fact facts[] = {{"cpu", "x86-64-v3"}, {"environment", answer->fill}};
    struct statement statement = {.package = name.text,
                                  .version = "1.0",
                                  .release = "1",
                                  .tier = "extra",
                                  .kind = "package",
                                  .job = about->key,
                                  .base = farm->base,
                                  .tree_url = farm->pin.url,
                                  .tree_commit = farm->pin.commit,
                                  .tree_sha256 = farm->pin.sha256,
                                  .payload = about->output[BENCH_MANIFEST],
                                  .tar = about->output[BENCH_TAR],
                                  .log = about->output[BENCH_LOG],
                                  .dependencies = &dependency,
                                  .ndependencies = farm->options.chained && job % 2 == 1,
                                  .worker = worker->name,
                                  .operator_name = worker->operator_name,
                                  .started_ms = answer->now_ms,
                                  .finished_ms = answer->now_ms + 1000,
                                  .facts = facts,
                                  .nfacts = ARRAY_SIZE(facts)};
    memcpy(statement.nonce.bytes, nonce->bytes, sizeof statement.nonce.bytes);
    buf_clear(&answer->statement);
    statement_write(&statement, &answer->statement);
}

struct bench_answer *bench_answer_new(const struct bench_farm *farm, size_t statement_bytes)
{
    struct bench_answer *answer = mem_zero(1, sizeof *answer);
    struct digest nonce = {{0}};
    answer->farm = farm;
    answer->now_ms = moment_wall_ms() / 1000 * 1000;
    strcpy(answer->fill, "none");
    write_statement(answer, &farm->workers[0], 0, &nonce);
    size_t more = statement_bytes > answer->statement.size ? statement_bytes - answer->statement.size : 0;
    size_t length = strlen(answer->fill) + more;
    memset(answer->fill, 'x', length < FILL_MAX ? length : FILL_MAX);
    return answer;
}

struct bench_answer *bench_answer_free(struct bench_answer *answer)
{
    buf_done(&answer->statement);
    buf_done(&answer->pae);
    buf_done(&answer->envelope);
    free(answer);
    return NULL;
}

/* The one form that is accepted: compact, with sorted keys. */
static void write_envelope(struct bench_answer *answer, const struct public_key *key,
                           const unsigned char signature[KEYS_SIGNATURE_SIZE])
{
    struct digest keyid = keys_id(key);
    struct buf *out = &answer->envelope;
    buf_clear(out);
    buf_add_text(out, "{\"payload\":\"");
    base64_encode(buf_view(&answer->statement), out);
    buf_add_format(out, "\",\"payloadType\":\"%s\",\"signatures\":[{\"keyid\":\"%s\",\"sig\":\"",
                   DSSE_TYPE_INTOTO, digest_hex(&keyid).text);
    base64_encode(view_of(signature, KEYS_SIGNATURE_SIZE), out);
    buf_add_text(out, "\"}]}");
}

struct view bench_answer_sign(struct bench_answer *answer, const struct bench_worker *worker, size_t job,
                              const struct digest *nonce)
{
    unsigned char signature[KEYS_SIGNATURE_SIZE];
    struct public_key key;
    write_statement(answer, worker, job, nonce);
    buf_clear(&answer->pae);
    dsse_pae(view_text(DSSE_TYPE_INTOTO), buf_view(&answer->statement), &answer->pae);
    crypto_sign_detached(signature, NULL, (const unsigned char *)answer->pae.data, answer->pae.size,
                         worker->secret);
    memcpy(key.bytes, worker->secret + crypto_sign_SEEDBYTES, sizeof key.bytes);
    write_envelope(answer, &key, signature);
    return buf_view(&answer->envelope);
}

size_t bench_answer_statement_bytes(const struct bench_answer *answer)
{
    return answer->statement.size;
}
