/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What agent.c (the loop) and agent_talk.c (the messages) share.
 */
#ifndef FARM_AGENT_PRIVATE_H
#define FARM_AGENT_PRIVATE_H

#include "agent.h"
#include "answers.h"
#include "link.h"
#include "slot.h"
#include "tally.h"

enum {
    AGENT_HEARTBEAT_MS = 5000,    /* until Welcome says otherwise */
    AGENT_HEARTBEAT_MIN_MS = 100, /* whatever it says */
    AGENT_HEARTBEAT_MAX_MS = 60000,
    AGENT_STATUS_MS = 1000,   /* between two writings of status.json */
    AGENT_RESEND_MS = 60000,  /* a result without an acknowledgement is sent again */
    AGENT_REFUSED_MS = 30000, /* a session that was refused is asked for again */
    AGENT_FAREWELL_MS = 10000 /* how long a drained worker waits for its last acknowledgements */
};

struct agent {
    struct workshop *shop;
    int signal_fd; /* borrowed */
    struct link_client *link;
    struct outbox *outbox;
    struct slot **slots;
    bool *idle; /* by slot: it has said so and was given nothing since */
    size_t nslots;
    /*
     * Leases that came while their slot still cleared away what it had answered already: the coordinator
     * counts a slot as free from its answer on. At most one for each slot.
     */
    struct lease **waiting;
    size_t nwaiting;
    struct answers answers;
    struct tally tally;
    char *bulk_endpoint; /* NULL until the first Welcome */
    bool welcomed;       /* on this connection */
    bool paused_by_owner, paused_by_farm, draining, stopping;
    int64_t drained_ms; /* when the last slot became idle while draining; 0: not yet */
    int exit_status;
    int heartbeat_ms;
    int64_t heartbeat_due_ms, status_due_ms;
    int64_t hello_due_ms; /* after Refused; 0: not due */
    bool status_changed;
    char connection[TALLY_TEXT_MAX];
};

size_t agent_free_slots(const struct agent *agent);
bool agent_is_paused(const struct agent *agent);
/* Says pause and drain to the coordinator and to status.json. */
void agent_mode_changed(struct agent *agent, const char *text);

/* ---- agent_say.c: sent at once, or not at all ---- */
void agent_say_hello(struct agent *agent);
void agent_say_heartbeat(struct agent *agent);
void agent_say_status(struct agent *agent, const char *text);
void agent_say_goodbye(struct agent *agent, const char *reason);
void agent_refuse(struct agent *agent, const struct lease_nonce *nonce, enum wire_refuse_reason reason,
                  const char *text);
/* Negative if it was not sent. */
int agent_send_answer(struct agent *agent, const struct spool_entry *entry);

/* ---- agent_talk.c ---- */
/* Sends what is uploaded, gives slots what is not; as far as connection and slots allow. */
void agent_move_answers(struct agent *agent, int64_t now_ms);
/* Gives the leases that wait to the slots that are idle. */
void agent_assign(struct agent *agent);
/* Sends back the leases that wait. */
void agent_return_waiting(struct agent *agent, const char *text);
/* One frame from the coordinator. */
void agent_on_frame(struct agent *agent, struct view frame);
/* One note from a slot; takes it. */
void agent_on_note(struct agent *agent, struct note *note);

#endif
