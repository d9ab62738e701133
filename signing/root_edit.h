/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Root edit: changes to a trust root that is being drafted. Pure: a struct in, the same struct changed, or a sentence that says
 * what does not fit; on failure nothing was changed. Each edit checks only what it touches, since a draft may break a rule in between
 * (one more witness before the threshold follows); root_edit_finish checks the whole.
 *
 * The root must own all its strings, as one that root_parse or root_new made.
 */
#ifndef FARM_ROOT_EDIT_H
#define FARM_ROOT_EDIT_H

#include "root.h"

/* Gives another key to a person who is there already, or adds the person. The first person of a role makes its threshold 1. */
int root_edit_add_key(struct root *root, enum role_name role, const char *person,
                      const struct ssh_public_key *key, bool verify_required, struct diag *diag) MUST_USE;
/* With key NULL: all keys of the person. The role verifier disappears with its last person. */
int root_edit_remove_key(struct root *root, enum role_name role, const char *person,
                         const struct ssh_public_key *key, struct diag *diag) MUST_USE;
int root_edit_set_threshold(struct root *root, enum role_name role, uint32_t threshold,
                            struct diag *diag) MUST_USE;
/* Of roles that have persons and no threshold: all but one; both of two. Of a log without one: more than half. */
void root_edit_default_thresholds(struct root *root);

int root_edit_add_anchor(struct root *root, const char *operator_name, const struct ssh_public_key *key,
                         struct diag *diag) MUST_USE;
/* With key NULL: the operator. One that witnesses the log stays until somebody else does, or fewer do. */
int root_edit_remove_anchor(struct root *root, const char *operator_name, const struct ssh_public_key *key,
                            struct diag *diag) MUST_USE;

int root_edit_add_base(struct root *root, const struct digest *base, struct diag *diag) MUST_USE;
int root_edit_remove_base(struct root *root, const struct digest *base, struct diag *diag) MUST_USE;
int root_edit_add_unverified(struct root *root, const char *package, struct diag *diag) MUST_USE;
int root_edit_remove_unverified(struct root *root, const char *package, struct diag *diag) MUST_USE;

/*
 * Another key than the one that is there needs 'previous' (else NULL): the last checkpoint of the log before. Witnesses and
 * threshold stay as they are.
 */
int root_edit_set_log(struct root *root, const struct note_key *key, const struct checkpoint *previous,
                      struct diag *diag) MUST_USE;
void root_edit_drop_log(struct root *root);
int root_edit_set_log_threshold(struct root *root, uint32_t threshold, struct diag *diag) MUST_USE;
int root_edit_add_witness(struct root *root, const char *operator_name, struct diag *diag) MUST_USE;
int root_edit_remove_witness(struct root *root, const char *operator_name, struct diag *diag) MUST_USE;

/* All rules; appends the text. 'name' is for messages. */
int root_edit_finish(const struct root *root, const char *name, struct buf *ret, struct diag *diag) MUST_USE;

#endif
