/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * githttp: git's own server program behind a small HTTP server of ours on loopback, and a server that misbehaves.
 */
#include "githttp.h"

#include "file.h"
#include "gitpin_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum manner {
    HONEST,   /* git-http-backend */
    MOVED,    /* somewhere else */
    DUMB,     /* a web page */
    MISSING,  /* 404 */
    SILENT,   /* takes the request, and says nothing */
    ENDLESS,  /* refs without end */
    CUT,      /* ends in the middle of the refs */
    SCREAMING /* a pack that is noise */
};

struct site {
    char *directory;
    enum manner manner;
    int listener, stop[2], port;
    bool has_git; /* and git-http-backend */
    atomic_int requests;
    pthread_t thread;
};

static void must(int r, const struct diag *diag)
{
    if (r < 0)
        fail_msg("%s", diag_text(diag, r));
}

/* ---- the server ---- */

struct request {
    char method[8], path[256], query[256], type[128];
    size_t body;        /* announced */
    struct buf arrived; /* of it */
};

static bool read_request(int fd, struct request *ret)
{
    char head[8192];
    size_t size = 0;
    char *end = NULL;
    ssize_t n;
    while (end == NULL && size < sizeof head - 1 && (n = read(fd, head + size, sizeof head - 1 - size)) > 0) {
        size += (size_t)n;
        head[size] = '\0';
        end = strstr(head, "\r\n\r\n");
    }
    if (end == NULL || sscanf(head, "%7s %255[^? ]", ret->method, ret->path) != 2)
        return false;
    const char *query = strchr(head, '?'), *line_end = strstr(head, "\r\n");
    if (query != NULL && query < line_end)
        sscanf(query, "?%255[^ ]", ret->query);
    const char *type = strstr(head, "Content-Type: "), *length = strstr(head, "Content-Length: ");
    if (type != NULL)
        sscanf(type, "Content-Type: %127[^\r]", ret->type);
    if (length != NULL)
        sscanf(length, "Content-Length: %zu", &ret->body);
    buf_add(&ret->arrived, end + 4, size - (size_t)(end + 4 - head));
    while (ret->arrived.size < ret->body && (n = read(fd, buf_room(&ret->arrived, 4096), 4096)) > 0)
        ret->arrived.size += (size_t)n;
    return true;
}

static void send_text(int fd, const char *text)
{
    (void)!file_write_all(fd, text, strlen(text));
}

