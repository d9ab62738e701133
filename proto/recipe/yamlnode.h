/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * YAML nodes: the one decoder for YAML from outside, and the only user of libyaml.
 *
 * libyaml's event parser is turned into a small tree of nodes that know their lines. Every scalar is text
 * ("1.10" stays "1.10"). What makes YAML a weapon or a surprise is refused: anchors, aliases and merge keys
 * (they multiply), tags (they give types), directives, duplicate keys, keys that are not scalars, several
 * documents, bytes that are not UTF-8, and anything over the caller's limits. A file that is refused has
 * exactly one problem, with its line.
 */
#ifndef FARM_YAMLNODE_H
#define FARM_YAMLNODE_H

#include "problems.h"
#include "view.h"

enum yamlnode_kind { NODE_TEXT, NODE_LIST, NODE_MAP };

struct yamlnode {
    enum yamlnode_kind kind;
    int line;         /* 1-based */
    bool plain;       /* a text without quotes: "" and "~" and "null" mean nothing was given */
    struct view text; /* NODE_TEXT; NUL-terminated */
    struct view key;  /* below a map: the name of this member; NUL-terminated */
    int key_line;
    struct yamlnode *first; /* items or members, in the order of the file */
    struct yamlnode *next;
    size_t count;
};

struct yamlnode_limits {
    size_t bytes; /* of the file */
    size_t nodes;
    size_t depth;
    size_t text; /* bytes of one scalar */
};

struct yamldoc;

int yamldoc_read(struct view text, const char *file, struct yamlnode_limits limits, struct yamldoc **ret,
                 struct problems *problems) MUST_USE;
struct yamldoc *yamldoc_free(struct yamldoc *doc); /* accepts NULL, returns NULL */
/* Borrowed. An empty file gives an empty text. */
const struct yamlnode *yamldoc_root(const struct yamldoc *doc);
/* A member of a map; NULL if absent. */
const struct yamlnode *yamlnode_get(const struct yamlnode *map, const char *key);
/* Nothing was given: no node, or a plain empty text, "~" or "null". */
bool yamlnode_is_null(const struct yamlnode *node);

#endif
