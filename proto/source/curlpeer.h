/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Peer: what every transfer with libcurl has in common: where it may connect to, and how long the other side may say nothing.
 * Private to source.
 *
 * The address is looked at when the socket is made, after the name was resolved for the last time; so a name server that gives a
 * public address first and a private one a moment later (DNS rebinding) leads nowhere, and neither does a redirect. Proxies of the
 * environment resolve names themselves, so they are used only where private addresses are allowed.
 */
#ifndef FARM_CURLPEER_H
#define FARM_CURLPEER_H

#include "diag.h"

#include <curl/curl.h>
#include <stdbool.h>

enum { CURLPEER_CONNECT_MS = 30000, CURLPEER_SLOW_BYTES_PER_S = 1024, CURLPEER_SLOW_SECONDS = 60 };

struct curlpeer {
    bool allow_private;
    int64_t connect_ms; /* 0: CURLPEER_CONNECT_MS */
    int error;          /* of ours: ends the transfer */
    struct diag diag;   /* what it was */
};

/* libcurl's global state; thread-safe, any number of times. */
void curlpeer_setup(void);
/* 'peer' stays where it is as long as the handle lives. */
CURLcode curlpeer_apply(CURL *curl, struct curlpeer *peer);

#endif
