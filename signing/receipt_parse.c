/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lines in. Each is closed by json_same or by its canonical bytes; the whole must be in order and without repetition. */
#include "receipt.h"

#include "identity.h"
#include "jsonsame.h"
#include "receipt_json.h"

static int read_round(const json_t *object, const char *name, uint32_t *ret, struct diag *diag)
{
    enum { ROUNDS_MAX = 1000 }; /* somebody asks for each by hand */
    int64_t round;
    int result = json_get_number(object, name, "round", &round, diag);
    if (result < 0)
        return result;
    if (round < 1 || round > ROUNDS_MAX)
        return diag_set(diag, FARM_E_REFUSED, "%s: \"round\" must be from 1 to %d", name, ROUNDS_MAX);
    *ret = (uint32_t)round;
    return 0;
}

static int read_names(const json_t *object, const char *name, struct receipt_lease *lease,
                      const char **worker, const char **operator_name, struct diag *diag)
{
    const char *outcome, *nonce;
    int result;
    if ((result = json_get_text(object, name, "worker", worker, diag)) < 0 ||
        (result = json_get_text(object, name, "operator", operator_name, diag)) < 0 ||
        (result = json_get_text(object, name, "outcome", &outcome, diag)) < 0 ||
        (result = json_get_text(object, name, "nonce", &nonce, diag)) < 0)
        return result;
    int known = lease_outcome_parse(view_text(outcome));
    if (known < 0 || !identity_name_is_valid(view_text(*worker)) ||
        !identity_name_is_valid(view_text(*operator_name)) ||
        !hex_decode(view_text(nonce), lease->nonce.bytes, STATEMENT_NONCE_SIZE))
        return diag_set(diag, FARM_E_SYNTAX,
                        "%s: a lease's outcome, worker, operator or nonce is not in its form", name);
    lease->outcome = (enum lease_outcome)known;
    return 0;
}

static int read_lease(const json_t *object, const char *name, struct receipt *receipt, struct diag *diag)
{
    struct receipt_lease lease = {0};
    const char *worker, *operator_name;
    int result;
    if ((result = json_get_digest(object, name, "job", &lease.job, diag)) < 0 ||
        (result = read_names(object, name, &lease, &worker, &operator_name, diag)) < 0 ||
        (result = read_round(object, name, &lease.round, diag)) < 0 ||
        (result = json_get_bool(object, name, "open", &lease.open, diag)) < 0 ||
        (result = docjson_time(object, name, "granted", &lease.granted_ms, diag)) < 0)
        return result;
    lease.worker = (char *)worker;
    lease.operator_name = (char *)operator_name;
    CLEANUP_JSON json_t *again = receipt_lease_json(&lease);
    if ((result = json_same(object, again, name, diag)) >= 0)
        receipt_add_lease(receipt, &lease); /* copies */
    return result;
}

static int read_count(const json_t *object, const char *name, const char *key, uint32_t *ret,
                      struct diag *diag)
{
    int64_t number;
    int result = json_get_number(object, name, key, &number, diag);
    if (result < 0)
        return result;
    if (number < 0 || number > UINT32_MAX)
        return diag_set(diag, FARM_E_REFUSED, "%s: \"%s\" is not a count", name, key);
    *ret = (uint32_t)number;
    return 0;
}

static int read_verdict(const json_t *object, const char *name, struct receipt *receipt, struct diag *diag)
{
    struct receipt_verdict verdict = {0};
    const char *text;
    int result;
    if ((result = json_get_digest(object, name, "job", &verdict.job, diag)) < 0 ||
        (result = json_get_text(object, name, "state", &text, diag)) < 0 ||
        (result = docjson_maybe_digest(object, name, "payload", &verdict.payload, diag)) < 0 ||
        (result = read_count(object, name, "operators", &verdict.operators, diag)) < 0 ||
        (result = read_count(object, name, "dissent", &verdict.dissent, diag)) < 0)
        return result;
    int state = VERDICT_PENDING;
    while (state <= VERDICT_FAILED && strcmp(text, verdict_state_name((enum verdict_state)state)) != 0)
        state++;
    if (state > VERDICT_FAILED)
        return diag_set(diag, FARM_E_SYNTAX, "%s: \"state\" is no verdict", name);
    verdict.state = (enum verdict_state)state;
    CLEANUP_JSON json_t *again = receipt_verdict_json(&verdict);
    if ((result = json_same(object, again, name, diag)) >= 0)
        receipt_add_verdict(receipt, &verdict);
    return result;
}

