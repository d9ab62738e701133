/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The rules. The file is witness_file.c's. */
#include "witness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void witness_done(struct witness *witness)
{
    free(witness->note);
    free(witness->unproven);
    *witness = (struct witness)WITNESS_INIT;
}

void witness_finding_done(struct witness_finding *finding)
{
    alarm_done(&finding->alarm);
}

struct view witness_note(const struct witness *witness)
{
    return view_text(witness->note != NULL ? witness->note : "");
}

/* Hex of a nonce, as it stands in the log. */
struct nonce_hex {
    char text[2 * STATEMENT_NONCE_SIZE + 1];
};
static struct nonce_hex nonce_hex(const struct lease_nonce *nonce)
{
    struct nonce_hex hex = {{0}};
    hex_encode(nonce->bytes, sizeof nonce->bytes, hex.text);
    return hex;
}

/* ---- answers of this worker ---- */

static void raise_omitted(const struct witness_unproven *answer, const char *expected, struct view shown,
                          const char *seen, struct witness_finding *ret)
{
    CLEANUP_FREE char *whole = mem_format("%s: the answer %s to lease %s", expected,
                                          digest_hex(&answer->envelope).text, nonce_hex(&answer->nonce).text);
    alarm_set(&ret->alarm, ALARM_OMITTED, whole, seen, VIEW(""), shown);
    ret->move = WITNESS_ALARM;
}

static bool is_recorded(const struct witness *witness, const struct witness_ack *ack)
{
    for (size_t i = 0; i < witness->nunproven; i++)
        if (lease_nonce_equal(&witness->unproven[i].nonce, &ack->nonce) &&
            digest_equal(&witness->unproven[i].envelope, &ack->envelope))
            return true;
    return false;
}

/* A refused answer may be missing from the log: what is not genuine is not logged, and who refuses says in words why. */
void witness_on_ack(struct witness *witness, const struct witness_ack *ack, struct witness_finding *ret)
{
    struct witness_unproven answer = {.nonce = ack->nonce,
                                      .envelope = ack->envelope,
                                      .job = ack->job,
                                      .position = ack->log_entry - 1,
                                      .taken = ack->taken};
    if (ack->log_entry == 0) {
        if (ack->taken)
            raise_omitted(&answer, "a place in the log for an answer that was taken", VIEW(""),
                          "the coordinator says that it has none", ret);
        return;
    }
    if (is_recorded(witness, ack))
        return;
    if (witness->nunproven >= WITNESS_UNPROVEN_MAX) {
        ret->move = WITNESS_WAIT;
        return;
    }
    witness->unproven =
        mem_reserve(witness->unproven, &witness->capacity, witness->nunproven + 1, sizeof *witness->unproven);
    witness->unproven[witness->nunproven++] = answer;
    ret->changed = true;
}

void witness_forgive(struct witness *witness)
{
    for (size_t i = 0; i < witness->nunproven; i++)
        witness->unproven[i].due = witness->unproven[i].early = 0;
}

/* ---- what was shown, against what was kept ---- */

void witness_make_ask(const struct witness *witness, struct witness_ask *ret)
{
    *ret = (struct witness_ask){.known = witness->kept};
    for (size_t i = 0; i < witness->nunproven && ret->npositions < WITNESS_POSITIONS_MAX; i++)
        ret->positions[ret->npositions++] = witness->unproven[i].position;
}

static void raise_history(const struct witness *witness, enum alarm_kind kind, const struct checkpoint *shown,
                          struct view note, const char *why, struct witness_finding *ret)
{
    const struct checkpoint *kept = &witness->kept;
    CLEANUP_FREE char *expected =
        mem_format("a history that begins with the %" PRIu64 " entries of root %s, as %s showed before",
                   kept->size, digest_hex(&kept->root).text, kept->origin);
    CLEANUP_FREE char *seen = mem_format("a signed checkpoint of %" PRIu64 " entries with root %s: %s",
                                         shown->size, digest_hex(&shown->root).text, why);
    alarm_set(&ret->alarm, kind, expected, seen, witness_note(witness), note);
    ret->move = WITNESS_ALARM;
}

/* L1, L2. True: it contradicts, and the alarm is made. */
static bool contradicts(const struct witness *witness, const struct checkpoint *shown,
                        const struct witness_answer *answer, struct witness_finding *ret)
{
    const struct checkpoint *kept = &witness->kept;
    struct diag why = DIAG_INIT;
    if (shown->size < kept->size) {
        raise_history(witness, ALARM_SHRUNK, shown, answer->note, "entries are gone", ret);
        return true;
    }
    if (shown->size == kept->size && kept->size > 0) {
        bool same = digest_equal(&shown->root, &kept->root);
        if (!same)
            raise_history(witness, ALARM_FORK, shown, answer->note, "other entries in their place", ret);
        return !same;
    }
    int error = tlog_check_consistency(&answer->consistency, kept->size, &kept->root, shown->size,
                                       &shown->root, &why);
    if (error >= 0)
        return false;
    CLEANUP_FREE char *text = mem_format("nothing proves that it contains them (%s)", diag_text(&why, error));
    raise_history(witness, ALARM_FORK, shown, answer->note, text, ret);
    return true;
}

