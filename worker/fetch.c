/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fetch.h"

#include <fcntl.h>
#include <stdlib.h>

void fetch_init(struct fetch *fetch, struct bulk_client *bulk, struct store *store)
{
    *fetch = (struct fetch){.bulk = bulk, .store = store};
}

void fetch_done(struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->npinned; i++)
        store_unpin(fetch->store, &fetch->pinned[i]);
    free(fetch->pinned);
    *fetch = (struct fetch){0};
}

/* Pinned first: the object is then safe from the moment it arrives. */
int fetch_object(struct fetch *fetch, const struct digest *name, uint64_t limit, const char *what,
                 struct diag *diag)
{
    store_pin(fetch->store, name);
    fetch->pinned = mem_reserve(fetch->pinned, &fetch->capacity, fetch->npinned + 1, sizeof *fetch->pinned);
    fetch->pinned[fetch->npinned++] = *name;
    if (store_has(fetch->store, name))
        return 0;
    if (fetch->bulk == NULL)
        return diag_set(diag, FARM_E_MISSING, "%s (%s) is not in the store", what, digest_hex(name).text);
    int error = bulk_get(fetch->bulk, fetch->store, name, limit, diag);
    /*
     * A coordinator that was just restarted refuses what it does not know yet to be this lease's. Whoever prepares a build takes
     * "refused" for a fault of the input itself, which every worker would find; this is none.
     */
    if (error == FARM_E_REFUSED)
        error = FARM_E_MISSING;
    return error < 0 ? diag_wrap(diag, error, "%s (%.12s) cannot be had", what, digest_hex(name).text) : 0;
}

int fetch_file(struct fetch *fetch, const struct digest *name, uint64_t limit, const char *what, int dirfd,
               const char *path, struct diag *diag)
{
    int error = fetch_object(fetch, name, limit, what, diag);
    if (error < 0)
        return error;
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return diag_errno(diag, "%s: create", path);
    error = store_get_fd(fetch->store, name, fd, diag);
    return error < 0 ? diag_wrap(diag, error, "%s", what) : 0;
}
