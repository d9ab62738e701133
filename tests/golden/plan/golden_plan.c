/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Golden plans. The input is a small package tree and what to do with it:
 *
 *     --- PATH
 *         the lines that follow are the file PATH of the tree, without trailing empty lines
 *     pkg TIER/NAME [build: A B] [host: C] [runtime: D]
 *         a complete recipe in one line
 *     +++ plan SELECTOR...
 *         the plan, one line a node
 *     +++ spec NAME
 *         the job spec; each payload of the closure is the SHA-256 of its package's name
 *     +++ aliases
 *         the aliases that were used
 *     +++ rules NAME, +++ resources NAME, +++ pins NAME
 *
 * If the tree is refused, the output is its problems.
 */
#include "golden.h"

#include "file.h"
#include "plan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct example {
    char *dir; /* scratch directory of the tree */
    int fd;
    struct buf *out;
};

static void must(int status, const struct diag *diag)
{
    if (status < 0) {
        fprintf(stderr, "golden_plan: %s\n", diag->text);
        abort();
    }
}

static void write_tree_file(const struct example *example, const char *path, struct view content)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *parent = mem_string(path);
    char *slash = strrchr(parent, '/');
    if (slash != NULL) {
        *slash = '\0';
        must(file_make_dirs(example->fd, parent, 0755, &diag), &diag);
    }
    must(file_write(example->fd, path, content, 0644, &diag), &diag);
}

/* "build: A B host: C" -> the dependencies block. */
static void add_edges(struct view words, struct buf *recipe)
{
    static const char *const kinds[] = {"build:", "host:", "runtime:"};
    struct view word;
    while (view_split(&words, ' ', &word)) {
        bool is_kind = false;
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
            is_kind = is_kind || view_equal(word, view_text(kinds[i]));
        if (word.size > 0)
            buf_add_format(recipe, is_kind ? "  %.*s\n" : "  - %.*s\n", VIEW_ARG(word));
    }
}

static void write_short_recipe(const struct example *example, struct view line)
{
    struct view rest = line, word, place;
    (void)view_split(&rest, ' ', &word);
    (void)view_split(&rest, ' ', &place);
    const char *slash = memchr(place.data, '/', place.size);
    struct view tier = view_of(place.data, (size_t)(slash - place.data));
    struct view name = view_of(slash + 1, place.size - tier.size - 1);
    CLEANUP_BUF struct buf recipe = BUF_INIT;
    buf_add_format(&recipe,
                   "name: %.*s\nversion: 1.0\nrelease: 1\ndescription: The package %.*s\nlicense: MIT\n"
                   "tier: %.*s\nbuild_style: custom\nsource: []\ndependencies:\n",
                   VIEW_ARG(name), VIEW_ARG(name), VIEW_ARG(tier));
    add_edges(rest, &recipe);
    CLEANUP_FREE char *path = mem_format("packages/%.*s/package.yml", VIEW_ARG(place));
    write_tree_file(example, path, buf_view(&recipe));
}

static void flush_file(const struct example *example, char **path, struct buf *content)
{
    while (content->size > 1 && content->data[content->size - 1] == '\n' &&
           content->data[content->size - 2] == '\n')
        content->data[--content->size] = '\0';
    if (*path != NULL)
        write_tree_file(example, *path, buf_view(content));
    free(*path);
    *path = NULL;
    buf_clear(content);
}

/* Writes all files; commands are left for later. */
static void write_tree(const struct example *example, struct view input)
{
    CLEANUP_BUF struct buf content = BUF_INIT;
    char *path = NULL;
    struct view line;
    while (view_split(&input, '\n', &line)) {
        bool starts = view_starts(line, VIEW("--- "));
        if (starts || view_starts(line, VIEW("pkg ")) || view_starts(line, VIEW("+++ ")))
            flush_file(example, &path, &content);
        if (starts)
            path = view_string(view_of(line.data + 4, line.size - 4));
        else if (view_starts(line, VIEW("pkg ")))
            write_short_recipe(example, line);
        else if (path != NULL)
            buf_add_format(&content, "%.*s\n", VIEW_ARG(line));
    }
    flush_file(example, &path, &content);
}

static void print_names(struct buf *out, const char *title, const struct plan *plan, const size_t *items,
                        size_t count)
{
    if (count > 0)
        buf_add_text(out, title);
    for (size_t i = 0; i < count; i++)
        buf_add_format(out, " %s", plan->nodes[items[i]].name);
}

