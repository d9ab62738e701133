/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "farm_verify.h"

#include "json.h"

static json_t *weakest_json(const struct verify_package *package)
{
    if (package->weakest == NULL)
        return json_null();
    return json_pack("{s:o, s:i, s:i}", "id", json_view(view_text(package->weakest)), "operators",
                     (int)package->weakest_operators, "dissent", (int)package->weakest_dissent);
}

static json_t *package_json(const struct verify_package *package)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:i, s:i, s:i, s:o, s:b, s:b}", "id",
                     json_view(view_text(package->id)), "version", json_view(view_text(package->version)),
                     "job", json_digest(&package->job), "payload", json_digest(&package->payload),
                     "operators", (int)package->operators, "anchors", (int)package->anchors, "dissent",
                     (int)package->dissent, "weakest", weakest_json(package), "unverified",
                     package->unverified, "passed", package->passed);
}

static json_t *leases_json(const struct verify_result *result)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "granted", (int)result->leases.granted,
                     "answered", (int)result->leases.answered, "late", (int)result->leases.late, "expired",
                     (int)result->leases.expired, "returned", (int)result->leases.returned, "refused",
                     (int)result->leases.refused, "revoked", (int)result->leases.revoked);
}

static json_t *log_json(const struct verify_result *result)
{
    if (result->log_entries == 0)
        return json_null();
    return json_pack("{s:I, s:i}", "entries", (json_int_t)result->log_entries, "witnesses",
                     (int)result->witnesses);
}

static json_t *lists_json(const struct verify_result *result, json_t *document)
{
    json_t *packages = json_array(), *problems = json_array(), *notes = json_array();
    for (size_t i = 0; i < result->npackages; i++)
        json_array_append_new(packages, package_json(&result->packages[i]));
    for (size_t i = 0; i < result->problems.count; i++) {
        const struct problem *problem = &result->problems.items[i];
        json_array_append_new(problems,
                              json_pack("{s:o, s:s, s:o}", "file", json_view(view_text(problem->file)),
                                        "rule", problem->rule, "text", json_view(view_text(problem->text))));
    }
    for (size_t i = 0; i < result->nnotes; i++)
        json_array_append_new(notes, json_view(view_text(result->notes[i])));
    json_object_set_new(document, "packages", packages);
    json_object_set_new(document, "problems", problems);
    json_object_set_new(document, "notes", notes);
    return document;
}

static void print_json(const struct verify_result *result, bool passed, FILE *out)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *document = lists_json(result, json_object());
    json_object_set_new(document, "passed", json_boolean(passed));
    json_object_set_new(document, "name",
                        result->name != NULL ? json_view(view_text(result->name)) : json_null());
    json_object_set_new(document, "release", json_digest(&result->release));
    json_object_set_new(document, "sequence", json_integer(result->sequence));
    json_object_set_new(document, "signers", json_integer((json_int_t)result->signers));
    json_object_set_new(document, "jobs", json_integer((json_int_t)result->jobs));
    json_object_set_new(document, "attestations", json_integer((json_int_t)result->envelopes));
    json_object_set_new(document, "leases", leases_json(result));
    json_object_set_new(document, "log", log_json(result));
    json_object_set_new(document, "problems_dropped", json_integer((json_int_t)result->problems.dropped));
    json_write(document, &text);
    fprintf(out, "%s\n", text.data);
}

/* "tier/name version", for the column that all lines share. */
static char *title_of(const struct verify_package *package)
{
    return mem_format("%s %s", package->id, package->version);
}

static bool is_shown(const struct verify_print *how, const struct verify_package *package)
{
    return how->verbose || !package->passed || package->dissent > 0 || package->unverified;
}

static int title_width(const struct verify_print *how, const struct verify_result *result)
{
    enum { WIDTH_MAX = 60 }; /* one long name does not push all others aside */
    size_t width = 0;
    for (size_t i = 0; i < result->npackages; i++) {
        CLEANUP_FREE char *title = title_of(&result->packages[i]);
        if (is_shown(how, &result->packages[i]) && strlen(title) > width)
            width = strlen(title);
    }
    return width < WIDTH_MAX ? (int)width : WIDTH_MAX;
}

static void print_package(const struct verify_package *package, int width, FILE *out)
{
    CLEANUP_FREE char *title = title_of(package);
    fprintf(out, "%-7s %-*s  %2u operators (%u anchors), %u dissent", package->passed ? "ok" : "REFUSED",
            width, title, package->operators, package->anchors, package->dissent);
    if (package->weakest != NULL && strcmp(package->weakest, package->id) == 0)
        fprintf(out, "; weakest link: itself");
    else if (package->weakest != NULL)
        fprintf(out, "; weakest link: %s (%u operators, %u dissent)", package->weakest,
                package->weakest_operators, package->weakest_dissent);
    fprintf(out, "%s\n", package->unverified ? "; UNVERIFIED (quorum of 1)" : "");
}

static void print_packages(const struct verify_print *how, const struct verify_result *result, FILE *out)
{
    int width = title_width(how, result);
    for (size_t i = 0; i < result->npackages; i++)
        if (is_shown(how, &result->packages[i]))
            print_package(&result->packages[i], width, out);
}

static void print_leases(const struct verify_result *result, FILE *out)
{
    const struct {
        size_t count;
        const char *word;
    } others[] = {{result->leases.late, "late"},
                  {result->leases.expired, "expired"},
                  {result->leases.returned, "returned"},
                  {result->leases.refused, "refused"},
                  {result->leases.revoked, "revoked"}};
    fprintf(out, "leases: %zu granted, %zu answered", result->leases.granted, result->leases.answered);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (others[i].count > 0)
            fprintf(out, ", %zu %s", others[i].count, others[i].word);
    fputc('\n', out);
}

static void print_evidence(const struct verify_result *result, FILE *out)
{
    if (result->leases.granted > 0)
        print_leases(result, out);
    if (result->log_entries > 0)
        fprintf(out, "log: %llu entries replayed, cosigned by %zu listed operators\n",
                (unsigned long long)result->log_entries, result->witnesses);
}

void verify_print(const struct verify_print *how, const struct verify_result *result, bool passed, FILE *out)
{
    if (how->json) {
        print_json(result, passed, out);
        return;
    }
    print_packages(how, result, out);
    problems_print(&result->problems, out);
    for (size_t i = 0; i < result->nnotes; i++)
        fprintf(out, "note: %s\n", result->notes[i]);
    print_evidence(result, out);
    if (passed)
        fprintf(out,
                "PASSED: release %s, sequence %lld: %zu packages, %zu jobs, %zu attestations, %zu release "
                "managers\n",
                result->name, (long long)result->sequence, result->npackages, result->jobs, result->envelopes,
                result->signers);
    else
        fprintf(out, "REFUSED: %zu problems; use nothing of this release\n",
                result->problems.count + result->problems.dropped);
}
