/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the targets' helpers call when something does not hold: here that ends the test. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void fuzz_fail(const char *file, int line, const char *property, const char *detail)
{
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, property, detail != NULL ? detail : "");
    abort();
}
