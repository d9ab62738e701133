/* SPDX-License-Identifier: GPL-3.0-or-later */
/* workers.json to struct and back; closed by json_same. */
#include "directory.h"

#include "docjson.h"
#include "identity.h"
#include "jsonsame.h"

#include <stdlib.h>

/* Facts are short words that are compared for equality. */
enum { FACT_MAX = 128 };

static void add_fact(json_t *facts, const char *key, const char *value)
{
    if (value != NULL)
        json_object_set_new(facts, key, json_view(view_text(value)));
}

static json_t *entry_json(const struct directory_entry *entry)
{
    char curve[2 * DIRECTORY_CURVE_SIZE + 1], key[2 * KEYS_PUBLIC_SIZE + 1];
    json_t *facts = json_object();
    hex_encode(entry->curve, DIRECTORY_CURVE_SIZE, curve);
    hex_encode(entry->ed25519.bytes, KEYS_PUBLIC_SIZE, key);
    add_fact(facts, "cpu_vendor", entry->cpu_vendor);
    add_fact(facts, "kernel", entry->kernel);
    add_fact(facts, "site", entry->site);
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:o, s:o, s:o, s:I}", "worker", entry->worker, "operator",
                     entry->operator_name, "operator_key", docjson_key_value(&entry->operator_key), "ed25519",
                     key, "curve", curve, "admitted", docjson_time_value(entry->admitted_ms), "expires",
                     docjson_time_value(entry->expires_ms), "facts", facts, "compromised_from",
                     (json_int_t)entry->compromised_from);
}

void directory_entry_write(const struct directory_entry *entry, struct buf *ret)
{
    CLEANUP_JSON json_t *value = entry_json(entry);
    json_write(value, ret);
}

static json_t *directory_json(const struct directory *directory)
{
    json_t *entries = json_array();
    for (size_t i = 0; i < directory->nentries; i++) {
        const struct directory_entry *entry = &directory->entries[i];
        json_array_append_new(entries,
                              json_pack("{s:o, s:o}", "entry", entry_json(entry), "signatures",
                                        docjson_strings_value(entry->signatures, entry->nsignatures)));
    }
    return json_pack("{s:s, s:I, s:o, s:o, s:o}", "format", DIRECTORY_FORMAT, "version",
                     (json_int_t)directory->version, "expires", docjson_time_value(directory->expires_ms),
                     "previous", docjson_maybe_digest_value(&directory->previous), "entries", entries);
}

void directory_write(const struct directory *directory, struct buf *ret)
{
    CLEANUP_JSON json_t *value = directory_json(directory);
    json_write(value, ret);
}

static int read_name(const json_t *object, const char *name, const char *key, char **ret, struct diag *diag)
{
    const char *text;
    int result = json_get_text(object, name, key, &text, diag);
    if (result < 0)
        return result;
    if (!identity_name_is_valid(view_text(text)))
        return diag_set(diag, FARM_E_REFUSED,
                        "%s: \"%s\" is not a name (a-z 0-9 . _ - and at most 64 characters)", name, key);
    *ret = mem_string(text);
    return 0;
}

static int read_fact(const json_t *facts, const char *name, const char *key, char **ret, struct diag *diag)
{
    const char *text;
    if (json_object_get(facts, key) == NULL)
        return 0;
    int result = json_get_text(facts, name, key, &text, diag);
    if (result < 0)
        return result;
    if (text[0] == '\0' || strlen(text) > FACT_MAX)
        return diag_set(diag, FARM_E_REFUSED, "%s: fact \"%s\" is empty or longer than %d bytes", name, key,
                        FACT_MAX);
    *ret = mem_string(text);
    return 0;
}

static int read_facts(const json_t *object, const char *name, struct directory_entry *entry,
                      struct diag *diag)
{
    json_t *facts;
    int result;
    if ((result = json_get_object(object, name, "facts", &facts, diag)) < 0 ||
        (result = read_fact(facts, name, "cpu_vendor", &entry->cpu_vendor, diag)) < 0 ||
        (result = read_fact(facts, name, "kernel", &entry->kernel, diag)) < 0)
        return result;
    return read_fact(facts, name, "site", &entry->site, diag);
}

