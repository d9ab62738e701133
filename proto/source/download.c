/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One transfer with libcurl: options, callbacks, and what its errors mean.
 */
#include "download.h"

#include "address.h"
#include "curlpeer.h"

#include <inttypes.h>

enum { REDIRECTS_MAX = 5 };

struct transfer {
    const struct download *what;
    struct store_writer *writer;
    uint64_t received, limit;
    struct curlpeer peer;
    char curl_text[CURL_ERROR_SIZE];
};

/* ---- callbacks ---- */

static size_t on_data(char *data, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t bytes = size * count;
    if (bytes > transfer->limit - transfer->received) {
        transfer->peer.error = diag_set(&transfer->peer.diag, FARM_E_LIMIT,
                                        "more than the expected %" PRIu64 " bytes", transfer->limit);
        return CURL_WRITEFUNC_ERROR;
    }
    transfer->peer.error = store_write(transfer->writer, data, bytes, &transfer->peer.diag);
    if (transfer->peer.error < 0)
        return CURL_WRITEFUNC_ERROR;
    transfer->peer.error = 0;
    transfer->received += bytes;
    return bytes;
}

static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    struct transfer *transfer = context;
    (void)total;
    (void)now;
    (void)up_total;
    (void)up_now;
    struct diag why = DIAG_INIT;
    int error = transfer->what->check != NULL ? transfer->what->check(transfer->what->context, &why) : 0;
    if (error < 0)
        transfer->peer.error = diag_set(&transfer->peer.diag, error, "%s", diag_text(&why, error));
    return error < 0;
}

/* ---- options ---- */

static CURLcode set_limits(CURL *curl, struct transfer *transfer)
{
    CURLcode r = curlpeer_apply(curl, &transfer->peer);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)transfer->limit);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    return r;
}

static CURLcode set_where(CURL *curl, const struct transfer *transfer)
{
    bool plain = strncmp(transfer->what->url, "http:", 5) == 0;
    CURLcode r = curl_easy_setopt(curl, CURLOPT_URL, transfer->what->url);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, plain ? "http,https" : "https");
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_USERAGENT, "intergenos-farm/" FARM_VERSION);
    return r;
}

static CURLcode set_callbacks(CURL *curl, struct transfer *transfer)
{
    CURLcode r = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    if (r == CURLE_OK)
        r = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->curl_text);
    return r;
}

/* ---- running ---- */

static int curl_failed(CURLcode code, const struct transfer *transfer, struct diag *diag)
{
    const char *text = transfer->curl_text[0] != '\0' ? transfer->curl_text : curl_easy_strerror(code);
    if (transfer->peer.error < 0)
        return diag_set(diag, transfer->peer.error, "%s",
                        diag_text(&transfer->peer.diag, transfer->peer.error));
    if (code == CURLE_FILESIZE_EXCEEDED)
        return diag_set(diag, FARM_E_LIMIT, "longer than the expected %" PRIu64 " bytes", transfer->limit);
    bool is_refused =
        code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_TOO_MANY_REDIRECTS || code == CURLE_URL_MALFORMAT;
    int result = diag_set(diag, is_refused ? FARM_E_REFUSED : FARM_E_UNAVAILABLE, "%s", text);
    diag_plain(diag); /* where a server redirects to may be in there */
    return result;
}

static int perform(struct transfer *transfer, struct diag *diag)
{
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return diag_set(diag, FARM_E_FAILED, "libcurl cannot start");
    CURLcode r = set_where(curl, transfer);
    if (r == CURLE_OK)
        r = set_limits(curl, transfer);
    if (r == CURLE_OK)
        r = set_callbacks(curl, transfer);
    if (r == CURLE_OK)
        r = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    return r == CURLE_OK ? 0 : curl_failed(r, transfer, diag);
}

static int check_url(const struct download *what, struct diag *diag)
{
    struct view scheme, host;
    int r = address_split_url(what->url, &scheme, &host, diag);
    if (r < 0)
        return r;
    bool https = view_equal(scheme, VIEW("https")), http = view_equal(scheme, VIEW("http"));
    if (host.size == 0 || !(https || (http && what->allow_http)))
        return diag_set(diag, FARM_E_REFUSED, "only https is allowed here%s",
                        http ? "; plain http has to be configured" : "");
    return 0;
}

static int run(struct store *store, const struct download *what, struct diag *diag)
{
    struct transfer transfer = {
        .what = what,
        .limit = what->size_limit > 0 ? what->size_limit : STORE_OBJECT_MAX,
        .peer = {.allow_private = what->allow_private, .connect_ms = what->timeout_ms}};
    struct digest found;
    uint64_t size;
    int r = check_url(what, diag);
    if (r >= 0)
        r = store_write_begin(store, transfer.limit, &transfer.writer, diag);
    if (r < 0)
        return r;
    if ((r = perform(&transfer, diag)) < 0) {
        store_write_abort(transfer.writer);
        return r;
    }
    return store_write_commit(transfer.writer, what->sha256, false, &found, &size, diag);
}

int download_archive(struct store *store, const struct download *what, struct diag *diag)
{
    curlpeer_setup();
    int r = run(store, what, diag);
    return r < 0 ? diag_wrap(diag, r, "downloading %.300s", what->url) : 0;
}

void download_library(struct buf *ret)
{
    buf_add_format(ret, "libcurl %s", curl_version_info(CURLVERSION_NOW)->version);
}
