/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "guard.h"

int main(void)
{
    return (suite_alarm() + suite_witness() + suite_trust()) != 0;
}
