/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Web: a read-only HTTP server for monitoring, on the one address that the configuration names; without one there is none.
 *
 *   GET /metrics   what was published last, in Prometheus' text format (metrics.h); 503 before the first time
 *   GET /healthz   200 "ok" while publications come, 503 when the last one is older than WEB_STALE_MS
 *
 * It has a thread of its own, and shares with the rest of the program one text under a mutex: whoever asks costs the coordinator's
 * loop nothing, and learns nothing that was not published. GET and HEAD only; one request a connection; connections, their
 * size and their age are bounded (below), so that slow and many clients keep out others at most, for seconds. On a loopback address a
 * request has to name an address or "localhost" as its Host: else any web page could read it through a browser (DNS rebinding).
 * It knows nobody: put it on loopback or a Unix socket, and whatever shall reach it from elsewhere in front of it.
 */
#ifndef FARM_WEB_H
#define FARM_WEB_H

#include "buf.h"
#include "diag.h"

enum {
    WEB_CONNECTIONS_MAX = 16,      /* a few scrapers, and somebody who looks */
    WEB_CONNECTION_MEMORY = 16384, /* bytes for a request's line and headers, and for our headers */
    WEB_CONNECTION_MS = 10 * 1000, /* from accept to end; a scrape takes milliseconds */
    WEB_STALE_MS = 60 * 1000       /* the loop publishes every few seconds even if nothing happens */
};

struct web;

/*
 * Listens and serves. 'listen': "127.0.0.1:9464", "[::1]:9464", port 0 for any that is free; or "unix:/path", which is made with mode
 * 0660. FARM_E_CONFIG: no such address; FARM_E_UNAVAILABLE: cannot listen there.
 */
int web_new(const char *listen, struct web **ret, struct diag *diag) MUST_USE;
struct web *web_free(struct web *web); /* accepts NULL, returns NULL */
/* Where it listens, with the real port. Borrowed. */
const char *web_address(const struct web *web);
/* The text from now on. The buffer's bytes are taken over; it is empty afterwards. */
void web_publish(struct web *web, struct buf *text);

/* Appends the name and version of the library in use, "libmicrohttpd 0.9.75": for people who look for a known fault. */
void web_library(struct buf *ret);

/* Whether 'listen' can be understood. */
int web_listen_check(const char *listen, struct diag *diag) MUST_USE;
/* Whether a request that came to a loopback address may have this Host (NULL: none was sent). */
bool web_host_is_local(const char *host);

#endif
