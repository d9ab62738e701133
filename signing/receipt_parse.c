/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lines in. Each is closed by json_same or by its canonical bytes, and is written again to be the same bytes; each must stand behind
 * the one before it, so that the whole is in order and without repetition.
 */
#include "receipt.h"

#include "identity.h"
#include "jsonsame.h"
#include "map.h"
#include "receipt_json.h"

#include <pthread.h>
#include <stdlib.h>

/* Where a line stands in a receipt. */
enum line_kind { LINE_LEASE, LINE_ENVELOPE, LINE_VERDICT };
struct place {
    enum line_kind kind;
    struct digest job;
    struct digest key; /* nonce or digest; zero for a verdict */
};

struct receipt_lines {
    pthread_mutex_t lock;
    struct map *places; /* SHA-256 of the line -> struct place */
};

struct receipt_lines *receipt_lines_new(void)
{
    struct receipt_lines *lines = mem_zero(1, sizeof *lines);
    lines->places = map_new();
    pthread_mutex_init(&lines->lock, NULL);
    return lines;
}

struct receipt_lines *receipt_lines_free(struct receipt_lines *lines)
{
    size_t cursor = 0;
    struct view key;
    void *place;
    if (lines == NULL)
        return NULL;
    while (map_next(lines->places, &cursor, &key, &place))
        free(place);
    map_free(lines->places);
    pthread_mutex_destroy(&lines->lock);
    free(lines);
    return NULL;
}

static void add_place(struct receipt_lines *lines, const struct digest *line, struct place place)
{
    struct view key = view_of(line->bytes, DIGEST_SIZE);
    if (map_get(lines->places, key) == NULL)
        map_set(lines->places, key, mem_copy(&place, sizeof place));
}

static struct digest nonce_key(const struct lease_nonce *nonce)
{
    struct digest key;
    _Static_assert(sizeof key.bytes == sizeof nonce->bytes, "a nonce has the length of a digest");
    memcpy(key.bytes, nonce->bytes, sizeof key.bytes);
    return key;
}

void receipt_lines_add(struct receipt_lines *lines, const struct receipt *receipt)
{
    pthread_mutex_lock(&lines->lock);
    for (size_t i = 0; i < receipt->nleases; i++)
        add_place(lines, &receipt->leases[i].line,
                  (struct place){LINE_LEASE, receipt->leases[i].job, nonce_key(&receipt->leases[i].nonce)});
    for (size_t i = 0; i < receipt->nenvelopes; i++)
        add_place(lines, &receipt->envelopes[i].line,
                  (struct place){LINE_ENVELOPE, receipt->envelopes[i].job, receipt->envelopes[i].digest});
    for (size_t i = 0; i < receipt->nverdicts; i++)
        add_place(lines, &receipt->verdicts[i].line,
                  (struct place){.kind = LINE_VERDICT, .job = receipt->verdicts[i].job});
    pthread_mutex_unlock(&lines->lock);
}

static bool find_line(struct receipt_lines *lines, const struct digest *line, struct place *ret)
{
    pthread_mutex_lock(&lines->lock);
    const struct place *place = map_get(lines->places, view_of(line->bytes, DIGEST_SIZE));
    if (place != NULL)
        *ret = *place;
    pthread_mutex_unlock(&lines->lock);
    return place != NULL;
}

/* ---- one line ---- */

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

static int read_line(struct view line, const char *name, struct receipt *receipt, enum line_kind *ret,
                     struct diag *diag)
{
    CLEANUP_JSON json_t *object = NULL;
    const char *kind;
    int result;
    if ((result = json_read(line, name, RECEIPT_LINE_MAX, &object, diag)) < 0 ||
        (result = json_get_text(object, name, "kind", &kind, diag)) < 0)
        return result;
    if (strcmp(kind, "lease") == 0) {
        *ret = LINE_LEASE;
        return read_lease(object, name, receipt, diag);
    }
    if (strcmp(kind, "envelope") == 0) {
        *ret = LINE_ENVELOPE;
        return read_envelope(object, name, receipt, diag);
    }
    if (strcmp(kind, "verdict") == 0) {
        *ret = LINE_VERDICT;
        return read_verdict(object, name, receipt, diag);
    }
    return diag_set(diag, FARM_E_UNSUPPORTED, "%s: a line of unknown kind; a newer program may know it",
                    name);
}

