/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "yamlnode.h"

#include "names.h"

#include <assert.h>
#include <stdlib.h>
#include <yaml.h>

/* Nodes and texts of a document live in chunks and go together. */
enum { CHUNK_SIZE = 16 * 1024 };

struct chunk {
    struct chunk *next;
    size_t used, size;
    max_align_t data[];
};

struct yamldoc {
    struct chunk *chunks;
    struct yamlnode *root;
};

/* One open list or map while events arrive. */
struct level {
    struct yamlnode *node, *last;
    struct view key; /* of the member whose value comes next */
    int key_line;
    bool has_key;
};

enum { DEPTH_CEILING = 64 }; /* no caller asks for more; bounds the stack below */

struct builder {
    struct yamldoc *doc;
    const char *file;
    struct yamlnode_limits limits;
    struct problems *problems;
    struct level stack[DEPTH_CEILING];
    size_t depth, nodes, documents;
};

static void *doc_alloc(struct yamldoc *doc, size_t size)
{
    size_t rounded = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
    struct chunk *chunk = doc->chunks;
    if (chunk == NULL || chunk->size - chunk->used < rounded) {
        size_t room = rounded > CHUNK_SIZE ? rounded : CHUNK_SIZE;
        chunk = mem_alloc(sizeof *chunk + room);
        chunk->used = 0;
        chunk->size = room;
        chunk->next = doc->chunks;
        doc->chunks = chunk;
    }
    void *memory = (char *)chunk->data + chunk->used;
    chunk->used += rounded;
    return memory;
}

static struct view doc_text(struct yamldoc *doc, const unsigned char *text, size_t size)
{
    char *copy = doc_alloc(doc, size + 1);
    if (size > 0)
        memcpy(copy, text, size);
    copy[size] = '\0';
    return view_of(copy, size);
}

struct yamldoc *yamldoc_free(struct yamldoc *doc)
{
    if (doc == NULL)
        return NULL;
    while (doc->chunks != NULL) {
        struct chunk *next = doc->chunks->next;
        free(doc->chunks);
        doc->chunks = next;
    }
    free(doc);
    return NULL;
}

const struct yamlnode *yamldoc_root(const struct yamldoc *doc)
{
    return doc->root;
}

const struct yamlnode *yamlnode_get(const struct yamlnode *map, const char *key)
{
    struct view wanted = view_text(key);
    for (const struct yamlnode *node = map->first; node != NULL; node = node->next)
        if (view_equal(node->key, wanted))
            return node;
    return NULL;
}

bool yamlnode_is_null(const struct yamlnode *node)
{
    return node == NULL || (node->kind == NODE_TEXT && node->plain &&
                            (node->text.size == 0 || view_equal(node->text, VIEW("~")) ||
                             view_equal(node->text, VIEW("null"))));
}

static int event_line(const yaml_event_t *event)
{
    return (int)event->start_mark.line + 1;
}

/* Puts a finished or just opened node where it belongs: into the innermost open level, or at the root. */
static int attach(struct builder *builder, struct yamlnode *node)
{
    if (builder->depth == 0) {
        builder->doc->root = node;
        return 0;
    }
    struct level *level = &builder->stack[builder->depth - 1];
    if (level->node->kind == NODE_MAP) {
        if (!level->has_key)
            return problems_add(builder->problems, builder->file, node->line, "yaml-key",
                                "a key must be a plain text; write \"name: value\"");
        node->key = level->key;
        node->key_line = level->key_line;
        level->has_key = false;
    }
    if (level->last != NULL)
        level->last->next = node;
    else
        level->node->first = node;
    level->last = node;
    level->node->count++;
    return 0;
}

static int add_node(struct builder *builder, const yaml_event_t *event, enum yamlnode_kind kind,
                    struct yamlnode **ret)
{
    if (++builder->nodes > builder->limits.nodes)
        return problems_add(builder->problems, builder->file, event_line(event), "yaml-limit",
                            "more than %zu nodes; split the file or remove what is not needed",
                            builder->limits.nodes);
    struct yamlnode *node = doc_alloc(builder->doc, sizeof *node);
    *node = (struct yamlnode){.kind = kind, .line = event_line(event)};
    *ret = node;
    return attach(builder, node);
}

