/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scrub.h"

#include "farm.h"
#include "farmlog.h"
#include "file.h"
#include "missing.h"

#include <errno.h>
#include <stdlib.h>

enum {
    PIECE = 64,             /* objects of one piece, at most */
    PIECE_MS = 500,         /* a piece ends with the object that exceeds this: others need the pool, too */
    SCRUB_FILE_MAX = 16384, /* scrub.json */
    SHARE = 4               /* a piece is followed by a pause of so many times what it took, at least */
};
#define SCRUB_FILE "scrub.json"

struct piece {
    struct pool_task task;
    struct store *store;
    struct digest objects[PIECE];
    bool missing[PIECE];
    size_t count, read, damaged; /* taken; verified, the first ones */
    int64_t took_ms;
    int result;
};

struct scrub {
    struct digest after;         /* the last object that was read in this pass */
    int64_t started_ms, last_ms; /* wall: of this pass, the end of the one before; 0: none */
    uint64_t done, damaged, passes;
    uint64_t of;                /* what the pass before read; 0: there was none */
    int64_t due_ms;             /* steady */
    bool working, hurry, again; /* again: what the piece under way finds is the last of this pass */
};

/* ---- the file ---- */

static void save(struct farm *farm)
{
    const struct scrub *scrub = farm->scrub;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag why = DIAG_INIT;
    json_t *document = json_pack("{s:o, s:I, s:I, s:I, s:I, s:I}", "after", json_digest(&scrub->after),
                                 "started_ms", (json_int_t)scrub->started_ms, "last_ms",
                                 (json_int_t)scrub->last_ms, "done", (json_int_t)scrub->done, "of",
                                 (json_int_t)scrub->of, "damaged", (json_int_t)scrub->damaged);
    json_write(document, &text);
    json_decref(document);
    int result = file_write(farm->state_dirfd, SCRUB_FILE, buf_view(&text), 0600, &why);
    if (result < 0) /* then the next start begins a pass anew */
        log_warning(SCRUB_FILE ": %s", diag_text(&why, result));
}

/* What cannot be read is forgotten: it is only a place to go on from. */
static void load(const struct farm *farm, struct scrub *scrub)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *document = NULL;
    struct scrub read = *scrub;
    int64_t done = 0, of = 0, damaged = 0;
    if (file_read(farm->state_dirfd, SCRUB_FILE, SCRUB_FILE_MAX, &text, NULL) < 0 ||
        json_read(buf_view(&text), SCRUB_FILE, SCRUB_FILE_MAX, &document, NULL) < 0 ||
        json_get_digest(document, SCRUB_FILE, "after", &read.after, NULL) < 0 ||
        json_get_number(document, SCRUB_FILE, "started_ms", &read.started_ms, NULL) < 0 ||
        json_get_number(document, SCRUB_FILE, "last_ms", &read.last_ms, NULL) < 0 ||
        json_get_number(document, SCRUB_FILE, "done", &done, NULL) < 0 ||
        json_get_number(document, SCRUB_FILE, "of", &of, NULL) < 0 ||
        json_get_number(document, SCRUB_FILE, "damaged", &damaged, NULL) < 0 || done < 0 || of < 0 ||
        damaged < 0)
        return;
    read.done = (uint64_t)done;
    read.of = (uint64_t)of;
    read.damaged = (uint64_t)damaged;
    *scrub = read;
}

/* ---- pieces ---- */

static void run_piece(struct pool_task *task)
{
    struct piece *piece = (struct piece *)task;
    int64_t began_ms = moment_steady_ms();
    for (size_t i = 0; i < piece->count && (i == 0 || moment_steady_ms() - began_ms < PIECE_MS); i++) {
        struct diag why = DIAG_INIT;
        if (pool_check(task, &why) < 0) /* the next start goes on from here */
            break;
        int result = store_verify(piece->store, &piece->objects[i], &why);
        piece->missing[i] = result == FARM_E_CORRUPT || result == FARM_E_MISSING;
        piece->damaged += result == FARM_E_CORRUPT;
        if (result < 0 && !piece->missing[i]) /* out of descriptors, say: says nothing about the object */
            log_warning("scrub: %s", diag_text(&why, result));
        piece->read = i + 1;
    }
    piece->took_ms = moment_steady_ms() - began_ms;
    piece->result = 0;
}

static void end_pass(struct farm *farm)
{
    static const struct digest first;
    struct scrub *scrub = farm->scrub;
    scrub->last_ms = moment_wall_ms();
    scrub->started_ms = 0;
    scrub->after = first;
    scrub->of = scrub->done;
    scrub->hurry = false;
    scrub->passes++;
    if (scrub->damaged == 0 && missing_count(farm) == 0)
        log_info("scrub: every object is sound");
    else
        log_warning("scrub: %llu objects were damaged; %zu are missing now",
                    (unsigned long long)scrub->damaged, missing_count(farm));
}

/*
 * How many objects this pass will read. Names are digests, spread evenly: how far it has come among them says how many there are, and
 * no table is counted for it on the loop's thread.
 */
static uint64_t expected(const struct scrub *scrub)
{
    uint64_t place = 1; /* of 2^32, where it stands */
    for (size_t i = 0; i < 4; i++)
        place += (uint64_t)scrub->after.bytes[i] << (24 - 8 * i);
    return scrub->started_ms == 0 || scrub->done == 0 ? scrub->of : (scrub->done << 32) / place;
}

