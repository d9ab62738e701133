/* SPDX-License-Identifier: GPL-3.0-or-later */
/* release.json in: form, order and internal agreement; what the release claims is checked by verify.c. */
#include "release.h"

#include "identity.h"
#include "jsonsame.h"
#include "release_json.h"

#define ARCHIVE_SUFFIX ".igos.tar.gz"

/* Words that become parts of file names. */
static int read_word(const json_t *object, const char *name, const char *key, char **ret, struct diag *diag)
{
    const char *text;
    int result = json_get_text(object, name, key, &text, diag);
    if (result < 0)
        return result;
    struct view view = view_text(text);
    if (view.size == 0 || view.size > 200 || !view_is_token(view) || strchr(text, '/') != NULL ||
        text[0] == '.')
        return diag_set(diag, FARM_E_REFUSED, "%s: \"%s\" is not one word without \"/\"", name, key);
    *ret = mem_string(text);
    return 0;
}

static int read_count(const json_t *object, const char *name, const char *key, uint64_t limit, uint64_t *ret,
                      struct diag *diag)
{
    int64_t number;
    int result = json_get_number(object, name, key, &number, diag);
    if (result < 0)
        return result;
    if (number < 0 || (uint64_t)number > limit)
        return diag_set(diag, FARM_E_REFUSED, "%s: \"%s\" is out of range", name, key);
    *ret = (uint64_t)number;
    return 0;
}

static int read_archive(const json_t *object, const char *name, struct release_package *package,
                        struct diag *diag)
{
    json_t *archive;
    int result;
    if ((result = json_get_object(object, name, "archive", &archive, diag)) < 0 ||
        (result = read_word(archive, name, "file", &package->archive, diag)) < 0 ||
        (result = read_count(archive, name, "size", INT64_MAX, &package->archive_size, diag)) < 0 ||
        (result = json_get_digest(archive, name, "sha256", &package->archive_sha256, diag)) < 0)
        return result;
    CLEANUP_FREE char *expected = mem_format("%s-%s" ARCHIVE_SUFFIX, package->name, package->version);
    if (strcmp(expected, package->archive) != 0)
        return diag_set(diag, FARM_E_REFUSED, "%s: the archive of %s must be named %s", name, package->name,
                        expected);
    return 0;
}

static int read_support(const json_t *object, const char *name, struct release_package *package,
                        struct diag *diag)
{
    uint64_t dissent = 0;
    int result;
    if ((result = docjson_strings(object, name, "operators", RELEASE_OPERATORS_MAX, &package->operators,
                                  &package->noperators, diag)) < 0 ||
        (result = read_count(object, name, "dissent", UINT32_MAX, &dissent, diag)) < 0)
        return result;
    package->dissent = (uint32_t)dissent;
    for (size_t i = 0; i < package->noperators; i++)
        if (!identity_name_is_valid(view_text(package->operators[i])))
            return diag_set(diag, FARM_E_REFUSED, "%s: %s: not an operator's name", name, package->name);
    return 0;
}

/* A path that was validated would need evidence, and this version knows none. */
static int read_gpu(const json_t *object, const char *name, struct release_package *package,
                    struct diag *diag)
{
    int result = read_word(object, name, "gpu", &package->gpu, diag);
    if (result >= 0 && strcmp(package->gpu, "none") != 0 && strcmp(package->gpu, "not-validated") != 0)
        return diag_set(diag, FARM_E_UNSUPPORTED,
                        "%s: %s: \"gpu\" is \"none\" or \"not-validated\"; this version knows no evidence",
                        name, package->name);
    return result;
}

static int read_package(const json_t *object, const char *name, struct release_package *package,
                        struct diag *diag)
{
    int result;
    if ((result = read_word(object, name, "name", &package->name, diag)) < 0 ||
        (result = read_word(object, name, "version", &package->version, diag)) < 0 ||
        (result = read_word(object, name, "release", &package->release, diag)) < 0 ||
        (result = read_word(object, name, "tier", &package->tier, diag)) < 0 ||
        (result = read_word(object, name, "phase", &package->phase, diag)) < 0 ||
        (result = read_gpu(object, name, package, diag)) < 0 ||
        (result = json_get_digest(object, name, "job", &package->job, diag)) < 0 ||
        (result = json_get_digest(object, name, "payload", &package->payload, diag)) < 0 ||
        (result = json_get_digest(object, name, "tar", &package->tar, diag)) < 0 ||
        (result = read_archive(object, name, package, diag)) < 0)
        return result;
    return read_support(object, name, package, diag);
}

