/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A lease's sources: fetched by digest, laid out as the build contract says. Archives lie in sources/ under
 * their names, and the first source is unpacked into work/src (an archive without its first path component);
 * git sources are checked out into their "into". Every time is the spec's epoch.
 */
#ifndef FARM_LEASE_SOURCES_H
#define FARM_LEASE_SOURCES_H

#include "lease.h"

/*
 * On failure *ret_kind says whose fault it is: FAILURE_BUILD (the source itself cannot be unpacked: an
 * answer), FAILURE_INFRASTRUCTURE (this machine's disk), or FAILURE_NONE (it could not be had: the lease goes
 * back).
 */
int lease_sources_lay(struct lease *lease, int state_dirfd, enum failure_kind *ret_kind,
                      struct diag *diag) MUST_USE;

#endif
