/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "farm_verify.h"

#include "json.h"

static json_t *package_json(const struct verify_package *package)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:i, s:i, s:i, s:b, s:b}", "id", json_view(view_text(package->id)),
                     "version", json_view(view_text(package->version)), "job", json_digest(&package->job),
                     "payload", json_digest(&package->payload), "operators", (int)package->operators,
                     "anchors", (int)package->anchors, "dissent", (int)package->dissent, "unverified",
                     package->unverified, "passed", package->passed);
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
    json_object_set_new(document, "problems_dropped", json_integer((json_int_t)result->problems.dropped));
    json_write(document, &text);
    fprintf(out, "%s\n", text.data);
}

static void print_package(const struct verify_package *package, FILE *out)
{
    fprintf(out, "%-7s %s %s: %u operators (%u anchors), %u dissent%s\n", package->passed ? "ok" : "REFUSED",
            package->id, package->version, package->operators, package->anchors, package->dissent,
            package->unverified ? ", UNVERIFIED (quorum of 1)" : "");
}

void verify_print(const struct verify_print *how, const struct verify_result *result, bool passed, FILE *out)
{
    if (how->json) {
        print_json(result, passed, out);
        return;
    }
    for (size_t i = 0; i < result->npackages; i++) {
        const struct verify_package *package = &result->packages[i];
        if (how->verbose || !package->passed || package->dissent > 0 || package->unverified)
            print_package(package, out);
    }
    problems_print(&result->problems, out);
    for (size_t i = 0; i < result->nnotes; i++)
        fprintf(out, "note: %s\n", result->notes[i]);
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
