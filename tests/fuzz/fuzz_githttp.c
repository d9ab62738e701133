/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A git server's answer to the first question (which refs are there), byte by byte as it stands in the input, through a real connection on
 * loopback. The server is run by the fetcher's own "shall I stop" callback, so there is one thread. Never more is taken than was allowed, and
 * what is told about the server is a line that a terminal can show.
 */
#include "fuzz.h"

#include "githttp.h"
#include "gitpin_private.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BYTES_MAX = 2048, CHECKS_MAX = 1000 };

static struct {
    int listener;
    char url[64];
    git_repository *repo;
} site;

struct exchange {
    struct view answer;
    int fd; /* of the connection; -1: none yet */
    int checks;
};

static void setup(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    git_odb *odb = NULL;
    struct diag diag = DIAG_INIT;
    FUZZ_OK(gitpin_setup(&diag), &diag);
    curlpeer_setup();
    site.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    FUZZ_CHECK(bind(site.listener, (struct sockaddr *)&address, sizeof address) == 0);
    FUZZ_CHECK(listen(site.listener, 8) == 0);
    FUZZ_CHECK(getsockname(site.listener, (struct sockaddr *)&address, &size) == 0);
    snprintf(site.url, sizeof site.url, "http://127.0.0.1:%d/r", ntohs(address.sin_port));
    FUZZ_CHECK(git_odb_new(&odb) == 0 && git_repository_wrap_odb(&site.repo, odb) == 0);
    git_odb_free(odb);
}

/* Answers before it is asked: what it would read changes nothing. */
static int serve(void *context, struct diag *diag)
{
    struct exchange *exchange = context;
    if (++exchange->checks > CHECKS_MAX)
        return diag_set(diag, FARM_E_TIMEOUT, "no end");
    if (exchange->fd >= 0)
        return 0;
    exchange->fd = accept4(site.listener, NULL, NULL, SOCK_CLOEXEC);
    if (exchange->fd < 0)
        return 0;
    FUZZ_CHECK(send(exchange->fd, exchange->answer.data, exchange->answer.size, MSG_NOSIGNAL) >= 0);
    FUZZ_CHECK(shutdown(exchange->fd, SHUT_WR) == 0);
    return 0;
}

static int new_transport(git_transport **ret, git_remote *remote, void *http)
{
    return githttp_transport(ret, remote, http);
}

static int ask(struct githttp *http)
{
    git_remote_callbacks callbacks;
    git_remote *remote = NULL;
    FUZZ_CHECK(git_remote_init_callbacks(&callbacks, GIT_REMOTE_CALLBACKS_VERSION) == 0);
    callbacks.transport = new_transport;
    callbacks.payload = http;
    FUZZ_CHECK(git_remote_create_anonymous(&remote, site.repo, site.url) == 0);
    int result = git_remote_connect(remote, GIT_DIRECTION_FETCH, &callbacks, NULL, NULL);
    git_remote_free(remote);
    return result;
}

static void run(struct view input)
{
    struct exchange exchange = {input, -1, 0};
    struct githttp http = {.allow_http = true,
                           .bytes_max = BYTES_MAX,
                           .check = serve,
                           .context = &exchange,
                           .peer = {.allow_private = true}};
    int result = ask(&http);
    FUZZ_CHECK(http.received <= BYTES_MAX);
    if (http.peer.error < 0) {
        FUZZ_CHECK(result < 0);
        for (const char *c = http.peer.diag.text; *c != '\0'; c++)
            FUZZ_CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
    }
    if (exchange.fd >= 0)
        close(exchange.fd);
}

/* libcurl's connection has buffers of its own. */
const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 4 * 1024, .heap_base = 2 << 20, .heap_factor = 64};
