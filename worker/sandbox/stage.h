/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stage: the launcher's own namespaces and mounts, from which bubblewrap makes the sealed root.
 *
 *   /tmp         a small tmpfs, private to the launcher
 *   /tmp/state   the state directory
 *   /tmp/root    the overlay: layers below, <work>/upper above
 *   /tmp/mask    cpuinfo and sys (mask.h)
 */
#ifndef FARM_SANDBOX_STAGE_H
#define FARM_SANDBOX_STAGE_H

#include "job.h"

/*
 * Enters a user namespace (uid and gid 0 inside are the caller's) and a mount namespace, forbids further user
 * namespaces, and makes the stage. The working directory is OPS_STATE afterwards.
 */
int stage_enter(int state_dirfd, struct diag *diag) MUST_USE;
/* Checks that the job's paths cross no symbolic link, and mounts the root. */
int stage_root(const struct job *job, struct diag *diag) MUST_USE;

#endif
