/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SSHSIG: signatures by strangers over a fixed text. What verifies was made by a valid key; it verifies in no other namespace and over
 * no other text.
 */
#include "fuzz.h"

#include "fuzz_key.h"
#include "sshsig.h"

static void setup(void)
{
    (void)fuzz_key();
}

static void check_bound(struct view armored)
{
    struct sshsig other;
    struct diag diag = DIAG_INIT;
    fuzz_check_refusal(
        sshsig_verify(armored, SSHSIG_NAMESPACE_RELEASE, VIEW("another text\n"), &other, &diag), &diag);
    fuzz_check_refusal(sshsig_verify(armored, SSHSIG_NAMESPACE_ROOT, VIEW("a text\n"), &other, &diag), &diag);
}

static void run(struct view input)
{
    struct sshsig found;
    struct diag diag = DIAG_INIT;
    int result = sshsig_verify(input, SSHSIG_NAMESPACE_RELEASE, VIEW("a text\n"), &found, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    FUZZ_CHECK(keys_public_is_valid(&found.key.key));
    FUZZ_CHECK(found.key.type == SSH_KEY_SK_ED25519 || found.key.application[0] == '\0');
    check_bound(input);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 8 * 1024 + 16, .heap_base = 64 * 1024, .heap_factor = 16};
