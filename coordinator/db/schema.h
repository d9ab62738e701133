/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The numbered schema files, made into strings at build time. */
#ifndef FARM_SCHEMA_H
#define FARM_SCHEMA_H

#include <stddef.h>

extern const char *const schema_files[];
extern const size_t schema_count;

#endif
