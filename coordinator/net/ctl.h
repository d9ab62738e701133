/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Control: farmctl's Unix socket, mode 0600, same user (or root) only. Requests and replies are CtlRequest
 * and CtlReply of the catalogue, behind a length; one file descriptor may accompany a request.
 *
 * A verb is a row of a table: it gets the request's JSON and either answers at once, or keeps the request and
 * answers later (a pool task, a watcher). A client that is slow to read is cut when CTL_BACKLOG_MAX bytes
 * wait for it.
 */
#ifndef FARM_CTL_H
#define FARM_CTL_H

#include "farm.h"
#include "json.h"

/* A listing of 100,000 jobs is some 20 MiB; several may wait. */
#define CTL_BACKLOG_MAX ((size_t)64 << 20)
enum { CTL_CLIENTS_MAX = 64 };

struct ctl_request; /* one request; outlives its client if need be */

/* A verb must end in exactly one ctl_finish() or ctl_fail() for its request, now or later. */
typedef void ctl_verb(struct farm *farm, struct ctl_request *request);
struct ctl_verb_row {
    const char *name;
    ctl_verb *run;
};

int ctl_new(struct farm *farm, const char *path, struct ctl **ret, struct diag *diag) MUST_USE;
struct ctl *ctl_free(struct ctl *ctl);

/* For the loop: fills at most CTL_CLIENTS_MAX + 1 items and handles what the poll said about them. */
size_t ctl_poll_items(struct ctl *ctl, struct link_poll_item *items);
void ctl_handle(struct farm *farm, struct ctl *ctl, const struct link_poll_item *items, size_t count);
/* After the commit: lets queued replies out. */
void ctl_flush(struct ctl *ctl);

/* The request's object; borrowed. */
json_t *ctl_params(const struct ctl_request *request);
/* A text parameter, or NULL. Borrowed. */
const char *ctl_text(const struct ctl_request *request, const char *key);
bool ctl_flag(const struct ctl_request *request, const char *key);
/* The descriptor that came along, or -1; taken by the caller. */
int ctl_take_fd(struct ctl_request *request);
/* The client has gone: nobody reads any more. */
bool ctl_is_gone(const struct ctl_request *request);

/* All consume the body. */
void ctl_progress(struct ctl_request *request, json_t *body);
void ctl_item(struct ctl_request *request, json_t *body);
void ctl_finish(struct ctl_request *request, int exit_status, json_t *body);
void ctl_fail(struct ctl_request *request, int error, const struct diag *diag);

/* The table, in verbs.c. */
extern const struct ctl_verb_row ctl_verbs[];
extern const size_t ctl_nverbs;

/*
 * Watchers: requests that are answered over time (build --wait, watch, log). poll() is called twice a second and after watch_wake(),
 * but not while the client has not read what it was sent; it returns false when it has finished the request,
 * or given it to another watcher.
 * When the client has gone, the request just ends.
 */
typedef bool watch_poll(struct farm *farm, struct ctl_request *request, void *state);
void watch_add(struct farm *farm, struct ctl_request *request, watch_poll *poll, void *state,
               void (*release)(void *state));
void watch_poll_all(struct farm *farm);
/* What somebody waits for has come (a plan has ended): the watchers look in this turn. Accepts NULL: nobody can wait yet. */
void watch_wake(struct ctl *ctl);
/* When the watchers look next, on the steady clock; INT64_MAX if there are none. */
int64_t watch_due(const struct ctl *ctl);

#endif
