/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Download: archives over HTTPS. What decides is the digest; the URL is only where to look.
 *
 * Redirects are followed (forges send to their storage hosts), at most five, never to a weaker scheme; every address
 * that is connected to is looked at, so neither a redirect nor a name that resolves anew leads into a private
 * network. Proxies of the environment are used only with allow_private, because a proxy resolves names itself.
 */
#ifndef FARM_DOWNLOAD_H
#define FARM_DOWNLOAD_H

#include "buf.h"
#include "diag.h"
#include "digest.h"
#include "store.h"

struct download {
    const char *url;
    const struct digest *sha256;
    uint64_t size_limit; /* bytes; the pin's size when it has one; 0: STORE_OBJECT_MAX */
    bool allow_http;     /* plain http is allowed for digest-pinned archives only when configured */
    bool allow_private;  /* private, loopback and link-local addresses are refused otherwise */
    int64_t timeout_ms;  /* of connecting (0: 30 s); a transfer below 1 KiB/s for 60 s ends too */
    /* Asked at least once a second; a negative value ends the download with that error. May be NULL. */
    int (*check)(void *context, struct diag *diag);
    void *context;
};

/*
 * Streams into the store and verifies; nothing is stored under another name. FARM_E_UNAVAILABLE: not reachable, or not there (the
 * status is in the text): try the next mirror. FARM_E_DIGEST: other bytes (G10). FARM_E_LIMIT, FARM_E_REFUSED (G9).
 */
int download_archive(struct store *store, const struct download *what, struct diag *diag) MUST_USE;
/* Appends the name and version of the library in use, "libcurl 7.88.1": for people who look for a known fault. */
void download_library(struct buf *ret);

#endif
