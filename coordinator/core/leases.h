/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Leases: attempts. One is live until it is answered, refused, expired or withdrawn, and stays known as long as its job, since a
 * late answer is still an observation (of one that was forgotten, the driver feeds the past first).
 *
 * Trouble is what the retry rules count: an infrastructure failure, a refusal, an overrun deadline, a lease that its
 * worker forgot. Expiry because the worker was out of reach is none (a bad network says nothing about the job) until
 * the worker is back and turns out to have forgotten it.
 */
#ifndef FARM_CORE_LEASES_H
#define FARM_CORE_LEASES_H

#include "state.h"

void leases_grant(struct core *core, struct job *job, struct worker *worker);
/* A live lease ends. 'text' (copied, NULL allowed) says why; 'trouble' as above. Emits CORE_LEASE_ENDED. */
void leases_end(struct core *core, struct lease *lease, enum lease_state state, const char *text,
                bool trouble);
/* An expired lease that its worker kept on working on does not occupy it any more. */
void leases_stop_lingering(struct core *core, struct lease *lease);
/* The worker said which leases it works on: the others it forgot. */
void leases_present(struct core *core, struct worker *worker, const struct core_nonce *nonces, size_t n);
/* Its worker has been gone too long: live leases pass on. */
void leases_lose(struct core *core, struct worker *worker, const char *text);
/* All live leases of the worker, or of the job, end. */
void leases_withdraw_worker(struct core *core, struct worker *worker, const char *text);
void leases_withdraw_job(struct core *core, struct job *job, const char *text);
/* The operator of 'answered' needs no further lease on its job in that round. */
void leases_withdraw_rest(struct core *core, const struct lease *answered, const char *text);
/* Its operator's machine has failed; not asked again for a while. */
void leases_set_trouble(struct core *core, struct lease *lease);
void leases_on_timer(struct core *core, struct lease *lease, enum timer_kind kind);

/* From the past. Finds or makes the lease; emits CORE_LEASE_ENDED if it was live and cannot be any more. */
struct lease *leases_restore(struct core *core, struct job *job, const struct core_past_lease *past);
/* What restored leases occupy is known only when the first node has the key. */
void leases_charge_past(struct job *job, const struct demand *demand);

struct lease *leases_find(const struct core *core, const struct core_nonce *nonce);
struct core_lease leases_view(const struct lease *lease);
void leases_free(struct lease *lease);
/* Somebody is at the job: a live lease, or a lingering one. */
bool leases_have_worker(const struct job *job);
/* Its job is being forgotten, and its worker is not at it: out of all lists, and freed. */
void leases_forget(struct core *core, struct lease *lease);
/* How long an operator rests from a job after its n-th trouble with it. */
int64_t leases_retry_delay(uint32_t troubles);

#endif
