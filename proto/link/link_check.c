/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The start-up self-test (N2): a stranger knocks. libzmq admits everybody when the authentication handler is missing or the
 * domain is empty, and nothing in its interface tells; so the server is only handed out after a client with a
 * fresh key was seen to be refused.
 */
#include "link_private.h"

#include "moment.h"

/* Loopback answers in milliseconds; a start in the middle of a connection flood gets its chance too. */
enum { CHECK_TIMEOUT_MS = 20000 };

static int verdict(enum link_event event, const char *endpoint, struct diag *diag)
{
    if (event == LINK_UP)
        return diag_set(diag, FARM_E_REFUSED,
                        "%s: the self-test was admitted with an unknown key: authentication does "
                        "not work here (another libzmq?), so the server does not start",
                        endpoint);
    return event == LINK_DOWN ? 1 : 0;
}

static int watch(struct link_client *client, const char *endpoint, struct diag *diag)
{
    int64_t end = moment_steady_ms() + CHECK_TIMEOUT_MS;
    struct buf frame = BUF_INIT;
    int r = 0;
    while (r == 0 && moment_steady_ms() < end) {
        struct link_poll_item item = LINK_POLL_CLIENT(client);
        struct diag reason = DIAG_INIT;
        if ((r = link_poll(&item, 1, CHECK_TIMEOUT_MS, diag)) < 0)
            break;
        int event = link_client_next(client, &frame, &reason);
        r = event < 0 ? event : verdict((enum link_event)event, endpoint, diag);
        /* Refused for another reason than the key proves nothing: try again until the time is up. */
        if (r > 0 && !link_client_was_refused(client))
            r = 0;
    }
    buf_done(&frame);
    if (r == 0)
        return diag_set(diag, FARM_E_TIMEOUT,
                        "%s: the self-test got no answer: is the address reachable from this "
                        "machine?",
                        endpoint);
    return r < 0 ? r : 0;
}

int link_check_refuses_strangers(const char *endpoint, const unsigned char *server_key, struct diag *diag)
{
    unsigned char public_key[LINK_KEY_SIZE], secret_key[LINK_KEY_SIZE];
    struct link_client *client = NULL;
    int r = link_keypair(public_key, secret_key, diag);
    if (r < 0)
        return r;
    const struct link_client_options options = {
        .endpoint = endpoint, .server_key = server_key, .secret_key = secret_key, .frame_max = 1024};
    r = link_client_new(&options, &client, diag);
    if (r >= 0)
        r = watch(client, endpoint, diag);
    link_client_free(client);
    return r;
}
