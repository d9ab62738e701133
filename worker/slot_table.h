/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The agent's state machine, one per slot, as a table: actions[state][event]. An empty cell is an illegal
 * event: it changes nothing, is counted, and whoever drives the machine logs it.
 *
 *                ASSIGN   REPLAY   PREPARED  REFUSED  ENDED    COLLECTED  DELIVERED  ABANDON
 *     idle       prepare  report   -         -        -        -          -          idle
 *     prepare    -        -        run       idle     collect  -          -          idle
 *     run        -        -        -         -        collect  -          -          idle
 *     collect    -        -        -         -        -        report     -          idle
 *     report     -        -        -         -        -        -          idle       idle
 *
 * ASSIGN: a lease arrived. REPLAY: an answer of an earlier run of the worker is to be delivered. PREPARED:
 * inputs and root are there. REFUSED: the lease was given back. ENDED: the build is over, well or badly (from
 * prepare: the inputs themselves make a build impossible, which is an answer too). COLLECTED: the answer is
 * signed and in the spool. DELIVERED: its objects are uploaded and it is on its way. ABANDON: cancelled, or
 * the worker stops; the slot lets go.
 *
 * Pure: no thread, no clock.
 */
#ifndef FARM_SLOT_TABLE_H
#define FARM_SLOT_TABLE_H

#include "diag.h"

enum slot_state { SLOT_IDLE, SLOT_PREPARE, SLOT_RUN, SLOT_COLLECT, SLOT_REPORT };
enum { SLOT_STATES = SLOT_REPORT + 1 };

enum slot_event {
    SLOT_ASSIGN,
    SLOT_REPLAY,
    SLOT_PREPARED,
    SLOT_REFUSED,
    SLOT_ENDED,
    SLOT_COLLECTED,
    SLOT_DELIVERED,
    SLOT_ABANDON
};
enum { SLOT_EVENTS = SLOT_ABANDON + 1 };

struct slot_machine {
    enum slot_state state;
    uint64_t illegal; /* events that had no cell */
};

/* FARM_E_STATE, with what came when, if the cell is empty. */
int slot_machine_feed(struct slot_machine *machine, enum slot_event event, struct diag *diag) MUST_USE;
const char *slot_state_name(enum slot_state state);
const char *slot_event_name(enum slot_event event);

#endif
