/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Between the calls and the model of the disk. All of it is called with the calls' lock held, and with the thread marked as inside. */
#ifndef FARM_FAULT_PRIVATE_H
#define FARM_FAULT_PRIVATE_H

#include "fault.h"

#include <stddef.h>

/* A name in a directory; the path only for people. */
struct power_place {
    int dirfd; /* O_PATH, owned by whoever has it */
    dev_t device;
    ino_t directory;
    char name[256];
};

/* 'attic': an empty directory on the same file system, not below the one that counts. */
void power_begin(int attic);
/* Bytes [offset, offset + size) are about to be written, or everything from offset on to be cut off (size UINT64_MAX). */
void power_keep(int fd, uint64_t offset, uint64_t size);
/* It has happened. Takes the place over, as all of these do. */
void power_made(struct power_place place, bool directory);
/* Before something is removed from here, or replaced by a rename: keeps it. */
void power_removing(const struct power_place *place);
void power_removed(struct power_place place, bool directory, bool happened);
void power_renamed(struct power_place from, struct power_place to, bool happened);
/* fd was synced; 'poisoned': the sync failed. */
void power_synced(int fd, bool poisoned);
void power_synced_all(bool poisoned);
/* Takes back. Nothing else may run. */
void power_cut(unsigned int seed);

#endif
