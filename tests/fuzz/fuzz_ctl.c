/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The control socket: a stranger's bytes through a real Unix socket into the coordinator's ctl.c, in pieces of the input's choice. The
 * table of verbs is the only thing that is replaced, since the real ones need a farm behind them: two that end at once, one that fails,
 * one that is kept until the watchers look.
 */
#include "fuzz.h"

#include "ctl.h"
#include "file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
    struct farm *farm;
    struct sockaddr_un address;
} place;

static void verb_echo(struct farm *farm, struct ctl_request *request)
{
    (void)farm;
    FUZZ_CHECK(json_is_object(ctl_params(request)));
    close(ctl_take_fd(request));
    ctl_progress(request, json_deep_copy(ctl_params(request)));
    ctl_finish(request, 0, json_deep_copy(ctl_params(request)));
}

static void verb_fail(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    (void)farm;
    diag_set(&diag, FARM_E_UNKNOWN, "no \"%s\"",
             ctl_text(request, "a") != NULL ? ctl_text(request, "a") : "");
    ctl_fail(request, FARM_E_UNKNOWN, &diag);
}

static bool poll_kept(struct farm *farm, struct ctl_request *request, void *state)
{
    (void)farm;
    (void)state;
    ctl_item(request, json_object());
    ctl_finish(request, ctl_flag(request, "a"), NULL);
    return false;
}

static void release_kept(void *state)
{
    (void)state;
}

static void verb_keep(struct farm *farm, struct ctl_request *request)
{
    watch_add(farm, request, poll_kept, NULL, release_kept);
}

/* In place of verbs.c. */
const struct ctl_verb_row ctl_verbs[] = {
    {"e", verb_echo}, {"echo", verb_echo}, {"fail", verb_fail}, {"keep", verb_keep}};
const size_t ctl_nverbs = ARRAY_SIZE(ctl_verbs);

static void setup(void)
{
    fuzz_scratch();
    place.farm = mem_zero(1, sizeof *place.farm);
    place.address.sun_family = AF_UNIX;
    snprintf(place.address.sun_path, sizeof place.address.sun_path, "%s/s", fuzz_scratch_path());
}

static int dial(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    FUZZ_CHECK(connect(fd, (struct sockaddr *)&place.address, sizeof place.address) == 0);
    return fd;
}

static void turn(struct ctl *ctl)
{
    struct link_poll_item items[CTL_CLIENTS_MAX + 1];
    size_t count = ctl_poll_items(ctl, items);
    FUZZ_CHECK(link_poll(items, count, 0, NULL) >= 0);
    ctl_handle(place.farm, ctl, items, count);
    watch_poll_all(place.farm);
    ctl_flush(ctl);
}

/* Every answer is a whole frame of the catalogue. */
static void check_answers(int fd)
{
    CLEANUP_BUF struct buf stream = BUF_INIT;
    ssize_t got;
    while ((got = recv(fd, buf_room(&stream, 65536), 65536, 0)) > 0)
        stream.size += (size_t)got;
    struct view rest = buf_view(&stream), frame;
    struct diag diag = DIAG_INIT;
    int more;
    while ((more = wire_take_prefixed(WIRE_TO_CTL, rest, &frame, &diag)) > 0) {
        struct wire_message *message = NULL;
        FUZZ_OK(wire_decode(WIRE_TO_CTL, frame, &message, &diag), &diag);
        wire_free(message);
        rest = view_of(rest.data + WIRE_CTL_PREFIX + frame.size, rest.size - WIRE_CTL_PREFIX - frame.size);
    }
    FUZZ_CHECK(more == 0 && rest.size == 0);
}

/* The first byte cuts the stream into pieces; 0 sends it whole. */
static void talk(struct ctl *ctl, int fd, struct view input)
{
    size_t piece = fuzz_take_byte(&input);
    while (input.size > 0) {
        size_t size = piece == 0 || piece * 16 > input.size ? input.size : piece * 16;
        ssize_t sent = send(fd, input.data, size, MSG_NOSIGNAL);
        if (sent <= 0) /* hung up on us, or is behind */
            break;
        input = view_of(input.data + sent, input.size - (size_t)sent);
        turn(ctl);
    }
}

static void run(struct view input)
{
    struct diag diag = DIAG_INIT;
    FUZZ_OK(ctl_new(place.farm, place.address.sun_path, &place.farm->ctl, &diag), &diag);
    int fd = dial();
    turn(place.farm->ctl);
    talk(place.farm->ctl, fd, input);
    turn(place.farm->ctl);
    check_answers(fd);
    close(fd);
    turn(place.farm->ctl);
    turn(place.farm->ctl);
    place.farm->ctl = ctl_free(place.farm->ctl);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 16 * 1024, .heap_base = 4 << 20, .heap_factor = 256};
