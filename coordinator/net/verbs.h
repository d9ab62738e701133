/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Verbs: what farmctl can ask. One function per verb; what it answers is what "farmctl --json" prints
 * (docs/PROTOCOL.md).
 */
#ifndef FARM_VERBS_H
#define FARM_VERBS_H

#include "ctl.h"

/* verbs_status.c */
ctl_verb verb_status, verb_watch, verb_jobs, verb_why, verb_join;
/* The body of "status", with the plans that run or that somebody waits for, and of the others the newest; a new reference. */
enum {
    STATUS_PLANS = 20
}; /* what a screen holds; it is written again whenever somebody who waits is told something */
json_t *status_report(struct farm *farm, size_t newest);

/* verbs_look.c */
ctl_verb verb_log, verb_diff;

/* verbs_log.c: the transparency log */
ctl_verb verb_log_show, verb_log_prove;

/* verbs_worker.c */
ctl_verb verb_worker_list, verb_worker_admit, verb_worker_revoke, verb_worker_expire, verb_worker_pause,
    verb_worker_resume, verb_worker_drain, verb_operator_clear, verb_root_install, verb_root_show;

/* verbs_store.c */
ctl_verb verb_base_import, verb_base_list, verb_source_add, verb_source_list, verb_tree_list, verb_collect;

/* verbs_scrub.c */
ctl_verb verb_scrub;

/* verbs_backup.c */
ctl_verb verb_backup;

/* verbs_plan.c, verbs_build.c */
ctl_verb verb_plan, verb_build, verb_cancel;

/* verbs_release.c, verbs_export.c */
ctl_verb verb_release_draft, verb_release_show, verb_release_submit, verb_release_export, verb_release_list,
    verb_handoff;

/* verbs_review.c, verbs_blast.c */
ctl_verb verb_release_review, verb_blast;

/* verbs_ops.c */
ctl_verb verb_log_level, verb_metrics;

#endif
