/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Key files: OpenSSH public keys (one spelling but for the comment), PEM (one spelling), OpenSSH private keys and machine identities as
 * files. What is read signs, and its public half is valid.
 */
#include "fuzz.h"

#include "file.h"
#include "identity.h"
#include "sshsig.h"

#include <fcntl.h>

static void setup(void)
{
    (void)fuzz_scratch();
}

static void read_public(struct view input)
{
    struct ssh_public_key key, again;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = ssh_public_key_parse(input, "key", &key, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    FUZZ_CHECK(keys_public_is_valid(&key.key));
    ssh_public_key_write(&key, &text);
    FUZZ_OK(ssh_public_key_parse(buf_view(&text), "again", &again, &diag), &diag);
    FUZZ_CHECK(ssh_public_key_equal(&key, &again) && key.type == again.type);
    FUZZ_CHECK(strcmp(key.application, again.application) == 0);
}

static void read_pem(struct view input)
{
    struct public_key key;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = keys_public_read_pem(input, &key, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    keys_public_write_pem(&key, &text);
    FUZZ_CHECK(view_starts(buf_view(&text), input) && text.size - input.size <= 1);
}

static void read_secret(struct view input)
{
    struct key_pair *pair = NULL;
    struct identity *identity = NULL;
    struct diag diag = DIAG_INIT;
    struct signature signature;
    int dirfd = fuzz_scratch();
    CLEANUP_CLOSE int fd = openat(dirfd, "key", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    FUZZ_CHECK(fd >= 0 && file_write_all(fd, input.data, input.size) >= 0);
    int result = ssh_private_key_read(dirfd, "key", &pair, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    else
        FUZZ_OK(keys_sign(pair, VIEW("a text"), &signature, &diag), &diag);
    if (identity_read(dirfd, "key", &identity, &diag) >= 0) {
        FUZZ_CHECK(result >= 0 && identity_name_is_valid(view_text(identity_name(identity))));
        FUZZ_CHECK(keys_public_equal(keys_public(pair), keys_public(identity_keys(identity))));
    }
    keys_free(pair);
    identity_free(identity);
}

static void run(struct view input)
{
    read_public(input);
    read_pem(input);
    read_secret(input);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 4 * 1024, .heap_base = 128 * 1024, .heap_factor = 16};
