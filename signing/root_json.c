/* SPDX-License-Identifier: GPL-3.0-or-later */
/* root.json to struct and back; closed by json_same. */
#include "root.h"

#include "docjson.h"
#include "jsonsame.h"

#include <stdlib.h>

static json_t *role_json(const struct role *role)
{
    json_t *keys = json_array();
    for (size_t i = 0; i < role->nkeys; i++)
        json_array_append_new(keys, json_pack("{s:s, s:o, s:b}", "person", role->keys[i].person, "key",
                                              docjson_key_value(&role->keys[i].key), "verify_required",
                                              role->keys[i].verify_required));
    return json_pack("{s:I, s:o}", "threshold", (json_int_t)role->threshold, "keys", keys);
}

static json_t *roles_json(const struct root *root)
{
    json_t *roles = json_object();
    for (int i = 0; i < ROLE_COUNT; i++)
        if (root->roles[i].threshold > 0)
            json_object_set_new(roles, role_name_text((enum role_name)i), role_json(&root->roles[i]));
    return roles;
}

static json_t *anchors_json(const struct root *root)
{
    json_t *anchors = json_array();
    for (size_t i = 0; i < root->nanchors; i++) {
        json_t *keys = json_array();
        for (size_t k = 0; k < root->anchors[i].nkeys; k++)
            json_array_append_new(keys, docjson_key_value(&root->anchors[i].keys[k]));
        json_array_append_new(
            anchors, json_pack("{s:s, s:o}", "operator", root->anchors[i].operator_name, "keys", keys));
    }
    return anchors;
}

static json_t *checkpoint_json(const struct checkpoint *checkpoint)
{
    if (checkpoint->size == 0)
        return json_null();
    return json_pack("{s:s, s:o, s:I}", "origin", checkpoint->origin, "root", json_digest(&checkpoint->root),
                     "size", (json_int_t)checkpoint->size);
}

static json_t *log_json(const struct root_log *log)
{
    CLEANUP_BUF struct buf vkey = BUF_INIT;
    if (!log->present)
        return json_null();
    note_key_write(&log->key, &vkey);
    return json_pack("{s:o, s:I, s:s, s:o}", "previous", checkpoint_json(&log->previous), "threshold",
                     (json_int_t)log->threshold, "vkey", vkey.data, "witnesses",
                     docjson_strings_value(log->witnesses, log->nwitnesses));
}

static json_t *root_json(const struct root *root)
{
    json_t *bases = json_array();
    for (size_t i = 0; i < root->nbases; i++)
        json_array_append_new(bases, json_digest(&root->bases[i]));
    return json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "format", ROOT_FORMAT, "version",
                     (json_int_t)root->version, "expires", docjson_time_value(root->expires_ms), "roles",
                     roles_json(root), "anchors", anchors_json(root), "policy", json_digest(&root->policy),
                     "bases", bases, "log", log_json(&root->log), "unverified",
                     docjson_strings_value(root->unverified, root->nunverified));
}

void root_write(const struct root *root, struct buf *ret)
{
    CLEANUP_JSON json_t *value = root_json(root);
    json_write(value, ret);
}

static int read_role_key(const json_t *entry, const char *name, struct role_key *ret, struct diag *diag)
{
    const char *key;
    int result;
    if ((result = json_get_text(entry, name, "key", &key, diag)) < 0 ||
        (result = docjson_key(key, name, &ret->key, diag)) < 0 ||
        (result = json_get_bool(entry, name, "verify_required", &ret->verify_required, diag)) < 0)
        return result;
    return docjson_string(entry, name, "person", &ret->person, diag);
}

static int read_role(const json_t *roles, const char *name, enum role_name which, struct role *ret,
                     struct diag *diag)
{
    json_t *object, *keys;
    int64_t threshold;
    int result;
    if (which == ROLE_VERIFIER && json_object_get(roles, role_name_text(which)) == NULL)
        return 0;
    if ((result = json_get_object(roles, name, role_name_text(which), &object, diag)) < 0 ||
        (result = json_get_number(object, name, "threshold", &threshold, diag)) < 0 ||
        (result = docjson_list(object, name, "keys", ROOT_KEYS_MAX, &keys, diag)) < 0)
        return result;
    if (threshold < 1 || threshold > ROOT_KEYS_MAX)
        return diag_set(diag, FARM_E_REFUSED,
                        "%s: role %s: the threshold must be at least 1 and at most the number of persons",
                        name, role_name_text(which)); /* S10 */
    ret->threshold = (uint32_t)threshold;
    ret->keys = mem_zero(json_array_size(keys) + 1, sizeof *ret->keys);
    for (; ret->nkeys < json_array_size(keys); ret->nkeys++)
        if ((result = read_role_key(json_array_get(keys, ret->nkeys), name, &ret->keys[ret->nkeys], diag)) <
            0)
            return result;
    return 0;
}

static int read_anchor(const json_t *entry, const char *name, struct root_anchor *ret, struct diag *diag)
{
    char **texts = NULL;
    size_t count = 0;
    int result = docjson_strings(entry, name, "keys", ROOT_KEYS_MAX, &texts, &count, diag);
    if (result < 0)
        return result;
    ret->keys = mem_zero(count + 1, sizeof *ret->keys);
    for (size_t i = 0; i < count && result >= 0; i++)
        result = docjson_key(texts[i], name, &ret->keys[ret->nkeys++], diag);
    docjson_free_strings(texts, count);
    return result < 0 ? result : docjson_string(entry, name, "operator", &ret->operator_name, diag);
}

