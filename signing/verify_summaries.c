/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "verify_private.h"
