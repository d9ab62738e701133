/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * YAML reading: from nodes to typed values, with one problem per mistake. A reader goes on after a mistake,
 * so that a file's problems are all found at once; 'found' counts them.
 *
 * 'what' names the value for people ("source[0].sha256"). Results are untouched on failure.
 */
#ifndef FARM_YAMLREAD_H
#define FARM_YAMLREAD_H

#include "digest.h"
#include "names.h"
#include "textlist.h"
#include "yamlnode.h"

struct reader {
    const char *file;
    struct problems *problems;
    size_t found;
};

void reader_problem(struct reader *reader, int line, const char *rule, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* True if the node is a map; a problem otherwise. */
bool reader_map(struct reader *reader, const struct yamlnode *node, const char *what);
/* True if the node is a list of at most 'limit' items; nothing given is false without a problem. */
bool reader_list(struct reader *reader, const struct yamlnode *node, const char *what, size_t limit);
/* Refuses members of a map that are not in the NULL-terminated list, each with the nearest known key. */
void reader_only_keys(struct reader *reader, const struct yamlnode *map, const char *what,
                      const char *const *keys);

/* A text that 'allowed' accepts (NULL: any line of text); 'accepted' says it in words. */
bool reader_view(struct reader *reader, const struct yamlnode *node, const char *what,
                 bool (*allowed)(struct view), const char *accepted, struct view *ret);
/* As reader_view; *ret is owned. */
bool reader_text(struct reader *reader, const struct yamlnode *node, const char *what,
                 bool (*allowed)(struct view), const char *accepted, char **ret);
bool reader_number(struct reader *reader, const struct yamlnode *node, const char *what, uint64_t least,
                   uint64_t greatest, uint64_t *ret);
/* As YAML 1.1: true, yes, on, false, no, off. */
bool reader_flag(struct reader *reader, const struct yamlnode *node, const char *what, bool *ret);
/* 64 hex digits. */
bool reader_digest(struct reader *reader, const struct yamlnode *node, const char *what, struct digest *ret);
/* "512MiB": KiB, MiB, GiB or TiB. */
bool reader_bytes(struct reader *reader, const struct yamlnode *node, const char *what, uint64_t *ret);
/* "15m": s, m, h or d. */
bool reader_seconds(struct reader *reader, const struct yamlnode *node, const char *what, uint64_t greatest,
                    uint64_t *ret);
/* A list of texts, appended. */
bool reader_texts(struct reader *reader, const struct yamlnode *node, const char *what, size_t limit,
                  bool (*allowed)(struct view), const char *accepted, struct text_list *ret);
/* "version: 1", which the farm's own files begin with. */
void reader_version(struct reader *reader, const struct yamlnode *root);

#endif
