/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is kept of it: trust.json. And what other threads ask. */
#include "trust_private.h"

#include "file.h"
#include "json.h"
#include "moment.h"
#include "statedir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define FORMAT "intergenos-worker-trust/1"
static const char *const NAME = STATEDIR_TRUST;

/* ---- for all threads ---- */

void trust_set_root(struct trust *trust, struct root *root, char *text)
{
    pthread_mutex_lock(&trust->lock);
    struct root *old = trust->root;
    trust->root = root;
    pthread_mutex_unlock(&trust->lock);
    root_free(old);
    free(trust->root_text);
    trust->root_text = text;
}

int trust_check_base(struct trust *trust, const struct digest *base, struct diag *diag)
{
    if (!trust_is_pinned(trust))
        return 0;
    pthread_mutex_lock(&trust->lock);
    int64_t version = trust->root != NULL ? trust->root->version : 0;
    bool allowed = trust->root != NULL && root_allows_base(trust->root, base);
    pthread_mutex_unlock(&trust->lock);
    if (allowed)
        return 0;
    if (version == 0)
        return diag_set(diag, FARM_E_REFUSED,
                        "there is no trust root yet to say whether the base %s is allowed",
                        digest_hex(base).text);
    return diag_set(diag, FARM_E_REFUSED, "the trust root (version %" PRId64 ") does not allow the base %s",
                    version, digest_hex(base).text);
}

bool trust_is_pinned(const struct trust *trust)
{
    return !digest_is_zero(&trust->self.pinned);
}

const struct root *trust_root(const struct trust *trust)
{
    return trust->root;
}

/* ---- writing ---- */

static void set_time(json_t *json, const char *key, int64_t ms)
{
    json_object_set_new(json, key, json_string(moment_format(ms).text));
}

static json_t *directory_json(const struct trust *trust)
{
    const struct trust_listing *directory = &trust->directory;
    if (!trust->has_directory)
        return json_null();
    json_t *json = json_object();
    json_object_set_new(json, "version", json_integer(directory->version));
    json_object_set_new(json, "digest", json_digest(&directory->digest));
    set_time(json, "expires", directory->expires_ms);
    json_object_set_new(json, "root", json_integer(directory->root_version));
    json_object_set_new(json, "listed", json_boolean(directory->listed));
    set_time(json, "entry_expires", directory->entry_expires_ms);
    json_object_set_new(json, "compromised_from", json_integer(directory->compromised_from));
    return json;
}

int trust_save(struct trust *trust, int state_dirfd, struct diag *diag)
{
    CLEANUP_JSON json_t *json = json_object();
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_object_set_new(json, "format", json_string(FORMAT));
    json_object_set_new(json, "pinned", json_digest(&trust->self.pinned));
    json_object_set_new(json, "root",
                        trust->root_text != NULL ? json_view(view_text(trust->root_text)) : json_null());
    json_object_set_new(json, "directory", directory_json(trust));
    set_time(json, "seen", trust->seen_ms);
    json_write(json, &text);
    int error = file_write(state_dirfd, STATEDIR_TRUST, buf_view(&text), 0600, diag);
    if (error >= 0)
        trust->saved_ms = trust->seen_ms;
    return error;
}

/* ---- reading ---- */

static int get_time(const json_t *json, const char *key, int64_t *ret, struct diag *diag)
{
    const char *text;
    int error = json_get_text(json, NAME, key, &text, diag);
    if (error >= 0 && !moment_parse(view_text(text), ret))
        error = diag_set(diag, FARM_E_SYNTAX, "%s: %s: expected a time", NAME, key);
    return error;
}

static int read_directory(const json_t *json, struct trust *trust, struct diag *diag)
{
    static const char *const known[] = {"compromised_from", "digest", "entry_expires", "expires",
                                        "listed",           "root",   "version",       NULL};
    const json_t *directory = json_object_get(json, "directory");
    struct trust_listing listing = {.same_keys = true};
    if (json_is_null(directory))
        return 0;
    if (!json_is_object(directory))
        return diag_set(diag, FARM_E_SYNTAX, "%s: directory: expected an object or null", NAME);
    int error = json_only_keys(directory, NAME, known, diag);
    if (error >= 0)
        error = json_get_number(directory, NAME, "version", &listing.version, diag);
    if (error >= 0)
        error = json_get_digest(directory, NAME, "digest", &listing.digest, diag);
    if (error >= 0)
        error = get_time(directory, "expires", &listing.expires_ms, diag);
    if (error >= 0)
        error = json_get_number(directory, NAME, "root", &listing.root_version, diag);
    if (error >= 0)
        error = json_get_bool(directory, NAME, "listed", &listing.listed, diag);
    if (error >= 0)
        error = get_time(directory, "entry_expires", &listing.entry_expires_ms, diag);
    if (error >= 0)
        error = json_get_number(directory, NAME, "compromised_from", &listing.compromised_from, diag);
    if (error < 0)
        return error;
    if (listing.version < 1 || listing.root_version < 1 || listing.compromised_from < -1)
        return diag_set(diag, FARM_E_SYNTAX, "%s: directory: a number is out of range", NAME);
    trust->directory = listing;
    trust->has_directory = true;
    return 0;
}

