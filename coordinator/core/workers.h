/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Workers and operators: who there is, who is free. Free workers stand in one of two pools (anchors and others),
 * arrays from which one is drawn in constant time. A worker that may take more than before is "touched": the
 * scheduler offers it what waits, and nobody else needs to be offered it (ready.h).
 */
#ifndef FARM_CORE_WORKERS_H
#define FARM_CORE_WORKERS_H

#include "state.h"

struct worker *workers_find(const struct core *core, const char *name);
struct operator* workers_operator(const struct core *core, const char *name);
/* Makes it (not admitted) if it is new: the past may name workers that are gone. */
struct worker *workers_obtain(struct core *core, const char *name, const char *operator_name);
void workers_free(struct worker *worker);
void workers_free_operator(struct operator* operator);

int workers_admit(struct core *core, const struct core_worker *facts, struct diag *diag);
void workers_revoke(struct core *core, struct worker *worker);
void workers_online(struct core *core, struct worker *worker, const struct core_event *event);
void workers_offline(struct core *core, struct worker *worker);
void workers_pause(struct core *core, struct worker *worker, bool paused);
/* An offline worker has leases from the past: they pass on if it does not come back. */
void workers_expect(struct core *core, struct worker *worker);
/* A refused lease or an infrastructure failure; after several in a row it rests. */
void workers_trouble(struct core *core, struct worker *worker);
/* Somebody looked, and asks for work to go on. */
void workers_end_rests(struct core *core);
void workers_on_timer(struct core *core, struct worker *worker, enum timer_kind kind);

/* Without an effect: whoever decides it tells it. */
void workers_flag(struct core *core, struct operator* operator, const char * text);
void workers_clear(struct core *core, struct operator* operator);

/* Puts it in, or takes it out of, its pool. */
void workers_update(struct core *core, struct worker *worker);
/* As workers_update(), and what waits is to be offered to it. */
void workers_touch(struct core *core, struct worker *worker);
void workers_charge(struct worker *worker, const struct demand *demand, int sign);
/* Slots that are taken, as far as anybody knows. */
uint32_t workers_taken_slots(const struct worker *worker);
/* It does not work on this unknown nonce any more, or it is unknown no longer. True if it was presented. */
bool workers_forget_presented(struct core *core, struct worker *worker, const struct core_nonce *nonce);
bool workers_is_available(const struct core *core, const struct worker *worker); /* whatever it is doing */
bool workers_is_free(const struct core *core, const struct worker *worker);
/*
 * Whether the demand fits what is left. Memory and disk must. Cores must too, unless the machine is idle: a job that
 * would like more cores than the machine has runs there alone, slower; refusing it would leave small farms stuck.
 */
bool workers_fits(const struct worker *worker, const struct demand *demand);
/* Whether it would fit if the worker did nothing else. */
bool workers_could_fit(const struct worker *worker, const struct demand *demand);

#endif
