/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Addresses and URLs that a donor's machine may be sent to (K8, G9). Private to source.
 */
#ifndef FARM_ADDRESS_H
#define FARM_ADDRESS_H

#include "diag.h"
#include "view.h"

#include <sys/socket.h>

/* Globally routable: not loopback, private, link-local, shared, multicast, documentation or reserved; IPv4 inside IPv6 is looked
 * at as IPv4. Unix sockets and the like are not public. */
bool address_is_public(const struct sockaddr *address);
/* Resolves the host and refuses if any of its addresses is not public: FARM_E_REFUSED, FARM_E_UNAVAILABLE. */
int address_check_host(const char *host, struct diag *diag) MUST_USE;

/* "scheme://host[:port]/..." without user name or password: FARM_E_REFUSED. *ret_scheme and *ret_host are borrowed. */
int address_split_url(const char *url, struct view *ret_scheme, struct view *ret_host,
                      struct diag *diag) MUST_USE;

#endif
