/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the agent's files share: agent.c (the loop), agent_talk.c (leases and answers), agent_say.c (messages out), agent_guard.c (what
 * keeps it from taking leases), agent_log.c (the transparency log's witness), agent_trust.c (root and directory).
 */
#ifndef FARM_AGENT_PRIVATE_H
#define FARM_AGENT_PRIVATE_H

#include "agent.h"
#include "alarm.h"
#include "answers.h"
#include "link.h"
#include "lograte.h"
#include "slot.h"
#include "tally.h"
#include "witness.h"

enum {
    AGENT_HEARTBEAT_MS = 5000,    /* until Welcome says otherwise */
    AGENT_HEARTBEAT_MIN_MS = 100, /* whatever it says */
    AGENT_HEARTBEAT_MAX_MS = 60000,
    AGENT_STATUS_MS = 1000,    /* between two writings of status.json */
    AGENT_RESEND_MS = 60000,   /* a result without an acknowledgement is sent again */
    AGENT_REFUSED_MS = 30000,  /* a session that was refused is asked for again */
    AGENT_HELLO_MS = 5000,     /* a Hello without an answer is said again: it may be lost */
    AGENT_FAREWELL_MS = 10000, /* how long a drained worker waits for its last acknowledgements */
    AGENT_LET_GO_MS =
        100, /* acknowledged answers leave the spool together: each time costs two fsyncs, and the loop waits */
    AGENT_SETTLE_MS = 20000, /* how long leases wait for the first look at root and directory */

    AGENT_LOG_SOON_MS = 1000,    /* the coordinator publishes once a second */
    AGENT_LOG_BUSY_MS = 5000,    /* between two looks at the log while answers of ours are not proven */
    AGENT_LOG_IDLE_MS = 60000,   /* and otherwise */
    AGENT_LOG_SILENT_MS = 60000, /* without an answer: asked again */
    AGENT_LOG_DOUBTS = 3,        /* from here on no leases */
    AGENT_LOG_LATE = 4,          /* questions whose answers may still come, from older connections */
    AGENT_LOG_LATE_MS = 600000,  /* for this long after the last of them was given up */

    AGENT_TRUST_MS = 300000,      /* between two looks at root and directory */
    AGENT_TRUST_RETRY_MS = 15000, /* when something was wrong */
    AGENT_TRUST_FETCH_MS = 3000   /* when the directory could not be fetched: a newer one may have come */
};

/* The log's witness, and the question that is under way. */
struct agent_log {
    struct witness witness;
    bool unsaved; /* the witness changed, and the disk does not know */
    bool asked;
    struct witness_ask ask;
    int64_t asked_ms, due_ms;               /* steady clock */
    struct checkpoint late[AGENT_LOG_LATE]; /* kept when a question was asked whose answer never came */
    size_t nlate;
    int64_t late_ms; /* steady clock: when the last of them was given up */
    unsigned doubts; /* answers in a row that prove nothing, or did not come */
    char doubt[TALLY_TEXT_MAX];
    struct checkpoint cosigned; /* last on this connection; origin "": none */
};

struct agent_errand;
struct agent_trust {
    bool asked;
    int64_t asked_ms, due_ms, settle_until_ms; /* steady clock */
    char refusal[TALLY_TEXT_MAX];              /* what is wrong with what the coordinator shows; "" */
    struct agent_errand *errand;               /* the directory is being fetched; NULL: not */
    bool unsaved;
    bool told_silent; /* that the coordinator does not say; once until it does */
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
    int64_t let_go_ms; /* steady clock: when acknowledged answers leave the spool; 0: there are none */
    struct tally tally;
    struct agent_log log;
    struct agent_trust trust;
    struct alarm alarm; /* set: it stands */
    bool alarm_unsaved; /* and is not on disk; tried again */
    /* Why no leases are taken, beside pauses; "". A few words, and one of the texts above. */
    char hindrance[TALLY_TEXT_MAX + 32];
    bool settling;        /* root and directory are still being fetched; leases wait */
    char *bulk_endpoint;  /* NULL until the first Welcome */
    bool welcomed;        /* on this connection */
    struct lograte noise; /* lines of our log that the coordinator's nonsense may fill */
    bool paused_by_owner, paused_by_farm, draining, stopping;
    int64_t drained_ms; /* when the last slot became idle while draining; 0: not yet */
    int exit_status;
    int heartbeat_ms;
    int64_t heartbeat_due_ms, status_due_ms;
    int64_t hello_due_ms; /* while there is no Welcome; 0: not due */
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
/* 'note': the checkpoint that is kept, as it was signed. */
int agent_say_log_ask(struct agent *agent, const struct witness_ask *ask, struct view note);
void agent_say_cosign(struct agent *agent, const struct checkpoint *checkpoint, uint64_t time_s,
                      const struct signature *signature);
int agent_say_trust_ask(struct agent *agent, uint64_t root_version);

/* ---- agent_talk.c ---- */
/* Sends what is uploaded, gives slots what is not; as far as connection and slots allow. */
void agent_move_answers(struct agent *agent, int64_t now_ms);
/* What was acknowledged leaves the spool, once the witness has it on disk. */
void agent_let_go(struct agent *agent);
/* Gives the leases that wait to the slots that are idle. */
void agent_assign(struct agent *agent);
/* Sends back the leases that wait. */
void agent_return_waiting(struct agent *agent, const char *text);
/* One frame from the coordinator. */
/* A message of the coordinator's that is dropped: told in the log, unless there were too many. */
void agent_warn(struct agent *agent, const char *why);
void agent_on_frame(struct agent *agent, struct view frame);
/* One item of another thread; takes it. */
void agent_on_item(struct agent *agent, struct outbox_item *item);

/* ---- agent_guard.c ---- */
/* At start: an alarm of before, and what was kept. */
int agent_guard_load(struct agent *agent, struct diag *diag) MUST_USE;
/* Takes the alarm: written, told, and nothing goes on that it forbids. The first one stands. */
void agent_raise(struct agent *agent, struct alarm *alarm);
/* Looks again at what keeps this worker from taking leases, and says what changed. */
void agent_judge(struct agent *agent, int64_t now_ms);
/* Has the owner cleared the alarm? */
void agent_look_for_clearance(struct agent *agent, int64_t now_ms);

/* ---- agent_log.c ---- */
void agent_log_welcome(struct agent *agent, int64_t now_ms);
/* The connection ended: what was asked may be answered on the next one. */
void agent_log_down(struct agent *agent);
void agent_log_turn(struct agent *agent, int64_t now_ms);
int64_t agent_log_due(const struct agent *agent, int64_t otherwise);
void agent_log_on_answer(struct agent *agent, const Wire__LogAnswer *message, int64_t now_ms);
/* False: the answer has to stay in the spool for now. */
bool agent_log_on_ack(struct agent *agent, const struct spool_entry *entry, const Wire__ResultAck *ack,
                      int64_t now_ms);
/* Another trust root holds from now on. */
void agent_log_on_root(struct agent *agent);
/* True if the disk has everything. */
bool agent_log_save(struct agent *agent);

/* ---- agent_trust.c ---- */
void agent_trust_welcome(struct agent *agent, int64_t now_ms);
void agent_trust_down(struct agent *agent);
void agent_trust_turn(struct agent *agent, int64_t now_ms);
int64_t agent_trust_due(const struct agent *agent, int64_t otherwise);
void agent_trust_on_answer(struct agent *agent, const Wire__TrustAnswer *message, int64_t now_ms);
void agent_trust_on_listing(struct agent *agent, const struct outbox_item *item, int64_t now_ms);

/* ---- agent_errand.c: fetches and reads the directory, on a thread of its own ---- */
int agent_errand_start(const struct agent *agent, const struct digest *directory, struct agent_errand **ret,
                       struct diag *diag) MUST_USE;
/* Ends it, and waits for that, which is at once when it has posted its item. Accepts NULL, returns NULL. */
struct agent_errand *agent_errand_end(struct agent_errand *errand);

#endif