static int open_level(struct builder *builder, const yaml_event_t *event, enum yamlnode_kind kind)
{
    struct yamlnode *node = NULL;
    if (builder->depth >= builder->limits.depth || builder->depth >= DEPTH_CEILING)
        return problems_add(builder->problems, builder->file, event_line(event), "yaml-limit",
                            "nested deeper than %zu levels; no file of the farm needs that",
                            builder->limits.depth);
    int status = add_node(builder, event, kind, &node);
    if (status < 0)
        return status;
    builder->stack[builder->depth++] = (struct level){.node = node};
    return 0;
}

static int member_compare(const void *left, const void *right)
{
    const struct yamlnode *a = *(const struct yamlnode *const *)left,
                          *b = *(const struct yamlnode *const *)right;
    int order = view_compare(a->key, b->key);
    return order != 0 ? order : (a->key_line > b->key_line) - (a->key_line < b->key_line);
}

static int duplicate_problem(const struct builder *builder, const struct yamlnode *first,
                             const struct yamlnode *second)
{
    return problems_add(builder->problems, builder->file, second->key_line, "yaml-duplicate",
                        "the key \"%s\" stands here a second time (first in line %d); keep one of them",
                        quote(second->key).text, first->key_line);
}

/* Quadratic for the handful of keys that maps usually have, sorted for large ones. */
enum { SMALL_MAP = 12 };

static int check_duplicates(const struct builder *builder, const struct yamlnode *map)
{
    if (map->count <= SMALL_MAP) {
        for (const struct yamlnode *a = map->first; a != NULL; a = a->next)
            for (const struct yamlnode *b = a->next; b != NULL; b = b->next)
                if (view_equal(a->key, b->key))
                    return duplicate_problem(builder, a, b);
        return 0;
    }
    CLEANUP_FREE const struct yamlnode **members = mem_zero(map->count, sizeof *members);
    size_t count = 0;
    for (const struct yamlnode *node = map->first; node != NULL; node = node->next)
        members[count++] = node;
    qsort(members, count, sizeof *members, member_compare);
    for (size_t i = 1; i < count; i++)
        if (view_equal(members[i - 1]->key, members[i]->key))
            return duplicate_problem(builder, members[i - 1], members[i]);
    return 0;
}

static int close_level(struct builder *builder)
{
    const struct yamlnode *node = builder->stack[--builder->depth].node;
    assert(node != NULL);
    return node->kind == NODE_MAP ? check_duplicates(builder, node) : 0;
}

static int take_key(struct builder *builder, const yaml_event_t *event, struct level *level)
{
    level->key = doc_text(builder->doc, event->data.scalar.value, event->data.scalar.length);
    level->key_line = event_line(event);
    level->has_key = true;
    if (view_equal(level->key, VIEW("<<")))
        return problems_add(builder->problems, builder->file, event_line(event), "yaml-merge",
                            "merge keys are not accepted; write the values out");
    return 0;
}

static int take_scalar(struct builder *builder, const yaml_event_t *event)
{
    if (event->data.scalar.length > builder->limits.text)
        return problems_add(builder->problems, builder->file, event_line(event), "yaml-limit",
                            "a text of %zu bytes, the limit is %zu", event->data.scalar.length,
                            builder->limits.text);
    struct level *level = builder->depth > 0 ? &builder->stack[builder->depth - 1] : NULL;
    assert(level == NULL || level->node != NULL);
    if (level != NULL && level->node->kind == NODE_MAP && !level->has_key)
        return take_key(builder, event, level);
    struct yamlnode *node = NULL;
    int status = add_node(builder, event, NODE_TEXT, &node);
    if (status < 0)
        return status;
    node->text = doc_text(builder->doc, event->data.scalar.value, event->data.scalar.length);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return 0;
}

