/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Web, what its files share: web_listen.c opens the socket, web.c serves. */
#ifndef FARM_WEB_PRIVATE_H
#define FARM_WEB_PRIVATE_H

#include "web.h"

struct web_listener {
    int fd;
    bool is_loopback;
    char *address; /* owned */
    char *path;    /* of a Unix socket, to be removed; owned, or NULL */
};
int web_listen_open(const char *listen, struct web_listener *ret, struct diag *diag) MUST_USE;
void web_listen_close(struct web_listener *listener);

#endif