/* ---- the proofs of this worker's answers (K3) ---- */

static const struct witness_inclusion *find_inclusion(const struct witness_answer *answer, uint64_t position)
{
    for (size_t i = 0; i < answer->ninclusions; i++)
        if (answer->inclusions[i].position == position)
            return &answer->inclusions[i];
    return NULL;
}

static bool was_asked(const struct witness_ask *ask, uint64_t position)
{
    for (size_t i = 0; i < ask->npositions; i++)
        if (ask->positions[i] == position)
            return true;
    return false;
}

/* NULL: this entry is the answer's. Otherwise what is wrong. */
static const char *objection_to(const struct witness_unproven *answer, struct view text)
{
    struct logentry entry = {0};
    struct diag ignored;
    const char *objection = NULL;
    if (logentry_parse(text, &entry, &ignored) < 0)
        return "it is no entry about an answer";
    if (entry.kind != LOG_ENVELOPE && entry.kind != LOG_REFUSAL)
        objection = "it is an entry of another kind";
    else if (entry.kind == LOG_REFUSAL && answer->taken)
        objection = "it says that the answer was refused, and this worker was told that it was taken";
    else if (!lease_nonce_equal(&entry.nonce, &answer->nonce))
        objection = "it is about another lease";
    else if (!digest_equal(&entry.sha256, &answer->envelope))
        objection = "it is about another answer to this lease";
    else if (!digest_equal(&entry.job, &answer->job))
        objection = "it says that the answer was about another job";
    logentry_done(&entry);
    return objection;
}

enum proof { PROVEN, MISSING, CONTRADICTED };

static enum proof judge_entry(const struct witness_unproven *mine, const struct witness_answer *answer,
                              const struct checkpoint *shown, struct witness_finding *ret)
{
    const struct witness_inclusion *inclusion = find_inclusion(answer, mine->position);
    struct diag ignored;
    if (inclusion == NULL)
        return MISSING;
    struct digest leaf = tlog_leaf(inclusion->entry);
    if (tlog_check_inclusion(&inclusion->path, shown->size, mine->position, &leaf, &shown->root, &ignored) <
        0)
        return MISSING; /* a proof that proves nothing */
    const char *objection = objection_to(mine, inclusion->entry);
    if (objection == NULL)
        return PROVEN;
    CLEANUP_FREE char *expected = mem_format("at position %" PRIu64 " of the log", mine->position);
    CLEANUP_FREE char *seen =
        mem_format("%.*s: %s", inclusion->entry.size < 600 ? (int)inclusion->entry.size : 600,
                   inclusion->entry.data, objection);
    raise_omitted(mine, expected, answer->note, seen, ret);
    return CONTRADICTED;
}

static void raise_missing(const struct witness_unproven *mine, const struct witness_answer *answer,
                          const struct checkpoint *shown, bool is_early, struct witness_finding *ret)
{
    CLEANUP_FREE char *expected =
        mem_format("a proof that position %" PRIu64 " of the log holds", mine->position);
    CLEANUP_FREE char *seen =
        is_early
            ? mem_format("the log ends before it, at %" PRIu64 " entries, in %u checkpoints", shown->size,
                         mine->early)
            : mem_format("none, in %u checkpoints that are large enough; this one has %" PRIu64 " entries",
                         mine->due, shown->size);
    raise_omitted(mine, expected, answer->note, seen, ret);
}

/* True: it is proven. *ret_wait: the checkpoint covers it and did not prove it. */
static bool judge_answer(struct witness_unproven *mine, const struct witness_answer *answer,
                         const struct checkpoint *shown, bool *ret_wait, struct witness_finding *ret)
{
    if (mine->position >= shown->size) {
        ret->changed = true;
        if (++mine->early >= WITNESS_EARLY_MAX && ret->move != WITNESS_ALARM)
            raise_missing(mine, answer, shown, true, ret);
        return false;
    }
    switch (judge_entry(mine, answer, shown, ret)) {
    case PROVEN:
        ret->changed = true;
        return true;
    case MISSING:
        ret->changed = *ret_wait = true;
        if (++mine->due >= WITNESS_DUE_MAX && ret->move != WITNESS_ALARM)
            raise_missing(mine, answer, shown, false, ret);
        return false;
    case CONTRADICTED:
        *ret_wait = true;
        return false;
    }
    return false;
}

