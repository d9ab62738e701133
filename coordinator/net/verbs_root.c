/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The trust root: installing its next version, and showing the chain of those that were installed. */
#include "verbs.h"

#include "farmlog.h"

static json_t *root_json(const struct root *root)
{
    json_t *anchors = json_array(), *bases = json_array(), *roles = json_object();
    for (size_t i = 0; i < root->nanchors; i++)
        json_array_append_new(anchors, json_string(root->anchors[i].operator_name));
    for (size_t i = 0; i < root->nbases; i++)
        json_array_append_new(bases, json_digest(&root->bases[i]));
    for (int i = 0; i < ROLE_COUNT; i++)
        if (root->roles[i].threshold > 0)
            json_object_set_new(roles, role_name_text((enum role_name)i),
                                json_pack("{s:i, s:i}", "threshold", (int)root->roles[i].threshold, "persons",
                                          (int)role_persons(&root->roles[i])));
    return json_pack("{s:I, s:s, s:s, s:o, s:o, s:o, s:o}", "version", (json_int_t)root->version, "expires",
                     moment_format(root->expires_ms).text, "sha256", digest_hex(&root->digest).text, "roles",
                     roles, "anchors", anchors, "bases", bases, "policy", json_digest(&root->policy));
}

void verb_root_install(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *text = ctl_text(request, "root");
    json_t *array = json_object_get(ctl_params(request), "signatures"), *item;
    struct view views[ROOT_SIGNATURES_MAX];
    size_t count = 0, index;
    json_array_foreach(array, index, item) if (json_is_string(item) && count < ROOT_SIGNATURES_MAX)
        views[count++] = view_text(json_string_value(item));
    int result = text != NULL ? trust_install(farm, view_text(text), views, count, &diag)
                              : diag_set(&diag, FARM_E_USAGE, "no root was given");
    if (result > 0) {
        log_info("trust root version %lld installed", (long long)farm->root->version);
        result = admission_renew(farm, &diag);
    }
    if (result < 0)
        ctl_fail(request, result, &diag);
    else
        ctl_finish(request, FARM_EXIT_OK, root_json(farm->root));
}

void verb_root_show(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    if (farm->root != NULL) {
        ctl_finish(request, FARM_EXIT_OK, root_json(farm->root));
        return;
    }
    ctl_fail(request,
             diag_set(&diag, FARM_E_MISSING, "no trust root is installed; \"farmctl root install\" does it"),
             &diag);
}
