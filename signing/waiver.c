/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "waiver.h"

#include "docjson.h"
#include "jsonsame.h"
#include "moment.h"

#include <stdlib.h>

/* Clocks of two machines differ by less. A date further ahead would stretch the limit on a waiver's life. */
enum { CLOCK_SLACK_MS = 24 * 3600 * 1000 };

const char *waiver_rule_name(enum waiver_rule rule)
{
    switch (rule) {
    case WAIVER_HOLD:
        return "hold";
    case WAIVER_EVIDENCE:
        return "evidence";
    }
    return NULL;
}

int waiver_rule_parse(const char *text, const char *name, enum waiver_rule *ret, struct diag *diag)
{
    for (int rule = WAIVER_HOLD; rule <= WAIVER_EVIDENCE; rule++)
        if (strcmp(text, waiver_rule_name((enum waiver_rule)rule)) == 0) {
            *ret = (enum waiver_rule)rule;
            return 0;
        }
    return diag_set(
        diag, FARM_E_REFUSED,
        "%s: the rule \"%s\" cannot be waived, only \"hold\" and \"evidence\" can: quorum, anchors, "
        "dissent, signatures, the log and bytes stand for everybody",
        name, view_is_token(view_text(text)) && strlen(text) <= 40 ? text : "?"); /* S12 */
}

static json_t *body_json(const struct waiver *waiver)
{
    return json_pack("{s:o, s:o, s:s, s:s, s:o, s:s, s:s}", "created", docjson_time_value(waiver->created_ms),
                     "expires", docjson_time_value(waiver->expires_ms), "format", WAIVER_FORMAT, "package",
                     waiver->package, "reason", json_view(view_text(waiver->reason)), "rule",
                     waiver_rule_name(waiver->rule), "version", waiver->version);
}

void waiver_write(const struct waiver *waiver, struct buf *ret)
{
    CLEANUP_JSON json_t *value = body_json(waiver);
    json_write(value, ret);
}

/* One slash with a name on each side. */
static bool is_package_id(const char *text)
{
    const char *slash = strchr(text, '/');
    return view_is_token(view_text(text)) && slash != NULL && slash != text && slash[1] != '\0' &&
           strchr(slash + 1, '/') == NULL;
}

static int check_form(const struct waiver *waiver, const char *name, struct diag *diag)
{
    struct view reason = view_text(waiver->reason);
    if (!is_package_id(waiver->package) || !view_is_token(view_text(waiver->version)))
        return diag_set(diag, FARM_E_REFUSED, "%s: a waiver names one package as tier/name, and its version",
                        name);
    if (reason.size == 0 || reason.size > WAIVER_REASON_MAX || !view_is_utf8(reason))
        return diag_set(diag, FARM_E_REFUSED, "%s: a waiver gives a reason, of at most %d bytes", name,
                        WAIVER_REASON_MAX);
    for (size_t i = 0; i < reason.size; i++)
        if ((unsigned char)reason.data[i] < 0x20 || reason.data[i] == 0x7f)
            return diag_set(diag, FARM_E_REFUSED, "%s: the reason is one line, without control characters",
                            name);
    if (waiver->expires_ms <= waiver->created_ms ||
        waiver->expires_ms - waiver->created_ms > WAIVER_LIFETIME_MAX_MS)
        return diag_set(diag, FARM_E_REFUSED,
                        "%s: a waiver expires after it was made, and within %lld days of it", name,
                        (long long)(WAIVER_LIFETIME_MAX_MS / (24 * 3600 * 1000)));
    return 0;
}

static int read_body(const json_t *object, const char *name, struct waiver *ret, struct diag *diag)
{
    const char *rule;
    int result;
    if ((result = docjson_format(object, name, WAIVER_FORMAT, diag)) < 0 ||
        (result = docjson_string(object, name, "package", &ret->package, diag)) < 0 ||
        (result = docjson_string(object, name, "version", &ret->version, diag)) < 0 ||
        (result = docjson_string(object, name, "reason", &ret->reason, diag)) < 0 ||
        (result = docjson_time(object, name, "created", &ret->created_ms, diag)) < 0 ||
        (result = docjson_time(object, name, "expires", &ret->expires_ms, diag)) < 0 ||
        (result = json_get_text(object, name, "rule", &rule, diag)) < 0 ||
        (result = waiver_rule_parse(rule, name, &ret->rule, diag)) < 0 ||
        (result = check_form(ret, name, diag)) < 0)
        return result;
    CLEANUP_JSON json_t *again = body_json(ret);
    return json_same(object, again, name, diag);
}