static int read_packages(const json_t *document, const char *name, struct release *release, struct diag *diag)
{
    json_t *array;
    int result = docjson_list(document, name, "packages", RELEASE_PACKAGES_MAX, &array, diag);
    if (result < 0)
        return result;
    release->packages = mem_zero(json_array_size(array) + 1, sizeof *release->packages);
    for (size_t i = 0; i < json_array_size(array) && result >= 0; i++)
        result = read_package(json_array_get(array, i), name, &release->packages[release->npackages++], diag);
    return result;
}

static int read_held(const json_t *document, const char *name, struct release *release, struct diag *diag)
{
    json_t *array;
    int result = docjson_list(document, name, "held", RELEASE_PACKAGES_MAX, &array, diag);
    if (result < 0)
        return result;
    release->held = mem_zero(json_array_size(array) + 1, sizeof *release->held);
    for (size_t i = 0; i < json_array_size(array) && result >= 0; i++) {
        struct release_held *held = &release->held[release->nheld++];
        result = read_word(json_array_get(array, i), name, "name", &held->name, diag);
        if (result >= 0)
            result = docjson_string(json_array_get(array, i), name, "reason", &held->reason, diag);
    }
    return result;
}

static int read_waivers(const json_t *document, const char *name, struct release *release, struct diag *diag)
{
    json_t *array;
    int result = docjson_list(document, name, "waivers", WAIVERS_MAX, &array, diag);
    if (result < 0)
        return result;
    release->waivers = mem_zero(json_array_size(array) + 1, sizeof *release->waivers);
    for (size_t i = 0; i < json_array_size(array) && result >= 0; i++) {
        struct waiver waiver = {0};
        result = waiver_from_json(json_array_get(array, i), name, &waiver, diag); /* S12 */
        if (result >= 0)
            release->waivers[release->nwaivers++] = waiver;
    }
    return result;
}

static int read_log(const json_t *document, const char *name, struct release *release, struct diag *diag)
{
    json_t *log = json_object_get(document, "log");
    const char *origin;
    int64_t size;
    int result;
    if (json_is_null(log))
        return 0;
    if ((result = json_get_object(document, name, "log", &log, diag)) < 0 ||
        (result = json_get_text(log, name, "origin", &origin, diag)) < 0 ||
        (result = json_get_digest(log, name, "root", &release->log.root, diag)) < 0 ||
        (result = json_get_number(log, name, "size", &size, diag)) < 0)
        return result;
    if (!note_name_is_valid(view_text(origin)) || size < 1)
        return diag_set(diag, FARM_E_REFUSED, "%s: \"log\" must name an origin and a size of at least 1",
                        name);
    memcpy(release->log.origin, origin, strlen(origin) + 1);
    release->log.size = (uint64_t)size;
    release->has_log = true;
    return 0;
}

static int read_tree(const json_t *document, const char *name, struct release *release, struct diag *diag)
{
    json_t *tree;
    const char *commit;
    unsigned char bytes[32];
    int result;
    if ((result = json_get_object(document, name, "tree", &tree, diag)) < 0 ||
        (result = docjson_string(tree, name, "url", &release->tree.url, diag)) < 0 ||
        (result = json_get_digest(tree, name, "tree_sha256", &release->tree.sha256, diag)) < 0 ||
        (result = json_get_text(tree, name, "commit", &commit, diag)) < 0)
        return result;
    struct view view = view_text(commit);
    if ((view.size != 40 && view.size != 64) || !hex_decode(view, bytes, view.size / 2))
        return diag_set(diag, FARM_E_SYNTAX, "%s: \"commit\" is not a git commit id", name);
    memcpy(release->tree.commit, commit, view.size + 1);
    return 0;
}

