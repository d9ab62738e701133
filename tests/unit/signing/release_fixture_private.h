/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside the fixture. */
#ifndef FARM_RELEASE_FIXTURE_PRIVATE_H
#define FARM_RELEASE_FIXTURE_PRIVATE_H

#include "release_fixture.h"

#include "file.h"

#include <fcntl.h>
#include <unistd.h>

void fixture_must(int result, const struct diag *diag);
void fixture_put(int dirfd, const char *path, struct view text, mode_t mode);
struct lease_nonce fixture_nonce(size_t vote);
/* Whom the lease of this vote names. */
const char *fixture_holder(const struct release_fixture *fixture, size_t vote);
/* The envelope of one vote. Appends. */
void fixture_envelope(const struct release_fixture *fixture, size_t vote, struct buf *ret);
/* All entries, from the first on; sets log_size and the votes' positions. */
void fixture_write_log(struct release_fixture *fixture, const struct digest *root,
                       const struct digest *workers);

#endif
