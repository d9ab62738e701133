/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The trust root: installing its next version, and showing it with the chain of those before. */
#include "verbs.h"

#include "farmlog.h"
#include "journal.h"

#include <stdlib.h>

/* ---- showing ---- */

static json_t *anchors_json(const struct root *root)
{
    json_t *anchors = json_array();
    for (size_t i = 0; i < root->nanchors; i++)
        json_array_append_new(anchors, json_string(root->anchors[i].operator_name));
    return anchors;
}

static json_t *persons_json(const struct role *role)
{
    json_t *persons = json_object();
    for (size_t i = 0; i < role->nkeys; i++)
        json_object_set_new(persons, role->keys[i].person, json_null());
    json_t *names = json_array();
    const char *name;
    json_t *value;
    json_object_foreach(persons, name, value) json_array_append_new(names, json_string(name));
    json_decref(persons);
    return names;
}

static json_t *roles_json(const struct root *root)
{
    json_t *roles = json_object();
    for (int i = 0; i < ROLE_COUNT; i++)
        if (root->roles[i].threshold > 0)
            json_object_set_new(roles, role_name_text((enum role_name)i),
                                json_pack("{s:i, s:i, s:o}", "threshold", (int)root->roles[i].threshold,
                                          "persons", (int)role_persons(&root->roles[i]), "names",
                                          persons_json(&root->roles[i])));
    return roles;
}

static json_t *log_json(const struct farm *farm, const struct root_log *log)
{
    CLEANUP_BUF struct buf vkey = BUF_INIT;
    struct checkpoint cosigned;
    struct view note;
    json_t *witnesses = json_array();
    if (!log->present) {
        json_decref(witnesses);
        return json_null();
    }
    note_key_write(&log->key, &vkey);
    for (size_t i = 0; i < log->nwitnesses; i++)
        json_array_append_new(witnesses, json_string(log->witnesses[i]));
    json_t *ret =
        json_pack("{s:s, s:i, s:o, s:s?, s:I}", "vkey", vkey.data, "threshold", (int)log->threshold,
                  "witnesses", witnesses, "previous", log->previous.size > 0 ? log->previous.origin : NULL,
                  "previous_size", (json_int_t)log->previous.size);
    if (journal_cosigned(farm, &cosigned, &note))
        json_object_set_new(ret, "cosigned_size", json_integer((json_int_t)cosigned.size));
    return ret;
}

/* From the first on; a version that was never installed here has no digest. */
static json_t *chain_json(struct farm *farm)
{
    json_t *chain = json_array();
    for (int64_t version = 1; version <= farm->root->version; version++) {
        CLEANUP(trust_link_done) struct trust_link link = {.root = NULL};
        if (trust_chain_read(farm, version, &link, NULL) < 0)
            json_array_append_new(chain, json_pack("{s:I, s:n}", "version", (json_int_t)version, "sha256"));
        else
            json_array_append_new(chain, json_pack("{s:I, s:o, s:s, s:I}", "version", (json_int_t)version,
                                                   "sha256", json_digest(&link.root->digest), "expires",
                                                   moment_format(link.root->expires_ms).text, "signatures",
                                                   (json_int_t)link.nsignatures));
    }
    return chain;
}

static json_t *root_json(struct farm *farm)
{
    const struct root *root = farm->root;
    json_t *bases = json_array(), *unverified = json_array();
    for (size_t i = 0; i < root->nbases; i++)
        json_array_append_new(bases, json_digest(&root->bases[i]));
    for (size_t i = 0; i < root->nunverified; i++)
        json_array_append_new(unverified, json_string(root->unverified[i]));
    return json_pack("{s:I, s:s, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version",
                     (json_int_t)root->version, "expires", moment_format(root->expires_ms).text, "expired",
                     (int)(root->expires_ms <= moment_wall_ms()), "sha256", digest_hex(&root->digest).text,
                     "roles", roles_json(root), "anchors", anchors_json(root), "bases", bases, "policy",
                     json_digest(&root->policy), "unverified", unverified, "log", log_json(farm, &root->log),
                     "chain", chain_json(farm));
}

void verb_root_show(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    if (farm->root != NULL) {
        ctl_finish(request, FARM_EXIT_OK, root_json(farm));
        return;
    }
    ctl_fail(request,
             diag_set(&diag, FARM_E_MISSING, "no trust root is installed; \"farmctl root install\" does it"),
             &diag);
}

/* ---- installing ---- */

/* Versions in one request; a request has 1 MiB, and a root with its signatures some 10 KiB. */
enum { LINKS_MAX = 64 };

/* {"root":"<text>","signatures":[...]} */
static int take_link(const json_t *document, struct trust_link *ret, struct diag *diag)
{
    const char *text;
    int result = json_get_text(document, "request", "root", &text, diag);
    if (result < 0)
        return diag_set(diag, FARM_E_USAGE, "no root was given");
    buf_add_text(&ret->text, text);
    if ((result = root_parse(buf_view(&ret->text), "root.json", &ret->root, diag)) < 0)
        return result;
    const json_t *signatures = json_object_get(document, "signatures");
    if (json_array_size(signatures) > ROOT_SIGNATURES_MAX)
        return diag_set(diag, FARM_E_LIMIT, "more than %d signatures; remove those that do not count",
                        ROOT_SIGNATURES_MAX);
    trust_take_signatures(ret, signatures);
    return 0;
}

/* "before" has the predecessors, in order; the root itself comes last. */
static int take_links(const json_t *params, struct trust_link links[LINKS_MAX], size_t *count,
                      struct diag *diag)
{
    const json_t *before = json_object_get(params, "before");
    size_t index;
    json_t *item;
    int result = 0;
    json_array_foreach(before, index, item)
    {
        if (*count + 1 >= LINKS_MAX)
            return diag_set(diag, FARM_E_LIMIT, "at most %d versions at a time", LINKS_MAX);
        if ((result = take_link(item, &links[(*count)++], diag)) < 0)
            return result;
    }
    return take_link(params, &links[(*count)++], diag);
}

void verb_root_install(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    struct trust_link links[LINKS_MAX] = {{.root = NULL}};
    size_t count = 0;
    int result = take_links(ctl_params(request), links, &count, &diag);
    if (result >= 0)
        result = trust_install(farm, links, count, &diag);
    for (size_t i = 0; i < count; i++)
        trust_link_done(&links[i]);
    if (result > 0) {
        log_event(LOG_LEVEL_INFO, "trust root installed", log_number(FIELD_VERSION, farm->root->version),
                  log_text(FIELD_UNTIL, moment_format(farm->root->expires_ms).text));
        result = admission_renew(farm, &diag);
    }
    if (result < 0)
        ctl_fail(request, result, &diag);
    else
        ctl_finish(request, FARM_EXIT_OK, root_json(farm));
}
