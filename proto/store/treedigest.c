/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tree digest. git orders a tree as if directory names ended in "/", which is the same as ordering the full paths of
 * all files by their bytes. So the files are sorted once, and a stack holds the tree objects that are still open
 * on the way to the current one; there is no recursion for a deep path to exhaust.
 */
#include "treedigest.h"

#include "treehash.h"
#include "treewalk.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct leaf {
    char *path; /* owned */
    size_t size;
    unsigned int mode;
    struct digest blob;
};

struct treedigest {
    struct leaf *leaves;
    size_t count, capacity;
};

struct treedigest *treedigest_new(void)
{
    return mem_zero(1, sizeof(struct treedigest));
}

struct treedigest *treedigest_free(struct treedigest *tree)
{
    if (tree == NULL)
        return NULL;
    for (size_t i = 0; i < tree->count; i++)
        free(tree->leaves[i].path);
    free(tree->leaves);
    free(tree);
    return NULL;
}

static struct digest object_digest(const char *kind, struct view content)
{
    char head[48];
    int length = snprintf(head, sizeof head, "%s %zu", kind, content.size);
    struct hasher *hasher = hasher_new();
    hasher_add(hasher, head, (size_t)length + 1); /* with its NUL */
    hasher_add(hasher, content.data != NULL ? content.data : "", content.size);
    struct digest digest = hasher_finish(hasher);
    hasher_free(hasher);
    return digest;
}

struct digest treedigest_blob(struct view content)
{
    return object_digest("blob", content);
}

void treedigest_add(struct treedigest *tree, struct view path, unsigned int mode, const struct digest *blob)
{
    if (mode == TREE_GITLINK)
        return;
    tree->leaves = mem_reserve(tree->leaves, &tree->capacity, tree->count + 1, sizeof *tree->leaves);
    tree->leaves[tree->count++] = (struct leaf){view_string(path), path.size, mode, *blob};
}

static int compare_leaves(const void *left, const void *right)
{
    const struct leaf *a = left, *b = right;
    return view_compare(view_of(a->path, a->size), view_of(b->path, b->size));
}

/* A tree object that still grows; its path is the first 'prefix' bytes of the current leaf's, with the '/'. */
struct open_tree {
    size_t prefix;
    struct buf content;
};

struct stack {
    struct open_tree *trees;
    size_t count, capacity;
};

static void stack_push(struct stack *stack, size_t prefix)
{
    stack->trees = mem_reserve(stack->trees, &stack->capacity, stack->count + 1, sizeof *stack->trees);
    stack->trees[stack->count++] = (struct open_tree){.prefix = prefix, .content = BUF_INIT};
}

static void add_item(struct buf *content, unsigned int mode, struct view name, const struct digest *digest)
{
    buf_add_format(content, "%o ", mode);
    buf_add_view(content, name);
    buf_add_byte(content, '\0');
    buf_add(content, digest->bytes, DIGEST_SIZE);
}

/* Ends the innermost tree; all but the root go into the one around it. 'path' is any leaf's that lies in it. */
static struct digest stack_pop(struct stack *stack, const char *path)
{
    struct open_tree *top = &stack->trees[--stack->count];
    struct digest digest = object_digest("tree", buf_view(&top->content));
    buf_done(&top->content);
    if (stack->count > 0) {
        struct open_tree *outer = top - 1;
        struct view name = view_of(path + outer->prefix, top->prefix - outer->prefix - 1);
        add_item(&outer->content, TREE_DIR, name, &digest);
    }
    return digest;
}

static bool same_prefix(const struct leaf *a, const struct leaf *b, size_t size)
{
    return a->size >= size && b->size >= size && (size == 0 || memcmp(a->path, b->path, size) == 0);
}

static void add_leaf(struct stack *stack, const struct leaf *leaf)
{
    const char *slash;
    size_t prefix = stack->trees[stack->count - 1].prefix;
    while ((slash = memchr(leaf->path + prefix, '/', leaf->size - prefix)) != NULL) {
        prefix = (size_t)(slash - leaf->path) + 1;
        stack_push(stack, prefix);
    }
    add_item(&stack->trees[stack->count - 1].content, leaf->mode,
             view_of(leaf->path + prefix, leaf->size - prefix), &leaf->blob);
}

struct digest treedigest_finish(struct treedigest *tree)
{
    if (tree->count > 1)
        qsort(tree->leaves, tree->count, sizeof *tree->leaves, compare_leaves);
    struct stack stack = {0};
    stack_push(&stack, 0);
    for (size_t i = 0; i < tree->count; i++) {
        while (i > 0 &&
               !same_prefix(&tree->leaves[i - 1], &tree->leaves[i], stack.trees[stack.count - 1].prefix))
            stack_pop(&stack, tree->leaves[i - 1].path);
        add_leaf(&stack, &tree->leaves[i]);
    }
    while (stack.count > 1)
        stack_pop(&stack, tree->leaves[tree->count - 1].path);
    struct digest digest = stack_pop(&stack, "");
    free(stack.trees);
    return digest;
}

/* What the walk of a directory collects: files are hashed afterwards, all together. */
struct collection {
    struct treedigest *tree;
    struct file {
        char *path; /* owned */
        uint64_t size;
        unsigned int mode;
    } * files;
    size_t count, capacity;
};

static int visit(void *context, const struct treewalk_entry *entry, struct diag *diag)
{
    struct collection *all = context;
    mode_t mode = entry->status->st_mode;
    if (view_equal(entry->path, VIEW(".git")))
        return TREEWALK_SKIP;
    if (S_ISLNK(mode)) {
        CLEANUP_FREE char *target = NULL;
        int result = treewalk_read_link(entry, &target, diag);
        if (result < 0)
            return result;
        struct digest blob = treedigest_blob(view_text(target));
        treedigest_add(all->tree, entry->path, TREE_LINK, &blob);
    } else if (S_ISREG(mode)) {
        all->files = mem_reserve(all->files, &all->capacity, all->count + 1, sizeof *all->files);
        all->files[all->count++] = (struct file){view_string(entry->path), (uint64_t)entry->status->st_size,
                                                 (mode & S_IXUSR) != 0 ? TREE_EXEC : TREE_FILE};
    } else if (!S_ISDIR(mode)) {
        return diag_set(diag, FARM_E_REFUSED, "%.*s: is a %s, which git cannot hold", VIEW_ARG(entry->path),
                        treewalk_type(mode));
    }
    return TREEWALK_GO_ON;
}

static int hash_files(int dirfd, struct collection *all, struct diag *diag)
{
    CLEANUP_FREE struct treehash_job *jobs = mem_zero(all->count, sizeof *jobs);
    for (size_t i = 0; i < all->count; i++)
        jobs[i] = (struct treehash_job){.path = view_text(all->files[i].path), .size = all->files[i].size};
    int result = treehash(dirfd, jobs, all->count, true, diag);
    for (size_t i = 0; result >= 0 && i < all->count; i++)
        treedigest_add(all->tree, jobs[i].path, all->files[i].mode, &jobs[i].ret);
    return result;
}

int treedigest_of_dir(int dirfd, struct digest *ret, struct diag *diag)
{
    struct collection all = {.tree = treedigest_new()};
    int result = treewalk(dirfd, visit, &all, diag);
    if (result >= 0)
        result = hash_files(dirfd, &all, diag);
    if (result >= 0)
        *ret = treedigest_finish(all.tree);
    for (size_t i = 0; i < all.count; i++)
        free(all.files[i].path);
    free(all.files);
    treedigest_free(all.tree);
    return result;
}
