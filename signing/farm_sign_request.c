/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "farm_sign_request.h"

#include "base64.h"
#include "json.h"

#include <ctype.h>
#include <stdlib.h>

static void replace_text(char **field, const char *value)
{
    free(*field);
    *field = mem_string(value);
}

bool farm_sign_is_code(const char *text)
{
    return view_starts(view_text(text), VIEW(FARM_SIGN_CODE));
}

/* White space is what mail and chat put in. */
static int decode(const char *code, struct buf *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf base64 = BUF_INIT;
    if (strlen(code) > 2 * FARM_SIGN_REQUEST_MAX)
        return diag_set(diag, FARM_E_LIMIT, "request code: too long; was something else pasted with it?");
    for (const char *c = code + strlen(FARM_SIGN_CODE); *c != '\0'; c++)
        if (!isspace((unsigned char)*c))
            buf_add_byte(&base64, *c);
    if (base64.size == 0 || !base64_decode(buf_view(&base64), ret))
        return diag_set(diag, FARM_E_SYNTAX,
                        "request code: damaged after \"" FARM_SIGN_CODE
                        "\"; copy all of the line that farm-worker init "
                        "printed");
    return 0;
}

static int get_text(const char *source, struct buf *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    if (farm_sign_is_code(source))
        return decode(source, ret, diag);
    int result = farm_sign_read(source, FARM_SIGN_REQUEST_MAX, &text, diag);
    if (result < 0)
        return result;
    if (text.size > 0 && farm_sign_is_code(text.data)) /* a code that was saved */
        return decode(text.data, ret, diag);
    buf_add_view(ret, buf_view(&text));
    return 0;
}

static int take_key(const json_t *request, const char *name, const char *key, unsigned char ret[DIGEST_SIZE],
                    struct diag *diag)
{
    struct digest bytes;
    int result = json_get_digest(request, name, key, &bytes, diag);
    if (result >= 0)
        memcpy(ret, bytes.bytes, DIGEST_SIZE);
    return result;
}

/* A fact that was not stated already. */
static int take_fact(const json_t *facts, const char *name, const char *key, char **field, struct diag *diag)
{
    const char *text;
    if (*field != NULL || json_object_get(facts, key) == NULL)
        return 0;
    int result = json_get_text(facts, name, key, &text, diag);
    if (result >= 0)
        replace_text(field, text);
    return result;
}

static int take_request(struct directory_entry *entry, const json_t *request, const char *name,
                        struct diag *diag)
{
    const json_t *facts = json_object_get(request, "facts");
    const char *worker, *operator_name;
    int result;
    if ((result = json_get_text(request, name, "worker", &worker, diag)) < 0 ||
        (result = json_get_text(request, name, "operator", &operator_name, diag)) < 0 ||
        (result = take_key(request, name, "ed25519", entry->ed25519.bytes, diag)) < 0 ||
        (result = take_key(request, name, "curve", entry->curve, diag)) < 0 ||
        (result = take_fact(facts, name, "cpu_vendor", &entry->cpu_vendor, diag)) < 0 ||
        (result = take_fact(facts, name, "kernel", &entry->kernel, diag)) < 0 ||
        (result = take_fact(facts, name, "site", &entry->site, diag)) < 0)
        return result;
    replace_text(&entry->worker, worker);
    if (entry->operator_name == NULL)
        replace_text(&entry->operator_name, operator_name);
    return 0;
}

int farm_sign_take_request(struct directory_entry *entry, const char *source, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *request = NULL;
    const char *name = farm_sign_is_code(source) ? "request code" : source;
    int result;
    if ((result = get_text(source, &text, diag)) < 0 ||
        (result = json_read(buf_view(&text), name, FARM_SIGN_REQUEST_MAX, &request, diag)) < 0)
        return result;
    return take_request(entry, request, name, diag);
}

bool farm_sign_is_request(const char *source)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *document = NULL;
    return get_text(source, &text, NULL) >= 0 &&
           json_read(buf_view(&text), source, FARM_SIGN_REQUEST_MAX, &document, NULL) >= 0 &&
           json_object_get(document, "worker") != NULL && json_object_get(document, "expires") == NULL;
}
