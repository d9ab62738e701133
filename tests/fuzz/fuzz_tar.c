/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz_tar.h"

#include <stdio.h>
#include <stdlib.h>

enum { BLOCK = 512 };

static uint64_t stated_size(const char *head)
{
    char text[13] = {0};
    memcpy(text, head + 124, 12);
    return strtoull(text, NULL, 8);
}

static void fix_head(char *head)
{
    char text[16];
    unsigned int sum = 0;
    memset(head + 148, ' ', 8);
    for (int i = 0; i < BLOCK; i++)
        sum += (unsigned char)head[i];
    snprintf(text, sizeof text, "%06o", sum & 0777777);
    memcpy(head + 148, text, 7);
}

void fuzz_fix_tar(struct buf *tar)
{
    for (size_t at = 0; at + BLOCK <= tar->size;) {
        char *head = tar->data + at;
        if (head[0] != '\0')
            fix_head(head);
        uint64_t blocks = head[0] != '\0' ? (stated_size(head) + BLOCK - 1) / BLOCK : 0;
        if (blocks > (tar->size - at) / BLOCK)
            return;
        at += BLOCK + (size_t)blocks * BLOCK;
    }
}
