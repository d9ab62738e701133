/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The struct and the lines out; lines in are in receipt_parse.c. */
#include "receipt.h"

#include "receipt_json.h"

#include <stdlib.h>

const char *lease_outcome_name(enum lease_outcome outcome)
{
    switch (outcome) {
    case OUTCOME_ANSWERED:
        return "answered";
    case OUTCOME_LATE:
        return "late";
    case OUTCOME_EXPIRED:
        return "expired";
    case OUTCOME_RETURNED:
        return "returned";
    case OUTCOME_REFUSED:
        return "refused";
    case OUTCOME_REVOKED:
        return "revoked";
    }
    return NULL;
}

int lease_outcome_parse(struct view name)
{
    for (int outcome = OUTCOME_ANSWERED; outcome <= OUTCOME_REVOKED; outcome++)
        if (view_equal(name, view_text(lease_outcome_name((enum lease_outcome)outcome))))
            return outcome;
    return FARM_E_UNKNOWN;
}

void receipt_done(struct receipt *receipt)
{
    for (size_t i = 0; i < receipt->nleases; i++) {
        free(receipt->leases[i].worker);
        free(receipt->leases[i].operator_name);
    }
    for (size_t i = 0; i < receipt->nenvelopes; i++)
        free(receipt->envelopes[i].bytes);
    free(receipt->leases);
    free(receipt->envelopes);
    free(receipt->verdicts);
    *receipt = (struct receipt)RECEIPT_INIT;
}

void receipt_add_lease(struct receipt *receipt, const struct receipt_lease *lease)
{
    receipt->leases = mem_reserve(receipt->leases, &receipt->leases_capacity, receipt->nleases + 1,
                                  sizeof *receipt->leases);
    struct receipt_lease *copy = &receipt->leases[receipt->nleases++];
    *copy = *lease;
    copy->worker = lease->worker != NULL ? mem_string(lease->worker) : NULL;
    copy->operator_name = lease->operator_name != NULL ? mem_string(lease->operator_name) : NULL;
}

int receipt_add_envelope(struct receipt *receipt, const struct digest *job, struct view bytes,
                         struct diag *diag)
{
    if (!dsse_is_canonical(bytes))
        return diag_set(diag, FARM_E_REFUSED,
                        "an envelope that is not in canonical form cannot stand in a receipt");
    receipt->envelopes = mem_reserve(receipt->envelopes, &receipt->envelopes_capacity,
                                     receipt->nenvelopes + 1, sizeof *receipt->envelopes);
    receipt->envelopes[receipt->nenvelopes++] = (struct receipt_envelope){
        .job = *job, .digest = digest_of(bytes), .bytes = view_string(bytes), .size = bytes.size};
    return 0;
}

void receipt_add_verdict(struct receipt *receipt, const struct receipt_verdict *verdict)
{
    receipt->verdicts = mem_reserve(receipt->verdicts, &receipt->verdicts_capacity, receipt->nverdicts + 1,
                                    sizeof *receipt->verdicts);
    receipt->verdicts[receipt->nverdicts++] = *verdict;
}

static int by_job_and_nonce(const void *left, const void *right)
{
    const struct receipt_lease *a = left, *b = right;
    int order = digest_compare(&a->job, &b->job);
    return order != 0 ? order : memcmp(a->nonce.bytes, b->nonce.bytes, STATEMENT_NONCE_SIZE);
}

static int by_job_and_digest(const void *left, const void *right)
{
    const struct receipt_envelope *a = left, *b = right;
    int order = digest_compare(&a->job, &b->job);
    return order != 0 ? order : digest_compare(&a->digest, &b->digest);
}

static int by_job(const void *left, const void *right)
{
    return digest_compare(&((const struct receipt_verdict *)left)->job,
                          &((const struct receipt_verdict *)right)->job);
}

void receipt_sort(struct receipt *receipt)
{
    if (receipt->nleases > 0)
        qsort(receipt->leases, receipt->nleases, sizeof *receipt->leases, by_job_and_nonce);
    if (receipt->nenvelopes > 0)
        qsort(receipt->envelopes, receipt->nenvelopes, sizeof *receipt->envelopes, by_job_and_digest);
    if (receipt->nverdicts > 0)
        qsort(receipt->verdicts, receipt->nverdicts, sizeof *receipt->verdicts, by_job);
}

static void write_line(json_t *value, struct buf *ret)
{
    json_write(value, ret);
    buf_add_byte(ret, '\n');
    json_decref(value);
}

json_t *receipt_lease_json(const struct receipt_lease *lease)
{
    char nonce[2 * STATEMENT_NONCE_SIZE + 1];
    hex_encode(lease->nonce.bytes, STATEMENT_NONCE_SIZE, nonce);
    return json_pack("{s:s, s:o, s:s, s:I, s:b, s:s, s:s, s:o, s:s}", "kind", "lease", "job",
                     json_digest(&lease->job), "nonce", nonce, "round", (json_int_t)lease->round, "open",
                     lease->open, "worker", lease->worker, "operator", lease->operator_name, "granted",
                     docjson_time_value(lease->granted_ms), "outcome", lease_outcome_name(lease->outcome));
}

json_t *receipt_verdict_json(const struct receipt_verdict *verdict)
{
    return json_pack("{s:s, s:o, s:s, s:o, s:I, s:I}", "kind", "verdict", "job", json_digest(&verdict->job),
                     "state", verdict_state_name(verdict->state), "payload",
                     docjson_maybe_digest_value(&verdict->payload), "operators",
                     (json_int_t)verdict->operators, "dissent", (json_int_t)verdict->dissent);
}

void receipt_write_lease(const struct receipt_lease *lease, struct buf *ret)
{
    write_line(receipt_lease_json(lease), ret);
}

/* The envelope's own members between two of ours: "job" and "kind" sort before "payload". */
void receipt_write_envelope(const struct receipt_envelope *envelope, struct buf *ret)
{
    buf_add_format(ret, "{\"job\":\"%s\",\"kind\":\"envelope\",", digest_hex(&envelope->job).text);
    buf_add(ret, envelope->bytes + 1, envelope->size - 1);
    buf_add_byte(ret, '\n');
}

void receipt_write_verdict(const struct receipt_verdict *verdict, struct buf *ret)
{
    write_line(receipt_verdict_json(verdict), ret);
}

void receipt_write(struct receipt *receipt, struct buf *ret)
{
    receipt_sort(receipt);
    for (size_t i = 0; i < receipt->nleases; i++)
        receipt_write_lease(&receipt->leases[i], ret);
    for (size_t i = 0; i < receipt->nenvelopes; i++)
        receipt_write_envelope(&receipt->envelopes[i], ret);
    for (size_t i = 0; i < receipt->nverdicts; i++)
        receipt_write_verdict(&receipt->verdicts[i], ret);
}
