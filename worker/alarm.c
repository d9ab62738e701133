/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "alarm.h"

#include "file.h"
#include "json.h"
#include "moment.h"
#include "statedir.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT "intergenos-alarm/1"

/* What is said about each kind. */
static const struct {
    const char *name, *headline, *meaning;
} kinds[ALARM_KINDS] = {
    [ALARM_FORK] = {"fork", "the log shows another history than before",
                    "The log's key signed two histories that cannot both be true. Whoever runs the farm, or "
                    "whoever has its "
                    "key, shows different things to different people, or has rewritten what happened."},
    [ALARM_SHRUNK] = {"shrunk", "the log has lost entries",
                      "The log's key signed a history that ends before what it signed earlier. The "
                      "coordinator lost part of "
                      "its state (an old backup was restored), or somebody removed what happened."},
    [ALARM_OMITTED] =
        {"omitted", "the log does not hold an answer of this worker",
         "What this worker built and signed can be left out of a release's evidence, so that a dissent would "
         "never be seen."},
    [ALARM_OTHER_LOG] =
        {"other-log", "another log has taken the place of the one that this worker watched",
         "A log that is lost is replaced by a version of the trust root that says where the old one ended. "
         "This one does not, or it ends before what this worker saw."},
    [ALARM_ROOT] = {"root", "the farm shows another trust root than before",
                    "Old trust roots hold keys and bases that were withdrawn since. The coordinator lost "
                    "part of its state, "
                    "or somebody wants them back."},
    [ALARM_DIRECTORY] =
        {"directory", "the farm shows another worker directory than before",
         "Old directories hold workers that were removed since. The coordinator lost part of its state, or "
         "somebody wants them back."},
    [ALARM_IDENTITY] =
        {"identity", "the worker directory gives this worker's name to other keys",
         "Somebody else answers under this worker's name, or it was enrolled again elsewhere with your "
         "operator's key."},
};

static char *cut(const char *text)
{
    return mem_string_n(text, strnlen(text, ALARM_TEXT_MAX));
}

void alarm_set(struct alarm *alarm, enum alarm_kind kind, const char *expected, const char *seen,
               struct view kept, struct view shown)
{
    alarm_done(alarm);
    alarm->kind = kind;
    alarm->expected = cut(expected);
    alarm->seen = cut(seen);
    alarm->kept = mem_string_n(kept.data, kept.size);
    alarm->shown = mem_string_n(shown.data, shown.size);
}

bool alarm_is_set(const struct alarm *alarm)
{
    return alarm->expected != NULL;
}

void alarm_done(struct alarm *alarm)
{
    free(alarm->expected);
    free(alarm->seen);
    free(alarm->kept);
    free(alarm->shown);
    *alarm = (struct alarm)ALARM_NONE;
}

const char *alarm_kind_name(enum alarm_kind kind)
{
    assert((unsigned)kind < ALARM_KINDS);
    return kinds[kind].name;
}

const char *alarm_headline(enum alarm_kind kind)
{
    assert((unsigned)kind < ALARM_KINDS);
    return kinds[kind].headline;
}

static void describe_note(const char *title, const char *note, struct buf *ret)
{
    struct view rest = view_text(note), line;
    if (rest.size == 0)
        return;
    buf_add_format(ret, "\n%s:\n", title);
    while (rest.size > 0 && view_split(&rest, '\n', &line))
        buf_add_format(ret, "    %.*s\n", VIEW_ARG(line));
}

void alarm_describe(const struct alarm *alarm, const char *state, struct buf *ret)
{
    buf_add_format(ret, "ALARM since %s: %s (%s)\n", moment_format(alarm->at_ms).text,
                   alarm_headline(alarm->kind), alarm_kind_name(alarm->kind));
    buf_add_format(ret, "\nexpected: %s\nseen:     %s\n", alarm->expected, alarm->seen);
    describe_note("the checkpoint that this worker kept, as the log signed it", alarm->kept, ret);
    describe_note("the checkpoint that it was shown", alarm->shown, ret);
    buf_add_format(ret,
                   "\n%s\n\n"
                   "This worker takes no leases and cosigns nothing while the alarm stands. Tell the release "
                   "managers and\n"
                   "other operators, over another way than the farm, and give them %s/" STATEDIR_ALARM ".\n"
                   "When it is explained: farm-worker alarm clear --state %s\n"
                   "The alarm comes back by itself if what it is about is still so.\n",
                   kinds[alarm->kind].meaning, state, state);
}

