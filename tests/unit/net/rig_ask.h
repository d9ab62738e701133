/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asking a coordinator in this process (farm_rig.h) over its control socket, as farmctl does. */
#ifndef FARM_RIG_ASK_H
#define FARM_RIG_ASK_H

#include "farm_rig.h"

struct rig_reply {
    int status;
    char *error;
    json_t *body; /* of the final reply */
    json_t *progress;
};

struct rig_asking {
    struct rig *rig;
    int fd;
    struct buf in;
};

/* A whole request: turns of the loop until the final reply. Takes the params over. The reply is the caller's. */
struct rig_reply rig_ask(struct rig *rig, const char *verb, json_t *params);
void rig_reply_done(struct rig_reply *reply);

/* The same in two parts, for what happens in between. */
struct rig_asking rig_ask_begin(struct rig *rig, const char *verb, json_t *params);
struct rig_reply rig_ask_end(struct rig_asking *asking);
/* What the control socket wants, and nothing else: no work is done, nothing is committed. */
void rig_ctl_turn(struct rig *rig);

#endif
