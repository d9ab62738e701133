/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "curlpeer.h"

#include "address.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set_up(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

void curlpeer_setup(void)
{
    pthread_once(&once, set_up);
}

/* The one place that sees the address after the name was resolved: no second answer of the name server comes between. */
static curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct curlpeer *peer = context;
    (void)purpose;
    if (!peer->allow_private && !address_is_public(&address->addr)) {
        peer->error = diag_set(&peer->diag, FARM_E_REFUSED,
                               "leads to a private or local address: only what the owner of this machine "
                               "configured may lead there");
        return CURL_SOCKET_BAD;
    }
    peer->error = 0; /* another address of the same host may be public */
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

CURLcode curlpeer_apply(CURL *curl, struct curlpeer *peer)
{
    CURLcode r = curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                             (long)(peer->connect_ms > 0 ? peer->connect_ms : CURLPEER_CONNECT_MS));
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)CURLPEER_SLOW_BYTES_PER_S);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)CURLPEER_SLOW_SECONDS);
    if (r == CURLE_OK && !peer->allow_private)
        r = curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, peer);
    return r;
}