/* A CGI program: environment in, "Status:" and headers out. */
static void run_backend(const struct site *site, int fd, const struct request *request)
{
    int to[2], from[2];
    char chunk[65536];
    ssize_t n;
    assert_int_equal(pipe2(to, O_CLOEXEC) + pipe2(from, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        CLEANUP_FREE char *length = mem_format("%zu", request->body);
        setenv("GIT_PROJECT_ROOT", site->directory, 1);
        setenv("GIT_HTTP_EXPORT_ALL", "1", 1);
        setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
        setenv("PATH_INFO", request->path, 1);
        setenv("REQUEST_METHOD", request->method, 1);
        setenv("QUERY_STRING", request->query, 1);
        setenv("CONTENT_TYPE", request->type, 1);
        setenv("CONTENT_LENGTH", length, 1);
        execlp("git", "git", "-c", "safe.directory=*", "http-backend", (char *)NULL);
        _exit(1);
    }
    close(to[0]);
    close(from[1]);
    (void)!file_write_all(to[1], request->arrived.data, request->arrived.size); /* small: fits the pipe */
    close(to[1]);
    send_text(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n");
    while ((n = read(from[0], chunk, sizeof chunk)) > 0)
        if (file_write_all(fd, chunk, (size_t)n) < 0)
            break;
    close(from[0]);
    waitpid(child, NULL, 0);
}

#define GIT_ANSWER(kind)                                                                                     \
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/x-git-upload-pack-" kind "\r\n\r\n"
#define SERVICE "001e# service=git-upload-pack\n0000"

static void endless_refs(int fd)
{
    send_text(fd, GIT_ANSWER("advertisement") SERVICE);
    for (int i = 0; i < 1000000; i++) {
        CLEANUP_FREE char *line =
            mem_format("1111111111111111111111111111111111111111 refs/heads/branch-%08d\n", i);
        CLEANUP_FREE char *packet = mem_format("%04zx%s", strlen(line) + 4, line);
        if (file_write_all(fd, packet, strlen(packet)) < 0)
            return;
    }
}

static void noise(int fd)
{
    char junk[4096];
    memset(junk, 'x', sizeof junk);
    send_text(fd, GIT_ANSWER("result") "0008NAK\n");
    for (int i = 0; i < 1000; i++)
        if (file_write_all(fd, junk, sizeof junk) < 0)
            return;
}

static void wait_for_hangup(const struct site *site, int fd)
{
    struct pollfd fds[] = {{fd, POLLIN, 0}, {site->stop[0], POLLIN, 0}};
    (void)poll(fds, 2, 20000);
}

static void answer(struct site *site, int fd, const struct request *request)
{
    bool lists = strstr(request->path, "/info/refs") != NULL;
    switch (site->manner) {
    case HONEST:
        run_backend(site, fd, request);
        break;
    case MOVED:
        send_text(fd, "HTTP/1.1 301 Moved Permanently\r\nLocation: https://elsewhere.example/repo\r\n"
                      "Content-Length: 0\r\nConnection: close\r\n\r\n");
        break;
    case DUMB:
        send_text(fd,
                  "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n"
                  "\r\nhello");
        break;
    case MISSING:
        send_text(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        break;
    case SILENT:
        wait_for_hangup(site, fd);
        break;
    case ENDLESS:
        endless_refs(fd);
        break;
    case CUT:
        send_text(fd, GIT_ANSWER("advertisement") SERVICE "00ff1111111111");
        break;
    case SCREAMING:
        if (lists)
            run_backend(site, fd, request);
        else
            noise(fd);
        break;
    }
}

static void *serve(void *argument)
{
    struct site *site = argument;
    for (;;) {
        struct pollfd fds[] = {{site->listener, POLLIN, 0}, {site->stop[0], POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 || fds[1].revents != 0)
            return NULL;
        int fd = accept4(site->listener, NULL, NULL, SOCK_CLOEXEC);
        struct request request = {.body = 0};
        atomic_fetch_add(&site->requests, 1);
        if (read_request(fd, &request))
            answer(site, fd, &request);
        buf_done(&request.arrived);
        shutdown(fd, SHUT_RDWR);
        close(fd);
    }
}

/* ---- a repository with two commits ---- */

static bool run_git(const char *directory, const char *script, char *ret_line, size_t size)
{
    CLEANUP_FREE char *command =
        mem_format("cd '%s' && export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a "
                   "GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; { %s; } 2>/dev/null",
                   directory, script);
    FILE *out = popen(command, "r");
    bool good = fgets(ret_line, (int)size, out) != NULL;
    ret_line[strcspn(ret_line, "\n")] = '\0';
    return pclose(out) == 0 && good;
}

static char first[65], second[65];

static int setup(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct site *site = mem_zero(1, sizeof *site);
    struct diag diag = DIAG_INIT;
    char template[] = "/tmp/farm-test-githttp.XXXXXX", line[128];
    signal(SIGPIPE, SIG_IGN); /* the client hangs up in the middle of an answer */
    must(gitpin_setup(&diag), &diag);
    site->directory = mem_string(mkdtemp(template));
    site->has_git =
        run_git(site->directory,
                "git init -q -b main repo && cd repo && seq 5000 >numbers && git add . && git commit -q -m "
                "one && "
                "git rev-parse HEAD",
                first, sizeof first) &&
        run_git(site->directory,
                "cd repo && seq 9000 >numbers && git commit -q -a -m two && git rev-parse HEAD", second,
                sizeof second) &&
        run_git(site->directory, "test -x \"$(git --exec-path)/git-http-backend\" && echo yes", line,
                sizeof line);
    site->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(site->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(site->listener, 8), 0);
    assert_int_equal(getsockname(site->listener, (struct sockaddr *)&address, &size), 0);
    site->port = ntohs(address.sin_port);
    assert_int_equal(pipe2(site->stop, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&site->thread, NULL, serve, site), 0);
    *state = site;
    return 0;
}

static int teardown(void **state)
{
    struct site *site = *state;
    assert_int_equal(write(site->stop[1], "x", 1), 1);
    pthread_join(site->thread, NULL);
    close(site->listener);
    close(site->stop[0]);
    close(site->stop[1]);
    int r = file_remove_tree(AT_FDCWD, site->directory, NULL);
    free(site->directory);
    free(site);
    return r;
}

static struct site *ready(void **state)
{
    struct site *site = *state;
    if (!site->has_git) {
        print_message("skipped: git with git-http-backend is not installed\n");
        skip();
    }
    return site;
}

/* ---- fetching ---- */

static int new_transport(git_transport **ret, git_remote *remote, void *http)
{
    return githttp_transport(ret, remote, http);
}

/* All heads of the site into <directory>/copy, as gitpin_fetch.c does it. */
static int fetch(struct site *site, const char *host, struct githttp *http)
{
    CLEANUP_FREE char *url = mem_format("http://%s:%d/repo", host, site->port);
    CLEANUP_FREE char *path = mem_format("%s/copy", site->directory);
    char spec[] = "+refs/heads/*:refs/heads/*", *specs[] = {spec};
    const git_strarray list = {specs, 1};
    git_fetch_options options;
    git_repository *raw = NULL;
    git_remote *remote = NULL;
    struct gitrepo *repo = NULL;
    struct diag diag = DIAG_INIT;
    git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
    options.callbacks.transport = new_transport;
    options.callbacks.payload = http;
    options.update_fetchhead = 0;
    assert_int_equal(git_repository_init(&raw, path, 1), 0);
    must(gitrepo_adopt(raw, &repo, &diag), &diag);
    assert_int_equal(git_remote_create_anonymous(&remote, repo->repo, url), 0);
    int r = git_remote_fetch(remote, &list, &options, NULL);
    git_remote_free(remote);
    gitrepo_close(repo);
    return r;
}

static struct githttp open_to_tests(void)
{
    return (struct githttp){.allow_http = true, .bytes_max = 1 << 20, .peer = {.allow_private = true}};
}

static void expect_there(const struct site *site, const char *commit, bool there)
{
    CLEANUP_FREE char *path = mem_format("%s/copy", site->directory);
    struct gitrepo *repo = NULL;
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    must(gitrepo_open(path, &repo, &diag), &diag);
    int r = gitrepo_inspect(repo, commit, GITPIN_LIMITS, &info, &diag);
    gitrepo_close(repo);
    assert_int_equal(r, there ? 0 : FARM_E_MISSING);
}

static void an_honest_server_is_fetched_from(void **state)
{
    struct site *site = ready(state);
    struct githttp http = open_to_tests();
    char line[128];
    assert_true(run_git(site->directory, "cd repo && git update-ref refs/heads/main HEAD~1 && echo moved",
                        line, sizeof line));
    assert_int_equal(fetch(site, "127.0.0.1", &http), 0);
    expect_there(site, first, true);
    expect_there(site, second, false);
    /* Again, with what is new alone: a negotiation of two requests. */
    CLEANUP_FREE char *forth =
        mem_format("cd repo && git update-ref refs/heads/main %s && echo moved", second);
    assert_true(run_git(site->directory, forth, line, sizeof line));
    uint64_t before = http.received;
    assert_true(before > 0);
    assert_int_equal(fetch(site, "127.0.0.1", &http), 0);
    expect_there(site, second, true);
    assert_true(http.received > before);
}

static void expect_failure(struct site *site, enum manner manner, struct githttp *http, int error,
                           const char *says)
{
    site->manner = manner;
    int r = fetch(site, "127.0.0.1", http);
    if (r >= 0 || http->peer.error != error || strstr(http->peer.diag.text, says) == NULL)
        fail_msg("manner %d: %d %d \"%s\" instead of %d \"%s\"", (int)manner, r, http->peer.error,
                 http->peer.diag.text, error, says);
}

static void what_servers_do_wrong_is_said(void **state)
{
    static const struct {
        enum manner manner;
        int error;
        const char *says;
    } cases[] = {{MOVED, FARM_E_REFUSED, "https://elsewhere.example/repo"},
                 {DUMB, FARM_E_UNAVAILABLE, "text/html"},
                 {MISSING, FARM_E_UNAVAILABLE, "404"},
                 {ENDLESS, FARM_E_LIMIT, "1048576"}};
    struct site *site = ready(state);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct githttp http = open_to_tests();
        expect_failure(site, cases[i].manner, &http, cases[i].error, cases[i].says);
    }
}

static void half_an_answer_is_none(void **state)
{
    struct site *site = ready(state);
    for (int i = 0; i < 2; i++) {
        struct githttp http = open_to_tests();
        site->manner = i == 0 ? CUT : SCREAMING;
        assert_true(fetch(site, "127.0.0.1", &http) < 0);
        expect_there(site, second, false);
    }
}

static int give_up(void *context, struct diag *diag)
{
    int *asked = context;
    return ++*asked > 3 ? diag_set(diag, FARM_E_TIMEOUT, "asked %d times", *asked) : 0;
}

static void a_silent_server_is_given_up(void **state)
{
    struct site *site = ready(state);
    struct githttp http = open_to_tests();
    int asked = 0;
    http.check = give_up;
    http.context = &asked;
    expect_failure(site, SILENT, &http, FARM_E_TIMEOUT, "asked 4 times");
}

/*
 * K8: the address is looked at when the connection is made. A name that was public when it was looked at before, and leads here
 * now, is this case: nothing but the last look stands between.
 */
static void k8_a_name_that_changed_its_mind_is_refused(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "127.1", "0.0.0.0", "[::ffff:127.0.0.1]"};
    struct site *site = ready(state);
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        struct githttp http = open_to_tests();
        http.peer.allow_private = false;
        int r = fetch(site, hosts[i], &http);
        if (r >= 0 || http.peer.error != FARM_E_REFUSED ||
            strstr(http.peer.diag.text, "private or local") == NULL)
            fail_msg("%s: %d %d %s", hosts[i], r, http.peer.error, http.peer.diag.text);
    }
    assert_int_equal(site->requests, 0);
}

/* G9 */
static void g9_plain_http_is_no_way(void **state)
{
    struct site *site = ready(state);
    struct githttp http = open_to_tests();
    http.allow_http = false;
    assert_true(fetch(site, "127.0.0.1", &http) < 0);
    assert_int_equal(http.peer.error, FARM_E_REFUSED);
    assert_int_equal(site->requests, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_honest_server_is_fetched_from),
        TEST(what_servers_do_wrong_is_said),
        TEST(half_an_answer_is_none),
        TEST(a_silent_server_is_given_up),
        TEST(k8_a_name_that_changed_its_mind_is_refused),
        TEST(g9_plain_http_is_no_way),
    };
    return cmocka_run_group_tests_name("githttp", tests, NULL, NULL);
}
