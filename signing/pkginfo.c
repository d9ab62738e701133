/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pkginfo.h"

void pkginfo_write(const struct spec *spec, const struct manifest *manifest, struct buf *ret)
{
    uint64_t size = 0, count = 0;
    for (size_t i = 0; i < manifest->count; i++) {
        const struct entry *entry = &manifest->entries[i];
        if (entry->type == ENTRY_FILE)
            size += entry->size;
        count += entry->type != ENTRY_DIR;
    }
    spec_pkginfo(spec, size, count, ret);
}
