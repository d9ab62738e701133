/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory: allocation that cannot fail, and cleanup attributes.
 *
 * Running out of memory ends the process. The farm is built so that a crash at any instant loses nothing
 * that was accepted (see docs/ARCHITECTURE.md), so an orderly death is cheaper and safer than thousands of
 * untested error paths. What comes from outside never decides the size of an allocation unchecked: each
 * decoder applies its limit first.
 */
#ifndef FARM_MEM_H
#define FARM_MEM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* All of these abort the process on exhaustion or on overflow of count * size. Owned by the caller, free(). */
void *mem_alloc(size_t size);
void *mem_zero(size_t count, size_t size);
void *mem_grow(void *old, size_t count, size_t size);
void *mem_copy(const void *data, size_t size);
char *mem_string(const char *text);
char *mem_string_n(const char *text, size_t length);
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *mem_vformat(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/* Doubles *capacity until it holds 'needed' items of 'size' bytes; for plain growing arrays. */
void *mem_reserve(void *old, size_t *capacity, size_t needed, size_t size);

void mem_free_p(void *pointer_to_pointer);
void mem_close_p(int *fd);

#define CLEANUP_FREE  __attribute__((cleanup(mem_free_p)))
#define CLEANUP_CLOSE __attribute__((cleanup(mem_close_p)))
#define CLEANUP(f)    __attribute__((cleanup(f)))
#define MUST_USE      __attribute__((warn_unused_result))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Takes the value out of a local with a cleanup attribute, so that it survives the scope. */
#define STEAL(p)                                                                                             \
    ({                                                                                                       \
        __typeof__(p) steal_ = (p);                                                                          \
        (p) = NULL;                                                                                          \
        steal_;                                                                                              \
    })
#define STEAL_FD(fd)                                                                                         \
    ({                                                                                                       \
        int steal_ = (fd);                                                                                   \
        (fd) = -1;                                                                                           \
        steal_;                                                                                              \
    })

#endif
