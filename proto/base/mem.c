/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *mem_check(void *pointer)
{
    if (pointer == NULL) {
        static const char text[] = "farm: out of memory; ending, nothing accepted is lost\n";
        ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
        (void)ignored;
        abort();
    }
    return pointer;
}

void *mem_alloc(size_t size)
{
    return mem_check(malloc(size > 0 ? size : 1));
}

void *mem_zero(size_t count, size_t size)
{
    return mem_check(count > 0 && size > 0 ? calloc(count, size) : calloc(1, 1));
}

void *mem_grow(void *old, size_t count, size_t size)
{
    return mem_check(count > 0 && size > 0 ? reallocarray(old, count, size) : realloc(old, 1));
}

void *mem_copy(const void *data, size_t size)
{
    void *copy = mem_alloc(size);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

char *mem_string(const char *text)
{
    return mem_check(strdup(text));
}

char *mem_string_n(const char *text, size_t length)
{
    char *copy = mem_alloc(length + 1);
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *mem_vformat(const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    return mem_check(text);
}

char *mem_format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = mem_vformat(format, args);
    va_end(args);
    return text;
}

void *mem_reserve(void *old, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity)
        return old;
    size_t grown = *capacity > 0 ? *capacity : 8;
    while (grown < needed)
        grown *= 2;
    *capacity = grown;
    return mem_grow(old, grown, size);
}

void mem_free_p(void *pointer_to_pointer)
{
    void **pointer = pointer_to_pointer;
    free(*pointer);
    *pointer = NULL;
}

void mem_close_p(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