/* Evenly over the interval; but a large piece has its pause, whatever the interval. */
static int64_t pause_after(const struct farm *farm, const struct piece *piece)
{
    const struct scrub *scrub = farm->scrub;
    uint64_t share = piece->read > 0 ? piece->read : 1; /* of none, the whole interval */
    int64_t even_ms = (int64_t)(farm->config.scrub_interval * 1000 * share / (expected(scrub) + 1)),
            least_ms = SHARE * piece->took_ms;
    if (scrub->hurry)
        return 0;
    return even_ms > least_ms ? even_ms : least_ms;
}

static void go_on(struct farm *farm, const struct piece *piece)
{
    struct scrub *scrub = farm->scrub;
    scrub->done += piece->read;
    scrub->damaged += piece->damaged;
    if (piece->read > 0)
        scrub->after = piece->objects[piece->read - 1];
    if (piece->read == piece->count && piece->count < PIECE)
        end_pass(farm);
    else if (piece->read < piece->count && farm->leaving)
        log_info("scrub: interrupted, since the coordinator stops; the next start goes on");
    scrub->due_ms = moment_steady_ms() + pause_after(farm, piece); /* after it: a pass that hurried is over */
}

static void piece_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct piece *piece = (struct piece *)task;
    struct scrub *scrub = farm->scrub;
    scrub->working = false;
    if (piece->result >= 0 && !farm->stopping) {
        for (size_t i = 0; i < piece->read; i++)
            if (piece->missing[i])
                missing_add(farm, &piece->objects[i]);
        if (scrub->again)
            scrub->started_ms = 0;
        else
            go_on(farm, piece);
        scrub->again = false;
        missing_hurry(farm);
        save(farm);
    }
    free(piece);
}

static int take_object(void *context, const struct digest *object)
{
    struct piece *piece = context;
    piece->objects[piece->count++] = *object;
    return 0;
}

static void begin_pass(struct farm *farm)
{
    static const struct digest first;
    struct scrub *scrub = farm->scrub;
    scrub->started_ms = moment_wall_ms();
    scrub->after = first;
    scrub->done = scrub->damaged = 0;
}

static void next_piece(struct farm *farm)
{
    struct scrub *scrub = farm->scrub;
    struct piece *piece = mem_zero(1, sizeof *piece);
    if (scrub->started_ms == 0)
        begin_pass(farm);
    piece->task.run = run_piece;
    piece->task.done = piece_done;
    piece->task.background = true;
    piece->store = farm->store;
    piece->result = -ECANCELED;
    if (db_each_object(farm->db, &scrub->after, PIECE, take_object, piece, NULL) < 0) {
        free(piece);
        return;
    }
    scrub->working = true;
    pool_submit(farm->pool, &piece->task);
}

static bool is_due(const struct farm *farm, int64_t now_ms)
{
    const struct scrub *scrub = farm->scrub;
    if (scrub->working || farm->stopping || farm->leaving)
        return false;
    if (scrub->hurry)
        return true;
    return farm->config.scrub_interval > 0 && now_ms >= scrub->due_ms;
}

void scrub_turn(struct farm *farm)
{
    if (is_due(farm, moment_steady_ms()))
        next_piece(farm);
}

/* ---- life ---- */

void scrub_open(struct farm *farm)
{
    enum { SETTLE_MS = 60 * 1000 }; /* a start has more urgent things to read */
    struct scrub *scrub = mem_zero(1, sizeof *scrub);
    load(farm, scrub);
    scrub->due_ms = moment_steady_ms() + SETTLE_MS;
    farm->scrub = scrub;
}

struct scrub *scrub_free(struct scrub *scrub)
{
    free(scrub);
    return NULL;
}

void scrub_hurry(struct farm *farm)
{
    struct scrub *scrub = farm->scrub;
    scrub->hurry = true;
    scrub->again = scrub->working;
    scrub->started_ms = 0;
    missing_hurry(farm);
}

bool scrub_is_working(const struct farm *farm)
{
    return farm->scrub->working;
}

uint64_t scrub_passes(const struct farm *farm)
{
    return farm->scrub->passes;
}

/* ---- telling ---- */

json_t *scrub_report_pass(const struct farm *farm)
{
    const struct scrub *scrub = farm->scrub;
    return json_pack("{s:o, s:I, s:I, s:I}", "started",
                     scrub->started_ms > 0 ? json_string(moment_format(scrub->started_ms).text) : json_null(),
                     "done", (json_int_t)scrub->done, "of", (json_int_t)expected(scrub), "damaged",
                     (json_int_t)scrub->damaged);
}

json_t *scrub_report(struct farm *farm)
{
    const struct scrub *scrub = farm->scrub;
    struct core_counts counts;
    core_count(farm->core, &counts);
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:o}", "pass", scrub_report_pass(farm), "last",
                     scrub->last_ms > 0 ? json_string(moment_format(scrub->last_ms).text) : json_null(),
                     "interval_s", (json_int_t)farm->config.scrub_interval, "lost_count",
                     (json_int_t)missing_count(farm), "lost_payloads", (json_int_t)counts.lost, "lost",
                     missing_report(farm));
}