int waiver_parse(struct view text, const char *name, struct waiver *ret, struct diag *diag)
{
    CLEANUP_JSON json_t *object = NULL;
    CLEANUP(waiver_done) struct waiver waiver = {0};
    int result;
    if ((result = json_read(text, name, WAIVER_SIZE_MAX, &object, diag)) < 0 ||
        (result = read_body(object, name, &waiver, diag)) < 0)
        return result;
    *ret = waiver;
    waiver = (struct waiver){0};
    return 0;
}

void waiver_add_signature(struct waiver *waiver, struct view armored)
{
    for (size_t i = 0; i < waiver->nsignatures; i++)
        if (view_equal(view_text(waiver->signatures[i]), armored))
            return;
    waiver->signatures = mem_grow(waiver->signatures, waiver->nsignatures + 1, sizeof *waiver->signatures);
    waiver->signatures[waiver->nsignatures++] = view_string(armored);
}

int waiver_check(const struct waiver *waiver, const struct root *root, int64_t now_ms, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_FREE char *name = mem_format("waiver of \"%s\" for %s %s", waiver_rule_name(waiver->rule),
                                         waiver->package, waiver->version);
    int result = check_form(waiver, name, diag);
    if (result < 0)
        return result;
    if (waiver->expires_ms <= now_ms)
        return diag_set(diag, FARM_E_STALE, "%s: it expired at %s", name,
                        moment_format(waiver->expires_ms).text); /* S12 */
    if (waiver->created_ms > now_ms + CLOCK_SLACK_MS)
        return diag_set(
            diag, FARM_E_REFUSED,
            "%s: it says that it was made at %s, which is yet to come; a waiver cannot be made in advance",
            name, moment_format(waiver->created_ms).text);
    if (waiver->nsignatures > ROOT_SIGNATURES_MAX)
        return diag_set(diag, FARM_E_LIMIT, "%s: %zu signatures, the limit is %d", name, waiver->nsignatures,
                        ROOT_SIGNATURES_MAX);
    struct view views[ROOT_SIGNATURES_MAX];
    for (size_t i = 0; i < waiver->nsignatures; i++)
        views[i] = view_text(waiver->signatures[i]);
    waiver_write(waiver, &text);
    result = role_verify(&root->roles[ROLE_RELEASE], role_name_text(ROLE_RELEASE), SSHSIG_NAMESPACE_WAIVER,
                         buf_view(&text), views, waiver->nsignatures, NULL, diag);
    return result < 0 ? diag_wrap(diag, result, "%s", name) : 0;
}

void waiver_done(struct waiver *waiver)
{
    free(waiver->package);
    free(waiver->version);
    free(waiver->reason);
    docjson_free_strings(waiver->signatures, waiver->nsignatures);
    *waiver = (struct waiver){0};
}

json_t *waiver_json(const struct waiver *waiver)
{
    return json_pack("{s:o, s:o}", "signatures",
                     docjson_strings_value(waiver->signatures, waiver->nsignatures), "waiver",
                     body_json(waiver));
}

static int read_signed(const json_t *value, const char *name, struct waiver *ret, struct diag *diag)
{
    json_t *body;
    char **texts = NULL;
    size_t count = 0;
    int result;
    if ((result = json_get_object(value, name, "waiver", &body, diag)) < 0 ||
        (result = read_body(body, name, ret, diag)) < 0 ||
        (result = docjson_strings(value, name, "signatures", ROOT_SIGNATURES_MAX, &texts, &count, diag)) < 0)
        return result;
    ret->signatures = texts;
    ret->nsignatures = count;
    CLEANUP_JSON json_t *again = waiver_json(ret);
    return json_same(value, again, name, diag);
}

int waiver_from_json(const json_t *value, const char *name, struct waiver *ret, struct diag *diag)
{
    CLEANUP(waiver_done) struct waiver waiver = {0};
    int result = read_signed(value, name, &waiver, diag);
    if (result < 0)
        return result;
    *ret = waiver;
    waiver = (struct waiver){0};
    return 0;
}
