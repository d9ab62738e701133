/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One input: what surrounds every target. The heap is counted by AddressSanitizer's hooks, per thread, so that nothing has to be
 * replaced in what is tested; other builds check everything but that.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define FUZZ_HEAP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FUZZ_HEAP 1
#endif
#endif

#ifdef FUZZ_HEAP
/* As in sanitizer/allocator_interface.h, which clang brings and gcc does not, though its library has both. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *pointer);

static _Thread_local bool counting;
static _Thread_local long long heap_now, heap_most;

static void on_malloc(const volatile void *pointer, size_t size)
{
    (void)pointer;
    if (!counting)
        return;
    heap_now += (long long)size;
    if (heap_now > heap_most)
        heap_most = heap_now;
}

static void on_free(const volatile void *pointer)
{
    if (counting && pointer != NULL)
        heap_now -= (long long)__sanitizer_get_allocated_size(pointer);
}

static void heap_begin(void)
{
    heap_now = heap_most = 0;
    counting = true;
}

static void heap_end(size_t input)
{
    char detail[128];
    counting = false;
    long long limit = (long long)(fuzz_target.heap_base + fuzz_target.heap_factor * input);
    snprintf(detail, sizeof detail, "%lld bytes at one time for an input of %zu; at most %lld are allowed",
             heap_most, input, limit);
    if (heap_most > limit)
        fuzz_fail(__FILE__, __LINE__, "the heap is bounded", detail);
}

static void heap_setup(void)
{
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}
#else
static void heap_begin(void)
{
}
static void heap_end(size_t input)
{
    (void)input;
}
static void heap_setup(void)
{
}
#endif

_Noreturn void fuzz_fail(const char *file, int line, const char *property, const char *detail)
{
    fprintf(stderr, "%s:%d: does not hold: %s%s%s\n", file, line, property, detail != NULL ? ": " : "",
            detail != NULL ? detail : "");
    abort();
}

/* The lowest descriptor that is free: it grows when one was left open. */
static int lowest_descriptor(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    close(fd);
    return fd;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    if (fuzz_target.setup != NULL)
        fuzz_target.setup();
    heap_setup();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > fuzz_target.input_max)
        return 0;
    int before = lowest_descriptor();
    heap_begin();
    fuzz_target.run(view_of(data, size));
    heap_end(size);
    FUZZ_CHECK(lowest_descriptor() == before);
    return 0;
}
