/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench_answer.h"

#include "base64.h"
#include "statement.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILL_MAX = STATEMENT_TEXT_MAX - 1 };

/* What differs from statement to statement; all of the same length each time, so that a template can be filled. */
enum value {
    VALUE_NAME,
    VALUE_BEFORE,
    VALUE_BEFORE_PAYLOAD,
    VALUE_JOB,
    VALUE_PAYLOAD,
    VALUE_TAR,
    VALUE_LOG,
    VALUE_WORKER,
    VALUE_NONCE,
    VALUES
};

enum { PLACES_MAX = 32 };

/* A statement, and where its fields stand. */
struct template
{
    struct buf text;
    struct {
        enum value value;
        size_t at;
    } places[PLACES_MAX];
    size_t count;
};

/* The values of the fields, as texts. */
struct values {
    char text[VALUES][80];
};

struct bench_answer {
    const struct bench_farm *farm;
    char fill[FILL_MAX + 1]; /* what makes the statement as long as it shall be */
    int64_t now_ms;
    struct template templates[2]; /* of a package that needs none, and of one that needs another */
    struct buf pae, envelope;
    size_t statement_bytes;
};

static bool needs_another(const struct bench_answer *answer, size_t job)
{
    return answer->farm->options.chained && job % 2 == 1;
}

static void put_text(struct values *values, enum value value, const char *text)
{
    snprintf(values->text[value], sizeof values->text[value], "%s", text);
}

static void put_digest(struct values *values, enum value value, const struct digest *digest)
{
    put_text(values, value, digest_hex(digest).text);
}

static void take_values(const struct bench_answer *answer, const struct bench_worker *worker, size_t job,
                        const struct digest *nonce, struct values *ret)
{
    const struct bench_job *about = &answer->farm->jobs[job], *before = &answer->farm->jobs[job - job % 2];
    put_text(ret, VALUE_NAME, bench_farm_job_name(job).text);
    put_text(ret, VALUE_BEFORE, bench_farm_job_name(job - job % 2).text);
    put_digest(ret, VALUE_BEFORE_PAYLOAD, &before->output[BENCH_MANIFEST]);
    put_digest(ret, VALUE_JOB, &about->key);
    put_digest(ret, VALUE_PAYLOAD, &about->output[BENCH_MANIFEST]);
    put_digest(ret, VALUE_TAR, &about->output[BENCH_TAR]);
    put_digest(ret, VALUE_LOG, &about->output[BENCH_LOG]);
    put_digest(ret, VALUE_NONCE, nonce);
    snprintf(ret->text[VALUE_WORKER], sizeof ret->text[VALUE_WORKER], "%s:%s", worker->operator_name,
             worker->name);
}

/* ---- the template ---- */

static void write_sample(const struct bench_answer *answer, const struct bench_worker *worker, size_t job,
                         const struct digest *nonce, struct buf *ret)
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
                                  .ndependencies = needs_another(answer, job),
                                  .worker = worker->name,
                                  .operator_name = worker->operator_name,
                                  .started_ms = answer->now_ms,
                                  .finished_ms = answer->now_ms + 1000,
                                  .facts = facts,
                                  .nfacts = ARRAY_SIZE(facts)};
    memcpy(statement.nonce.bytes, nonce->bytes, sizeof statement.nonce.bytes);
    statement_write(&statement, ret);
}

static void find_places(struct template *template, enum value value, const char *text)
{
    for (const char *at = template->text.data; (at = strstr(at, text)) != NULL; at += strlen(text)) {
        assert(template->count < PLACES_MAX);
        template->places[template->count].value = value;
        template->places[template->count++].at = (size_t)(at - template->text.data);
    }
}

static void make_template(struct bench_answer *answer, size_t job)
{
    struct template *template = &answer->templates[needs_another(answer, job)];
    const struct digest nonce = digest_of(VIEW("a nonce"));
    struct values values;
    write_sample(answer, &answer->farm->workers[0], job, &nonce, &template->text);
    take_values(answer, &answer->farm->workers[0], job, &nonce, &values);
    for (size_t value = 0; value < VALUES; value++)
        if (needs_another(answer, job) || (value != VALUE_BEFORE && value != VALUE_BEFORE_PAYLOAD))
            find_places(template, (enum value)value, values.text[value]);
}

static void set_fill(struct bench_answer *answer, size_t statement_bytes)
{
    const struct digest nonce = {{0}};
    CLEANUP_BUF struct buf sample = BUF_INIT;
    strcpy(answer->fill, "none");
    write_sample(answer, &answer->farm->workers[0], 0, &nonce, &sample);
    size_t more = statement_bytes > sample.size ? statement_bytes - sample.size : 0;
    size_t length = strlen(answer->fill) + more;
    memset(answer->fill, 'x', length < FILL_MAX ? length : FILL_MAX);
}

struct bench_answer *bench_answer_new(const struct bench_farm *farm, size_t statement_bytes)
{
    struct bench_answer *answer = mem_zero(1, sizeof *answer);
    answer->farm = farm;
    answer->now_ms = moment_wall_ms() / 1000 * 1000;
    set_fill(answer, statement_bytes);
    make_template(answer, 0);
    if (farm->options.chained)
        make_template(answer, 1);
    return answer;
}

/* The statement; borrowed until the next one. */
static struct view fill_template(struct bench_answer *answer, const struct bench_worker *worker, size_t job,
                                 const struct digest *nonce)
{
    struct template *template = &answer->templates[needs_another(answer, job)];
    struct values values;
    take_values(answer, worker, job, nonce, &values);
    for (size_t i = 0; i < template->count; i++) {
        const char *text = values.text[template->places[i].value];
        memcpy(template->text.data + template->places[i].at, text, strlen(text));
    }
    answer->statement_bytes = template->text.size;
    return buf_view(&template->text);
}

struct bench_answer *bench_answer_free(struct bench_answer *answer)
{
    buf_done(&answer->templates[0].text);
    buf_done(&answer->templates[1].text);
    buf_done(&answer->pae);
    buf_done(&answer->envelope);
    free(answer);
    return NULL;
}

/* The one form that is accepted: compact, with sorted keys. */
static void write_envelope(struct bench_answer *answer, struct view statement, const struct public_key *key,
                           const unsigned char signature[KEYS_SIGNATURE_SIZE])
{
    struct digest keyid = keys_id(key);
    struct buf *out = &answer->envelope;
    buf_clear(out);
    buf_add_text(out, "{\"payload\":\"");
    base64_encode(statement, out);
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
    struct view statement = fill_template(answer, worker, job, nonce);
    buf_clear(&answer->pae);
    dsse_pae(view_text(DSSE_TYPE_INTOTO), statement, &answer->pae);
    crypto_sign_detached(signature, NULL, (const unsigned char *)answer->pae.data, answer->pae.size,
                         worker->secret);
    memcpy(key.bytes, worker->secret + crypto_sign_SEEDBYTES, sizeof key.bytes);
    write_envelope(answer, statement, &key, signature);
    return buf_view(&answer->envelope);
}

size_t bench_answer_statement_bytes(const struct bench_answer *answer)
{
    return answer->statement_bytes;
}
