/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One table says which members a kind has, and one says how each member is written and read; both directions walk them in the order
 * of the keys. Reading takes the members, writes the entry again, and demands the same bytes: nothing else can be in there.
 */
#include "logentry.h"

#include "identity.h"
#include "json.h"
#include "moment.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

static const char *const NAME = "log entry";

/* In the order of their keys. */
enum member {
    AT,
    DISSENT,
    FROM,
    JOB,
    KIND,
    NAMED,
    NONCE,
    OPERATOR,
    OPERATORS,
    PACKAGE,
    PAYLOAD,
    ROUND,
    SEQUENCE,
    SHA256,
    LEASE_STATE,
    VERDICT_STATE,
    VERSION,
    WORKER,
    MEMBERS
};

enum form {
    TIME,
    COUNT,
    NUMBER,
    DIGEST,
    DIGEST_OR_NULL,
    KIND_NAME,
    VERDICT_NAME,
    ENDED,
    PERSON,
    TOKEN,
    NONCE_HEX
};

struct member_row {
    const char *key;
    enum form form;
    size_t offset;  /* in struct logentry */
    int64_t lowest; /* of a NUMBER */
};

#define AT_OFFSET(field) offsetof(struct logentry, field)
static const struct member_row members[MEMBERS] = {
    [AT] = {"at", TIME, AT_OFFSET(at_ms), 0},
    [DISSENT] = {"dissent", COUNT, AT_OFFSET(dissent), 0},
    [FROM] = {"from", NUMBER, AT_OFFSET(version), -1},
    [JOB] = {"job", DIGEST, AT_OFFSET(job), 0},
    [KIND] = {"kind", KIND_NAME, AT_OFFSET(kind), 0},
    [NAMED] = {"name", TOKEN, AT_OFFSET(name), 0},
    [NONCE] = {"nonce", NONCE_HEX, AT_OFFSET(nonce), 0},
    [OPERATOR] = {"operator", PERSON, AT_OFFSET(operator_name), 0},
    [OPERATORS] = {"operators", COUNT, AT_OFFSET(operators), 0},
    [PACKAGE] = {"package", TOKEN, AT_OFFSET(name), 0},
    [PAYLOAD] = {"payload", DIGEST_OR_NULL, AT_OFFSET(payload), 0},
    [ROUND] = {"round", COUNT, AT_OFFSET(round), 0},
    [SEQUENCE] = {"sequence", NUMBER, AT_OFFSET(version), 1},
    [SHA256] = {"sha256", DIGEST, AT_OFFSET(sha256), 0},
    [LEASE_STATE] = {"state", ENDED, AT_OFFSET(state), 0},
    [VERDICT_STATE] = {"state", VERDICT_NAME, AT_OFFSET(verdict), 0},
    [VERSION] = {"version", NUMBER, AT_OFFSET(version), 1},
    [WORKER] = {"worker", PERSON, AT_OFFSET(worker), 0},
};

#define HAS(member) (UINT32_C(1) << (member))
enum { ALWAYS = HAS(AT) | HAS(KIND) };
static const struct {
    const char *name;
    uint32_t members;
} kinds[] = {
    [LOG_LEASE] = {"lease", ALWAYS | HAS(JOB) | HAS(NONCE) | HAS(OPERATOR) | HAS(ROUND) | HAS(WORKER)},
    [LOG_LEASE_END] = {"lease-end", ALWAYS | HAS(NONCE) | HAS(LEASE_STATE)},
    [LOG_ENVELOPE] = {"envelope", ALWAYS | HAS(JOB) | HAS(NONCE) | HAS(SHA256)},
    [LOG_REFUSAL] = {"refusal", ALWAYS | HAS(JOB) | HAS(NONCE) | HAS(SHA256)},
    [LOG_VERDICT] = {"verdict", ALWAYS | HAS(DISSENT) | HAS(JOB) | HAS(OPERATORS) | HAS(PAYLOAD) |
                                    HAS(ROUND) | HAS(VERDICT_STATE)},
    [LOG_DIRECTORY] = {"directory", ALWAYS | HAS(SHA256) | HAS(VERSION)},
    [LOG_ROOT] = {"root", ALWAYS | HAS(SHA256) | HAS(VERSION)},
    [LOG_REVOKE] = {"revoke", ALWAYS | HAS(FROM) | HAS(WORKER)},
    [LOG_PLAN] = {"plan", ALWAYS | HAS(SHA256)},
    [LOG_RELEASE] = {"release", ALWAYS | HAS(NAMED) | HAS(SEQUENCE) | HAS(SHA256)},
    [LOG_WAIVER] = {"waiver", ALWAYS | HAS(PACKAGE) | HAS(SHA256)},
    [LOG_OTHER] = {"other", 0},
};

