/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plans: trees and plans that are in memory, and the answers to the core's CORE_DERIVE.
 */
#include "farm.h"

#include "file.h"
#include "gitpin.h"
#include "payload.h"
#include "spec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static struct view digest_key(const struct digest *digest)
{
    return view_of(digest->bytes, DIGEST_SIZE);
}

char *plans_tree_path(const struct digest *tree_sha256)
{
    return mem_format("trees/%s", digest_hex(tree_sha256).text);
}

struct farm_plan *plans_get(struct farm *farm, const struct digest *id)
{
    return map_get(farm->plans, digest_key(id));
}

struct dropped {
    const char *text;
    struct diag *diag;
};

static int visit_dropped(void *context, const struct db_plan *row)
{
    struct dropped *dropped = context;
    if (row->dropped_ms == 0 || strncmp(digest_hex(&row->id).text, dropped->text, strlen(dropped->text)) != 0)
        return 0;
    return diag_set(
        dropped->diag, FARM_E_UNKNOWN,
        "plan %.12s was dropped on %.10s, as keep_finished says; \"farmctl plan TREE@%s\" makes it again",
        digest_hex(&row->id).text, moment_format(row->dropped_ms).text, row->commit);
}

struct farm_plan *plans_find(struct farm *farm, const char *text, struct diag *diag)
{
    enum { PREFIX_MIN = 6 };
    struct farm_plan *found = NULL;
    size_t cursor = 0;
    struct view key;
    void *value;
    if (text == NULL || strlen(text) < PREFIX_MIN) {
        diag_set(diag, FARM_E_UNKNOWN, "a plan is named by at least %d hex digits of its id", PREFIX_MIN);
        return NULL;
    }
    while (map_next(farm->plans, &cursor, &key, &value)) {
        struct farm_plan *plan = value;
        if (strncmp(digest_hex(&plan->id).text, text, strlen(text)) != 0)
            continue;
        if (found != NULL) {
            diag_set(diag, FARM_E_UNKNOWN, "\"%s\" fits several plans; give more digits", text);
            return NULL;
        }
        found = plan;
    }
    struct dropped dropped = {text, diag};
    if (found == NULL && db_each_plan(farm->db, visit_dropped, &dropped, diag) >= 0)
        diag_set(diag, FARM_E_UNKNOWN, "no plan %s; \"farmctl status --all\" lists them", text);
    return found != NULL && plans_recall(farm, found, diag) >= 0 ? found : NULL;
}

struct farm_plan *plans_add(struct farm *farm, struct plan *plan, const struct digest *base_tar)
{
    struct farm_plan *known = plans_get(farm, &plan->id);
    if (known != NULL) {
        if (known->plan == NULL) {
            known->nnodes = plan->nnodes;
            known->plan = STEAL(plan);
        }
        plan_free(plan);
        plans_use(known);
        return known;
    }
    struct farm_plan *entry = plans_add_lost(farm, &plan->id, plan->tree.commit, base_tar);
    entry->nnodes = plan->nnodes;
    entry->plan = plan;
    return entry;
}

struct farm_plan *plans_add_lost(struct farm *farm, const struct digest *id, const char *commit,
                                 const struct digest *base_tar)
{
    struct farm_plan *entry = mem_zero(1, sizeof *entry);
    entry->id = *id;
    snprintf(entry->commit, sizeof entry->commit, "%s", commit);
    entry->base_tar = *base_tar;
    plans_use(entry);
    map_set(farm->plans, digest_key(&entry->id), entry);
    return entry;
}

struct farm_tree *plans_add_tree(struct farm *farm, struct tree *tree, const struct tree_pin *pin,
                                 const struct digest *pack)
{
    struct farm_tree *known = map_get(farm->trees, digest_key(&pin->sha256));
    if (known != NULL) {
        tree_free(tree);
        return known;
    }
    struct farm_tree *entry = mem_zero(1, sizeof *entry);
    entry->tree = tree;
    entry->sha256 = pin->sha256;
    entry->pack = *pack;
    entry->commit = mem_string(pin->commit);
    entry->url = mem_string(pin->url);
    map_set(farm->trees, digest_key(&entry->sha256), entry);
    return entry;
}

/* ---- getting a tree back after a restart ---- */

static int visit_pack(void *context, const struct db_tree *row)
{
    *(struct digest *)context = row->pack;
    return 0;
}

