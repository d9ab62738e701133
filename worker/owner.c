/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "owner.h"

#include "alarm.h"
#include "file.h"
#include "moment.h"
#include "note.h"
#include "statedir.h"
#include "tally.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* 1: an alarm stands, and *ret has its description; also one whose file cannot be read. 0: none. */
static int describe_alarm(int fd, const char *state, struct buf *ret)
{
    struct alarm alarm = ALARM_NONE;
    struct diag why = DIAG_INIT;
    int error = alarm_load(fd, &alarm, &why);
    if (error < 0)
        buf_add_format(ret, "ALARM: %s\n", diag_text(&why, error));
    else if (error > 0)
        alarm_describe(&alarm, state, ret);
    alarm_done(&alarm);
    return error != 0;
}

/* ---- status ---- */

static int print_tally(int fd, const char *state, bool is_running, FILE *out, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT, shown = BUF_INIT;
    int error = file_read(fd, STATEDIR_STATUS, TALLY_FILE_MAX, &text, diag);
    if (error == -ENOENT) {
        fprintf(
            out,
            "this worker has not run yet; start it with: farm-worker run --state %s\n"
            "Its request has to be admitted too: \"farm-worker init\" with the same arguments says how.\n",
            state);
        return 0;
    }
    if (error >= 0)
        error = tally_describe(buf_view(&text), is_running, &shown, diag);
    if (error >= 0)
        fputs(shown.data, out);
    return error;
}

int owner_status(const char *state, FILE *out, struct diag *diag)
{
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_BUF struct buf alarm = BUF_INIT;
    struct diag ignored;
    struct view rest, line;
    pid_t pid;
    int error = statedir_open(state, &fd, diag);
    if (error < 0)
        return error;
    if (describe_alarm(fd, state, &alarm)) {
        rest = buf_view(&alarm);
        if (view_split(&rest, '\n', &line))
            fprintf(out, "%.*s. No leases, no cosignatures; see: farm-worker alarm show --state %s\n",
                    VIEW_ARG(line), state);
    }
    return print_tally(fd, state, statedir_running(fd, &pid, &ignored) >= 0, out, diag);
}

/* ---- alarm ---- */

int owner_alarm_show(const char *state, FILE *out, struct diag *diag)
{
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_BUF struct buf text = BUF_INIT;
    int error = statedir_open(state, &fd, diag);
    if (error < 0)
        return error;
    bool stands = describe_alarm(fd, state, &text);
    fputs(stands ? text.data : "no alarm stands\n", out);
    return stands ? FARM_EXIT_VIOLATION : FARM_EXIT_OK;
}

static int forget_seen(int fd, struct diag *diag)
{
    static const char *const names[] = {STATEDIR_WITNESS, STATEDIR_TRUST, STATEDIR_COSIGNED};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (unlinkat(fd, names[i], 0) < 0 && errno != ENOENT)
            return diag_errno(diag, "%s: remove", names[i]);
    return file_sync_parent(fd, STATEDIR_WITNESS, diag);
}

static int check_stopped(int fd, struct diag *diag)
{
    struct diag ignored;
    pid_t pid;
    if (statedir_running(fd, &pid, &ignored) < 0)
        return 0;
    return diag_set(
        diag, FARM_E_STATE,
        "the worker runs, and remembers what it saw: stop it first (farm-worker stop), then once more");
}

int owner_alarm_clear(const char *state, bool forget, FILE *out, struct diag *diag)
{
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_FREE char *aside = NULL;
    int error = statedir_open(state, &fd, diag);
    if (error >= 0 && forget)
        error = check_stopped(fd, diag);
    if (error < 0)
        return error;
    bool stands = describe_alarm(fd, state, &text);
    if (stands)
        fprintf(out, "%s\n", text.data);
    if (stands || !forget)
        error = alarm_clear(fd, moment_wall_ms(), &aside, diag);
    if (error >= 0 && forget)
        error = forget_seen(fd, diag);
    if (error < 0)
        return error;
    if (stands)
        fprintf(out, "cleared; it is kept as %s/%s\n", state, aside);
    if (forget)
        fputs("forgotten: it begins again from the trust root that the join string pinned, and believes the "
              "log that it "
              "is shown next\n",
              out);
    return 0;
}

/* ---- cosigned ---- */

int owner_cosigned(const char *state, FILE *out, struct diag *diag)
{
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_BUF struct buf text = BUF_INIT;
    int error = statedir_open(state, &fd, diag);
    if (error < 0)
        return error;
    error = file_read(fd, STATEDIR_COSIGNED, NOTE_SIZE_MAX, &text, diag);
    if (error == -ENOENT)
        return diag_set(diag, FARM_E_MISSING, "this worker has cosigned no checkpoint yet");
    if (error >= 0)
        fputs(text.data, out);
    return error;
}
