/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A synthetic farm for figures: a state directory with a trust root, as many admitted workers and as many packages as are asked
 * for, and a real farm-coordinator on it, in a process of its own. Whoever measures plays the workers (bench_crowd.h).
 *
 * The packages have no sources, and one small file each. What their builds would give is made beforehand, so that a worker only has
 * to sign: manifest and tar of each job are computed as an honest build would, and lie in the farm's store already, or
 * (uploads) in memory for whoever wants to send them.
 */
#ifndef FARM_BENCH_FARM_H
#define FARM_BENCH_FARM_H

#include "farm.h"
#include "join.h"

#include <sys/types.h>

enum { BENCH_SECRET_SIZE = 64 /* Ed25519: seed and public key, as libsodium keeps it */ };

struct bench_farm_options {
    const char *dir; /* where the state directory is made; NULL: /tmp */
    size_t workers, operators, jobs;
    uint32_t quorum;  /* half of the operators are anchors; one anchor must be among those that agree */
    bool chained;     /* every second package is built with the one before it */
    bool uploads;     /* the outputs are not in the farm yet */
    const char *conf; /* further lines of farm.conf; may be NULL */
};

struct bench_worker {
    char name[48], operator_name[24];
    unsigned char secret[BENCH_SECRET_SIZE];
    unsigned char curve_secret[LINK_KEY_SIZE], curve_public[LINK_KEY_SIZE];
};

/* An object that a worker sends: its name, and the bytes as they are stored. */
struct bench_object {
    struct digest digest;
    struct buf stored;
};
enum { BENCH_MANIFEST, BENCH_TAR, BENCH_LOG, BENCH_OBJECTS };

struct bench_job {
    struct digest key, output[BENCH_OBJECTS];
    struct bench_object *objects; /* BENCH_OBJECTS of them, with uploads; else NULL */
};

struct bench_farm {
    struct bench_farm_options options;
    char path[96]; /* the state directory, and all else */
    int dirfd;
    struct bench_worker *workers;
    struct bench_job *jobs; /* by the number in the package's name */
    struct tree_pin pin;
    struct digest base, plan;
    struct join join; /* of the running coordinator */
    pid_t pid;        /* 0: none runs */
};

/* Exits with a message if something cannot be made: a benchmark has nothing else to do then. */
struct bench_farm *bench_farm_new(const struct bench_farm_options *options);
/* Stops what runs and removes the directory. */
struct bench_farm *bench_farm_free(struct bench_farm *farm);

/* Runs the farm-coordinator of this build, until it says where it listens. */
void bench_farm_start(struct bench_farm *farm);
/* Ends it as an operator would, and checks that it ended well. */
void bench_farm_stop(struct bench_farm *farm);
/* "farmctl build" of the plan. */
void bench_farm_build(const struct bench_farm *farm);

/* Of the running coordinator: processor seconds of all its threads; resident bytes now, and at most so far. */
double bench_farm_cpu(const struct bench_farm *farm);
uint64_t bench_farm_resident(const struct bench_farm *farm);
uint64_t bench_farm_resident_peak(const struct bench_farm *farm);
/* Waits until the coordinator has nothing to do, as its processor time shows; at most so long. */
void bench_farm_settle(const struct bench_farm *farm, double limit_s);

/* The number of a package of ours, from "extra/p000123" or "p000123". Exits for other names. */
size_t bench_farm_job(const struct bench_farm *farm, const char *node);
/* Its name, "p000123". */
struct bench_job_name {
    char text[24];
};
struct bench_job_name bench_farm_job_name(size_t job);

/* Ends the program with a message, if the result is an error. */
void bench_must(int result, const struct diag *diag);
/* Makes room for so many descriptors, in this process and those that it starts; false if that is not allowed. */
bool bench_raise_descriptors(size_t count);

#endif
