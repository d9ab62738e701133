/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signatures: the files that "farm-sign" and people put into FILE.sig.d/. */
#include "cli.h"

#include "file.h"

#include <dirent.h>
#include <fcntl.h>

enum { SIGNATURE_FILE_MAX = 8192 };

int cli_read_signatures(const char *path, json_t *ret, struct diag *diag)
{
    CLEANUP_FREE char *directory = mem_format("%s.sig.d", path);
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return diag_errno(diag, "%s", directory);
    int result = 0;
    for (struct dirent *entry; result >= 0 && (entry = readdir(stream)) != NULL;) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        if (entry->d_name[0] == '.')
            continue;
        result = file_read(dirfd(stream), entry->d_name, SIGNATURE_FILE_MAX, &text, diag);
        if (result >= 0)
            json_array_append_new(ret, json_view(buf_view(&text)));
    }
    closedir(stream);
    return result;
}
