/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Verbs for whoever watches the coordinator itself. */
#include "farmlog.h"
#include "json.h"
#include "verbs.h"

/* Without "level": what it is. A level that is set lasts until the next one, a SIGHUP or a restart. */
void verb_log_level(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *name = ctl_text(request, "level");
    int level = name != NULL ? log_level_parse(name) : (int)log_get_level();
    if (level < 0) {
        ctl_fail(request,
                 diag_set(&diag, FARM_E_USAGE, "\"%.40s\": expected error, warning, info or debug", name),
                 &diag);
        return;
    }
    const char *before = log_level_name(log_get_level());
    if (name != NULL) {
        log_set_level((enum log_level)level);
        log_event(LOG_LEVEL_WARNING, "log level set", log_text(FIELD_LEVEL, name)); /* seen at most levels */
    }
    ctl_finish(request, FARM_EXIT_OK,
               json_pack("{s:s, s:s, s:s}", "level", log_level_name((enum log_level)level), "before", before,
                         "configured", farm->config.log_level));
}

void verb_metrics(struct farm *farm, struct ctl_request *request)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    stats_text(farm, &text);
    ctl_finish(request, FARM_EXIT_OK, json_pack("{s:s}", "metrics", text.data));
}
