/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The bulk client's engine: runs one call over as many connections as it takes. What a call is about stands in bulk_get.c and
 * bulk_put.c; here are waiting, reconnecting, cancelling and giving up.
 */
#include "bulk_private.h"

#include "moment.h"

#include <errno.h>
#include <stdlib.h>

enum {
    TIMEOUT_DEFAULT_MS = 60 * 1000,
    TICK_MS = 100, /* how often 'cancelled' is asked */
    RETRY_MAX_MS = 2000,
    EVENTS_PER_TURN = 64
};

int bulk_client_new(const struct bulk_client_options *options, struct bulk_client **ret, struct diag *diag)
{
    if (strlen(options->endpoint) > WIRE_NAME_MAX)
        return diag_set(diag, FARM_E_SYNTAX, "bulk endpoint: longer than %d bytes", WIRE_NAME_MAX);
    struct bulk_client *client = mem_zero(1, sizeof(*client));
    client->options = *options;
    client->endpoint = mem_string(options->endpoint);
    client->owner = mem_string(options->owner != NULL ? options->owner : "bulk");
    memcpy(client->server_key, options->server_key, LINK_KEY_SIZE);
    memcpy(client->secret_key, options->secret_key, LINK_KEY_SIZE);
    client->options.server_key = client->options.secret_key = NULL; /* the caller's */
    client->options.endpoint = client->options.owner = NULL;
    if (client->options.timeout_ms <= 0)
        client->options.timeout_ms = TIMEOUT_DEFAULT_MS;
    *ret = client;
    return 0;
}

struct bulk_client *bulk_client_free(struct bulk_client *client)
{
    if (client == NULL)
        return NULL;
    bulk_client_rest(client);
    explicit_bzero(client->secret_key, sizeof(client->secret_key));
    free(client->endpoint);
    free(client->owner);
    free(client);
    return NULL;
}

void bulk_client_rest(struct bulk_client *client)
{
    client->link = link_client_free(client->link);
}

static int ensure_link(struct bulk_client *client, struct diag *diag)
{
    const struct link_client_options options = {.endpoint = client->endpoint,
                                                .server_key = client->server_key,
                                                .secret_key = client->secret_key,
                                                .frame_max = WIRE_BULK_MAX,
                                                .queue_max = BULK_QUEUE,
                                                .retry_max_ms = RETRY_MAX_MS};
    return client->link != NULL ? 0 : link_client_new(&options, &client->link, diag);
}

/* ---- helpers for the calls ---- */

int bulk_request(struct bulk_client *client, int type, const ProtobufCMessage *body, struct diag *diag)
{
    CLEANUP_BUF struct buf frame = BUF_INIT;
    int r = wire_encode(type, body, &frame, diag);
    if (r >= 0)
        r = link_client_send_buf(client->link, &frame, diag);
    return r == FARM_E_UNAVAILABLE ? 0 : r;
}

int bulk_error(const Wire__BulkError *error, struct diag *diag)
{
    int code = -(int)error->code;
    bool own = code >= FARM_E_USAGE && code < FARM_E_LAST;
    return diag_set(diag, own ? code : (int)FARM_E_FAILED, "the coordinator says: %s", error->text);
}

bool bulk_about(const ProtobufCBinaryData *field, const struct digest *digest)
{
    struct digest other = wire_get_digest(field);
    return digest_equal(&other, digest);
}

void bulk_progress(struct bulk_client *client, const struct digest *digest, uint64_t done, uint64_t size)
{
    if (client->options.progress != NULL)
        client->options.progress(client->options.context, digest, done, size);
}

/* ---- running a call ---- */

struct run {
    struct bulk_call *call;
    bool begun;          /* on this connection */
    int64_t progress_ms; /* when the last answer came, or the call began */
    struct diag down;    /* why there is no connection */
};

