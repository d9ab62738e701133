/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "graph.h"
void core_why(const struct core *core, const struct digest *plan, size_t node, int64_t now_ms, struct buf *ret)
{
    (void)core; (void)plan; (void)node; (void)now_ms; (void)ret;
}
