/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * faulty leak|race: a program with a mistake that the address or the thread sanitizer finds, until it is told to end. What watches over the other
 * programs (tests/integration/lib.sh) is shown to see it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int shared;
static void *volatile forgotten;

static void *count(void *context)
{
    (void)context;
    for (int i = 0; i < 1000; i++)
        shared++;
    return NULL;
}

static void race(void)
{
    pthread_t other;
    if (pthread_create(&other, NULL, count, NULL) != 0)
        abort();
    (void)count(NULL);
    pthread_join(other, NULL);
}

static void leak(void)
{
    for (int i = 0; i < 10; i++)
        forgotten = malloc(100); /* the last one is still known */
}

int main(int argc, char **argv)
{
    sigset_t end;
    int got;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, NULL);
    if (argc == 2 && strcmp(argv[1], "race") == 0)
        race();
    else if (argc == 2 && strcmp(argv[1], "leak") == 0)
        leak();
    else
        return 2;
    puts("made");
    fflush(stdout);
    return sigwait(&end, &got);
}