static void print_plan(struct buf *out, const struct plan *plan)
{
    buf_add_text(out, "selection:");
    for (size_t i = 0; i < plan->selection.count; i++)
        buf_add_format(out, " %s", plan->selection.items[i].text);
    buf_add_byte(out, '\n');
    for (size_t i = 0; i < plan->nnodes; i++) {
        const struct plan_node *node = &plan->nodes[i];
        buf_add_format(out, "%s %s-%s", node->id, node->version, node->release);
        print_names(out, " | waits for", plan, node->dependencies, node->ndependencies);
        print_names(out, " | root", plan, node->closure, node->nclosure);
        buf_add_byte(out, '\n');
    }
}

/* Printing, reading and printing again gives the same bytes and the same name. */
static void check_round_trip(const struct plan *plan)
{
    CLEANUP_BUF struct buf first = BUF_INIT;
    CLEANUP_BUF struct buf second = BUF_INIT;
    struct diag diag = DIAG_INIT;
    struct plan *again = NULL;
    plan_write(plan, &first);
    must(plan_parse(buf_view(&first), &again, &diag), &diag);
    plan_write(again, &second);
    if (!view_equal(buf_view(&first), buf_view(&second)) || !digest_equal(&plan->id, &again->id))
        abort();
    plan_free(again);
}

enum { SELECTORS_MAX = 16 };

static void command_plan(struct buf *out, const struct tree *tree, struct view arguments)
{
    char *selectors[SELECTORS_MAX];
    size_t count = 0;
    struct view word;
    while (count < SELECTORS_MAX && view_split(&arguments, ' ', &word))
        if (word.size > 0)
            selectors[count++] = view_string(word);
    struct tree_pin pin = {.url = (char *)"https://example.invalid/tree",
                           .commit = "00000000000000000000000000000000000000aa"};
    struct digest base = digest_of(VIEW("base"));
    struct diag diag = DIAG_INIT;
    struct problems problems = PROBLEMS_INIT;
    struct plan *plan = NULL;
    int status = plan_make(tree, &pin, &base, (const char *const *)selectors, count, &plan, &diag);
    if (status < 0) {
        buf_add_format(out, "%s: %s\n", farm_error_name(status), diag.text);
    } else {
        print_plan(out, plan);
        check_round_trip(plan);
        if (plan_check(plan, tree, &problems) < 0)
            for (size_t i = 0; i < problems.count; i++)
                buf_add_format(out, "%s:%d: %s [%s]\n", problems.items[i].file, problems.items[i].line,
                               problems.items[i].text, problems.items[i].rule);
    }
    problems_done(&problems);
    plan_free(plan);
    while (count > 0)
        free(selectors[--count]);
}

static void command_spec(struct buf *out, const struct tree *tree, struct view name)
{
    const struct package *package = tree_find(tree, name);
    CLEANUP_FREE size_t *closure = NULL;
    CLEANUP_BUF struct buf text = BUF_INIT;
    size_t count = 0;
    struct diag diag = DIAG_INIT;
    struct digest key;
    tree_closure(tree, tree_index(tree, package), &closure, &count);
    CLEANUP_FREE struct digest *payloads = mem_zero(count, sizeof *payloads);
    for (size_t i = 0; i < count; i++)
        payloads[i] = digest_of(view_text(tree->packages[closure[i]].recipe->name));
    struct spec_inputs inputs = {.tree = tree,
                                 .package = tree_index(tree, package),
                                 .base = digest_of(VIEW("base")),
                                 .payloads = payloads,
                                 .npayloads = count,
                                 .epoch = -1};
    int status = spec_write(&inputs, &text, &key, &diag);
    if (status < 0) {
        buf_add_format(out, "%s: %s\n", farm_error_name(status), diag.text);
        return;
    }
    CLEANUP_JSON json_t *value = NULL;
    must(json_read(buf_view(&text), "spec", SPEC_SIZE_MAX, &value, &diag), &diag);
    char *pretty = json_dumps(value, JSON_INDENT(1) | JSON_SORT_KEYS);
    buf_add_format(out, "%s\n", pretty);
    free(pretty);
}