static int read_root(const json_t *json, struct trust *trust, struct diag *diag)
{
    const json_t *text = json_object_get(json, "root");
    struct root *root = NULL;
    if (json_is_null(text))
        return 0;
    if (!json_is_string(text))
        return diag_set(diag, FARM_E_SYNTAX, "%s: root: expected a string or null", NAME);
    int error = root_parse(view_text(json_string_value(text)), NAME, &root, diag);
    if (error >= 0)
        trust_set_root(trust, root, mem_string(json_string_value(text)));
    return error;
}

static int check_pin(const json_t *json, const struct trust *trust, struct diag *diag)
{
    struct digest pinned;
    int error = json_get_digest(json, NAME, "pinned", &pinned, diag);
    if (error >= 0 && !digest_equal(&pinned, &trust->self.pinned))
        error = diag_set(
            diag, FARM_E_REFUSED,
            "%s begins at the trust root %.12s, and worker.conf pins %.12s: make a new worker, or begin "
            "anew with: farm-worker alarm clear --forget",
            NAME, digest_hex(&pinned).text, digest_hex(&trust->self.pinned).text);
    return error;
}

static int parse(struct view text, struct trust *trust, struct diag *diag)
{
    static const char *const known[] = {"directory", "format", "pinned", "root", "seen", NULL};
    CLEANUP_JSON json_t *json = NULL;
    const char *format;
    int error = json_read(text, NAME, TRUST_FILE_MAX, &json, diag);
    if (error >= 0)
        error = json_only_keys(json, NAME, known, diag);
    if (error >= 0)
        error = json_get_text(json, NAME, "format", &format, diag);
    if (error >= 0 && strcmp(format, FORMAT) != 0)
        error = diag_set(diag, FARM_E_UNSUPPORTED, "%s: format \"%.40s\" is not " FORMAT, NAME, format);
    if (error >= 0)
        error = check_pin(json, trust, diag);
    if (error >= 0)
        error = get_time(json, "seen", &trust->seen_ms, diag);
    if (error >= 0)
        error = read_root(json, trust, diag);
    trust->saved_ms = trust->seen_ms;
    return error >= 0 ? read_directory(json, trust, diag) : error;
}

static int load_file(struct trust *trust, int state_dirfd, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int error = file_read(state_dirfd, STATEDIR_TRUST, TRUST_FILE_MAX, &text, diag);
    if (error == -ENOENT)
        return 0;
    return error < 0 ? error : parse(buf_view(&text), trust, diag);
}

/* What the owner gave to init: the pinned root itself. */
static int load_given(struct trust *trust, int state_dirfd, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct root *root = NULL;
    int error = file_read(state_dirfd, STATEDIR_ROOT, ROOT_SIZE_MAX, &text, diag);
    if (error == -ENOENT)
        return 0;
    if (error < 0)
        return error;
    struct digest digest = digest_of(buf_view(&text));
    if (!digest_equal(&digest, &trust->self.pinned))
        return diag_set(diag, FARM_E_DIGEST,
                        STATEDIR_ROOT
                        ": its digest is %s, and the join string named %s; remove the file (the worker "
                        "fetches the right one), or get it again from the farm's operator",
                        digest_hex(&digest).text, digest_hex(&trust->self.pinned).text);
    error = root_parse(buf_view(&text), STATEDIR_ROOT, &root, diag);
    if (error >= 0)
        trust_set_root(trust, root, buf_steal(&text));
    return error;
}

int trust_open(int state_dirfd, const struct trust_self *self, struct trust **ret, struct diag *diag)
{
    struct trust *trust = mem_zero(1, sizeof *trust);
    pthread_mutex_init(&trust->lock, NULL);
    trust->self = *self;
    int error = trust_is_pinned(trust) ? load_file(trust, state_dirfd, diag) : 0;
    if (error >= 0 && trust->root == NULL)
        error = load_given(trust, state_dirfd, diag);
    if (error < 0) {
        trust_close(trust);
        return error;
    }
    *ret = trust;
    return 0;
}

struct trust *trust_close(struct trust *trust)
{
    if (trust == NULL)
        return NULL;
    root_free(trust->root);
    free(trust->root_text);
    pthread_mutex_destroy(&trust->lock);
    free(trust);
    return NULL;
}