/* From the pack object into trees/<sha256>, whole or not at all. */
static int checkout_again(struct farm *farm, const struct tree_pin *pin, const struct digest *pack,
                          const char *path, struct diag *diag)
{
    CLEANUP_FREE char *scratch = NULL;
    int result = file_temp_dir(farm->state_dirfd, "scratch/tree", &scratch, diag);
    if (result < 0)
        return result;
    CLEANUP_FREE char *pack_path = mem_format("%s/pack", scratch);
    CLEANUP_FREE char *full_pack = mem_format("%s/%s", farm->state_path, pack_path);
    CLEANUP_FREE char *full_scratch = mem_format("%s/%s/git", farm->state_path, scratch); /* emptied first */
    CLEANUP_FREE char *out = mem_format("%s/tree", scratch);
    struct gitrepo *repo = NULL;
    CLEANUP_CLOSE int pack_fd =
        openat(farm->state_dirfd, pack_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    result = pack_fd < 0 ? diag_errno(diag, "%s", pack_path) : store_get_fd(farm->store, pack, pack_fd, diag);
    if (result >= 0)
        result = gitrepo_open_pack(full_pack, full_scratch, &repo, diag);
    if (result >= 0)
        result = file_make_dirs(farm->state_dirfd, out, 0700, diag);
    CLEANUP_CLOSE int dirfd = result >= 0 ? file_open_dir(farm->state_dirfd, out, diag) : -1;
    if (result >= 0)
        result = dirfd < 0 ? dirfd
                           : gitrepo_checkout(repo, pin->commit, &pin->sha256, GITPIN_LIMITS, dirfd, 0, diag);
    gitrepo_close(repo);
    if (result >= 0 &&
        syncfs(dirfd) < 0) /* a half-written tree would be believed later: it is checked once */
        result = diag_errno(diag, "%s: sync", out);
    if (result >= 0 && renameat(farm->state_dirfd, out, farm->state_dirfd, path) < 0 && errno != ENOTEMPTY &&
        errno != EEXIST)
        result = diag_errno(diag, "%s: rename", path);
    (void)!file_remove_tree(farm->state_dirfd, scratch, NULL);
    return result;
}

static int load_checked_out(struct farm *farm, const char *path, struct tree **ret, struct diag *diag)
{
    struct problems problems = PROBLEMS_INIT;
    CLEANUP_CLOSE int dirfd = file_open_dir(farm->state_dirfd, path, diag);
    if (dirfd < 0)
        return dirfd;
    int result = tree_load(dirfd, ret, &problems, diag);
    if (result < 0 && problems.count > 0)
        diag_set(diag, result, "%s: %s", problems.items[0].file, problems.items[0].text);
    problems_done(&problems);
    return result;
}

int plans_load_tree(struct farm *farm, struct farm_plan *plan, struct diag *diag)
{
    struct digest pack = {{0}};
    struct tree *tree = NULL;
    int result = plans_load_text(farm, plan, diag);
    if (result < 0)
        return result;
    const struct tree_pin *pin = &plan->plan->tree;
    if (plan->tree == NULL)
        plan->tree = map_get(farm->trees, digest_key(&pin->sha256));
    if (plan->tree != NULL)
        return 0;
    result = db_find_tree(farm->db, pin->commit, &pin->sha256, visit_pack, &pack, diag);
    if (result == 0)
        return diag_set(diag, FARM_E_CORRUPT, "database: the tree %s of a plan is not in table \"tree\"",
                        pin->commit);
    CLEANUP_FREE char *path = plans_tree_path(&pin->sha256);
    if (result > 0 && faccessat(farm->state_dirfd, path, F_OK, 0) < 0)
        result = checkout_again(farm, pin, &pack, path, diag);
    if (result >= 0)
        result = load_checked_out(farm, path, &tree, diag);
    if (result >= 0)
        plan->tree = plans_add_tree(farm, tree, pin, &pack);
    return result;
}

/* ---- into the core ---- */

static struct core_node core_node_of(struct farm *farm, const struct plan_node *node)
{
    int64_t measured = db_duration_of(farm->db, node->id) / 1000;
    return (struct core_node){
        .id = node->id,
        .dependencies = node->dependencies,
        .ndependencies = node->ndependencies,
        .closure = node->closure,
        .nclosure = node->nclosure,
        .rules = node->rules,
        .needs = {.cores = node->resources.cores,
                  .memory_bytes = node->resources.memory_bytes,
                  .disk_bytes = node->resources.disk_bytes,
                  .wall_seconds = node->resources.wall_seconds,
                  .priority = node->resources.priority,
                  .estimate_seconds =
                      measured > 0 ? (uint32_t)measured : 60 /* a guess; measured after one build */}};
}

int plans_start(struct farm *farm, struct farm_plan *plan, bool from_scratch, int64_t since_wall_ms,
                struct diag *diag)
{
    int result = plans_load_tree(farm, plan, diag);
    if (result < 0)
        return result;
    size_t count = plan->plan->nnodes;
    CLEANUP_FREE struct core_node *nodes = mem_zero(count, sizeof *nodes);
    for (size_t i = 0; i < count; i++)
        nodes[i] = core_node_of(farm, &plan->plan->nodes[i]);
    struct core_event event = {.type = CORE_PLAN_START,
                               .plan = plan->id,
                               .nodes = nodes,
                               .nnodes = count,
                               .flag = from_scratch,
                               .since_ms = since_wall_ms == 0 ? 0 : farm_core_of_wall(since_wall_ms)};
    plan->active = true;
    plan->forgotten = false;
    plans_use(plan);
    return farm_feed(farm, &event, diag);
}

/* ---- deriving ---- */

static int write_spec(const struct farm_plan *plan, const struct core_effect *effect, struct buf *ret,
                      struct digest *ret_key, struct diag *diag)
{
    const struct plan_node *node = &plan->plan->nodes[effect->node];
    const struct package *package = tree_find(plan->tree->tree, view_text(node->id));
    if (package == NULL)
        return diag_set(diag, FARM_E_UNKNOWN, "%s: not in the tree", node->id);
    struct spec_inputs inputs = {.tree = plan->tree->tree,
                                 .package = tree_index(plan->tree->tree, package),
                                 .base = plan->plan->base,
                                 .payloads = effect->payloads,
                                 .npayloads = effect->npayloads};
    return spec_write(&inputs, ret, ret_key, diag);
}

/* The spec is not synced: whoever starts the plan makes it again from tree and payloads (store_put_derived). */
static int derive(struct farm *farm, struct farm_plan *plan, const struct core_effect *effect,
                  struct digest *ret_key, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest stored;
    int result = write_spec(plan, effect, &text, ret_key, diag);
    if (result >= 0)
        result = store_put_derived(farm->store, buf_view(&text), &stored, diag);
    if (result >= 0) {
        CLEANUP_FREE char *holder = mem_format("plan:%s", digest_hex(&plan->id).text);
        db_put_job(farm_write(farm), ret_key, plan->plan->nodes[effect->node].id, moment_wall_ms());
        db_put_reference(farm->db, ret_key, holder);
    }
    return result;
}

void plans_derive(struct farm *farm, const struct core_effect *effect)
{
    struct diag diag = DIAG_INIT;
    struct farm_plan *plan = plans_get(farm, &effect->plan);
    struct core_event event = {.type = CORE_NODE_KEYED, .plan = effect->plan, .node = effect->node};
    int result = derive(farm, plan, effect, &event.key, &diag);
    if (result >= 0)
        result = plans_regain(farm, &event.key, &diag);
    if (result >= 0)
        result = plans_feed_history(farm, &event.key, &diag);
    if (result < 0) {
        event.type = CORE_NODE_REFUSED;
        event.text = diag_text(&diag, result);
    }
    (void)farm_feed(farm, &event, NULL);
}

/* ---- deriving again ---- */

static int take_name(void *context, const char *node)
{
    *(char **)context = mem_string(node);
    return 0;
}

size_t plans_node_of(struct farm *farm, const struct farm_plan *plan, const struct digest *job)
{
    CLEANUP_FREE char *name = NULL;
    struct core_node_view view;
    if (plan->plan == NULL || db_find_job(farm->db, job, take_name, &name, NULL) <= 0)
        return SIZE_MAX;
    size_t node = plan_find(plan->plan, view_text(name));
    return node != SIZE_MAX && core_node(farm->core, &plan->id, node, &view) && view.keyed &&
                   digest_equal(&view.key, job)
               ? node
               : SIZE_MAX;
}

/* A spec that is made of anything but what the key was made of is another job's: nothing of that is kept. */
static int put_again(struct farm *farm, const struct farm_plan *plan, const struct core_effect *effect,
                     const struct digest *key, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest found;
    int result = write_spec(plan, effect, &text, &found, diag);
    if (result < 0)
        return result;
    return digest_equal(&found, key)
               ? store_put_derived(farm->store, buf_view(&text), NULL, diag)
               : diag_set(diag, FARM_E_STATE, "%s: what it was made of is not agreed on at present",
                          plan->plan->nodes[effect->node].id);
}

int plans_derive_again(struct farm *farm, struct farm_plan *plan, size_t node, const struct digest *key,
                       struct diag *diag)
{
    struct core_node_view view;
    int result = plans_load_tree(farm, plan, diag);
    if (result < 0)
        return result;
    const struct plan_node *wanted = &plan->plan->nodes[node];
    CLEANUP_FREE struct digest *payloads = mem_zero(wanted->nclosure, sizeof *payloads);
    for (size_t i = 0; i < wanted->nclosure; i++)
        if (core_node(farm->core, &plan->id, wanted->closure[i], &view) && view.has_payload)
            payloads[i] = view.payload;
    struct core_effect effect = {
        .plan = plan->id, .node = node, .payloads = payloads, .npayloads = wanted->nclosure};
    return put_again(farm, plan, &effect, key, diag);
}

/* ---- names ---- */

static bool node_has_key(struct farm *farm, const struct farm_plan *plan, size_t node, const char *prefix)
{
    struct core_node_view view;
    return core_node(farm->core, &plan->id, node, &view) && view.keyed &&
           strncmp(digest_hex(&view.key).text, prefix, strlen(prefix)) == 0;
}

static size_t find_in_plan(struct farm *farm, const struct farm_plan *plan, const char *text)
{
    enum { KEY_PREFIX_MIN = 8 };
    size_t node = plan_find(plan->plan, view_text(text));
    if (node != SIZE_MAX || strlen(text) < KEY_PREFIX_MIN)
        return node;
    for (size_t i = 0; i < plan->plan->nnodes; i++)
        if (node_has_key(farm, plan, i, text))
            return i;
    return SIZE_MAX;
}

/* "PLAN/tier/name" names the plan. */
static bool is_named(const struct farm_plan *plan, const char *text)
{
    enum { PREFIX_MIN = 6 };
    const char *slash = strchr(text, '/');
    size_t prefix = slash != NULL ? (size_t)(slash - text) : 0;
    return prefix >= PREFIX_MIN && strncmp(digest_hex(&plan->id).text, text, prefix) == 0;
}

/* Of a plan that is in memory. */
static size_t find_named(struct farm *farm, const struct farm_plan *plan, const char *text)
{
    size_t node = find_in_plan(farm, plan, text);
    return node == SIZE_MAX && is_named(plan, text) ? find_in_plan(farm, plan, strchr(text, '/') + 1) : node;
}

/* Those that were started before those that were not; of several the newest. */
static struct farm_plan *find_in_memory(struct farm *farm, const char *text, size_t *ret_node)
{
    struct farm_plan *found = NULL;
    size_t cursor = 0;
    struct view key;
    for (void *value; map_next(farm->plans, &cursor, &key, &value);) {
        struct farm_plan *plan = value;
        size_t node = plan->plan != NULL ? find_named(farm, plan, text) : SIZE_MAX;
        if (node == SIZE_MAX || (found != NULL && plan->active < found->active))
            continue;
        found = plan;
        *ret_node = node;
    }
    return found;
}

/* Reads it, and lets it go again if the node is not in it. */
static size_t find_in_text(struct farm *farm, struct farm_plan *plan, const char *text)
{
    bool was_here = plan->plan != NULL;
    if (plans_load_text(farm, plan, NULL) < 0)
        return SIZE_MAX;
    size_t node = find_named(farm, plan, text);
    if (node == SIZE_MAX && !was_here)
        plan->plan = plan_free(plan->plan);
    return node;
}

/*
 * Among those that are not in memory. A name that no newer plan has may be a slip of the pen: it is looked for in so many of them, the
 * newest first, and not in a year's; a plan that is named is looked into whenever it was.
 */
static struct farm_plan *find_elsewhere(struct farm *farm, const char *text, bool built, size_t *ret_node)
{
    enum { LOOK_BACK = 100 };
    size_t cursor = 0, count = 0;
    struct view key;
    CLEANUP_FREE struct farm_plan **plans = mem_zero(map_count(farm->plans) + 1, sizeof *plans);
    for (void *value; map_next(farm->plans, &cursor, &key, &value);)
        if (((struct farm_plan *)value)->plan == NULL && ((struct farm_plan *)value)->forgotten == built)
            plans[count++] = value;
    for (size_t i = count; i > 0; i--) {
        if (count - i >= LOOK_BACK && !is_named(plans[i - 1], text))
            continue;
        size_t node = find_in_text(farm, plans[i - 1], text);
        if (node == SIZE_MAX)
            continue;
        *ret_node = node;
        return plans[i - 1];
    }
    return NULL;
}

/*
 * "PLAN/tier/name" names the plan; otherwise the newest plan that has the node is meant: of those in the core, or else of those that the core
 * has forgotten, or else of those that nobody has built. That it was ever built says more than that it is in memory now.
 */
int plans_find_node(struct farm *farm, const char *text, struct farm_plan **ret_plan, size_t *ret_node,
                    struct diag *diag)
{
    size_t node = SIZE_MAX;
    if (text == NULL)
        return diag_set(diag, FARM_E_USAGE, "which job? Give \"name\", \"tier/name\" or a job key");
    struct farm_plan *found = find_in_memory(farm, text, &node);
    struct farm_plan *built =
        found == NULL || !found->active ? find_elsewhere(farm, text, true, &node) : NULL;
    if (built != NULL)
        found = built;
    if (found == NULL)
        found = find_elsewhere(farm, text, false, &node);
    if (found == NULL)
        return diag_set(diag, FARM_E_UNKNOWN, "no job \"%s\" in any plan; \"farmctl jobs\" lists them", text);
    *ret_plan = found;
    *ret_node = node;
    return plans_recall(farm, found, diag);
}
