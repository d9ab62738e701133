/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dsse.h"

#include "base64.h"
#include "json.h"

static const char *const NAME = "DSSE envelope";

void dsse_pae(struct view type, struct view body, struct buf *ret)
{
    buf_add_format(ret, "DSSEv1 %zu ", type.size);
    buf_add_view(ret, type);
    buf_add_format(ret, " %zu ", body.size);
    buf_add_view(ret, body);
}

static json_t *base64_json(struct view data)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    base64_encode(data, &text);
    return json_stringn(text.data != NULL ? text.data : "", text.size);
}

int dsse_sign(const char *type, struct view body, const struct key_pair *const *pairs, size_t npairs,
              struct buf *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf pae = BUF_INIT;
    CLEANUP_JSON json_t *envelope = json_object();
    json_t *signatures = json_array();
    dsse_pae(view_text(type), body, &pae);
    json_object_set_new(envelope, "payload", base64_json(body));
    json_object_set_new(envelope, "payloadType", json_string(type));
    json_object_set_new(envelope, "signatures", signatures);
    for (size_t i = 0; i < npairs; i++) {
        struct signature signature;
        int result = keys_sign(pairs[i], buf_view(&pae), &signature, diag);
        if (result < 0)
            return result;
        struct digest keyid = keys_id(keys_public(pairs[i]));
        json_t *entry = json_object();
        json_object_set_new(entry, "keyid", json_digest(&keyid));
        json_object_set_new(entry, "sig", base64_json(view_of(signature.bytes, sizeof signature.bytes)));
        json_array_append_new(signatures, entry);
    }
    json_write(envelope, ret);
    return 0;
}

static int decode_member(const json_t *object, const char *key, struct buf *ret, struct diag *diag)
{
    const char *text;
    int result = json_get_text(object, NAME, key, &text, diag);
    if (result < 0)
        return result;
    if (!base64_decode(view_text(text), ret))
        return diag_set(diag, FARM_E_SYNTAX, "%s: \"%s\" is not base64", NAME, key);
    return 0;
}

static int read_signatures(const json_t *envelope, struct signature *ret, size_t *ret_count,
                           struct diag *diag)
{
    json_t *array;
    int result = json_get_array(envelope, NAME, "signatures", &array, diag);
    if (result < 0)
        return result;
    size_t count = json_array_size(array);
    if (count > DSSE_SIGNATURES_MAX)
        return diag_set(diag, FARM_E_LIMIT, "%s: %zu signatures, the limit is %d", NAME, count,
                        DSSE_SIGNATURES_MAX);
    for (size_t i = 0; i < count; i++) {
        CLEANUP_BUF struct buf bytes = BUF_INIT;
        result = decode_member(json_array_get(array, i), "sig", &bytes, diag);
        if (result < 0)
            return result;
        if (bytes.size != KEYS_SIGNATURE_SIZE)
            return diag_set(diag, FARM_E_SYNTAX,
                            "%s: signature %zu has %zu bytes, an Ed25519 signature has 64", NAME, i + 1,
                            bytes.size);
        memcpy(ret[i].bytes, bytes.data, KEYS_SIGNATURE_SIZE);
    }
    *ret_count = count;
    return 0;
}

static bool is_repeated(const struct public_key *keys, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (keys_public_equal(&keys[i], &keys[at]))
            return true;
    return false;
}

/* Distinct keys, whatever they are called and however often they signed. */
static unsigned int count_signers(struct view message, const struct signature *signatures, size_t nsignatures,
                                  const struct public_key *trusted, size_t ntrusted)
{
    unsigned int signers = 0;
    for (size_t k = 0; k < ntrusted; k++) {
        bool signed_it = false;
        for (size_t i = 0; i < nsignatures && !signed_it && !is_repeated(trusted, k); i++)
            signed_it = keys_verify(&trusted[k], message, &signatures[i]);
        signers += signed_it;
    }
    return signers;
}

/* What an envelope holds, before anything of it is believed. */
struct parts {
    json_t *document;
    const char *type;
    struct buf payload;
    struct signature signatures[DSSE_SIGNATURES_MAX];
    size_t nsignatures;
};

static void parts_done(struct parts *parts)
{
    json_decref(parts->document);
    buf_done(&parts->payload);
}

static int take_apart(struct view text, const char *type, struct parts *ret, struct diag *diag)
{
    int result = json_read(text, NAME, DSSE_ENVELOPE_MAX, &ret->document, diag);
    if (result < 0 || (result = json_get_text(ret->document, NAME, "payloadType", &ret->type, diag)) < 0 ||
        (result = decode_member(ret->document, "payload", &ret->payload, diag)) < 0 ||
        (result = read_signatures(ret->document, ret->signatures, &ret->nsignatures, diag)) < 0)
        return result;
    return strcmp(ret->type, type) == 0
               ? 0
               : diag_set(diag, FARM_E_REFUSED, "%s: payloadType is not %s", NAME, type);
}

static int check_signers(const struct parts *parts, const struct public_key *trusted, size_t ntrusted,
                         unsigned int threshold, struct diag *diag)
{
    CLEANUP_BUF struct buf pae = BUF_INIT;
    dsse_pae(view_text(parts->type), buf_view(&parts->payload), &pae);
    unsigned int signers =
        count_signers(buf_view(&pae), parts->signatures, parts->nsignatures, trusted, ntrusted);
    return signers >= threshold
               ? 0
               : diag_set(diag, FARM_E_SIGNATURE, "%s: signed by %u of the %zu expected keys, %u needed",
                          NAME, signers, ntrusted, threshold);
}