static int read_digests(const json_t *document, const char *name, struct release *release, struct diag *diag)
{
    json_t *base;
    int result;
    if ((result = docjson_maybe_digest(document, name, "previous", &release->previous, diag)) < 0 ||
        (result = json_get_digest(document, name, "plan", &release->plan, diag)) < 0 ||
        (result = json_get_digest(document, name, "policy", &release->policy, diag)) < 0 ||
        (result = json_get_object(document, name, "base", &base, diag)) < 0 ||
        (result = json_get_digest(base, name, "digest", &release->base, diag)) < 0 ||
        (result = json_get_bool(base, name, "verified", &release->base_verified, diag)) < 0 ||
        (result = json_get_digest(document, name, "root", &release->root, diag)) < 0)
        return result;
    return json_get_digest(document, name, "workers", &release->workers, diag);
}

static int read_head(const json_t *document, const char *name, struct release *release, struct diag *diag)
{
    json_t *counts;
    int result;
    if ((result = docjson_format(document, name, RELEASE_FORMAT, diag)) < 0 ||
        (result = read_word(document, name, "name", &release->name, diag)) < 0 ||
        (result = json_get_number(document, name, "sequence", &release->sequence, diag)) < 0 ||
        (result = docjson_time(document, name, "created", &release->created_ms, diag)) < 0 ||
        (result = docjson_time(document, name, "expires", &release->expires_ms, diag)) < 0 ||
        (result = json_get_object(document, name, "counts", &counts, diag)) < 0 ||
        (result = read_count(counts, name, "planned", RELEASE_PACKAGES_MAX, &release->planned, diag)) < 0)
        return result;
    if (release->sequence < 1 || release->expires_ms <= release->created_ms)
        return diag_set(diag, FARM_E_REFUSED,
                        "%s: \"sequence\" begins at 1, and \"expires\" lies behind \"created\"", name);
    if ((release->sequence == 1) != digest_is_zero(&release->previous))
        return diag_set(diag, FARM_E_REFUSED, "%s: the first release has no \"previous\", each later one has",
                        name); /* S6 */
    return 0;
}

static int check_order(const struct release *release, const char *name, struct diag *diag)
{
    for (size_t i = 1; i < release->npackages; i++) {
        const struct release_package *a = &release->packages[i - 1], *b = &release->packages[i];
        int order = strcmp(a->tier, b->tier);
        if (order > 0 || (order == 0 && strcmp(a->name, b->name) >= 0))
            return diag_set(diag, FARM_E_REFUSED,
                            "%s: packages must be sorted by tier and name, each once (%s)", name, b->name);
    }
    for (size_t i = 1; i < release->nheld; i++)
        if (strcmp(release->held[i - 1].name, release->held[i].name) >= 0)
            return diag_set(diag, FARM_E_REFUSED, "%s: held must be sorted by name, each once", name);
    for (size_t i = 1; i < release->nwaivers; i++)
        if (release_compare_waivers(&release->waivers[i - 1], &release->waivers[i]) >= 0)
            return diag_set(diag, FARM_E_REFUSED,
                            "%s: waivers must be sorted by package and rule, each once (%s)", name,
                            release->waivers[i].package);
    return 0;
}

/* What this version cannot judge must not be there, whatever it says. */
static int check_unknown_list(const json_t *document, const char *name, struct diag *diag)
{
    if (json_array_size(json_object_get(document, "evidence")) > 0)
        return diag_set(diag, FARM_E_UNSUPPORTED, "%s: this version knows no evidence and accepts none",
                        name);
    return 0;
}

int release_parse(struct view text, const char *name, struct release **ret, struct diag *diag)
{
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_RELEASE struct release *release = release_new();
    int result;
    if ((result = json_read(text, name, RELEASE_SIZE_MAX, &document, diag)) < 0 ||
        (result = read_digests(document, name, release, diag)) < 0 ||
        (result = read_head(document, name, release, diag)) < 0 ||
        (result = read_tree(document, name, release, diag)) < 0 ||
        (result = read_packages(document, name, release, diag)) < 0 ||
        (result = read_held(document, name, release, diag)) < 0 ||
        (result = read_waivers(document, name, release, diag)) < 0 ||
        (result = read_log(document, name, release, diag)) < 0 ||
        (result = check_order(release, name, diag)) < 0 ||
        (result = check_unknown_list(document, name, diag)) < 0)
        return result;
    CLEANUP_JSON json_t *again = release_json(release);
    if ((result = json_same(document, again, name, diag)) < 0)
        return result;
    release->digest = digest_of(text);
    *ret = STEAL(release);
    return 0;
}
