/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sim [--seeds N] [--from S] [--seed S] [--jobs N] [--workers N] [--faults LIST] [--case NAME] [--cases] [--verbose]
 *
 * Runs N seeds from S on (default 100 from 1). Exit status 0: all held; 1: an invariant broke, with its name, the seed and how to
 * replay it; 2: usage.
 */
#include "cases.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

struct arguments {
    struct sim_options options;
    uint64_t seeds, from;
};

static int usage(void)
{
    fputs("usage: sim [--seeds N] [--from S] [--seed S] [--jobs N] [--workers N] [--faults LIST] [--case "
          "NAME] [--cases] "
          "[--verbose]\nfaults: none, all, or some of:",
          stderr);
    for (size_t bit = 0; world_fault_name(bit) != NULL; bit++)
        fprintf(stderr, " %s", world_fault_name(bit));
    fputc('\n', stderr);
    return FARM_EXIT_CANNOT_RUN;
}

static int list_cases(void)
{
    for (size_t i = 0; case_at(i) != NULL; i++)
        printf("%s\t%s\n", case_at(i)->name, case_at(i)->what);
    return FARM_EXIT_OK;
}

static bool take_case(struct arguments *arguments, const char *name)
{
    const struct sim_case *found = case_find(name);
    if (found == NULL)
        return false;
    arguments->from = found->seed;
    arguments->seeds = 1;
    arguments->options.jobs = found->jobs;
    arguments->options.workers = found->workers;
    arguments->options.has_faults = found->faults != NULL;
    return found->faults == NULL || world_parse_faults(found->faults, &arguments->options.faults);
}

static bool take_option(struct arguments *arguments, const char *name, const char *value)
{
    enum { SIZE_MAX_ = 100000 };
    struct sim_options *options = &arguments->options;
    uint64_t number = 0;
    if (strcmp(name, "--case") == 0)
        return take_case(arguments, value);
    if (strcmp(name, "--faults") == 0)
        return options->has_faults = world_parse_faults(value, &options->faults);
    if (!view_decimal(view_text(value), &number))
        return false;
    bool is_size = number > 0 && number < SIZE_MAX_;
    if (strcmp(name, "--seeds") == 0)
        arguments->seeds = number;
    else if (strcmp(name, "--from") == 0)
        arguments->from = number;
    else if (strcmp(name, "--seed") == 0)
        arguments->from = number, arguments->seeds = 1;
    else if (strcmp(name, "--jobs") == 0 && is_size)
        options->jobs = (uint32_t)number;
    else if (strcmp(name, "--workers") == 0 && is_size)
        options->workers = (uint32_t)number;
    else
        return false;
    return true;
}

static void print_totals(const struct sim_totals *t)
{
#define N(field) (unsigned long long)t->field
    printf("%llu seeds held: %llu steps of the core, %llu frames (%llu dropped), %llu leases, %llu answers "
           "(%llu late, %llu "
           "refused, %llu asked for again), %llu verdicts (%llu disputes), %llu answers voided, %llu "
           "coordinator crashes, %llu "
           "full checks, %llu plans forgotten, %llu objects rotten\n",
           N(seeds), N(steps), N(frames), N(dropped), N(leases), N(answers), N(late), N(refused), N(again),
           N(verdicts), N(disputes), N(voided), N(crashes), N(checks), N(forgotten), N(rotten));
#undef N
}

/* --- a seed that ends in a crash is found like any other --- */

/* Of the seed that runs: written when the process dies, where nothing can be put together any more. */
static char last_words[512];

static void say_last_words(void)
{
    (void)!write(STDERR_FILENO, last_words, strlen(last_words));
}

static void on_crash(int number)
{
    say_last_words();
    (void)raise(number); /* SA_RESETHAND: now it ends the process */
}

/* Of the sanitizers' runtime, where there is one. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void prepare_last_words(const struct sim_options *options)
{
    CLEANUP_BUF struct buf replay = BUF_INIT;
    world_replay(options, &replay);
    snprintf(last_words, sizeof last_words, "it crashed; %s", replay.data);
}

static void catch_crashes(void)
{
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER};
    sigaction(SIGABRT, &action, NULL);
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(say_last_words); /* it has its own handlers for the others */
        return;
    }
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.seeds = 100, .from = 1, .options.program = argv[0]};
    struct sim_totals totals = {0};
    catch_crashes();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--cases") == 0)
            return list_cases();
        if (strcmp(argv[i], "--verbose") == 0)
            arguments.options.verbose = true;
        else if (i + 1 < argc && take_option(&arguments, argv[i], argv[i + 1]))
            i++;
        else
            return usage();
    }
    for (uint64_t i = 0; i < arguments.seeds; i++) {
        arguments.options.seed = arguments.from + i;
        prepare_last_words(&arguments.options);
        world_run(&arguments.options, &totals);
    }
    print_totals(&totals);
    return FARM_EXIT_OK;
}