/* A message arrived: it is progress if it decodes, even if it is not what was hoped for. */
static int on_frame(struct run *run, struct view frame, int64_t now_ms, struct diag *diag)
{
    struct wire_message *message = NULL;
    int r = wire_decode_over(WIRE_BULK_REPLY, frame, &message, diag);
    if (r < 0)
        return diag_wrap(diag, r, "the coordinator's bulk server");
    run->progress_ms = now_ms;
    r = run->call->answer(run->call, message, diag);
    wire_free(message);
    return r;
}

static int on_event(struct run *run, int event, struct view frame, int64_t now_ms, struct diag *diag)
{
    switch ((enum link_event)event) {
    case LINK_FRAME:
        return run->begun ? on_frame(run, frame, now_ms, diag) : 0; /* else it is about an earlier call */
    case LINK_UP:
    case LINK_DOWN:
        run->begun = false;
        return 0;
    case LINK_NOTHING:
    case LINK_DROPPED:
        return 0;
    }
    return 0;
}

/* Handles what is there, but not for ever: a server that never stops talking must not keep us from being cancelled. */
static int drain(struct run *run, struct diag *diag)
{
    int r = 0;
    for (int i = 0; r == 0 && i < EVENTS_PER_TURN; i++) {
        struct diag reason = DIAG_INIT;
        struct view frame = VIEW_NONE;
        int event = link_client_next_view(run->call->client->link, &frame, &reason);
        if (event == LINK_DOWN)
            run->down = reason;
        if (event < 0)
            return diag_set(diag, event, "%s", diag_text(&reason, event));
        if (event == LINK_NOTHING)
            break;
        r = on_event(run, event, frame, moment_steady_ms(), diag);
    }
    return r;
}

static int check_patience(const struct run *run, int64_t now_ms, struct diag *diag)
{
    const struct bulk_client_options *o = &run->call->client->options;
    if (o->cancelled != NULL && o->cancelled(o->context))
        return diag_set(diag, -ECANCELED, "cancelled");
    if (now_ms - run->progress_ms < o->timeout_ms)
        return 0;
    return diag_set(diag, FARM_E_TIMEOUT, "no progress for %d s: %s", o->timeout_ms / 1000,
                    run->down.error != 0 ? run->down.text : "the coordinator's bulk server does not answer");
}

/*
 * -EAGAIN: a full queue, or a connection that ended since it was last looked at (its end is an event that
 * has not been taken yet). Both mean: later.
 */
static int begin(struct run *run, struct diag *diag)
{
    int r = run->call->begin(run->call, diag);
    run->begun = r >= 0;
    return r == -EAGAIN ? 0 : r;
}

/* Says what is to be said now. */
static int advance(struct run *run, struct diag *diag)
{
    struct bulk_call *call = run->call;
    int r = 0;
    if (!link_client_is_up(call->client->link))
        return 0;
    if (!run->begun)
        r = begin(run, diag);
    if (r != 0 || !run->begun || call->pump == NULL)
        return r;
    r = call->pump(call, diag);
    return r == -EAGAIN ? 0 : r;
}

static int loop(struct run *run, struct diag *diag)
{
    /* What the connection went through since the last call comes first: it may have ended long ago. */
    int r = drain(run, diag);
    while (r == 0) {
        struct link_poll_item item = LINK_POLL_CLIENT(run->call->client->link);
        if ((r = advance(run, diag)) != 0)
            break;
        if ((r = link_poll(&item, 1, TICK_MS, diag)) < 0)
            break;
        r = drain(run, diag);
        if (r == 0)
            r = check_patience(run, moment_steady_ms(), diag);
    }
    return r;
}

int bulk_run(struct bulk_call *call, struct diag *diag)
{
    struct run run = {.call = call, .progress_ms = moment_steady_ms()};
    int r = ensure_link(call->client, diag);
    if (r >= 0)
        r = loop(&run, diag);
    if (r < 0)
        bulk_client_rest(call->client);
    return r < 0 ? r : 0;
}