static int read_keys(const json_t *object, const char *name, struct directory_entry *entry, struct diag *diag)
{
    const char *operator_key, *ed25519, *curve;
    int result;
    if ((result = json_get_text(object, name, "operator_key", &operator_key, diag)) < 0 ||
        (result = docjson_key(operator_key, name, &entry->operator_key, diag)) < 0 ||
        (result = json_get_text(object, name, "ed25519", &ed25519, diag)) < 0 ||
        (result = json_get_text(object, name, "curve", &curve, diag)) < 0)
        return result;
    if (!keys_public_parse(view_text(ed25519), &entry->ed25519)) /* W4 */
        return diag_set(diag, FARM_E_REFUSED,
                        "%s: \"ed25519\" is not a valid public key: it must be a point of the prime-order "
                        "group, in lower-case hex",
                        name);
    if (!hex_decode(view_text(curve), entry->curve, DIRECTORY_CURVE_SIZE))
        return diag_set(diag, FARM_E_SYNTAX, "%s: \"curve\" must be 64 lower-case hex digits", name);
    return 0;
}

static int read_entry(const json_t *object, const char *name, struct directory_entry *entry,
                      struct diag *diag)
{
    int result;
    if ((result = read_name(object, name, "worker", &entry->worker, diag)) < 0 ||
        (result = read_name(object, name, "operator", &entry->operator_name, diag)) < 0 ||
        (result = read_keys(object, name, entry, diag)) < 0 ||
        (result = docjson_time(object, name, "admitted", &entry->admitted_ms, diag)) < 0 ||
        (result = docjson_time(object, name, "expires", &entry->expires_ms, diag)) < 0 ||
        (result = json_get_number(object, name, "compromised_from", &entry->compromised_from, diag)) < 0 ||
        (result = read_facts(object, name, entry, diag)) < 0)
        return result;
    if (entry->compromised_from < -1)
        return diag_set(diag, FARM_E_REFUSED, "%s: \"compromised_from\" is a position in the log, or -1",
                        name);
    CLEANUP_JSON json_t *again = entry_json(entry);
    return json_same(object, again, name, diag);
}

int directory_entry_parse(struct view text, const char *name, struct directory_entry *ret, struct diag *diag)
{
    enum { ENTRY_SIZE_MAX = 16 * 1024 }; /* three keys, four names, two times */
    CLEANUP_JSON json_t *object = NULL;
    CLEANUP(directory_entry_done) struct directory_entry entry = {0};
    int result;
    if ((result = json_read(text, name, ENTRY_SIZE_MAX, &object, diag)) < 0 ||
        (result = read_entry(object, name, &entry, diag)) < 0)
        return result;
    *ret = entry;
    entry = (struct directory_entry){0};
    return 0;
}

static int read_signed_entry(const json_t *object, const char *name, struct directory *directory,
                             struct diag *diag)
{
    CLEANUP(directory_entry_done) struct directory_entry entry = {0};
    json_t *inner;
    int result;
    if ((result = json_get_object(object, name, "entry", &inner, diag)) < 0 ||
        (result = read_entry(inner, name, &entry, diag)) < 0 ||
        (result = docjson_strings(object, name, "signatures", ROOT_SIGNATURES_MAX, &entry.signatures,
                                  &entry.nsignatures, diag)) < 0)
        return result;
    return directory_add(directory, &entry, diag);
}

static int read_all(const json_t *document, const char *name, struct directory *directory, struct diag *diag)
{
    json_t *entries;
    int result;
    if ((result = docjson_format(document, name, DIRECTORY_FORMAT, diag)) < 0 ||
        (result = json_get_number(document, name, "version", &directory->version, diag)) < 0 ||
        (result = docjson_time(document, name, "expires", &directory->expires_ms, diag)) < 0 ||
        (result = docjson_maybe_digest(document, name, "previous", &directory->previous, diag)) < 0 ||
        (result = docjson_list(document, name, "entries", DIRECTORY_ENTRIES_MAX, &entries, diag)) < 0)
        return result;
    if (directory->version < 1 || (directory->version == 1) != digest_is_zero(&directory->previous))
        return diag_set(diag, FARM_E_REFUSED, "%s: version 1 has no \"previous\", each later one has", name);
    for (size_t i = 0; i < json_array_size(entries) && result >= 0; i++)
        if ((result = read_signed_entry(json_array_get(entries, i), name, directory, diag)) < 0)
            return diag_wrap(diag, result, "entry %zu", i + 1);
    return result;
}

int directory_parse(struct view text, const char *name, struct directory **ret, struct diag *diag)
{
    CLEANUP_JSON json_t *document = NULL;
    struct directory *directory = directory_new();
    CLEANUP_JSON json_t *again = NULL;
    int result = json_read(text, name, DIRECTORY_SIZE_MAX, &document, diag);
    if (result >= 0)
        result = read_all(document, name, directory, diag);
    if (result >= 0) {
        again = directory_json(directory);
        result = json_same(document, again, name, diag);
    }
    if (result < 0) {
        directory_free(directory);
        return result;
    }
    directory->digest = digest_of(text);
    *ret = directory;
    return 0;
}
