/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "answers.h"

#include <stdlib.h>

void answers_done(struct answers *answers)
{
    for (size_t i = 0; i < answers->count; i++)
        spool_entry_free(answers->items[i].entry);
    free(answers->items);
    *answers = (struct answers)ANSWERS_INIT;
}

void answers_add(struct answers *answers, struct spool_entry *entry, enum answer_stage stage)
{
    answers->items =
        mem_reserve(answers->items, &answers->capacity, answers->count + 1, sizeof *answers->items);
    answers->items[answers->count++] = (struct answer){.entry = entry, .stage = stage};
}

struct answer *answers_find(struct answers *answers, const struct lease_nonce *nonce)
{
    for (size_t i = 0; i < answers->count; i++)
        if (lease_nonce_equal(&answers->items[i].entry->nonce, nonce))
            return &answers->items[i];
    return NULL;
}

struct answer *answers_first(struct answers *answers, enum answer_stage stage)
{
    for (size_t i = 0; i < answers->count; i++)
        if (answers->items[i].stage == stage)
            return &answers->items[i];
    return NULL;
}

void answers_remove(struct answers *answers, struct answer *answer)
{
    spool_entry_free(answer->entry);
    *answer = answers->items[--answers->count];
}

void answers_resend_older(struct answers *answers, int64_t before_ms)
{
    for (size_t i = 0; i < answers->count; i++)
        if (answers->items[i].stage == ANSWER_SENT && answers->items[i].sent_ms < before_ms)
            answers->items[i].stage = ANSWER_UPLOADED;
}

void answers_resend(struct answers *answers)
{
    answers_resend_older(answers, INT64_MAX);
}