static int read_envelope(json_t *object, const char *name, struct receipt *receipt, struct diag *diag)
{
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    struct digest job;
    int result = json_get_digest(object, name, "job", &job, diag);
    if (result < 0)
        return result;
    json_object_del(object, "job");
    json_object_del(object, "kind");
    json_write(object, &bytes);
    return receipt_add_envelope(receipt, &job, buf_view(&bytes), diag);
}

static int read_line(struct view line, const char *name, struct receipt *receipt, struct diag *diag)
{
    CLEANUP_JSON json_t *object = NULL;
    const char *kind;
    int result;
    if ((result = json_read(line, name, RECEIPT_LINE_MAX, &object, diag)) < 0 ||
        (result = json_get_text(object, name, "kind", &kind, diag)) < 0)
        return result;
    if (strcmp(kind, "lease") == 0)
        return read_lease(object, name, receipt, diag);
    if (strcmp(kind, "envelope") == 0)
        return read_envelope(object, name, receipt, diag);
    if (strcmp(kind, "verdict") == 0)
        return read_verdict(object, name, receipt, diag);
    return diag_set(diag, FARM_E_UNSUPPORTED, "%s: a line of unknown kind; a newer program may know it",
                    name);
}

static int repeated(const char *name, const char *what, struct diag *diag)
{
    return diag_set(diag, FARM_E_REFUSED, "%s: the same %s twice", name, what);
}

static int check_repetition(const struct receipt *receipt, const char *name, struct diag *diag)
{
    for (size_t i = 1; i < receipt->nleases; i++)
        if (lease_nonce_equal(&receipt->leases[i - 1].nonce, &receipt->leases[i].nonce))
            return repeated(name, "lease", diag);
    for (size_t i = 1; i < receipt->nenvelopes; i++)
        if (digest_equal(&receipt->envelopes[i - 1].digest, &receipt->envelopes[i].digest))
            return repeated(name, "envelope", diag);
    for (size_t i = 1; i < receipt->nverdicts; i++)
        if (digest_equal(&receipt->verdicts[i - 1].job, &receipt->verdicts[i].job))
            return repeated(name, "verdict", diag);
    return 0;
}

int receipt_parse(struct view text, const char *name, struct receipt *ret, struct diag *diag)
{
    CLEANUP(receipt_done) struct receipt receipt = RECEIPT_INIT;
    CLEANUP_BUF struct buf again = BUF_INIT;
    struct view rest = text, line;
    int number = 0, result = 0;
    if (text.size > RECEIPT_SIZE_MAX)
        return diag_set(diag, FARM_E_LIMIT, "%s: longer than %d bytes", name, RECEIPT_SIZE_MAX);
    if (text.size == 0 || text.data[text.size - 1] != '\n')
        return diag_set(diag, FARM_E_SYNTAX, "%s: empty, or cut off: the last line has no end", name);
    for (; rest.size > 0 && view_split(&rest, '\n', &line); number++) {
        if (number >= RECEIPT_LINES_MAX)
            return diag_set(diag, FARM_E_LIMIT, "%s: more than %d lines", name, RECEIPT_LINES_MAX);
        CLEANUP_FREE char *where = mem_format("%s:%d", name, number + 1);
        if ((result = read_line(line, where, &receipt, diag)) < 0)
            return result;
    }
    receipt_write(&receipt, &again); /* sorts */
    if ((result = check_repetition(&receipt, name, diag)) < 0)
        return result;
    if (!view_equal(buf_view(&again), text))
        return diag_set(diag, FARM_E_REFUSED, "%s: not in canonical form (sorted lines of compact JSON)",
                        name);
    *ret = receipt;
    receipt = (struct receipt)RECEIPT_INIT;
    return 0;
}