void alarm_write(const struct alarm *alarm, struct buf *ret)
{
    CLEANUP_JSON json_t *json = json_object();
    json_object_set_new(json, "format", json_string(FORMAT));
    json_object_set_new(json, "at", json_string(moment_format(alarm->at_ms).text));
    json_object_set_new(json, "kind", json_string(alarm_kind_name(alarm->kind)));
    json_object_set_new(json, "expected", json_view(view_text(alarm->expected)));
    json_object_set_new(json, "seen", json_view(view_text(alarm->seen)));
    json_object_set_new(json, "kept", json_view(view_text(alarm->kept)));
    json_object_set_new(json, "shown", json_view(view_text(alarm->shown)));
    json_write(json, ret);
    buf_add_byte(ret, '\n');
}

static int kind_parse(const char *name)
{
    for (int i = 0; i < ALARM_KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return i;
    return FARM_E_SYNTAX;
}

static int read_fields(const json_t *json, struct alarm *ret, struct diag *diag)
{
    const char *format, *at, *kind, *expected, *seen, *kept, *shown;
    const struct {
        const char *key, **text;
    } texts[] = {{"format", &format}, {"at", &at},     {"kind", &kind},  {"expected", &expected},
                 {"seen", &seen},     {"kept", &kept}, {"shown", &shown}};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        int error = json_get_text(json, STATEDIR_ALARM, texts[i].key, texts[i].text, diag);
        if (error < 0)
            return error;
    }
    int64_t at_ms;
    int number = kind_parse(kind);
    if (strcmp(format, FORMAT) != 0 || number < 0 || !moment_parse(view_text(at), &at_ms))
        return diag_set(diag, FARM_E_SYNTAX, STATEDIR_ALARM ": not an alarm in the form " FORMAT);
    alarm_set(ret, (enum alarm_kind)number, expected, seen, view_text(kept), view_text(shown));
    ret->at_ms = at_ms;
    return 0;
}

int alarm_parse(struct view text, struct alarm *ret, struct diag *diag)
{
    static const char *const known[] = {"at", "expected", "format", "kept", "kind", "seen", "shown", NULL};
    CLEANUP_JSON json_t *json = NULL;
    struct alarm alarm = ALARM_NONE;
    int error = json_read(text, STATEDIR_ALARM, ALARM_FILE_MAX, &json, diag);
    if (error >= 0)
        error = json_only_keys(json, STATEDIR_ALARM, known, diag);
    if (error >= 0)
        error = read_fields(json, &alarm, diag);
    if (error >= 0)
        *ret = alarm;
    return error;
}

int alarm_raise(int state_dirfd, const struct alarm *alarm, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    alarm_write(alarm, &text);
    return file_create(state_dirfd, STATEDIR_ALARM, buf_view(&text), 0600, diag);
}

int alarm_load(int state_dirfd, struct alarm *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int error = file_read(state_dirfd, STATEDIR_ALARM, ALARM_FILE_MAX, &text, diag);
    if (error == -ENOENT)
        return 0;
    if (error >= 0)
        error = alarm_parse(buf_view(&text), ret, diag);
    return error < 0
               ? diag_wrap(diag, error,
                           "an alarm stands, and its file cannot be read (look at it, then: farm-worker "
                           "alarm clear)")
               : 1;
}

bool alarm_stands(int state_dirfd)
{
    return faccessat(state_dirfd, STATEDIR_ALARM, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* A second name; none that was given before is taken. */
static int keep_aside(int state_dirfd, int64_t now_ms, char **ret_name, struct diag *diag)
{
    enum { TRIES = 100 };
    for (int i = 0; i < TRIES; i++) {
        CLEANUP_FREE char *name = i == 0 ? mem_format("alarm-%s.json", moment_format(now_ms).text)
                                         : mem_format("alarm-%s.%d.json", moment_format(now_ms).text, i);
        if (linkat(state_dirfd, STATEDIR_ALARM, state_dirfd, name, 0) == 0) {
            *ret_name = STEAL(name);
            return 0;
        }
        if (errno != EEXIST)
            break;
    }
    return errno == ENOENT ? diag_set(diag, FARM_E_MISSING, "no alarm stands")
                           : diag_errno(diag, STATEDIR_ALARM ": put aside");
}

/* It is evidence: put aside, never removed. */
int alarm_clear(int state_dirfd, int64_t now_ms, char **ret_name, struct diag *diag)
{
    CLEANUP_FREE char *name = NULL;
    int error = keep_aside(state_dirfd, now_ms, &name, diag);
    if (error < 0)
        return error;
    if (unlinkat(state_dirfd, STATEDIR_ALARM, 0) < 0)
        return diag_errno(diag, STATEDIR_ALARM ": remove");
    error = file_sync_parent(state_dirfd, name, diag);
    if (error >= 0)
        *ret_name = STEAL(name);
    return error;
}
