/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A FIDO token in software: signs as sk-ssh-ed25519@openssh.com does (PROTOCOL.u2f), with an ordinary Ed25519 key, and says about touch,
 * PIN, application and counter whatever a test wants it to say.
 */
#ifndef FARM_TOKEN_FIXTURE_H
#define FARM_TOKEN_FIXTURE_H

#include "sshsig.h"

enum { TOKEN_TOUCHED = 0x01, TOKEN_VERIFIED = 0x04 };

struct token_act {
    unsigned char flags;
    uint32_t counter;
    const char *application;        /* in the key; NULL: "ssh:" */
    const char *signed_application; /* hashed into what is signed; NULL: the same */
    const char *name_space;
};

/* Appends an armored signature, hash sha256. */
void token_fixture_sign(const struct key_pair *pair, const struct token_act *act, struct view message,
                        struct buf *ret);
/* The public half, as a root names it. */
struct ssh_public_key token_fixture_key(const struct key_pair *pair, const char *application);

#endif