/* The last of its kind came from this line: keeps the line's digest, writes it again, and says where it stands. */
static struct place settle_line(struct receipt *receipt, enum line_kind kind, const struct digest *line,
                                struct buf *again)
{
    struct place place = {.kind = kind};
    switch (kind) {
    case LINE_LEASE: {
        struct receipt_lease *lease = &receipt->leases[receipt->nleases - 1];
        receipt_write_lease(lease, again);
        lease->line = *line;
        place.job = lease->job;
        place.key = nonce_key(&lease->nonce);
        break;
    }
    case LINE_ENVELOPE: {
        struct receipt_envelope *envelope = &receipt->envelopes[receipt->nenvelopes - 1];
        receipt_write_envelope(envelope, again);
        envelope->line = *line;
        place.job = envelope->job;
        place.key = envelope->digest;
        break;
    }
    case LINE_VERDICT: {
        struct receipt_verdict *verdict = &receipt->verdicts[receipt->nverdicts - 1];
        receipt_write_verdict(verdict, again);
        verdict->line = *line;
        place.job = verdict->job;
        break;
    }
    }
    return place;
}

static int not_canonical(const char *name, struct diag *diag)
{
    return diag_set(diag, FARM_E_REFUSED, "%s: not in canonical form (sorted lines of compact JSON)", name);
}

static int add_new_line(struct view line, const char *name, struct receipt *receipt,
                        const struct digest *digest, struct place *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf again = BUF_INIT;
    enum line_kind kind = LINE_LEASE;
    int result = read_line(line, name, receipt, &kind, diag);
    if (result < 0)
        return result;
    *ret = settle_line(receipt, kind, digest, &again);
    return view_equal(view_of(again.data, again.size - 1), line) ? 0 : not_canonical(name, diag);
}

/* It was taken apart before; what is left of it is enough to compare and to sort by. */
static void add_known_line(const struct place *place, const struct digest *line, struct receipt *receipt)
{
    switch (place->kind) {
    case LINE_LEASE: {
        struct receipt_lease lease = {.job = place->job, .line = *line};
        memcpy(lease.nonce.bytes, place->key.bytes, sizeof lease.nonce.bytes);
        receipt_add_lease(receipt, &lease);
        break;
    }
    case LINE_ENVELOPE:
        receipt->envelopes = mem_reserve(receipt->envelopes, &receipt->envelopes_capacity,
                                         receipt->nenvelopes + 1, sizeof *receipt->envelopes);
        receipt->envelopes[receipt->nenvelopes++] =
            (struct receipt_envelope){.job = place->job, .digest = place->key, .line = *line};
        break;
    case LINE_VERDICT:
        receipt_add_verdict(receipt, &(struct receipt_verdict){.job = place->job, .line = *line});
        break;
    }
}

static int compare_places(const struct place *a, const struct place *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    int order = digest_compare(&a->job, &b->job);
    return order != 0 ? order : digest_compare(&a->key, &b->key);
}

static int check_order(const struct place *before, const struct place *place, const char *name,
                       struct diag *diag)
{
    static const char *const names[] = {
        [LINE_LEASE] = "lease", [LINE_ENVELOPE] = "envelope", [LINE_VERDICT] = "verdict"};
    int order = compare_places(before, place);
    if (order == 0)
        return diag_set(diag, FARM_E_REFUSED, "%s: the same %s twice", name, names[place->kind]);
    return order < 0 ? 0 : not_canonical(name, diag);
}

static int parse_lines(struct view text, const char *name, struct receipt_lines *lines,
                       struct receipt *receipt, struct diag *diag)
{
    struct view rest = text, line;
    struct place before, place;
    for (int number = 0; rest.size > 0 && view_split(&rest, '\n', &line); number++, before = place) {
        if (number >= RECEIPT_LINES_MAX)
            return diag_set(diag, FARM_E_LIMIT, "%s: more than %d lines", name, RECEIPT_LINES_MAX);
        struct digest digest = digest_of(line);
        char where[DIAG_TEXT_MAX];
        snprintf(where, sizeof where, "%s:%d", name, number + 1);
        int result = 0;
        if (lines != NULL && find_line(lines, &digest, &place))
            add_known_line(&place, &digest, receipt);
        else
            result = add_new_line(line, where, receipt, &digest, &place, diag);
        if (result >= 0 && number > 0)
            result = check_order(&before, &place, where, diag);
        if (result < 0)
            return result;
    }
    return 0;
}

int receipt_parse_known(struct view text, const char *name, struct receipt_lines *lines, struct receipt *ret,
                        struct diag *diag)
{
    CLEANUP(receipt_done) struct receipt receipt = RECEIPT_INIT;
    if (text.size > RECEIPT_SIZE_MAX)
        return diag_set(diag, FARM_E_LIMIT, "%s: longer than %d bytes", name, RECEIPT_SIZE_MAX);
    if (text.size == 0 || text.data[text.size - 1] != '\n')
        return diag_set(diag, FARM_E_SYNTAX, "%s: empty, or cut off: the last line has no end", name);
    int result = parse_lines(text, name, lines, &receipt, diag);
    if (result < 0)
        return result;
    *ret = receipt;
    receipt = (struct receipt)RECEIPT_INIT;
    return 0;
}

int receipt_parse(struct view text, const char *name, struct receipt *ret, struct diag *diag)
{
    return receipt_parse_known(text, name, NULL, ret, diag);
}
