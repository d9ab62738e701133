/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "journal_private.h"

#include "farmlog.h"
#include "file.h"

#include <errno.h>
#include <stdlib.h>

enum {
    /* A checkpoint is two syncs and a signature; workers ask every few seconds. */
    PUBLISH_INTERVAL_MS = 1000,
    /* What comes after a silence is mostly leases: their builds start on an idle machine, and a checkpoint takes the answers along. */
    PUBLISH_DELAY_MS = 100,
    /* After a failure that may pass (a full disk). */
    RETRY_INTERVAL_MS = 5000
};

/* ---- checkpoints that were shown ---- */

struct journal_shown *journal_shown_new(const struct checkpoint *checkpoint, struct view note,
                                        int64_t shown_ms)
{
    struct journal_shown *shown = mem_zero(1, sizeof *shown);
    shown->checkpoint = *checkpoint;
    shown->shown_ms = shown_ms;
    shown->failed = map_new();
    buf_add_view(&shown->note, note);
    return shown;
}

struct journal_shown *journal_shown_free(struct journal_shown *shown)
{
    if (shown == NULL)
        return NULL;
    buf_done(&shown->note);
    map_free(shown->failed);
    free(shown->cosignatures);
    free(shown);
    return NULL;
}

struct journal_shown *journal_newest(const struct journal *journal)
{
    return journal->nrecent > 0 ? journal->recent[journal->nrecent - 1] : NULL;
}

uint64_t journal_shown_size(const struct journal *journal)
{
    const struct journal_shown *newest = journal_newest(journal);
    return newest != NULL ? newest->checkpoint.size : 0;
}

void journal_show(struct journal *journal, struct journal_shown *shown)
{
    if (journal->nrecent == JOURNAL_RECENT) {
        journal_shown_free(journal->recent[0]);
        memmove(journal->recent, journal->recent + 1, (JOURNAL_RECENT - 1) * sizeof *journal->recent);
        journal->nrecent--;
    }
    journal->recent[journal->nrecent++] = shown;
}

/* ---- entries ---- */

uint64_t journal_add(struct farm *farm, struct logentry *entry)
{
    struct journal *journal = farm->journal;
    CLEANUP_BUF struct buf text = BUF_INIT;
    entry->at_ms = moment_wall_ms();
    logentry_write(entry, &text);
    struct db_log_entry row = {.position = journal->size, .entry = buf_view(&text)};
    db_put_log_entry(farm_write(farm), &row);
    int64_t due_ms = moment_steady_ms() + PUBLISH_DELAY_MS;
    if (journal->pending.size == 0 && journal->due_ms < due_ms)
        journal->due_ms = due_ms;
    tiledir_add_to_bundle(row.entry, &journal->pending);
    return journal->size++;
}

uint64_t journal_size(const struct farm *farm)
{
    return farm->journal->size;
}

/* ---- who waits for it ---- */

static void add_waiter(struct journal *journal, const struct journal_waiter *waiter)
{
    journal->waiters = mem_reserve(journal->waiters, &journal->waiters_capacity, journal->nwaiters + 1,
                                   sizeof *journal->waiters);
    journal->waiters[journal->nwaiters++] = *waiter;
}

void journal_publish(struct farm *farm, void (*done)(struct farm *farm, void *context, int result),
                     void *context)
{
    struct journal_waiter waiter = {farm->journal->size, done, context};
    add_waiter(farm->journal, &waiter);
}

/* Those whose entries are shown now; all, with the error, if there was one. */
static void answer_waiters(struct farm *farm, int error)
{
    struct journal *journal = farm->journal;
    uint64_t shown = journal_shown_size(journal);
    size_t count = journal->nwaiters;
    CLEANUP_FREE struct journal_waiter *waiters = journal->waiters;
    journal->waiters = NULL; /* who is answered may wait again */
    journal->nwaiters = journal->waiters_capacity = 0;
    for (size_t i = 0; i < count; i++) {
        if (waiters[i].size > shown && error >= 0)
            add_waiter(journal, &waiters[i]);
        else
            waiters[i].done(farm, waiters[i].context, waiters[i].size > shown ? error : 0);
    }
}

/* ---- work ---- */

