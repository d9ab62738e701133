/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tally.h"

#include "file.h"
#include "moment.h"
#include "statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

static const struct {
    const char *name;
    size_t offset;
} counts[] = {
    {"accepted", offsetof(struct tally, accepted)}, {"build_ms", offsetof(struct tally, build_ms)},
    {"evidence", offsetof(struct tally, evidence)}, {"failed", offsetof(struct tally, failed)},
    {"refused", offsetof(struct tally, refused)},   {"returned", offsetof(struct tally, returned)},
    {"since_ms", offsetof(struct tally, since_ms)},
};

static void set_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, json_view(view_text(text)));
}

static void cut(char *ret, size_t size, const char *text)
{
    snprintf(ret, size, "%s", text);
}

void tally_add_refusal(struct tally *tally, int64_t at_ms, const char *node, const char *reason)
{
    if (tally->nrefusals == TALLY_REFUSALS)
        memmove(&tally->refusals[0], &tally->refusals[1], --tally->nrefusals * sizeof tally->refusals[0]);
    struct tally_refusal *refusal = &tally->refusals[tally->nrefusals++];
    memset(refusal, 0, sizeof *refusal);
    refusal->at_ms = at_ms;
    cut(refusal->node, sizeof refusal->node, node);
    cut(refusal->reason, sizeof refusal->reason, reason);
}

static json_t *refusals_json(const struct tally *tally)
{
    json_t *array = json_array();
    for (size_t i = 0; i < tally->nrefusals; i++) {
        json_t *refusal = json_object();
        json_object_set_new(refusal, "at_ms", json_integer(tally->refusals[i].at_ms));
        set_text(refusal, "node", tally->refusals[i].node);
        set_text(refusal, "reason", tally->refusals[i].reason);
        json_array_append_new(array, refusal);
    }
    return array;
}

static json_t *slots_json(const struct tally_now *now)
{
    json_t *array = json_array();
    for (size_t i = 0; i < now->nslots; i++) {
        json_t *slot = json_object();
        set_text(slot, "state", now->slots[i].state);
        set_text(slot, "node", now->slots[i].node);
        set_text(slot, "lease", now->slots[i].nonce);
        json_object_set_new(slot, "running_ms", json_integer(now->slots[i].running_ms));
        json_array_append_new(array, slot);
    }
    return array;
}

void tally_write(const struct tally *tally, const struct tally_now *now, struct buf *ret)
{
    CLEANUP_JSON json_t *json = json_object();
    json_t *done = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        json_object_set_new(done, counts[i].name,
                            json_integer(*(const int64_t *)((const char *)tally + counts[i].offset)));
    json_object_set_new(json, "done", done);
    json_object_set_new(json, "refusals", refusals_json(tally));
    set_text(json, "hindrance", now->hindrance);
    set_text(json, "trust", now->trust);
    set_text(json, "log", now->log);
    set_text(json, "worker", now->worker);
    set_text(json, "operator", now->operator_name);
    set_text(json, "coordinator", now->coordinator);
    set_text(json, "mode", now->mode);
    set_text(json, "connection", now->connection);
    json_object_set_new(json, "written_ms", json_integer(now->written_ms));
    json_object_set_new(json, "spooled", json_integer((json_int_t)now->spooled));
    json_object_set_new(json, "slots", slots_json(now));
    json_write(json, ret);
}

/* Files of before this was counted have none. */
static int read_refusals(const json_t *json, struct tally *ret, struct diag *diag)
{
    const json_t *item;
    size_t index;
    int error = 0;
    json_array_foreach(json_object_get(json, "refusals"), index, item)
    {
        const char *node, *reason;
        int64_t at_ms;
        error = json_get_number(item, STATEDIR_STATUS, "at_ms", &at_ms, diag);
        if (error >= 0)
            error = json_get_text(item, STATEDIR_STATUS, "node", &node, diag);
        if (error >= 0)
            error = json_get_text(item, STATEDIR_STATUS, "reason", &reason, diag);
        if (error < 0)
            return error;
        tally_add_refusal(ret, at_ms, node, reason);
    }
    return 0;
}

static int read_counts(const json_t *json, struct tally *ret, struct diag *diag)
{
    struct tally tally = {0};
    json_t *done;
    int error = json_get_object(json, STATEDIR_STATUS, "done", &done, diag);
    for (size_t i = 0; error >= 0 && i < ARRAY_SIZE(counts); i++)
        error = json_get_number(done, STATEDIR_STATUS, counts[i].name,
                                (int64_t *)((char *)&tally + counts[i].offset), diag);
    if (error >= 0)
        error = read_refusals(json, &tally, diag);
    if (error >= 0)
        *ret = tally;
    return error;
}

int tally_parse(struct view text, struct tally *ret, struct diag *diag)
{
    CLEANUP_JSON json_t *json = NULL;
    int error = json_read(text, STATEDIR_STATUS, TALLY_FILE_MAX, &json, diag);
    return error < 0 ? error : read_counts(json, ret, diag);
}

