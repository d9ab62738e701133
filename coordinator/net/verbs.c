/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "verbs.h"

const struct ctl_verb_row ctl_verbs[] = {
    {"status", verb_status},
    {"watch", verb_watch},
    {"jobs", verb_jobs},
    {"why", verb_why},
    {"join", verb_join},
    {"log", verb_log},
    {"diff", verb_diff},
    {"worker.list", verb_worker_list},
    {"worker.admit", verb_worker_admit},
    {"worker.revoke", verb_worker_revoke},
    {"worker.pause", verb_worker_pause},
    {"worker.resume", verb_worker_resume},
    {"worker.drain", verb_worker_drain},
    {"operator.clear", verb_operator_clear},
    {"root.install", verb_root_install},
    {"root.show", verb_root_show},
    {"base.import", verb_base_import},
    {"base.list", verb_base_list},
    {"source.add", verb_source_add},
    {"source.list", verb_source_list},
    {"tree.list", verb_tree_list},
    {"collect", verb_collect},
    {"plan", verb_plan},
    {"build", verb_build},
    {"cancel", verb_cancel},
    {"release.draft", verb_release_draft},
    {"release.show", verb_release_show},
    {"release.list", verb_release_list},
    {"release.submit", verb_release_submit},
    {"release.export", verb_release_export},
    {"handoff", verb_handoff},
};
const size_t ctl_nverbs = ARRAY_SIZE(ctl_verbs);