static const char *const lease_ends[] = {"answered", "refused", "expired", "withdrawn"};

const char *logentry_kind_name(enum logentry_kind kind)
{
    return kinds[kind].name;
}

/* Names of releases and packages: one printable word, nothing that JSON would escape. */
static bool is_plain(const char *text)
{
    enum { PLAIN_MAX = 256 }; /* tier and name of a package are shorter; an entry stays far below its limit */
    struct view word = view_text(text);
    return word.size <= PLAIN_MAX && view_is_token(word) && strpbrk(text, "\"\\") == NULL;
}

static bool is_lease_end(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(lease_ends); i++)
        if (strcmp(lease_ends[i], text) == 0)
            return true;
    return false;
}

/* --- writing --- */

static void write_text(const char *text, struct buf *ret)
{
    buf_add_byte(ret, '"');
    buf_add_text(ret, text);
    buf_add_byte(ret, '"');
}

_Static_assert((int)DIGEST_SIZE == (int)STATEMENT_NONCE_SIZE, "write_hex writes both");

static void write_hex(const void *bytes, struct buf *ret)
{
    char hex[DIGEST_HEX_SIZE + 1];
    hex_encode(bytes, DIGEST_SIZE, hex);
    write_text(hex, ret);
}

static void write_value(const struct member_row *row, const struct logentry *entry, struct buf *ret)
{
    const void *at = (const char *)entry + row->offset;
    switch (row->form) {
    case TIME:
        write_text(moment_format(*(const int64_t *)at).text, ret);
        break;
    case COUNT:
        buf_add_format(ret, "%" PRIu32, *(const uint32_t *)at);
        break;
    case NUMBER:
        assert(*(const int64_t *)at >= row->lowest);
        buf_add_format(ret, "%" PRIi64, *(const int64_t *)at);
        break;
    case DIGEST_OR_NULL:
        if (digest_is_zero(at)) {
            buf_add_text(ret, "null");
            break;
        }
        write_hex(at, ret);
        break;
    case DIGEST:
    case NONCE_HEX:
        write_hex(at, ret);
        break;
    case KIND_NAME:
        write_text(logentry_kind_name(*(const enum logentry_kind *)at), ret);
        break;
    case VERDICT_NAME:
        write_text(verdict_state_name(*(const enum verdict_state *)at), ret);
        break;
    case ENDED:
        assert(is_lease_end(*(const char *const *)at));
        write_text(*(const char *const *)at, ret);
        break;
    case PERSON:
        assert(identity_name_is_valid(view_text(*(const char *const *)at)));
        write_text(*(const char *const *)at, ret);
        break;
    case TOKEN:
        assert(is_plain(*(const char *const *)at));
        write_text(*(const char *const *)at, ret);
        break;
    }
}

void logentry_write(const struct logentry *entry, struct buf *ret)
{
    assert(entry->kind < LOG_OTHER);
    char before = '{';
    for (enum member member = 0; member < MEMBERS; member++) {
        if ((kinds[entry->kind].members & HAS(member)) == 0)
            continue;
        buf_add_byte(ret, before);
        write_text(members[member].key, ret);
        buf_add_byte(ret, ':');
        write_value(&members[member], entry, ret);
        before = ',';
    }
    buf_add_byte(ret, '}');
}

/* --- reading --- */

static int bad(const struct member_row *row, const char *why, struct diag *diag)
{
    return diag_set(diag, FARM_E_SYNTAX, "%s: \"%s\" %s", NAME, row->key, why);
}

static int read_number(const json_t *object, const struct member_row *row, int64_t lowest, int64_t highest,
                       int64_t *ret, struct diag *diag)
{
    int64_t number;
    int result = json_get_number(object, NAME, row->key, &number, diag);
    if (result < 0)
        return result;
    if (number < lowest || number > highest)
        return bad(row, "is out of range", diag);
    *ret = number;
    return 0;
}

static int read_count(const json_t *object, const struct member_row *row, uint32_t *ret, struct diag *diag)
{
    int64_t number = 0;
    int result = read_number(object, row, 0, UINT32_MAX, &number, diag);
    if (result >= 0)
        *ret = (uint32_t)number;
    return result;
}

static int read_time(const struct member_row *row, const char *text, int64_t *ret, struct diag *diag)
{
    return moment_parse(view_text(text), ret) ? 0 : bad(row, "is not a time like 2026-11-22T16:45:38Z", diag);
}

static int read_verdict(const struct member_row *row, const char *text, enum verdict_state *ret,
                        struct diag *diag)
{
    for (enum verdict_state state = VERDICT_PENDING; state <= VERDICT_FAILED; state++)
        if (strcmp(verdict_state_name(state), text) == 0) {
            *ret = state;
            return 0;
        }
    return bad(row, "is not the state of a verdict", diag);
}

