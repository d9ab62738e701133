/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The struct, its order, and release.json out; the way in is in release_parse.c. */
#include "release.h"

#include "release_json.h"

#include <stdlib.h>

struct release *release_new(void)
{
    return mem_zero(1, sizeof(struct release));
}

static void package_done(struct release_package *package)
{
    free(package->name);
    free(package->version);
    free(package->release);
    free(package->tier);
    free(package->phase);
    free(package->archive);
    free(package->gpu);
    docjson_free_strings(package->operators, package->noperators);
}

struct release *release_free(struct release *release)
{
    if (release == NULL)
        return NULL;
    for (size_t i = 0; i < release->npackages; i++)
        package_done(&release->packages[i]);
    for (size_t i = 0; i < release->nheld; i++) {
        free(release->held[i].name);
        free(release->held[i].reason);
    }
    for (size_t i = 0; i < release->nwaivers; i++)
        waiver_done(&release->waivers[i]);
    free(release->packages);
    free(release->held);
    free(release->waivers);
    free(release->tree.url);
    free(release->name);
    free(release);
    return NULL;
}

void release_free_p(struct release **release)
{
    *release = release_free(*release);
}

static int by_tier_and_name(const void *left, const void *right)
{
    const struct release_package *a = left, *b = right;
    int order = strcmp(a->tier, b->tier);
    return order != 0 ? order : strcmp(a->name, b->name);
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct release_held *)left)->name, ((const struct release_held *)right)->name);
}

static int by_package_and_rule(const void *left, const void *right)
{
    return release_compare_waivers(left, right);
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

int release_compare_waivers(const struct waiver *a, const struct waiver *b)
{
    int order = strcmp(a->package, b->package);
    return order != 0 ? order : strcmp(waiver_rule_name(a->rule), waiver_rule_name(b->rule));
}

void release_sort(struct release *release)
{
    if (release->npackages > 0)
        qsort(release->packages, release->npackages, sizeof *release->packages, by_tier_and_name);
    if (release->nheld > 0)
        qsort(release->held, release->nheld, sizeof *release->held, by_name);
    if (release->nwaivers > 0)
        qsort(release->waivers, release->nwaivers, sizeof *release->waivers, by_package_and_rule);
    for (size_t i = 0; i < release->npackages; i++)
        if (release->packages[i].noperators > 0)
            qsort(release->packages[i].operators, release->packages[i].noperators, sizeof(char *), by_text);
}

static json_t *package_json(const struct release_package *p)
{
    json_t *archive = json_pack("{s:s, s:I, s:o}", "file", p->archive, "size", (json_int_t)p->archive_size,
                                "sha256", json_digest(&p->archive_sha256));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:s}", "name", p->name,
                     "version", p->version, "release", p->release, "tier", p->tier, "phase", p->phase, "job",
                     json_digest(&p->job), "payload", json_digest(&p->payload), "tar", json_digest(&p->tar),
                     "archive", archive, "operators", docjson_strings_value(p->operators, p->noperators),
                     "dissent", (json_int_t)p->dissent, "gpu", p->gpu);
}

static json_t *packages_json(const struct release *release)
{
    json_t *packages = json_array();
    for (size_t i = 0; i < release->npackages; i++)
        json_array_append_new(packages, package_json(&release->packages[i]));
    return packages;
}

static json_t *held_json(const struct release *release)
{
    json_t *held = json_array();
    for (size_t i = 0; i < release->nheld; i++)
        json_array_append_new(held, json_pack("{s:s, s:o}", "name", release->held[i].name, "reason",
                                              json_view(view_text(release->held[i].reason))));
    return held;
}

static json_t *waivers_json(const struct release *release)
{
    json_t *waivers = json_array();
    for (size_t i = 0; i < release->nwaivers; i++)
        json_array_append_new(waivers, waiver_json(&release->waivers[i]));
    return waivers;
}

static json_t *log_json(const struct release *release)
{
    if (!release->has_log)
        return json_null();
    return json_pack("{s:s, s:o, s:I}", "origin", release->log.origin, "root",
                     json_digest(&release->log.root), "size", (json_int_t)release->log.size);
}

/* Counted, never typed. */
static json_t *counts_json(const struct release *release)
{
    json_int_t dissent = 0;
    for (size_t i = 0; i < release->npackages; i++)
        dissent += release->packages[i].dissent;
    return json_pack("{s:I, s:I, s:I, s:I}", "planned", (json_int_t)release->planned, "packages",
                     (json_int_t)release->npackages, "held", (json_int_t)release->nheld, "dissent", dissent);
}

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

json_t *release_json(const struct release *r)
{
    json_t *value = json_object();
    set(value, "format", json_string(RELEASE_FORMAT));
    set(value, "name", json_string(r->name));
    set(value, "sequence", json_integer(r->sequence));
    set(value, "created", docjson_time_value(r->created_ms));
    set(value, "expires", docjson_time_value(r->expires_ms));
    set(value, "previous", docjson_maybe_digest_value(&r->previous));
    set(value, "tree",
        json_pack("{s:o, s:s, s:o}", "url", json_view(view_text(r->tree.url)), "commit", r->tree.commit,
                  "tree_sha256", json_digest(&r->tree.sha256)));
    set(value, "plan", json_digest(&r->plan));
    set(value, "policy", json_digest(&r->policy));
    set(value, "base",
        json_pack("{s:o, s:b}", "digest", json_digest(&r->base), "verified", r->base_verified));
    set(value, "root", json_digest(&r->root));
    set(value, "workers", json_digest(&r->workers));
    set(value, "log", log_json(r));
    set(value, "packages", packages_json(r));
    set(value, "held", held_json(r));
    set(value, "waivers", waivers_json(r));
    set(value, "evidence", json_array());
    set(value, "counts", counts_json(r));
    return value;
}

void release_write(struct release *release, struct buf *ret)
{
    release_sort(release);
    CLEANUP_JSON json_t *value = release_json(release);
    json_write(value, ret);
}

void release_archive_manifest(const struct release *release, const struct digest *digest, struct buf *ret)
{
    buf_add_format(
        ret,
        "# Farm-Release: %s\n# Farm-Sequence: %lld\n# Farm-Release-SHA256: %s\n# Farm-Tree-Commit: %s\n"
        "# Farm-Packages: %zu\n",
        release->name, (long long)release->sequence, digest_hex(digest).text, release->tree.commit,
        release->npackages);
    for (size_t i = 0; i < release->npackages; i++)
        buf_add_format(ret, "SHA256 (%s) = %s\n", release->packages[i].archive,
                       digest_hex(&release->packages[i].archive_sha256).text);
}

char *release_path(const char *directory, const struct release_package *package, const char *suffix)
{
    return mem_format("%s/%s-%s%s", directory, package->name, package->version, suffix);
}
