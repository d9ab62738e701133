/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "token_fixture.h"

#include "base64.h"
#include "sshwire.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#define TYPE "sk-ssh-ed25519@openssh.com"

static void add_message(const struct token_act *act, struct view message, struct buf *ret)
{
    struct digest digest = digest_of(message);
    buf_add_text(ret, "SSHSIG");
    sshwire_add_string(ret, view_text(act->name_space));
    sshwire_add_string(ret, VIEW_NONE);
    sshwire_add_string(ret, VIEW("sha256"));
    sshwire_add_string(ret, view_of(digest.bytes, DIGEST_SIZE));
}

/* flags || counter: what the authenticator reports of itself. */
static void add_state(const struct token_act *act, struct buf *ret)
{
    buf_add_byte(ret, (char)act->flags);
    sshwire_add_number(ret, act->counter);
}

static struct signature sign_as_token(const struct key_pair *pair, const struct token_act *act,
                                      const char *application, struct view message)
{
    CLEANUP_BUF struct buf body = BUF_INIT;
    CLEANUP_BUF struct buf tosign = BUF_INIT;
    struct signature signature;
    add_message(act, message, &body);
    struct digest digest = digest_of(buf_view(&body)), app = digest_of(view_text(application));
    buf_add(&tosign, app.bytes, DIGEST_SIZE);
    add_state(act, &tosign);
    buf_add(&tosign, digest.bytes, DIGEST_SIZE);
    assert_int_equal(keys_sign(pair, buf_view(&tosign), &signature, NULL), 0);
    return signature;
}

void token_fixture_sign(const struct key_pair *pair, const struct token_act *act, struct view message,
                        struct buf *ret)
{
    CLEANUP_BUF struct buf blob = BUF_INIT;
    CLEANUP_BUF struct buf inner = BUF_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    const char *application = act->application != NULL ? act->application : "ssh:";
    struct signature signature = sign_as_token(
        pair, act, act->signed_application != NULL ? act->signed_application : application, message);
    sshwire_add_string(&inner, VIEW(TYPE));
    sshwire_add_string(&inner, view_of(keys_public(pair)->bytes, KEYS_PUBLIC_SIZE));
    sshwire_add_string(&inner, view_text(application));
    buf_add_text(&blob, "SSHSIG");
    sshwire_add_number(&blob, 1);
    sshwire_add_string(&blob, buf_view(&inner));
    sshwire_add_string(&blob, view_text(act->name_space));
    sshwire_add_string(&blob, VIEW_NONE);
    sshwire_add_string(&blob, VIEW("sha256"));
    buf_clear(&inner);
    sshwire_add_string(&inner, VIEW(TYPE));
    sshwire_add_string(&inner, view_of(signature.bytes, sizeof signature.bytes));
    add_state(act, &inner);
    sshwire_add_string(&blob, buf_view(&inner));
    base64_encode(buf_view(&blob), &text);
    sshwire_add_armor(ret, "SSH SIGNATURE", buf_view(&text), 70);
}

struct ssh_public_key token_fixture_key(const struct key_pair *pair, const char *application)
{
    struct ssh_public_key key = {.type = SSH_KEY_SK_ED25519, .key = *keys_public(pair)};
    snprintf(key.application, sizeof key.application, "%s", application);
    return key;
}
