/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A payload manifest: what is accepted is the canonical form, so writing it gives the input; it differs from itself nowhere, and from
 * a manifest without its last entry there alone.
 */
#include "fuzz.h"

#include "canontar.h"
#include "manifest.h"

static void count_change(void *context, enum entry_change change, const struct entry *before,
                         const struct entry *after)
{
    (void)change;
    FUZZ_CHECK(before != NULL || after != NULL);
    ++*(size_t *)context;
}

static void check_shorter(const struct manifest *manifest)
{
    struct manifest shorter = *manifest;
    size_t changes = 0;
    shorter.count--;
    manifest_compare(manifest, &shorter, count_change, &changes);
    FUZZ_CHECK(changes == 1);
}

static void check_manifest(const struct manifest *manifest, struct view input)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest name = digest_of(input), digest = manifest_digest(manifest);
    size_t changes = 0;
    manifest_write(manifest, &text);
    FUZZ_CHECK(view_equal(buf_view(&text), input) && digest_equal(&name, &digest));
    for (size_t i = 0; i < manifest->count; i++)
        FUZZ_CHECK(manifest_find(manifest, manifest->entries[i].path) == &manifest->entries[i]);
    manifest_compare(manifest, manifest, count_change, &changes);
    FUZZ_CHECK(changes == 0);
    FUZZ_CHECK(canontar_size(manifest, VIEW_NONE) % 512 == 0);
    if (manifest->count > 1)
        check_shorter(manifest);
}

static void run(struct view input)
{
    struct manifest manifest = MANIFEST_INIT;
    struct diag diag = DIAG_INIT;
    int result = manifest_parse(input, &manifest, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    else
        check_manifest(&manifest, input);
    manifest_done(&manifest);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 256 * 1024, .heap_factor = 64};
