/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside farm-verify: the result, for people and for scripts. */
#ifndef FARM_FARM_VERIFY_H
#define FARM_FARM_VERIFY_H

#include "verify.h"

struct verify_print {
    bool json, verbose;
};
void verify_print(const struct verify_print *how, const struct verify_result *result, bool passed, FILE *out);

#endif
