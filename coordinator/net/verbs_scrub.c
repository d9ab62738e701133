/* SPDX-License-Identifier: GPL-3.0-or-later */
/* scrub: how far it is and what is lost; with "now", after a whole pass that does not wait; with "accept_loss" after one of them is listed no more. */
#include "verbs.h"

#include "missing.h"
#include "scrub.h"

#include <stdlib.h>

struct scrub_watch {
    uint64_t passes; /* the pass that is waited for is the one after these */
};

static void finish(struct farm *farm, struct ctl_request *request)
{
    ctl_finish(request, missing_count(farm) > 0 ? FARM_EXIT_VIOLATION : FARM_EXIT_OK, scrub_report(farm));
}

static bool poll_pass(struct farm *farm, struct ctl_request *request, void *context)
{
    const struct scrub_watch *watch = context;
    if (scrub_passes(farm) == watch->passes) {
        ctl_progress(request, scrub_report_pass(farm));
        return true;
    }
    finish(farm, request);
    return false;
}

static int accept_loss(struct farm *farm, const char *text, struct diag *diag)
{
    struct digest object;
    if (!digest_parse(view_text(text), &object))
        return diag_set(diag, FARM_E_USAGE,
                        "\"%.80s\" is no object: 64 hex digits, as farmctl scrub lists them", text);
    return missing_accept(farm, &object, diag);
}

void verb_scrub(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *lost = ctl_text(request, "accept_loss");
    int result = lost != NULL ? accept_loss(farm, lost, &diag) : 0;
    if (result < 0) {
        ctl_fail(request, result, &diag);
        return;
    }
    if (!ctl_flag(request, "now")) {
        finish(farm, request);
        return;
    }
    struct scrub_watch *watch = mem_zero(1, sizeof *watch);
    watch->passes = scrub_passes(farm);
    scrub_hurry(farm);
    watch_add(farm, request, poll_pass, watch, free);
}