/* Copies the text into the entry's room; *used counts from one member to the next. */
static int keep_text(const struct member_row *row, const char *text, bool valid, struct logentry *entry,
                     size_t *used, struct diag *diag)
{
    if (!valid)
        return bad(row, "is not a name that can stand here", diag);
    char *copy = entry->room + *used;
    size_t size = strlen(text) + 1;
    memcpy(copy, text, size);
    *used += size;
    memcpy((char *)entry + row->offset, &copy, sizeof copy);
    return 0;
}

static int read_value(const json_t *object, const struct member_row *row, struct logentry *entry,
                      size_t *used, struct diag *diag)
{
    void *at = (char *)entry + row->offset;
    const char *text = "";
    bool null = json_is_null(json_object_get(object, row->key));
    if (row->form != COUNT && row->form != NUMBER && !(row->form == DIGEST_OR_NULL && null)) {
        int result = json_get_text(object, NAME, row->key, &text, diag);
        if (result < 0)
            return result;
    }
    switch (row->form) {
    case TIME:
        return read_time(row, text, at, diag);
    case COUNT:
        return read_count(object, row, at, diag);
    case NUMBER:
        return read_number(object, row, row->lowest, INT64_MAX, at, diag);
    case DIGEST_OR_NULL:
        if (null)
            return 0;
        return json_get_digest(object, NAME, row->key, at, diag);
    case DIGEST:
        return json_get_digest(object, NAME, row->key, at, diag);
    case NONCE_HEX:
        return hex_decode(view_text(text), at, STATEMENT_NONCE_SIZE) ? 0 : bad(row, "is not a nonce", diag);
    case KIND_NAME:
        return 0; /* known already */
    case VERDICT_NAME:
        return read_verdict(row, text, at, diag);
    case ENDED:
        return keep_text(row, text, is_lease_end(text), entry, used, diag);
    case PERSON:
        return keep_text(row, text, identity_name_is_valid(view_text(text)), entry, used, diag);
    case TOKEN:
        return keep_text(row, text, is_plain(text), entry, used, diag);
    }
    abort(); /* no other form */
}

static int same_again(const struct buf *again, struct view text, struct diag *diag)
{
    if (view_equal(buf_view(again), text))
        return 0;
    return diag_set(diag, FARM_E_SYNTAX, "%s: not the one form that an entry of its kind has: %s", NAME,
                    "members are missing or too many, or it is not compact with sorted keys");
}

/* An entry of a newer program still has a time, a kind, and one form. */
static int read_other(const json_t *object, struct view text, struct logentry *entry, struct diag *diag)
{
    CLEANUP_BUF struct buf again = BUF_INIT;
    const char *time;
    int result = json_get_text(object, NAME, members[AT].key, &time, diag);
    if (result < 0 || (result = read_time(&members[AT], time, &entry->at_ms, diag)) < 0)
        return result;
    json_write(object, &again);
    return same_again(&again, text, diag);
}

static int read_known(const json_t *object, struct view text, struct logentry *entry, struct diag *diag)
{
    CLEANUP_BUF struct buf again = BUF_INIT;
    size_t used = 0;
    for (enum member member = 0; member < MEMBERS; member++) {
        if ((kinds[entry->kind].members & HAS(member)) == 0)
            continue;
        int result = read_value(object, &members[member], entry, &used, diag);
        if (result < 0)
            return result;
    }
    logentry_write(entry, &again);
    return same_again(&again, text, diag);
}

static enum logentry_kind kind_of(const char *name)
{
    enum logentry_kind kind = LOG_LEASE;
    while (kind < LOG_OTHER && strcmp(kinds[kind].name, name) != 0)
        kind++;
    return kind;
}

int logentry_parse(struct view text, struct logentry *ret, struct diag *diag)
{
    CLEANUP_JSON json_t *object = NULL;
    const char *kind;
    int result = json_read(text, NAME, LOGENTRY_SIZE_MAX, &object, diag);
    if (result < 0 || (result = json_get_text(object, NAME, members[KIND].key, &kind, diag)) < 0)
        return result;
    struct logentry entry = {.kind = kind_of(kind)};
    entry.room = mem_alloc(text.size + 1); /* its texts stand in the text, each once and apart */
    result = entry.kind == LOG_OTHER ? read_other(object, text, &entry, diag)
                                     : read_known(object, text, &entry, diag);
    if (result < 0) {
        logentry_done(&entry);
        return result;
    }
    *ret = entry;
    return 0;
}

void logentry_done(struct logentry *entry)
{
    free(entry->room);
    *entry = (struct logentry){.kind = LOG_OTHER};
}
