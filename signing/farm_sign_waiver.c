/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "farm_sign.h"
