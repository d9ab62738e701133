/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Answers: what the main thread knows of results that the coordinator has not acknowledged. The spool is the
 * truth on disk; this is how far each has come: waiting for its upload, being uploaded by a slot, uploaded,
 * sent, acknowledged (and about to leave the spool).
 */
#ifndef FARM_ANSWERS_H
#define FARM_ANSWERS_H

#include "spool.h"

enum answer_stage { ANSWER_KEPT, ANSWER_UPLOADING, ANSWER_UPLOADED, ANSWER_SENT, ANSWER_ACKNOWLEDGED };

struct answer {
    struct spool_entry *entry; /* owned */
    enum answer_stage stage;
    int64_t sent_ms;  /* steady clock; when ANSWER_SENT */
    bool asked_again; /* the coordinator has asked for its files once more already */
};

struct answers {
    struct answer *items;
    size_t count, capacity;
};
#define ANSWERS_INIT                                                                                         \
    {                                                                                                        \
        0                                                                                                    \
    }

void answers_done(struct answers *answers);
/* Takes the entry. */
void answers_add(struct answers *answers, struct spool_entry *entry, enum answer_stage stage);
/* Borrowed until the next change; NULL if there is none. */
struct answer *answers_find(struct answers *answers, const struct lease_nonce *nonce);
/* The first in this stage; NULL if there is none. */
struct answer *answers_first(struct answers *answers, enum answer_stage stage);
void answers_remove(struct answers *answers, struct answer *answer);
/* After a new connection everything that was uploaded is to be sent (again). */
void answers_resend(struct answers *answers);
/* The same for what was sent before 'before_ms' and never acknowledged. */
void answers_resend_older(struct answers *answers, int64_t before_ms);

#endif
