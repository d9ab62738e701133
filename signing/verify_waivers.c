/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Waivers: what release managers let pass in spite of a rule. One counts if it is signed by the release role's threshold and holds
 * by the highest time known, speaks of a package and version of this release, and is needed; any other refuses the release (S12).
 * A good one is said aloud with its reason.
 */
#include "verify_private.h"

#include "moment.h"

#include <stdlib.h>

/* "tier/name" */
static const struct release_package *find_package(const struct verify_run *run, const char *id)
{
    for (size_t i = 0; i < run->release->npackages; i++) {
        const struct release_package *package = &run->release->packages[i];
        size_t tier = strlen(package->tier);
        if (strncmp(id, package->tier, tier) == 0 && id[tier] == '/' &&
            strcmp(id + tier + 1, package->name) == 0)
            return package;
    }
    return NULL;
}

static bool is_needed(struct verify_run *run, const struct release_package *package, enum waiver_rule rule)
{
    const struct verify_job *job = verify_find_job(run, &package->job);
    switch (rule) {
    case WAIVER_HOLD:
        return job != NULL && job->rules.hold;
    case WAIVER_EVIDENCE:
        return job != NULL && job->rules.evidence; /* this version carries no evidence, so none is there */
    }
    return false;
}

static bool refuse(struct verify_run *run, const struct waiver *waiver, const char *why)
{
    verify_problem(run, RELEASE_FILE, "waiver", "%s: the waiver of \"%s\" for version %s %s", waiver->package,
                   waiver_rule_name(waiver->rule), waiver->version, why);
    return false;
}

static bool holds(struct verify_run *run, const struct waiver *waiver)
{
    struct diag diag = DIAG_INIT;
    const struct release_package *package = find_package(run, waiver->package);
    int result = waiver_check(waiver, run->root, run->now_ms, &diag);
    if (result < 0) {
        verify_problem(run, RELEASE_FILE, "waiver", "%s: %s", waiver->package, diag_text(&diag, result));
        return false;
    }
    if (package == NULL)
        return refuse(run, waiver, "is about nothing that is released here");
    if (strcmp(package->version, waiver->version) != 0)
        return refuse(run, waiver, "is about another version than the released one");
    if (!is_needed(run, package, waiver->rule))
        return refuse(run, waiver, "is not needed: draft the release without it");
    verify_note(run, "WAIVED until %s: \"%s\" for %s %s. Reason: %s", moment_format(waiver->expires_ms).text,
                waiver_rule_name(waiver->rule), waiver->package, waiver->version, waiver->reason);
    return true;
}

void verify_waivers(struct verify_run *run)
{
    const struct release *release = run->release;
    run->waived = mem_zero(release->nwaivers + 1, sizeof *run->waived);
    for (size_t i = 0; i < release->nwaivers; i++)
        run->waived[i] = holds(run, &release->waivers[i]);
}

bool verify_is_waived(const struct verify_run *run, const struct release_package *package,
                      enum waiver_rule rule)
{
    const struct release *release = run->release;
    for (size_t i = 0; i < release->nwaivers; i++)
        if (run->waived[i] && release->waivers[i].rule == rule &&
            find_package(run, release->waivers[i].package) == package)
            return true;
    return false;
}
