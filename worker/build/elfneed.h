/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ELF needs: what the dynamic loader will want of a file (System V ABI, chapter 5; ELF64, this machine's byte order).
 *
 * Strict and bounded: everything is checked against the file's size before it is read, and a file that claims to be
 * dynamic but does not hold together is an error, since the loader would not take it either.
 */
#ifndef FARM_ELFNEED_H
#define FARM_ELFNEED_H

#include "view.h"

#include "diag.h"

enum {
    ELFNEED_MAX = 1024,         /* needed libraries of one file; the largest programs have some hundred */
    ELFNEED_DYNAMIC_MAX = 65536 /* entries of a dynamic section */
};

enum { ELFNEED_HEADER = 64 }; /* bytes of an ELF64 header */

enum elfneed_kind {
    ELFNEED_NONE, /* not an ELF file, or none that this machine's loader would load: object, other machine, 32 bits */
    ELFNEED_STATIC, /* for this machine, without dynamic section */
    ELFNEED_DYNAMIC,
};

/* Views into the file. */
struct elfneed {
    enum elfneed_kind kind;
    struct view interpreter, rpath, runpath, soname; /* empty if absent */
    struct view needed[ELFNEED_MAX];
    size_t nneeded;
};

/* 'start': at least the ELF header of a file. True if the loader of this machine would take the file. */
bool elfneed_is_native(struct view start);
/* FARM_E_SYNTAX, FARM_E_LIMIT; the message says what does not hold together, and *ret is of no use then. */
int elfneed_read(struct view file, struct elfneed *ret, struct diag *diag) MUST_USE;

#endif
