/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Collecting: what the recipe promised is asserted, what came out is scanned, hashed and packed, outside the
 * sandbox and after its last process is gone. Then the log goes into the store.
 */
#include "lease.h"

#include "build.h"
#include "check.h"
#include "file.h"
#include "moment.h"
#include "pkginfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void fail_assertion(struct lease *lease, const char *text)
{
    lease->failure = FAILURE_ASSERTION;
    snprintf(lease->result.text, sizeof lease->result.text, "%s", text);
}

static void note_problems(struct lease *lease, struct problems *problems)
{
    problems_sort(problems);
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->items[i];
        lease_note(lease, "%s: %s [%s]", problem->file, problem->text, problem->rule);
    }
    if (problems->dropped > 0)
        lease_note(lease, "and %zu problems more", problems->dropped);
    CLEANUP_FREE char *first = problems->count == 0
                                   ? mem_string("the payload is not what the recipe promised")
                                   : mem_format("%s: %s [%s]", problems->items[0].file,
                                                problems->items[0].text, problems->items[0].rule);
    fail_assertion(lease, first);
}

/* The payload's own files come first, then what it was built upon. */
static int assert_promises(struct lease *lease, const struct workshop *shop, int dest, struct diag *diag)
{
    struct problems problems = PROBLEMS_INIT;
    const struct text_list *paths = &lease->spec->verify_paths;
    CLEANUP_CLOSE int base = file_open_dir(shop->state_dirfd, lease->base_root.path, diag);
    CLEANUP_CLOSE int closure = -1;
    if (base < 0)
        return base;
    if (lease->closure_root.path != NULL) {
        closure = file_open_dir(shop->state_dirfd, lease->closure_root.path, diag);
        if (closure < 0)
            return closure;
    }
    const char **verify = mem_zero(paths->count + 1, sizeof(char *));
    for (size_t i = 0; i < paths->count; i++)
        verify[i] = paths->items[i].text;
    const int roots[] = {closure >= 0 ? closure : base, base};
    const struct check_input input = {dest, roots, closure >= 0 ? 2 : 1, verify, paths->count};
    int error = check_payload(&input, &problems);
    free(verify);
    if (error < 0)
        note_problems(lease, &problems);
    problems_done(&problems);
    return 0;
}

static void write_pkginfo(void *context, const struct manifest *manifest, struct buf *ret)
{
    const struct lease *lease = context;
    pkginfo_write(lease->spec, manifest, ret);
}

/* A device, a foreign owner, an attribute: the recipe's doing, and the same everywhere. */
static bool is_about_payload(int error)
{
    return error == FARM_E_REFUSED || error == FARM_E_LIMIT || error == FARM_E_SYNTAX;
}

static int pack(struct lease *lease, const struct workshop *shop, int dest, struct diag *diag)
{
    int error =
        payload_pack(shop->store, dest, write_pkginfo, lease, lease->spec->epoch, &lease->payload, diag);
    if (error >= 0 || !is_about_payload(error))
        return error;
    lease_note(lease, "%s", diag_text(diag, error));
    fail_assertion(lease, diag_text(diag, error));
    return 0;
}

static int collect_payload(struct lease *lease, const struct workshop *shop, struct diag *diag)
{
    CLEANUP_FREE char *path = mem_format("%s/" BUILD_HOST_DEST, lease->dir);
    CLEANUP_CLOSE int dest = openat(shop->state_dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dest < 0) {
        lease_note(lease, "the build left no staging directory: %s", farm_error_text(-errno));
        fail_assertion(lease, "the build left no staging directory ($DESTDIR)");
        return 0;
    }
    int error = assert_promises(lease, shop, dest, diag);
    return error < 0 || lease->failure != FAILURE_NONE ? error : pack(lease, shop, dest, diag);
}

static int store_log(struct lease *lease, const struct workshop *shop, struct diag *diag)
{
    /* The sandbox ends a build at LEASE_LOG_MAX as it sees it; our own notes and what was under way come on
     * top. */
    enum { SLACK = 16 << 20 };
    uint64_t size;
    CLEANUP_FREE char *path = mem_format("%s/log", lease->dir);
    CLEANUP_CLOSE int fd = openat(shop->state_dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return diag_errno(diag, "%s", path);
    return store_put_fd(shop->store, fd, LEASE_LOG_MAX + SLACK, NULL, &lease->log, &size, diag);
}

int lease_collect(struct lease *lease, struct workshop *shop, struct diag *diag)
{
    int error = lease->failure == FAILURE_NONE ? collect_payload(lease, shop, diag) : 0;
    if (error < 0)
        return error;
    if (lease->failure == FAILURE_NONE)
        lease_note(lease, "payload %s", digest_hex(&lease->payload.manifest).text);
    else
        lease_note(lease, "result: %s", failure_kind_name(lease->failure));
    lease->finished_ms = moment_wall_ms();
    return store_log(lease, shop, diag);
}