/* Anchors and tags may stand before a scalar, a list or a map. */
static int refuse_properties(const struct builder *builder, const yaml_event_t *event,
                             const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor != NULL)
        return problems_add(builder->problems, builder->file, event_line(event), "yaml-anchor",
                            "anchors are not accepted; write the value out where it is needed");
    if (tag != NULL)
        return problems_add(builder->problems, builder->file, event_line(event), "yaml-tag",
                            "tags are not accepted; every value is text, remove the tag");
    return 0;
}

static int take_document(struct builder *builder, const yaml_event_t *event)
{
    if (event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
        return problems_add(builder->problems, builder->file, event_line(event), "yaml-tag",
                            "%%TAG directives are not accepted; remove the line");
    if (++builder->documents > 1)
        return problems_add(builder->problems, builder->file, event_line(event), "yaml-documents",
                            "a second document begins here; a file holds one");
    return 0;
}

/* The event types are libyaml's, but the list is complete all the same. */
static int take_event(struct builder *builder, const yaml_event_t *event)
{
    int status;
    switch (event->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    case YAML_DOCUMENT_START_EVENT:
        return take_document(builder, event);
    case YAML_ALIAS_EVENT:
        return problems_add(builder->problems, builder->file, event_line(event), "yaml-alias",
                            "aliases are not accepted; write the value out where it is needed");
    case YAML_SCALAR_EVENT:
        status = refuse_properties(builder, event, event->data.scalar.anchor, event->data.scalar.tag);
        return status < 0 ? status : take_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        status = refuse_properties(builder, event, event->data.sequence_start.anchor,
                                   event->data.sequence_start.tag);
        return status < 0 ? status : open_level(builder, event, NODE_LIST);
    case YAML_MAPPING_START_EVENT:
        status = refuse_properties(builder, event, event->data.mapping_start.anchor,
                                   event->data.mapping_start.tag);
        return status < 0 ? status : open_level(builder, event, NODE_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_level(builder);
    }
    return 0;
}

static int parser_problem(const struct builder *builder, const yaml_parser_t *parser)
{
    return problems_add(builder->problems, builder->file, (int)parser->problem_mark.line + 1, "yaml-syntax",
                        "not YAML: %s%s%s", parser->problem != NULL ? parser->problem : "unreadable",
                        parser->context != NULL ? " " : "", parser->context != NULL ? parser->context : "");
}

static int build(struct builder *builder, yaml_parser_t *parser)
{
    for (bool more = true; more;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return parser_problem(builder, parser);
        more = event.type != YAML_STREAM_END_EVENT;
        int status = take_event(builder, &event);
        yaml_event_delete(&event);
        if (status < 0)
            return status;
    }
    return 0;
}

/* The line of the first byte that is not UTF-8: lines are checked one by one. */
static int utf8_problem(struct view text, const char *file, struct problems *problems)
{
    int line = 0;
    struct view rest = text, row;
    while (view_split(&rest, '\n', &row)) {
        line++;
        if (!view_is_utf8(row))
            break;
    }
    return problems_add(problems, file, line, "yaml-utf8",
                        "bytes that are not UTF-8; save the file as UTF-8");
}

int yamldoc_read(struct view text, const char *file, struct yamlnode_limits limits, struct yamldoc **ret,
                 struct problems *problems)
{
    if (text.size > limits.bytes)
        return problems_add(problems, file, 0, "file-limit", "%zu bytes, the limit is %zu", text.size,
                            limits.bytes);
    if (!view_is_utf8(text))
        return utf8_problem(text, file, problems);
    struct builder builder = {
        .doc = mem_zero(1, sizeof *builder.doc), .file = file, .limits = limits, .problems = problems};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        abort(); /* only out of memory */
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.data != NULL ? text.data : ""),
                                 text.size);
    int status = build(&builder, &parser);
    yaml_parser_delete(&parser);
    if (status < 0) {
        yamldoc_free(builder.doc);
        return status;
    }
    if (builder.doc->root == NULL) {
        builder.doc->root = doc_alloc(builder.doc, sizeof *builder.doc->root);
        *builder.doc->root = (struct yamlnode){.kind = NODE_TEXT, .line = 1, .plain = true, .text = VIEW("")};
    }
    *ret = builder.doc;
    return 0;
}
