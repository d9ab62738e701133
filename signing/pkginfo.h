/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * .PKGINFO of an artifact: a pure function of spec and manifest. This is the one place that counts, for workers and for
 * verifiers: size is the sum of the files' bytes, filecount the number of entries that are not directories.
 */
#ifndef FARM_PKGINFO_H
#define FARM_PKGINFO_H

#include "manifest.h"
#include "spec.h"

/* Appends. */
void pkginfo_write(const struct spec *spec, const struct manifest *manifest, struct buf *ret);

#endif
