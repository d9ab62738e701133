/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Leaving root behind. After this, a worker that was started as root and one that was not run the same code with
 * the same rights, so their builds agree.
 */
#include "sandbox.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_USER "farm-worker"

int sandbox_build_ids(const char *user, unsigned *ret_uid, unsigned *ret_gid, struct diag *diag)
{
    if (geteuid() != 0) {
        *ret_uid = geteuid();
        *ret_gid = getegid();
        return 0;
    }
    const struct passwd *entry = getpwnam(user != NULL ? user : DEFAULT_USER);
    if (entry == NULL && user != NULL)
        return diag_set(diag, FARM_E_CONFIG,
                        "there is no user \"%s\" to build as; create it, or leave the setting out", user);
    if (entry != NULL && entry->pw_uid == 0)
        return diag_set(diag, FARM_E_CONFIG, "builds never run as root; name another user than \"%s\"",
                        entry->pw_name);
    *ret_uid = entry != NULL ? entry->pw_uid : SANDBOX_FALLBACK_ID;
    *ret_gid = entry != NULL ? entry->pw_gid : SANDBOX_FALLBACK_ID;
    return 0;
}

static int check_owner(int state_dirfd, unsigned uid, unsigned gid, struct diag *diag)
{
    struct stat st;
    if (fstat(state_dirfd, &st) < 0)
        return diag_errno(diag, "cannot look at the state directory");
    if (st.st_uid != uid)
        return diag_set(
            diag, FARM_E_CONFIG,
            "the state directory belongs to uid %u, and the worker runs as uid %u: chown -R %u:%u it",
            (unsigned)st.st_uid, uid, uid, gid);
    if ((st.st_mode & 0077) != 0)
        return diag_set(diag, FARM_E_CONFIG,
                        "the state directory is open to others (mode %04o): chmod 0700 it",
                        (unsigned)st.st_mode & 07777);
    return 0;
}

static int drop(unsigned uid, unsigned gid, struct diag *diag)
{
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return diag_errno(diag, "cannot become uid %u", uid);
    /* An inherited capability or saved id would defeat the purpose, so ask for root back. */
    if (setuid(0) == 0 || geteuid() != uid || getegid() != gid)
        return diag_set(diag, FARM_E_REFUSED, "root could be had back after dropping it; refusing to run");
    return 0;
}

int sandbox_drop_root(const char *user, int state_dirfd, struct diag *diag)
{
    unsigned uid = 0, gid = 0;
    int error = sandbox_build_ids(user, &uid, &gid, diag);
    if (error >= 0)
        error = check_owner(state_dirfd, uid, gid, diag);
    if (error >= 0 && geteuid() == 0)
        error = drop(uid, gid, diag);
    return error;
}
