/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "slot_table.h"

#include <assert.h>

static const char *const state_names[SLOT_STATES] = {
    [SLOT_IDLE] = "idle",       [SLOT_PREPARE] = "prepare", [SLOT_RUN] = "run",
    [SLOT_COLLECT] = "collect", [SLOT_REPORT] = "report",
};
static const char *const event_names[SLOT_EVENTS] = {
    [SLOT_ASSIGN] = "assign",       [SLOT_REPLAY] = "replay",   [SLOT_PREPARED] = "prepared",
    [SLOT_REFUSED] = "refused",     [SLOT_ENDED] = "ended",     [SLOT_COLLECTED] = "collected",
    [SLOT_DELIVERED] = "delivered", [SLOT_ABANDON] = "abandon",
};

/* A cell holds the next state plus one, so that what is not written here is 0: illegal. */
#define TO(state) ((state) + 1)
static const unsigned char next[SLOT_STATES][SLOT_EVENTS] = {
    [SLOT_IDLE] =
        {[SLOT_ASSIGN] = TO(SLOT_PREPARE), [SLOT_REPLAY] = TO(SLOT_REPORT), [SLOT_ABANDON] = TO(SLOT_IDLE)},
    [SLOT_PREPARE] = {[SLOT_PREPARED] = TO(SLOT_RUN),
                      [SLOT_REFUSED] = TO(SLOT_IDLE),
                      [SLOT_ENDED] = TO(SLOT_COLLECT),
                      [SLOT_ABANDON] = TO(SLOT_IDLE)},
    [SLOT_RUN] = {[SLOT_ENDED] = TO(SLOT_COLLECT), [SLOT_ABANDON] = TO(SLOT_IDLE)},
    [SLOT_COLLECT] = {[SLOT_COLLECTED] = TO(SLOT_REPORT), [SLOT_ABANDON] = TO(SLOT_IDLE)},
    [SLOT_REPORT] = {[SLOT_DELIVERED] = TO(SLOT_IDLE), [SLOT_ABANDON] = TO(SLOT_IDLE)},
};

const char *slot_state_name(enum slot_state state)
{
    return state_names[state];
}

const char *slot_event_name(enum slot_event event)
{
    return event_names[event];
}

int slot_machine_feed(struct slot_machine *machine, enum slot_event event, struct diag *diag)
{
    assert((unsigned)machine->state < SLOT_STATES && (unsigned)event < SLOT_EVENTS);
    unsigned char cell = next[machine->state][event];
    if (cell == 0) {
        machine->illegal++;
        return diag_set(diag, FARM_E_STATE, "event \"%s\" in state \"%s\" is illegal and was ignored",
                        slot_event_name(event), slot_state_name(machine->state));
    }
    machine->state = (enum slot_state)(cell - 1);
    return 0;
}
