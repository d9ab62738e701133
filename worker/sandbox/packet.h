/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Packet: reading our own binary descriptions, strictly. Header only and without any library of ours, since
 * farm-init uses it too and is linked statically with nothing but libc.
 *
 * Numbers are little-endian; a text is its length (u32, without the NUL), its bytes, and a NUL, so that it can
 * be used in place. Any breach (short, NUL inside, no NUL behind) sets 'bad', and everything read after that
 * is zero or "": one check at the end suffices.
 *
 *   script := u32 SCRIPT_MAGIC, u32 nenv, text..., u32 nsteps, (text name, text cwd, u32 argc, text...)...
 *
 * (job.c describes what the launcher gets.)
 */
#ifndef FARM_PACKET_H
#define FARM_PACKET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { PACKET_SCRIPT_MAGIC = 0x31534946 }; /* "FIS1" */

struct packet {
    char *at, *end;
    bool bad;
};

static inline uint32_t packet_u32(struct packet *packet)
{
    uint32_t value = 0;
    if (packet->bad || packet->end - packet->at < 4) {
        packet->bad = true;
        return 0;
    }
    for (int i = 3; i >= 0; i--)
        value = value << 8 | (unsigned char)packet->at[i];
    packet->at += 4;
    return value;
}

static inline uint64_t packet_u64(struct packet *packet)
{
    uint64_t low = packet_u32(packet);
    return low | (uint64_t)packet_u32(packet) << 32;
}

static inline char *packet_text(struct packet *packet)
{
    static char empty[1];
    uint32_t size = packet_u32(packet);
    char *text = packet->at;
    if (packet->bad || (uint64_t)(packet->end - packet->at) < (uint64_t)size + 1 || text[size] != '\0' ||
        memchr(text, '\0', size) != NULL) {
        packet->bad = true;
        return empty;
    }
    packet->at += size + 1;
    return text;
}

/* A count that sizes an array of ours. */
static inline uint32_t packet_count(struct packet *packet, uint32_t limit)
{
    uint32_t count = packet_u32(packet);
    if (count > limit)
        packet->bad = true;
    return packet->bad ? 0 : count;
}

#endif
