/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "health.h"

#include <stdlib.h>

const char *health_level_name(enum health_level level)
{
    switch (level) {
    case HEALTH_OK:
        return "ok";
    case HEALTH_NONE:
        return "none";
    case HEALTH_WARN:
        return "warn";
    case HEALTH_FAIL:
        return "fail";
    }
    return "?";
}

void health_run(const struct health_check *checks, size_t count, void *context, struct health_report *ret)
{
    for (size_t i = 0; i < count; i++) {
        ret->notes = mem_reserve(ret->notes, &ret->capacity, ret->count + 1, sizeof *ret->notes);
        struct health_note *note = &ret->notes[ret->count++];
        *note = (struct health_note){.name = checks[i].name};
        checks[i].run(context, note);
    }
}

void health_report_done(struct health_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        buf_done(&report->notes[i].text);
        buf_done(&report->notes[i].remedy);
    }
    free(report->notes);
    *report = (struct health_report)HEALTH_REPORT_INIT;
}

/* ---- saying ---- */

/* Sentences of one note follow each other; a better level does not wipe out a worse one. */
static void add_sentence(struct buf *to, const char *text)
{
    if (to->size > 0)
        buf_add_text(to, "; ");
    buf_add_text(to, text);
}

void health_say(struct health_note *note, enum health_level level, const char *remedy, const char *format,
                ...)
{
    va_list args;
    va_start(args, format);
    CLEANUP_FREE char *text = mem_vformat(format, args);
    va_end(args);
    if (level > note->level)
        note->level = level;
    add_sentence(&note->text, text);
    if (remedy != NULL)
        add_sentence(&note->remedy, remedy);
}

void health_fail(struct health_note *note, int error, const struct diag *diag)
{
    health_say(note, HEALTH_FAIL, NULL, "%s", diag_text(diag, error));
}

/* ---- showing ---- */

static void print_clean(struct view text, FILE *out)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        fputc(byte < 0x20 || byte == 0x7f ? '?' : byte, out);
    }
}

void health_print(const struct health_report *report, FILE *out)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct health_note *note = &report->notes[i];
        fprintf(out, "%-5s %s: ", health_level_name(note->level), note->name);
        print_clean(buf_view(&note->text), out);
        if (note->remedy.size > 0 && note->level > HEALTH_NONE) {
            fputs(". Do: ", out);
            print_clean(buf_view(&note->remedy), out);
        }
        fputc('\n', out);
    }
}

static enum health_level worst(const struct health_report *report)
{
    enum health_level level = HEALTH_OK;
    for (size_t i = 0; i < report->count; i++)
        if (report->notes[i].level > level)
            level = report->notes[i].level;
    return level == HEALTH_NONE ? HEALTH_OK : level;
}

json_t *health_json(const struct health_report *report)
{
    json_t *checks = json_array();
    for (size_t i = 0; i < report->count; i++) {
        const struct health_note *note = &report->notes[i];
        json_array_append_new(checks, json_pack("{s:s, s:s, s:o, s:o}", "check", note->name, "level",
                                                health_level_name(note->level), "text",
                                                json_view(buf_view(&note->text)), "do",
                                                json_view(buf_view(&note->remedy))));
    }
    return json_pack("{s:o, s:s}", "checks", checks, "worst", health_level_name(worst(report)));
}

int health_exit(const struct health_report *report)
{
    return worst(report) == HEALTH_FAIL ? FARM_EXIT_VIOLATION : FARM_EXIT_OK;
}