/* Takes out what is proven, in order. True: something that is covered stays unproven. */
static bool judge_answers(struct witness *witness, const struct witness_ask *ask,
                          const struct witness_answer *answer, const struct checkpoint *shown,
                          struct witness_finding *ret)
{
    bool wait = false;
    size_t left = 0;
    for (size_t i = 0; i < witness->nunproven; i++) {
        struct witness_unproven *mine = &witness->unproven[i];
        bool asked = was_asked(ask, mine->position);
        if (asked && judge_answer(mine, answer, shown, &wait, ret))
            continue;
        ret->more = ret->more || (!asked && mine->position < shown->size);
        witness->unproven[left++] = *mine;
    }
    witness->nunproven = left;
    return wait;
}

/* ---- together ---- */

static void keep(struct witness *witness, const struct checkpoint *shown, struct view note,
                 struct witness_finding *ret)
{
    if (witness->note != NULL && shown->size == witness->kept.size)
        return;
    free(witness->note);
    witness->note = mem_string_n(note.data, note.size);
    witness->kept = *shown;
    ret->changed = true;
}

void witness_on_answer(struct witness *witness, const struct root_log *log, const struct witness_ask *ask,
                       const struct witness_answer *answer, struct witness_finding *ret)
{
    struct checkpoint shown;
    if (answer->note.size == 0) {
        if (witness->kept.size > 0) {
            diag_set(&ret->why, FARM_E_MISSING, "the coordinator shows no checkpoint, and it did before");
            ret->move = WITNESS_DOUBT;
        }
        return;
    }
    int error = note_open_checkpoint(answer->note, &log->key, &shown, &ret->why);
    if (error >= 0 && strcmp(shown.origin, witness->kept.origin) != 0)
        error = diag_set(&ret->why, FARM_E_REFUSED, "it is of the log %s, and this worker watches %s",
                         shown.origin, witness->kept.origin);
    if (error < 0) {
        diag_wrap(&ret->why, error, "the checkpoint that the coordinator shows does not count");
        ret->move = WITNESS_DOUBT;
        return;
    }
    if (contradicts(witness, &shown, answer, ret))
        return;
    bool wait = judge_answers(witness, ask, answer, &shown, ret);
    keep(witness, &shown, answer->note, ret);
    if (ret->move != WITNESS_ALARM)
        ret->move = wait || ret->more ? WITNESS_WAIT : WITNESS_COSIGN;
}

bool witness_is_late(const struct checkpoint *known, const struct root_log *log,
                     const struct witness_answer *answer)
{
    struct checkpoint shown;
    struct diag ignored;
    return answer->note.size > 0 && note_open_checkpoint(answer->note, &log->key, &shown, &ignored) >= 0 &&
           tlog_check_consistency(&answer->consistency, known->size, &known->root, shown.size, &shown.root,
                                  &ignored) >= 0;
}

/* ---- another log ---- */

/* NULL: 'log' goes on where the kept one ended. */
static const char *why_not_next(const struct checkpoint *kept, const struct root_log *log)
{
    const struct checkpoint *previous = &log->previous;
    if (previous->size == 0)
        return "it names no log before it";
    if (strcmp(previous->origin, kept->origin) != 0)
        return "it follows another log";
    if (previous->size < kept->size)
        return "it lets the old log end before what this worker saw";
    if (previous->size == kept->size && !digest_equal(&previous->root, &kept->root))
        return "it lets the old log end with other entries than this worker saw";
    return NULL;
}

void witness_on_root(struct witness *witness, const struct root *root, struct witness_finding *ret)
{
    struct checkpoint *kept = &witness->kept;
    if (!root->log.present || strcmp(kept->origin, root->log.key.name) == 0)
        return;
    const char *objection = kept->size > 0 ? why_not_next(kept, &root->log) : NULL;
    if (objection != NULL) {
        CLEANUP_FREE char *expected =
            mem_format("the log %s, of which %" PRIu64 " entries with root %s were seen", kept->origin,
                       kept->size, digest_hex(&kept->root).text);
        CLEANUP_FREE char *seen = mem_format("version %" PRId64 " of the trust root names the log %s: %s",
                                             root->version, root->log.key.name, objection);
        alarm_set(&ret->alarm, ALARM_OTHER_LOG, expected, seen, witness_note(witness), VIEW(""));
        ret->move = WITNESS_ALARM;
        return;
    }
    if (kept->origin[0] != '\0') {
        witness->lost += witness->nunproven;
        witness->nunproven = 0;
    }
    free(witness->note);
    witness->note = NULL;
    *kept = (struct checkpoint){.size = 0};
    memcpy(kept->origin, root->log.key.name, sizeof kept->origin);
    ret->changed = true;
}

void witness_describe(const struct witness *witness, struct buf *ret)
{
    if (witness->kept.origin[0] == '\0') {
        buf_add_text(ret, "none is watched");
        return;
    }
    buf_add_format(ret, "%s, %" PRIu64 " entries seen", witness->kept.origin, witness->kept.size);
    if (witness->nunproven > 0)
        buf_add_format(ret, ", %zu answers of this worker not proven yet", witness->nunproven);
    if (witness->lost > 0)
        buf_add_format(ret, ", %" PRIu64 " answers were not proven before an earlier log was lost",
                       witness->lost);
}
