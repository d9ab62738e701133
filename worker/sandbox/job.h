/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Job: checks a sandbox_job, and carries it from the worker to the launcher.
 *
 *   job := u32 JOB_MAGIC, text hostname, text work, u32 nlayers, text..., u32 nbinds,
 *          (text source, text target, u32 readonly)..., limits: u32 cores, first_cpu, processes, wall_seconds,
 *          u64 memory, disk, disk_reserve, file, log, tmp, shm, u32 nsteps
 *
 * Environment and steps travel apart (packet.h, "script") and only farm-init reads them.
 */
#ifndef FARM_SANDBOX_JOB_H
#define FARM_SANDBOX_JOB_H

#include "buf.h"
#include "sandbox.h"

/* Texts point into the decoded bytes. */
struct job {
    const char *hostname, *work;
    const char *layers[SANDBOX_LAYERS_MAX];
    size_t nlayers;
    struct sandbox_bind binds[SANDBOX_BINDS_MAX];
    size_t nbinds;
    struct sandbox_limits limits;
    size_t nsteps;
};

/* Every rule a job must keep, with a message that names the field. FARM_E_REFUSED or FARM_E_LIMIT. */
int job_check(const struct sandbox_job *job, struct diag *diag) MUST_USE;
void job_encode(const struct sandbox_job *job, struct buf *ret);
void job_encode_script(const struct sandbox_job *job, struct buf *ret);
/* Strict; 'bytes' must outlive *ret. FARM_E_SYNTAX. */
int job_decode(char *bytes, size_t size, struct job *ret) MUST_USE;

#endif
