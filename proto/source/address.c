/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The table of address ranges that are not the Internet (IANA's special-purpose registries, RFC 6890).
 */
#include "address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>

struct range4 {
    uint32_t base;
    int bits;
};

static const struct range4 special4[] = {
    {0x00000000, 8},  /* 0.0.0.0/8 this network */
    {0x0a000000, 8},  /* 10.0.0.0/8 private */
    {0x64400000, 10}, /* 100.64.0.0/10 shared */
    {0x7f000000, 8},  /* 127.0.0.0/8 loopback */
    {0xa9fe0000, 16}, /* 169.254.0.0/16 link-local, cloud metadata */
    {0xac100000, 12}, /* 172.16.0.0/12 private */
    {0xc0000000, 24}, /* 192.0.0.0/24 protocol assignments */
    {0xc0000200, 24}, /* 192.0.2.0/24 documentation */
    {0xc0586300, 24}, /* 192.88.99.0/24 6to4 relays */
    {0xc0a80000, 16}, /* 192.168.0.0/16 private */
    {0xc6120000, 15}, /* 198.18.0.0/15 benchmarks */
    {0xc6336400, 24}, /* 198.51.100.0/24 documentation */
    {0xcb007100, 24}, /* 203.0.113.0/24 documentation */
    {0xe0000000, 4},  /* 224.0.0.0/4 multicast */
    {0xf0000000, 4},  /* 240.0.0.0/4 reserved, broadcast */
};

static bool is_public4(uint32_t address)
{
    for (size_t i = 0; i < ARRAY_SIZE(special4); i++)
        if ((address ^ special4[i].base) >> (32 - special4[i].bits) == 0)
            return false;
    return true;
}

static uint32_t tail4(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Only 2000::/3 is handed out; of it, tunnels are judged by the IPv4 address inside, and documentation is out. */
static bool is_public6(const unsigned char *b)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const unsigned char translated[12] = {0, 0x64, 0xff, 0x9b};
    if (memcmp(b, mapped, sizeof(mapped)) == 0 || memcmp(b, translated, sizeof(translated)) == 0)
        return is_public4(tail4(b + 12));
    if ((b[0] & 0xe0) != 0x20)
        return false;
    if (b[0] == 0x20 && b[1] == 0x02) /* 2002::/16 6to4 */
        return is_public4(tail4(b + 2));
    if (b[0] == 0x20 && b[1] == 0x01 && b[2] < 0x02) /* 2001::/23 Teredo and other assignments */
        return false;
    return !(b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8);
}

bool address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return is_public4(ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6)
        return is_public6(((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr);
    return false;
}

int address_check_host(const char *host, struct diag *diag)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int error = getaddrinfo(host, NULL, &hints, &list);
    if (error != 0)
        return diag_set(diag, FARM_E_UNAVAILABLE, "%s: %s", host, gai_strerror(error));
    bool all_public = true;
    for (const struct addrinfo *i = list; i != NULL; i = i->ai_next)
        all_public = all_public && address_is_public(i->ai_addr);
    freeaddrinfo(list);
    return all_public ? 0
                      : diag_set(diag, FARM_E_REFUSED,
                                 "%s: a private or local address: only what the owner of this "
                                 "machine configured may lead there",
                                 host);
}

static int bad_url(const char *url, const char *problem, struct diag *diag)
{
    return diag_set(diag, FARM_E_REFUSED, "URL \"%.200s\": %s", url, problem);
}

int address_split_url(const char *url, struct view *ret_scheme, struct view *ret_host, struct diag *diag)
{
    const char *colon = strstr(url, "://");
    if (colon == NULL || colon == url || !view_is_token(view_text(url)))
        return bad_url(url, "expected scheme://host/path without spaces or control characters", diag);
    const char *authority = colon + 3;
    size_t size = strcspn(authority, "/?#");
    if (memchr(authority, '@', size) != NULL)
        return bad_url(url, "user names and passwords do not belong into a pin", diag);
    if (memchr(authority, '\\', size) != NULL)
        return bad_url(url, "a backslash in the host", diag);
    size_t host = size > 0 && authority[0] == '[' ? strcspn(authority, "]") + 1 : strcspn(authority, ":/?#");
    if (host > size)
        return bad_url(url, "an unfinished IPv6 address", diag);
    if (host == 0 && !view_equal(view_of(url, (size_t)(colon - url)), VIEW("file")))
        return bad_url(url, "no host", diag);
    *ret_scheme = view_of(url, (size_t)(colon - url));
    *ret_host = view_of(authority, host);
    return 0;
}