static int describe_slot(const json_t *slot, struct buf *ret, struct diag *diag)
{
    const char *state, *node, *lease;
    int64_t running;
    int error = json_get_text(slot, STATEDIR_STATUS, "state", &state, diag);
    if (error >= 0)
        error = json_get_text(slot, STATEDIR_STATUS, "node", &node, diag);
    if (error >= 0)
        error = json_get_text(slot, STATEDIR_STATUS, "lease", &lease, diag);
    if (error >= 0)
        error = json_get_number(slot, STATEDIR_STATUS, "running_ms", &running, diag);
    if (error < 0 || strcmp(state, "idle") == 0)
        return error;
    buf_add_format(ret, "  %-9s %s for lease %.8s, since %s\n", state, node, lease,
                   moment_duration(running).text);
    return 0;
}

/* "" for what an older file does not say. */
static const char *said(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text != NULL ? text : "";
}

static void describe_trust(const json_t *json, struct buf *ret)
{
    static const char *const lines[][2] = {
        {"hindrance", "no leases are taken"}, {"trust", "trust root"}, {"log", "transparency log"}};
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        if (said(json, lines[i][0])[0] != '\0')
            buf_add_format(ret, "%s: %s\n", lines[i][1], said(json, lines[i][0]));
}

static int describe_now(const json_t *json, bool is_running, struct buf *ret, struct diag *diag)
{
    const char *worker, *operator_name, *coordinator, *mode, *connection;
    const struct {
        const char *key, **text;
    } texts[] = {{"worker", &worker},
                 {"operator", &operator_name},
                 {"coordinator", &coordinator},
                 {"mode", &mode},
                 {"connection", &connection}};
    json_t *slots;
    int64_t spooled;
    int error = json_get_number(json, STATEDIR_STATUS, "spooled", &spooled, diag);
    for (size_t i = 0; error >= 0 && i < ARRAY_SIZE(texts); i++)
        error = json_get_text(json, STATEDIR_STATUS, texts[i].key, texts[i].text, diag);
    if (error >= 0)
        error = json_get_array(json, STATEDIR_STATUS, "slots", &slots, diag);
    if (error < 0)
        return error;
    buf_add_format(ret, "worker %s of %s: %s\n", worker, operator_name, is_running ? mode : "not running");
    if (is_running)
        buf_add_format(ret, "coordinator %s: %s\n", coordinator, connection);
    describe_trust(json, ret);
    for (size_t i = 0; is_running && error >= 0 && i < json_array_size(slots); i++)
        error = describe_slot(json_array_get(slots, i), ret, diag);
    if (error >= 0 && spooled > 0)
        buf_add_format(ret, "results waiting to be acknowledged: %lld\n", (long long)spooled);
    return error;
}

int tally_describe(struct view text, bool is_running, struct buf *ret, struct diag *diag)
{
    CLEANUP_JSON json_t *json = NULL;
    struct tally tally;
    int error = json_read(text, STATEDIR_STATUS, TALLY_FILE_MAX, &json, diag);
    if (error >= 0)
        error = read_counts(json, &tally, diag);
    if (error >= 0)
        error = describe_now(json, is_running, ret, diag);
    if (error < 0)
        return error;
    buf_add_format(ret, "since %s: %lld results accepted", moment_format(tally.since_ms).text,
                   (long long)tally.accepted);
    if (tally.failed > 0)
        buf_add_format(ret, " (%lld of them failed builds)", (long long)tally.failed);
    buf_add_format(ret, ", %s of building\n", moment_duration(tally.build_ms).text);
    if (tally.evidence + tally.refused + tally.returned > 0)
        buf_add_format(ret, "kept as evidence without a vote: %lld; refused: %lld; leases given back: %lld\n",
                       (long long)tally.evidence, (long long)tally.refused, (long long)tally.returned);
    for (size_t i = 0; i < tally.nrefusals; i++)
        buf_add_format(ret, "  refused at %s: %s: %s\n", moment_format(tally.refusals[i].at_ms).text,
                       tally.refusals[i].node, tally.refusals[i].reason);
    return 0;
}

struct tally tally_load(int state_dirfd, int64_t now_ms)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct tally tally = {0};
    struct diag ignored;
    if (file_read(state_dirfd, STATEDIR_STATUS, TALLY_FILE_MAX, &text, &ignored) >= 0 &&
        tally_parse(buf_view(&text), &tally, &ignored) >= 0)
        return tally;
    return (struct tally){.since_ms = now_ms};
}

int tally_save(int state_dirfd, struct view text, struct diag *diag)
{
    static const char temp[] = STATEDIR_STATUS ".new";
    CLEANUP_CLOSE int fd =
        openat(state_dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return diag_errno(diag, "%s: create", temp);
    int error = file_write_all(fd, text.data, text.size);
    if (error < 0)
        return diag_set(diag, error, "%s: write: %s", temp, farm_error_text(error));
    if (renameat(state_dirfd, temp, state_dirfd, STATEDIR_STATUS) < 0)
        return diag_errno(diag, "%s: rename", temp);
    return 0;
}
