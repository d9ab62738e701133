/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Base root filesystems: any tar becomes a payload, or nothing. What is accepted verifies: its tar object is the canonical tar of its
 * manifest object. The first byte's bit 0 makes the checksums right.
 */
#include "fuzz.h"

#include "file.h"
#include "fuzz_tar.h"
#include "payload.h"

static struct store *store;

static void setup(void)
{
    struct diag diag = DIAG_INIT;
    FUZZ_OK(store_open(fuzz_scratch(), ".store", 1, &store, &diag), &diag);
}

static bool keep_none(void *context, const struct digest *name)
{
    (void)context;
    (void)name;
    return false;
}

static void check_payload(const struct payload *payload)
{
    struct manifest manifest = MANIFEST_INIT;
    struct digest name;
    struct diag diag = DIAG_INIT;
    FUZZ_OK(payload_manifest(store, &payload->manifest, &manifest, &diag), &diag);
    name = manifest_digest(&manifest);
    FUZZ_CHECK(digest_equal(&name, &payload->manifest));
    FUZZ_OK(payload_verify(store, payload, VIEW_NONE, 0, &diag), &diag);
    FUZZ_OK(store_collect(store, keep_none, NULL, 0, NULL, NULL, &diag), &diag);
    manifest_done(&manifest);
}

static void run(struct view input)
{
    CLEANUP_BUF struct buf tar = BUF_INIT;
    struct payload payload;
    struct diag diag = DIAG_INIT;
    unsigned int how = fuzz_take_byte(&input);
    buf_add_view(&tar, input);
    if (how & 1)
        fuzz_fix_tar(&tar);
    CLEANUP_CLOSE int fd = fuzz_file(buf_view(&tar));
    int result = payload_import_base(store, fd, fuzz_scratch(), &payload, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    else
        check_payload(&payload);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 8 * 1024, .heap_base = 128 << 20, .heap_factor = 64};