static int read_anchors(const json_t *document, const char *name, struct root *root, struct diag *diag)
{
    json_t *array;
    int result = docjson_list(document, name, "anchors", ROOT_ANCHORS_MAX, &array, diag);
    if (result < 0)
        return result;
    root->anchors = mem_zero(json_array_size(array) + 1, sizeof *root->anchors);
    for (size_t i = 0; i < json_array_size(array) && result >= 0; i++)
        result = read_anchor(json_array_get(array, i), name, &root->anchors[root->nanchors++], diag);
    return result;
}

static int read_bases(const json_t *document, const char *name, struct root *root, struct diag *diag)
{
    char **texts = NULL;
    size_t count = 0;
    int result = docjson_strings(document, name, "bases", ROOT_BASES_MAX, &texts, &count, diag);
    if (result < 0)
        return result;
    root->bases = mem_zero(count + 1, sizeof *root->bases);
    for (size_t i = 0; i < count && result >= 0; i++)
        if (!digest_parse(view_text(texts[i]), &root->bases[root->nbases++]))
            result = diag_set(diag, FARM_E_SYNTAX,
                              "%s: \"bases\" must hold SHA-256 digests (64 lower-case hex digits)", name);
    docjson_free_strings(texts, count);
    return result;
}

static int read_previous(const json_t *log, const char *name, struct checkpoint *ret, struct diag *diag)
{
    json_t *object;
    const char *origin;
    int64_t size;
    int result;
    if (json_is_null(json_object_get(log, "previous")))
        return 0;
    if ((result = json_get_object(log, name, "previous", &object, diag)) < 0 ||
        (result = json_get_text(object, name, "origin", &origin, diag)) < 0 ||
        (result = json_get_number(object, name, "size", &size, diag)) < 0 ||
        (result = json_get_digest(object, name, "root", &ret->root, diag)) < 0)
        return result;
    if (size < 1 || !note_name_is_valid(view_text(origin)))
        return diag_set(
            diag, FARM_E_REFUSED,
            "%s: \"previous\" of the log is the last checkpoint of the log before: its origin, its "
            "root, and a size above 0",
            name);
    snprintf(ret->origin, sizeof ret->origin, "%s", origin);
    ret->size = (uint64_t)size;
    return 0;
}

static int read_log(const json_t *document, const char *name, struct root_log *ret, struct diag *diag)
{
    json_t *object;
    const char *vkey;
    int64_t threshold;
    int result;
    if (json_is_null(json_object_get(document, "log")))
        return 0;
    if ((result = json_get_object(document, name, "log", &object, diag)) < 0 ||
        (result = json_get_text(object, name, "vkey", &vkey, diag)) < 0 ||
        (result = json_get_number(object, name, "threshold", &threshold, diag)) < 0 ||
        (result = read_previous(object, name, &ret->previous, diag)) < 0)
        return result;
    if ((result = note_key_parse(view_text(vkey), &ret->key, diag)) < 0)
        return diag_wrap(diag, result, "%s: log", name);
    if (threshold < 1 || threshold > ROOT_ANCHORS_MAX)
        return diag_set(diag, FARM_E_REFUSED, "%s: log: the threshold is more than half of the witnesses",
                        name);
    ret->threshold = (uint32_t)threshold;
    ret->present = true;
    return docjson_strings(object, name, "witnesses", ROOT_ANCHORS_MAX, &ret->witnesses, &ret->nwitnesses,
                           diag);
}

static int read_all(const json_t *document, const char *name, struct root *root, struct diag *diag)
{
    json_t *roles;
    int result;
    if ((result = docjson_format(document, name, ROOT_FORMAT, diag)) < 0 ||
        (result = json_get_number(document, name, "version", &root->version, diag)) < 0 ||
        (result = docjson_time(document, name, "expires", &root->expires_ms, diag)) < 0 ||
        (result = json_get_digest(document, name, "policy", &root->policy, diag)) < 0 ||
        (result = json_get_object(document, name, "roles", &roles, diag)) < 0 ||
        (result = read_anchors(document, name, root, diag)) < 0 ||
        (result = read_bases(document, name, root, diag)) < 0 ||
        (result = read_log(document, name, &root->log, diag)) < 0)
        return result;
    for (int i = 0; i < ROLE_COUNT; i++)
        if ((result = read_role(roles, name, (enum role_name)i, &root->roles[i], diag)) < 0)
            return result;
    return docjson_strings(document, name, "unverified", ROOT_UNVERIFIED_MAX, &root->unverified,
                           &root->nunverified, diag);
}

int root_parse(struct view text, const char *name, struct root **ret, struct diag *diag)
{
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_ROOT struct root *root = root_new();
    int result;
    if ((result = json_read(text, name, ROOT_SIZE_MAX, &document, diag)) < 0 ||
        (result = read_all(document, name, root, diag)) < 0 ||
        (result = root_check_rules(root, name, diag)) < 0)
        return result;
    CLEANUP_JSON json_t *again = root_json(root);
    if ((result = json_same(document, again, name, diag)) < 0)
        return result;
    root->digest = digest_of(text);
    *ret = STEAL(root);
    return 0;
}
