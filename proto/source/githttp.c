/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "githttp.h"

#include "buf.h"

#include <git2/sys/transport.h>
#include <inttypes.h>
#include <stdlib.h>

/* How long one wait lasts before 'check' is asked again. */
enum { POLL_MS = 200, URL_MAX_SIZE = 8192 };

/* All requests of one fetch share a multi handle, and so a connection. */
struct connection {
    git_smart_subtransport parent; /* first */
    struct githttp *http;
    CURLM *multi;
};

/* One request and its answer. */
struct stream {
    git_smart_subtransport_stream parent; /* first */
    struct connection *connection;
    CURL *curl;
    struct curl_slist *headers;
    char *url;
    const char *content_type; /* that the answer must have */
    bool is_post, started, is_checked, ended;
    struct buf request, answer;
    size_t taken; /* of the answer */
    CURLcode result;
    char curl_text[CURL_ERROR_SIZE];
};

static int fail(struct githttp *http, int error, const char *text)
{
    if (http->peer.error >= 0)
        http->peer.error = diag_set(&http->peer.diag, error, "%s", text);
    diag_plain(&http->peer.diag); /* headers of the server are in there */
    git_error_set_str(GIT_ERROR_NET, http->peer.diag.text);
    return -1;
}

/* ---- what comes ---- */

/* Before the first byte is believed: 200, and the type that the protocol gives this answer. */
static bool is_right_kind(struct stream *stream)
{
    struct githttp *http = stream->connection->http;
    const char *type = NULL, *location = NULL;
    long status = 0;
    curl_easy_getinfo(stream->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(stream->curl, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(stream->curl, CURLINFO_REDIRECT_URL, &location);
    if (status == 200 && type != NULL && strcmp(type, stream->content_type) == 0)
        return true;
    CLEANUP_FREE char *text =
        location != NULL
            ? mem_format("redirected to %.200s, which is not followed: pin that URL if it is the right one",
                         location)
        : status != 200 ? mem_format("the server answered with status %ld", status)
                        : mem_format("the server does not speak git's smart protocol (it sent %.80s)",
                                     type != NULL ? type : "nothing");
    (void)fail(http, location != NULL ? FARM_E_REFUSED : FARM_E_UNAVAILABLE, text);
    return false;
}

static size_t on_data(char *data, size_t size, size_t count, void *context)
{
    struct stream *stream = context;
    struct githttp *http = stream->connection->http;
    size_t bytes = size * count;
    if (!stream->is_checked && !is_right_kind(stream))
        return CURL_WRITEFUNC_ERROR;
    stream->is_checked = true;
    if (bytes > http->bytes_max - http->received) {
        CLEANUP_FREE char *text = mem_format("more than %" PRIu64 " bytes", http->bytes_max);
        (void)fail(http, FARM_E_LIMIT, text);
        return CURL_WRITEFUNC_ERROR;
    }
    http->received += bytes;
    buf_add(&stream->answer, data, bytes);
    return bytes;
}

/* ---- one request ---- */

static CURLcode set_request(struct stream *stream)
{
    CURLcode r = CURLE_OK;
    if (stream->is_post) {
        stream->headers =
            curl_slist_append(stream->headers, "Content-Type: application/x-git-upload-pack-request");
        stream->headers = curl_slist_append(stream->headers, "Accept: application/x-git-upload-pack-result");
        stream->headers = curl_slist_append(stream->headers, "Expect:");
        r = curl_easy_setopt(stream->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)stream->request.size);
        if (r == CURLE_OK)
            r = curl_easy_setopt(stream->curl, CURLOPT_POSTFIELDS, stream->request.data);
    }
    if (r == CURLE_OK)
        r = curl_easy_setopt(stream->curl, CURLOPT_HTTPHEADER, stream->headers);
    return r;
}

static CURLcode set_options(struct stream *stream)
{
    struct githttp *http = stream->connection->http;
    CURLcode r = curlpeer_apply(stream->curl, &http->peer);
    if (r == CURLE_OK)
        r = curl_easy_setopt(stream->curl, CURLOPT_URL, stream->url);
    if (r == CURLE_OK)
        r = curl_easy_setopt(stream->curl, CURLOPT_PROTOCOLS_STR, http->allow_http ? "http,https" : "https");
    if (r == CURLE_OK)
        r = curl_easy_setopt(stream->curl, CURLOPT_FOLLOWLOCATION, 0L);
    if (r == CURLE_OK) /* some forges serve git's protocol only to who begins so */
        r = curl_easy_setopt(stream->curl, CURLOPT_USERAGENT, "git/2.0 (intergenos-farm/" FARM_VERSION ")");
    if (r == CURLE_OK)
        r = curl_easy_setopt(stream->curl, CURLOPT_WRITEFUNCTION, on_data);
    if (r == CURLE_OK)
        r = curl_easy_setopt(stream->curl, CURLOPT_WRITEDATA, stream);
    if (r == CURLE_OK)
        r = curl_easy_setopt(stream->curl, CURLOPT_ERRORBUFFER, stream->curl_text);
    return r;
}

static int start(struct stream *stream)
{
    stream->started = true;
    stream->curl = curl_easy_init();
    if (stream->curl == NULL || set_options(stream) != CURLE_OK || set_request(stream) != CURLE_OK ||
        curl_multi_add_handle(stream->connection->multi, stream->curl) != CURLM_OK)
        return fail(stream->connection->http, FARM_E_FAILED, "libcurl cannot start");
    return 0;
}

static void look_for_end(struct stream *stream)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(stream->connection->multi, &left)) != NULL;)
        if (message->msg == CURLMSG_DONE && message->easy_handle == stream->curl) {
            stream->ended = true;
            stream->result = message->data.result;
        }
}

