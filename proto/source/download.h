/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Download: archives over HTTPS, the only user of libcurl. What decides is the digest; the URL is only where to look.
 */
#ifndef FARM_DOWNLOAD_H
#define FARM_DOWNLOAD_H

#include "diag.h"
#include "digest.h"
#include "store.h"

struct download {
    const char *url;
    const struct digest *sha256;
    uint64_t size_limit;       /* bytes; the pin's size when it has one */
    bool allow_http;           /* plain http is allowed for digest-pinned archives only when configured */
    bool allow_private;        /* private, loopback and link-local addresses are refused otherwise */
    int64_t timeout_ms;        /* of connecting; a transfer below 1 KiB/s for 60 s ends too */
    void (*progress)(void *context, uint64_t received, uint64_t total);
    void *context;
};

/* Streams into the store and verifies; nothing is stored under another name. FARM_E_UNAVAILABLE if not reachable. */
int download_archive(struct store *store, const struct download *what, struct diag *diag) MUST_USE;

#endif