static void work_run(struct pool_task *task)
{
    struct journal_work *work = (struct journal_work *)task;
    journal_tiles_answer(work->tiles, &work->shown, work->asks, work->nasks);
    work->result = journal_tiles_append(work->tiles, buf_view(&work->entries), &work->diag);
    if (work->result >= 0 && work->cosigned_file.size > 0)
        work->result =
            file_write(work->tiles->dirfd, "cosigned", buf_view(&work->cosigned_file), 0644, &work->diag);
    if (work->result >= 0 && work->checkpoint_file.size > 0)
        work->result = file_write(work->tiles->dirfd, TILEDIR_CHECKPOINT, buf_view(&work->checkpoint_file),
                                  0644, &work->diag);
    if (work->result >= 0 && work->publish)
        work->result = journal_tiles_publish(work->tiles, VIEW_NONE, JOURNAL_WRITTEN, &work->checkpoint,
                                             &work->note, &work->diag);
}

static void work_free(struct journal_work *work)
{
    for (size_t i = 0; i < work->nasks; i++)
        journal_ask_free(work->asks[i]);
    journal_shown_free(work->cosigned);
    buf_done(&work->shown_note);
    buf_done(&work->cosigned_file);
    buf_done(&work->entries);
    buf_done(&work->checkpoint_file);
    buf_done(&work->note);
    free(work);
}

/* They are answered when it can be published again, unless their workers ask anew before. */
static void put_asks_back(struct journal *journal, struct journal_work *work)
{
    for (size_t i = 0; i < work->nasks; i++) {
        struct journal_ask *ask = STEAL(work->asks[i]);
        journal_ask_forget(ask);
        if (map_get(journal->asks, view_text(ask->worker)) != NULL)
            journal_ask_free(ask);
        else
            map_set(journal->asks, view_text(ask->worker), ask);
    }
    work->nasks = 0;
}

static void work_failed(struct journal *journal, struct journal_work *work)
{
    log_error("log: cannot be published: %s", diag_text(&work->diag, work->result));
    journal->failing = true;
    put_asks_back(journal, work);
    journal->due_ms = moment_steady_ms() + RETRY_INTERVAL_MS;
    /* Which of them was written is not known; both are written again. */
    journal->checkpoint_stale = journal->checkpoint_stale || work->checkpoint_file.size > 0;
    if (journal->reached == NULL)
        journal->reached = STEAL(work->cosigned);
    if (work->result != FARM_E_CORRUPT)
        return;
    journal->failed = work->result;
    journal->failure = work->diag;
}

/* From here on it is what a start must not fall behind. */
static void take_cosigned(struct journal *journal, struct journal_work *work)
{
    if (work->cosigned == NULL)
        return;
    journal_shown_free(journal->cosigned);
    journal->cosigned = STEAL(work->cosigned);
    buf_clear(&journal->cosigned_note);
    buf_add_view(&journal->cosigned_note, buf_view(&work->cosigned_file));
}

static void work_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct journal *journal = farm->journal;
    struct journal_work *work = (struct journal_work *)task;
    journal->working = false;
    if (!farm->stopping && work->result >= 0)
        journal_send_answers(farm, work);
    if (work->result >= 0) {
        journal->failing = false;
        take_cosigned(journal, work);
    }
    if (work->result >= 0 && work->publish)
        journal_show(journal, journal_shown_new(&work->checkpoint, buf_view(&work->note), moment_wall_ms()));
    else if (work->result < 0 && !farm->stopping)
        work_failed(journal, work);
    answer_waiters(farm, work->result);
    work_free(work);
}

static bool has_news(const struct farm *farm)
{
    const struct journal *journal = farm->journal;
    bool more = journal->size > journal_shown_size(journal) && restored_may_publish(farm, journal->size);
    return more || journal->checkpoint_stale || journal->reached != NULL;
}

static void take_asks(struct journal *journal, struct journal_work *work)
{
    size_t cursor = 0;
    struct view worker;
    void *ask;
    while (work->nasks < JOURNAL_ASKS && map_next(journal->asks, &cursor, &worker, &ask)) {
        work->asks[work->nasks++] = ask;
        (void)map_remove(journal->asks, worker);
    }
}

