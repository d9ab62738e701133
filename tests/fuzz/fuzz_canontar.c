/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The reader of canonical tars: it accepts the one tar of a payload and nothing else. The first byte says which payload, and whether the rest
 * is a tar or changes of the right one (offset, value). What is accepted without knowing .PKGINFO and epoch still unpacks to the manifest.
 */
#include "fuzz.h"

#include "fuzz_canon.h"

#include <fcntl.h>
#include <sys/stat.h>

static void setup(void)
{
    for (unsigned int i = 0; i < CANON_PAYLOADS; i++)
        (void)canon_payload(i);
}

/* Pieces of any size: 7 crosses every border. */
static ssize_t give(void *context, void *ret_data, size_t size)
{
    struct view *rest = context;
    size_t piece = rest->size < size ? rest->size : size;
    if (piece > 7 && piece < 512)
        piece = 7;
    if (piece > 0)
        memcpy(ret_data, rest->data, piece);
    *rest = view_of(rest->data + piece, rest->size - piece);
    return (ssize_t)piece;
}

static int read_tar(const struct canontar_read *what, struct view tar)
{
    struct diag diag = DIAG_INIT;
    int result = canontar_read(what, give, &tar, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    return result;
}

static void check_unpacked(const struct canon *canon, struct view tar)
{
    CLEANUP_CLOSE int dirfd = openat(fuzz_scratch(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct canontar_read loose = {&canon->manifest, VIEW_NONE, -1, dirfd, false};
    struct manifest found = MANIFEST_INIT;
    struct digest name = manifest_digest(&canon->manifest), found_name;
    struct diag diag = DIAG_INIT;
    FUZZ_CHECK(fchmod(dirfd, 0755) == 0);
    if (read_tar(&loose, tar) < 0)
        return;
    FUZZ_OK(manifest_scan(dirfd, &found, &diag), &diag);
    found_name = manifest_digest(&found);
    FUZZ_CHECK(digest_equal(&name, &found_name));
    manifest_done(&found);
}

static void change(struct buf *tar, struct view changes)
{
    while (changes.size >= 3) {
        size_t at = fuzz_take_byte(&changes);
        at |= (size_t)fuzz_take_byte(&changes) << 8;
        unsigned int value = fuzz_take_byte(&changes);
        if (at < tar->size)
            tar->data[at] = (char)value;
        else if (at == 0xffff) /* behind the end */
            buf_add_byte(tar, (char)value);
        else if (at == 0xfffe) /* before it */
            tar->size -= value < tar->size ? value : tar->size;
    }
}

static void run(struct view input)
{
    unsigned int how = fuzz_take_byte(&input);
    const struct canon *canon = canon_payload(how >> 1);
    CLEANUP_BUF struct buf tar = BUF_INIT;
    if (how & 1) {
        buf_add_view(&tar, buf_view(&canon->tar));
        change(&tar, input);
    } else {
        buf_add_view(&tar, input);
    }
    struct view pkginfo = canon->pkginfo.size > 0 ? canon->pkginfo : VIEW("");
    struct canontar_read exact = {&canon->manifest, pkginfo, CANON_EPOCH, -1, false};
    bool accepted = read_tar(&exact, buf_view(&tar)) >= 0;
    FUZZ_CHECK(accepted == view_equal(buf_view(&tar), buf_view(&canon->tar)));
    check_unpacked(canon, buf_view(&tar));
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 8 * 1024, .heap_base = 1 << 20, .heap_factor = 16};
