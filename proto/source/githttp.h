/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Git over HTTPS: git's smart protocol (gitprotocol-http), reading only, as a transport that libgit2 is given, on libcurl. Private
 * to source.
 *
 * libgit2 1.5 has one of its own, which is not used: it resolves the host by itself after we have looked at its addresses, so a
 * name that changes its mind in between leads anywhere (K8), and it waits for ever for a server that falls silent.
 *
 * Redirects are not followed: the pin says where a tree is, and a server shall not say otherwise. No passwords, cookies or
 * configuration.
 */
#ifndef FARM_GITHTTP_H
#define FARM_GITHTTP_H

#include "curlpeer.h"

#include <git2.h>

struct githttp {
    bool allow_http;    /* plain http, which nothing in the product allows; tests have no certificates */
    uint64_t bytes_max; /* that may be received in all */
    /* Asked a few times a second; a negative value ends the transfer with this error. May be NULL. */
    int (*check)(void *context, struct diag *diag);
    void *context;
    struct curlpeer peer; /* allow_private; and what ended the transfer, if it was one of our rules */
    uint64_t received;
};

/* For git_remote_callbacks.transport, through a function of the caller's that knows its 'http', which must outlive the remote. */
int githttp_transport(git_transport **ret, git_remote *remote, struct githttp *http);

#endif