static void take_files(struct journal *journal, struct journal_work *work)
{
    const struct journal_shown *newest = journal_newest(journal);
    if (journal->reached != NULL)
        journal_write_shown(journal->reached, &work->cosigned_file);
    work->cosigned = STEAL(journal->reached);
    if (journal->checkpoint_stale && newest != NULL)
        journal_write_shown(newest, &work->checkpoint_file);
    journal->reached_further = journal->checkpoint_stale = false;
}

static void start(struct farm *farm, bool publish)
{
    struct journal *journal = farm->journal;
    struct journal_work *work = mem_zero(1, sizeof *work);
    const struct journal_shown *newest = journal_newest(journal);
    work->task.run = work_run;
    work->task.done = work_done;
    work->result = -ECANCELED;
    work->tiles = &journal->tiles;
    if (newest != NULL) {
        work->shown = newest->checkpoint;
        buf_add_view(&work->shown_note, buf_view(&newest->note));
    }
    if (!journal->failing)
        take_asks(journal, work);
    if (publish) {
        take_files(journal, work);
        work->publish =
            journal->size > journal_shown_size(journal) && restored_may_publish(farm, journal->size);
        work->entries = journal->pending;
        journal->pending = (struct buf)BUF_INIT;
        journal->due_ms = moment_steady_ms() + PUBLISH_INTERVAL_MS;
    }
    journal->working = true;
    /* Else answers of gigabytes, while they are checked, would make workers doubt the log. */
    pool_submit_first(farm->pool, &work->task);
}

int journal_turn(struct farm *farm, struct diag *diag)
{
    struct journal *journal = farm->journal;
    if (journal->failed < 0)
        return diag_set(diag, journal->failed, "log: %s", diag_text(&journal->failure, journal->failed));
    if (journal->working || farm->stopping)
        return 0;
    bool due = moment_steady_ms() >= journal->due_ms;
    if (!has_news(farm))
        answer_waiters(farm, 0);
    bool publish = has_news(farm) && (due || journal->nwaiters > 0 || journal->reached_further);
    if (publish || (map_count(journal->asks) > 0 && !journal->failing))
        start(farm, publish);
    return 0;
}

int64_t journal_due(const struct farm *farm)
{
    const struct journal *journal = farm->journal;
    if (journal->working || !has_news(farm))
        return INT64_MAX;
    return journal->reached_further ? moment_steady_ms() : journal->due_ms;
}

void journal_close(struct farm *farm)
{
    struct journal *journal = farm->journal;
    if (journal == NULL)
        return;
    answer_waiters(farm, -ECANCELED);
    while (journal->nrecent > 0)
        journal_shown_free(journal->recent[--journal->nrecent]);
    journal_shown_free(journal->cosigned);
    journal_shown_free(journal->reached);
    size_t cursor = 0;
    struct view worker;
    void *ask;
    while (map_next(journal->asks, &cursor, &worker, &ask))
        journal_ask_free(ask);
    map_free(journal->asks);
    free(journal->waiters);
    buf_done(&journal->pending);
    buf_done(&journal->cosigned_note);
    journal_tiles_done(&journal->tiles);
    free(journal);
    farm->journal = NULL;
}

/* ---- looking ---- */

bool journal_checkpoint(const struct farm *farm, struct checkpoint *ret)
{
    const struct journal_shown *newest = journal_newest(farm->journal);
    if (newest == NULL)
        return false;
    *ret = newest->checkpoint;
    return true;
}

void journal_note(const struct farm *farm, struct buf *ret)
{
    const struct journal_shown *newest = journal_newest(farm->journal);
    if (newest != NULL)
        journal_write_shown(newest, ret);
}

int64_t journal_cosigned_ms(const struct farm *farm)
{
    return farm->journal->cosigned != NULL ? farm->journal->cosigned->shown_ms : 0;
}

bool journal_cosigned(const struct farm *farm, struct checkpoint *ret, struct view *ret_note)
{
    const struct journal_shown *cosigned = farm->journal->cosigned;
    if (cosigned == NULL || !journal_is_cosigned(farm, cosigned))
        return false;
    *ret = cosigned->checkpoint;
    *ret_note = buf_view(&farm->journal->cosigned_note);
    return true;
}