static void command_rules(struct buf *out, const struct tree *tree, struct view name)
{
    struct rules rules = tree_find(tree, name)->rules;
    buf_add_format(out, "%.*s: quorum %u anchors %u distinct %u margin %u attempts %u%s%s%s%s\n",
                   VIEW_ARG(name), rules.quorum, rules.anchors, rules.distinct, rules.margin,
                   rules.max_attempts, rules.open_votes ? " open" : "", rules.hold ? " hold" : "",
                   rules.evidence ? " evidence" : "", rules.setuid ? " setuid" : "");
}

static void command_resources(struct buf *out, const struct tree *tree, struct view name)
{
    struct resources resources = tree_find(tree, name)->resources;
    buf_add_format(out, "%.*s: jobs %u cores %u memory %llu disk %llu wall %u priority %d\n", VIEW_ARG(name),
                   resources.jobs, resources.cores, (unsigned long long)resources.memory_bytes,
                   (unsigned long long)resources.disk_bytes, resources.wall_seconds, resources.priority);
}

static void command_pins(struct buf *out, const struct tree *tree, struct view name)
{
    const struct package *package = tree_find(tree, name);
    buf_add_format(out, "%.*s: epoch %lld\n", VIEW_ARG(name), (long long)package->epoch);
    for (size_t i = 0; i < package->npins; i++) {
        const struct pin *pin = &package->pins[i];
        buf_add_format(out, "  %s %s%s%s %.8s size %llu into %s%s%s\n",
                       pin->kind == PIN_GIT ? "git" : "archive", pin->url,
                       pin->filename != NULL ? " as " : "", pin->filename != NULL ? pin->filename : "",
                       digest_hex(&pin->digest).text, (unsigned long long)pin->size,
                       pin->into != NULL ? pin->into : "(sources)", pin->commit[0] != '\0' ? " commit " : "",
                       pin->commit);
    }
}

static void command_aliases(struct buf *out, const struct tree *tree)
{
    for (size_t i = 0; i < tree->naliases; i++)
        buf_add_format(out, "%s: %s is %s\n", tree->aliases[i].package, tree->aliases[i].wanted,
                       tree->aliases[i].resolved);
}

static void run_command(struct buf *out, const struct tree *tree, struct view line)
{
    struct view rest = view_of(line.data + 4, line.size - 4), verb;
    (void)view_split(&rest, ' ', &verb);
    if (view_equal(verb, VIEW("plan")))
        command_plan(out, tree, rest);
    else if (view_equal(verb, VIEW("spec")))
        command_spec(out, tree, rest);
    else if (view_equal(verb, VIEW("rules")))
        command_rules(out, tree, rest);
    else if (view_equal(verb, VIEW("resources")))
        command_resources(out, tree, rest);
    else if (view_equal(verb, VIEW("pins")))
        command_pins(out, tree, rest);
    else if (view_equal(verb, VIEW("aliases")))
        command_aliases(out, tree);
    else
        abort();
}

static void print_problems(struct buf *out, const struct problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *item = &problems->items[i];
        buf_add_text(out, item->file);
        if (item->line > 0)
            buf_add_format(out, ":%d", item->line);
        buf_add_format(out, ": %s [%s]\n", item->text, item->rule);
    }
}

static void run_commands(const struct example *example, struct view input)
{
    struct problems problems = PROBLEMS_INIT;
    struct diag diag = DIAG_INIT;
    struct tree *tree = NULL;
    struct view line;
    int status = tree_load(example->fd, &tree, &problems, &diag);
    print_problems(example->out, &problems);
    if (status < 0)
        buf_add_format(example->out, "%s: %s\n", farm_error_name(status), diag.text);
    while (status >= 0 && view_split(&input, '\n', &line))
        if (view_starts(line, VIEW("+++ ")))
            run_command(example->out, tree, line);
    tree_free(tree);
    problems_done(&problems);
}

static void run(struct view input, struct buf *out)
{
    struct diag diag = DIAG_INIT;
    struct example example = {.fd = -1, .out = out};
    must(file_temp_dir(AT_FDCWD, "golden-plan", &example.dir, &diag), &diag);
    example.fd = file_open_dir(AT_FDCWD, example.dir, &diag);
    must(example.fd, &diag);
    write_tree(&example, input);
    run_commands(&example, input);
    close(example.fd);
    must(file_remove_tree(AT_FDCWD, example.dir, &diag), &diag);
    free(example.dir);
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, run);
}