int dsse_verify(struct view text, const char *type, const struct public_key *trusted, size_t ntrusted,
                unsigned int threshold, struct buf *ret_payload, struct diag *diag)
{
    CLEANUP(parts_done) struct parts parts = {.payload = BUF_INIT};
    if (threshold < 1 || ntrusted > DSSE_TRUSTED_MAX)
        return diag_set(diag, FARM_E_REFUSED, "%s: a threshold of %u among %zu keys verifies nothing", NAME,
                        threshold, ntrusted);
    int result = take_apart(text, type, &parts, diag);
    if (result >= 0)
        result = check_signers(&parts, trusted, ntrusted, threshold, diag);
    if (result >= 0)
        buf_add_view(ret_payload, buf_view(&parts.payload));
    return result;
}

static void write_one(const struct parts *parts, const struct public_key *key, struct buf *ret)
{
    CLEANUP_BUF struct buf body = BUF_INIT;
    CLEANUP_BUF struct buf sig = BUF_INIT;
    struct digest id = keys_id(key);
    base64_encode(buf_view(&parts->payload), &body);
    base64_encode(view_of(parts->signatures[0].bytes, KEYS_SIGNATURE_SIZE), &sig);
    CLEANUP_JSON json_t *envelope =
        json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "payload", body.size > 0 ? body.data : "", "payloadType",
                  parts->type, "signatures", "keyid", digest_hex(&id).text, "sig", sig.data);
    json_write(envelope, ret);
}

/*
 * Takes an envelope apart that is written as write_one() does, without a JSON parser: nearly all are, and it is a fifth of the cost of
 * opening one. False for any other; nothing is believed yet.
 */
static bool take_apart_canonical(struct view text, const char *type, const struct public_key *key,
                                 struct buf *ret_payload, struct signature *ret_signature)
{
    enum { SIGNATURE_TEXT = (KEYS_SIGNATURE_SIZE + 2) / 3 * 4 };
    const struct view head = VIEW("{\"payload\":\""), end = VIEW("\"}]}");
    CLEANUP_BUF struct buf middle = BUF_INIT;
    CLEANUP_BUF struct buf signature = BUF_INIT;
    struct digest id = keys_id(key);
    buf_add_format(&middle, "\",\"payloadType\":\"%s\",\"signatures\":[{\"keyid\":\"%s\",\"sig\":\"", type,
                   digest_hex(&id).text);
    size_t around = head.size + middle.size + SIGNATURE_TEXT + end.size;
    if (text.size < around || text.size > DSSE_ENVELOPE_MAX || !view_starts(text, head) ||
        !view_ends(text, end))
        return false;
    struct view payload = view_of(text.data + head.size, text.size - around);
    struct view rest = view_of(payload.data + payload.size, middle.size + SIGNATURE_TEXT);
    if (!view_starts(rest, buf_view(&middle)) ||
        !base64_decode_standard(view_of(rest.data + middle.size, SIGNATURE_TEXT), &signature) ||
        signature.size != KEYS_SIGNATURE_SIZE || !base64_decode_standard(payload, ret_payload))
        return false;
    memcpy(ret_signature->bytes, signature.data, KEYS_SIGNATURE_SIZE);
    return true;
}

/* What is not in the canonical form: says what is wrong with it. */
static int open_other(struct view text, const char *type, const struct public_key *key,
                      struct buf *ret_payload, struct diag *diag)
{
    CLEANUP(parts_done) struct parts parts = {.payload = BUF_INIT};
    CLEANUP_BUF struct buf written = BUF_INIT;
    int result = take_apart(text, type, &parts, diag);
    if (result >= 0)
        result = check_signers(&parts, key, 1, 1, diag);
    if (result < 0)
        return result;
    write_one(&parts, key, &written);
    if (parts.nsignatures != 1 || !view_equal(buf_view(&written), text))
        return diag_set(
            diag, FARM_E_REFUSED,
            "%s: not in the one form that is accepted here (compact JSON, sorted keys, standard base64, "
            "the signer's keyid, nothing further)",
            NAME);
    buf_add_view(ret_payload, buf_view(&parts.payload));
    return 0;
}

int dsse_open(struct view text, const char *type, const struct public_key *key, struct buf *ret_payload,
              struct diag *diag)
{
    CLEANUP_BUF struct buf payload = BUF_INIT;
    CLEANUP_BUF struct buf pae = BUF_INIT;
    struct signature signature;
    if (!take_apart_canonical(text, type, key, &payload, &signature))
        return open_other(text, type, key, ret_payload, diag);
    dsse_pae(view_text(type), buf_view(&payload), &pae);
    if (!keys_verify_valid(key, buf_view(&pae), &signature))
        return diag_set(diag, FARM_E_SIGNATURE, "%s: signed by 0 of the 1 expected keys, 1 needed", NAME);
    buf_add_view(ret_payload, buf_view(&payload));
    return 0;
}

bool dsse_is_canonical(struct view text)
{
    static const char *const members[] = {"payload", "payloadType", "signatures", NULL};
    CLEANUP_JSON json_t *envelope = NULL;
    CLEANUP_BUF struct buf written = BUF_INIT;
    if (json_read(text, NAME, DSSE_ENVELOPE_MAX, &envelope, NULL) < 0 || !json_is_object(envelope) ||
        json_object_size(envelope) != ARRAY_SIZE(members) - 1 ||
        json_only_keys(envelope, NAME, members, NULL) < 0)
        return false;
    json_write(envelope, &written);
    return view_equal(buf_view(&written), text);
}