static int ended_badly(struct stream *stream)
{
    struct githttp *http = stream->connection->http;
    const char *text = stream->curl_text[0] != '\0' ? stream->curl_text : curl_easy_strerror(stream->result);
    return fail(http, stream->result == CURLE_UNSUPPORTED_PROTOCOL ? FARM_E_REFUSED : FARM_E_UNAVAILABLE,
                text);
}

/* Until there is something to read, or nothing will come any more. */
static int wait_for_data(struct stream *stream)
{
    struct githttp *http = stream->connection->http;
    int running;
    while (stream->taken == stream->answer.size && !stream->ended) {
        struct diag why = DIAG_INIT;
        int stop = http->check != NULL ? http->check(http->context, &why) : 0;
        if (stop < 0)
            return fail(http, stop, diag_text(&why, stop));
        if (curl_multi_perform(stream->connection->multi, &running) != CURLM_OK)
            return fail(http, FARM_E_FAILED, "libcurl failed");
        look_for_end(stream);
        if (stream->taken == stream->answer.size && !stream->ended &&
            curl_multi_poll(stream->connection->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
            return fail(http, FARM_E_FAILED, "libcurl failed");
    }
    return 0;
}

/* ---- what libgit2 calls ---- */

static int stream_read(git_smart_subtransport_stream *parent, char *buffer, size_t size, size_t *ret_size)
{
    struct stream *stream = (struct stream *)parent;
    int r = stream->started ? 0 : start(stream);
    if (r >= 0)
        r = wait_for_data(stream);
    if (r < 0)
        return r;
    size_t left = stream->answer.size - stream->taken, part = left < size ? left : size;
    if (part == 0 && (stream->result != CURLE_OK || (!stream->is_checked && !is_right_kind(stream))))
        return ended_badly(stream);
    if (part > 0)
        memcpy(buffer, stream->answer.data + stream->taken, part);
    stream->taken += part;
    if (stream->taken == stream->answer.size && stream->taken > 0) { /* read: room for what comes next */
        buf_clear(&stream->answer);
        stream->taken = 0;
    }
    *ret_size = part;
    return 0;
}

static int stream_write(git_smart_subtransport_stream *parent, const char *data, size_t size)
{
    struct stream *stream = (struct stream *)parent;
    if (stream->started)
        return fail(stream->connection->http, FARM_E_STATE, "written to after the answer had begun");
    buf_add(&stream->request, data, size);
    return 0;
}

static void stream_free(git_smart_subtransport_stream *parent)
{
    struct stream *stream = (struct stream *)parent;
    if (stream->curl != NULL)
        curl_multi_remove_handle(stream->connection->multi, stream->curl);
    curl_easy_cleanup(stream->curl);
    curl_slist_free_all(stream->headers);
    buf_done(&stream->request);
    buf_done(&stream->answer);
    free(stream->url);
    free(stream);
}

static int connection_action(git_smart_subtransport_stream **ret, git_smart_subtransport *parent,
                             const char *url, git_smart_service_t action)
{
    struct connection *connection = (struct connection *)parent;
    bool lists = action == GIT_SERVICE_UPLOADPACK_LS;
    if ((!lists && action != GIT_SERVICE_UPLOADPACK) || strlen(url) > URL_MAX_SIZE)
        return fail(connection->http, FARM_E_REFUSED, "only fetching is supported");
    struct stream *stream = mem_zero(1, sizeof *stream);
    size_t size = strlen(url);
    while (size > 0 && url[size - 1] == '/')
        size--;
    *stream =
        (struct stream){.parent = {parent, stream_read, stream_write, stream_free},
                        .connection = connection,
                        .url = mem_format("%.*s%s", (int)size, url,
                                          lists ? "/info/refs?service=git-upload-pack" : "/git-upload-pack"),
                        .content_type = lists ? "application/x-git-upload-pack-advertisement"
                                              : "application/x-git-upload-pack-result",
                        .is_post = !lists};
    *ret = &stream->parent;
    return 0;
}

static int connection_close(git_smart_subtransport *parent)
{
    (void)parent;
    return 0;
}

static void connection_free(git_smart_subtransport *parent)
{
    struct connection *connection = (struct connection *)parent;
    curl_multi_cleanup(connection->multi);
    free(connection);
}

static int connection_new(git_smart_subtransport **ret, git_transport *owner, void *http)
{
    (void)owner;
    curlpeer_setup();
    CURLM *multi = curl_multi_init();
    if (multi == NULL)
        return fail(http, FARM_E_FAILED, "libcurl cannot start");
    struct connection *connection = mem_zero(1, sizeof *connection);
    *connection = (struct connection){{connection_action, connection_close, connection_free}, http, multi};
    *ret = &connection->parent;
    return 0;
}

int githttp_transport(git_transport **ret, git_remote *remote, struct githttp *http)
{
    git_smart_subtransport_definition definition = {connection_new, 1, http};
    return git_transport_smart(ret, remote, &definition);
}
