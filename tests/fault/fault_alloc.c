/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Memory: there is none left. */
#include "fault_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#ifdef FAULT_SANITIZED /* its allocator, by the name that it has for this */
#define NEXT_ALLOC(function) __interceptor_##function
#else
#define NEXT_ALLOC(function) __libc_##function
#endif
void *NEXT_ALLOC(malloc)(size_t size);
void *NEXT_ALLOC(calloc)(size_t count, size_t size);
void *NEXT_ALLOC(realloc)(void *old, size_t size);

static bool alloc_fails(const char *call)
{
    bool fails = fault_fails(FAULT_ALLOC, call, "");
    if (fails)
        errno = ENOMEM;
    return fails;
}

void *malloc(size_t size)
{
    return alloc_fails("malloc") ? NULL : NEXT_ALLOC(malloc)(size);
}

void *calloc(size_t number, size_t size)
{
    return alloc_fails("calloc") ? NULL : NEXT_ALLOC(calloc)(number, size);
}

void *realloc(void *old, size_t size)
{
    return alloc_fails("realloc") ? NULL : NEXT_ALLOC(realloc)(old, size);
}

void *reallocarray(void *old, size_t number, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(number, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, bytes);
}

#ifdef FAULT_SANITIZED
/* The sanitizer asks for the stack of each new thread, and ends the process if there is no memory for the answer: none of our calls. */
typedef int getattr_func(pthread_t thread, pthread_attr_t *ret);
static getattr_func *next_getattr;

static void __attribute__((constructor)) find_getattr(void)
{
    *(void **)&next_getattr = dlsym(RTLD_NEXT, "pthread_getattr_np");
}

int pthread_getattr_np(pthread_t thread, pthread_attr_t *ret)
{
    fault_inside++;
    int error = next_getattr(thread, ret);
    fault_inside--;
    return error;
}
#endif
