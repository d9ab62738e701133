/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tree.h"

#include "map.h"
#include "names.h"
#include "treedigest.h"
#include "treegraph.h"
#include "treepins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void package_done(struct package *package)
{
    for (size_t i = 0; i < package->npins; i++)
        pin_done(&package->pins[i]);
    free(package->pins);
    free(package->build_deps);
    free(package->runtime_deps);
    recipe_free(package->recipe);
}

struct tree *tree_free(struct tree *tree)
{
    if (tree == NULL)
        return NULL;
    for (size_t i = 0; i < tree->npackages; i++)
        package_done(&tree->packages[i]);
    for (size_t i = 0; i < tree->naliases; i++) {
        free(tree->aliases[i].wanted);
        free(tree->aliases[i].resolved);
        free(tree->aliases[i].package);
    }
    free(tree->packages);
    free(tree->aliases);
    policy_free(tree->policy);
    lock_free(tree->lock);
    resources_free(tree->resources);
    free(tree);
    return NULL;
}

/* What a loading tree needs beside the tree. */
struct loader {
    struct tree *tree;
    size_t capacity;
    struct map *broken; /* directory names of recipes that could not be read; the value is never looked at */
    struct problems *problems;
    struct buf text; /* one file at a time */
};

/*
 * Opens one component below a directory, never through a symbolic link. O_NONBLOCK keeps a FIFO from holding
 * the program. -ENOENT if absent; other errors are problems of the tree, and FARM_E_REFUSED.
 */
static int open_component(struct loader *loader, int dirfd, const char *name, const char *path, int flags)
{
    int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags);
    if (fd >= 0)
        return fd;
    if (errno == ENOENT)
        return -ENOENT;
    if (errno == ELOOP || errno == ENOTDIR)
        return problems_add(
            loader->problems, path, 0, "symlink",
            "a symbolic link, or no directory, where the tree needs the thing itself; replace it");
    return problems_add(loader->problems, path, 0, "unreadable", "%s; check the permissions",
                        strerror(errno));
}

/* As many bytes as the file had when it was opened: one system call for each of hundreds of small files. */
static int read_whole(int fd, size_t size, struct buf *ret)
{
    char *room = buf_room(ret, size);
    size_t have = 0;
    while (have < size) {
        ssize_t taken = read(fd, room + have, size - have);
        if (taken < 0 && errno == EINTR)
            continue;
        if (taken < 0)
            return -errno;
        if (taken == 0)
            return FARM_E_CORRUPT; /* it shrank meanwhile */
        have += (size_t)taken;
    }
    ret->size += size;
    ret->data[ret->size] = '\0';
    return 0;
}

/* Reads a file into loader->text. -ENOENT if absent. The size is checked before anything is read. */
static int read_component(struct loader *loader, int dirfd, const char *name, const char *path, size_t limit)
{
    CLEANUP_CLOSE int fd = open_component(loader, dirfd, name, path, 0);
    struct stat status;
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return problems_add(loader->problems, path, 0, "unreadable", "not a regular file; replace it");
    if ((uint64_t)status.st_size > limit)
        return problems_add(loader->problems, path, 0, "file-limit", "%lld bytes, the limit is %zu",
                            (long long)status.st_size, limit);
    buf_clear(&loader->text);
    int error = read_whole(fd, (size_t)status.st_size, &loader->text);
    if (error < 0)
        return problems_add(loader->problems, path, 0, "unreadable", "%s; check the file system",
                            farm_error_text(error));
    return 0;
}

static int name_compare(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

/* The entries of a directory but hidden ones, sorted; files (a README) are left out. */
static int list_directories(struct loader *loader, int dirfd, const char *path, char ***ret,
                            size_t *ret_count)
{
    char **names = NULL;
    size_t count = 0, capacity = 0;
    int copy = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (dir == NULL) {
        if (copy >= 0)
            close(copy);
        return problems_add(loader->problems, path, 0, "unreadable", "%s", strerror(errno));
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL && count <= TREE_PACKAGES_MAX;) {
        if (entry->d_name[0] == '.' || entry->d_type == DT_REG)
            continue;
        names = mem_reserve(names, &capacity, count + 1, sizeof *names);
        names[count++] = mem_string(entry->d_name);
    }
    closedir(dir);
    if (count > TREE_PACKAGES_MAX) {
        free_names(names, count);
        return problems_add(loader->problems, path, 0, "tree-limit", "more than %d entries",
                            TREE_PACKAGES_MAX);
    }
    if (count > 1)
        qsort(names, count, sizeof *names, name_compare);
    *ret = names;
    *ret_count = count;
    return 0;
}

static void check_place(struct loader *loader, const struct recipe *recipe, const char *tier,
                        const char *name)
{
    const struct text_list *tiers = resources_tiers(loader->tree->resources);
    if (strcmp(recipe->name, name) != 0)
        (void)problems_add(loader->problems, recipe->file, recipe->line_name, "name-mismatch",
                           "the recipe is called \"%s\" and its directory \"%s\"; rename one of them",
                           recipe->name, name);
    if (strcmp(recipe->tier, tier) != 0)
        (void)problems_add(loader->problems, recipe->file, recipe->line_tier, "tier-mismatch",
                           "the tier is \"%s\" and the directory stands in \"%s\"; correct one of them",
                           recipe->tier, tier);
    else if (!text_list_has(tiers, view_text(tier)))
        (void)problems_add(loader->problems, recipe->file, recipe->line_tier, "unknown-tier",
                           "\"%s\" is no tier of this tree; list it under \"tiers\" in farm/resources.yml",
                           tier);
}

/* A patch without digest must lie beside the recipe, where the recipe's digest covers it. */
static void check_patches(struct loader *loader, int dirfd, const struct package *package)
{
    const struct recipe *recipe = package->recipe;
    for (size_t i = 0; i < recipe->npatches && !package->in_base; i++)
        if (!recipe->patches[i].has_sha256 &&
            faccessat(dirfd, recipe->patches[i].file, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
            (void)problems_add(
                loader->problems, recipe->file, recipe->patches[i].line, "pin-missing",
                "%s: patches[%zu].sha256 is not given and %s does not lie beside the recipe; give its "
                "sha256, or put the file there",
                recipe->name, i, recipe->patches[i].file);
}

static void add_package(struct loader *loader, int dirfd, struct recipe *recipe)
{
    struct tree *tree = loader->tree;
    struct diag diag = DIAG_INIT;
    tree->packages =
        mem_reserve(tree->packages, &loader->capacity, tree->npackages + 1, sizeof *tree->packages);
    struct package *package = &tree->packages[tree->npackages++];
    *package = (struct package){.recipe = recipe, .epoch = -1};
    package->in_base = text_list_has(resources_base_tiers(tree->resources), view_text(recipe->tier));
    package->resources = resources_for(tree->resources, recipe->tier, recipe->name);
    package->rules = policy_rules(tree->policy, recipe->tier, recipe->name, "package");
    recipe->has_build_sh = !package->in_base && faccessat(dirfd, "build.sh", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    check_patches(loader, dirfd, package);
    if (!package->in_base && treedigest_of_dir(dirfd, &package->recipe_digest, &diag) < 0)
        (void)problems_add(loader->problems, recipe->file, 0, "unreadable", "%s",
                           diag_text(&diag, diag.error));
    if (package->rules.anchors > package->rules.quorum)
        (void)problems_add(loader->problems, "farm/policy.yml", 0, "policy-anchors",
                           "the rules that match %s ask for %u anchors in a quorum of %u; raise the quorum",
                           recipe->name, package->rules.anchors, package->rules.quorum);
}

static void load_package(struct loader *loader, int tier_fd, const char *tier, const char *name)
{
    CLEANUP_FREE char *path = mem_format("packages/%s/%s", tier, name);
    CLEANUP_FREE char *file = mem_format("%s/package.yml", path);
    CLEANUP_CLOSE int dirfd = open_component(loader, tier_fd, name, path, O_DIRECTORY);
    int status = dirfd < 0 ? dirfd : read_component(loader, dirfd, "package.yml", file, RECIPE_FILE_MAX);
    struct recipe *recipe = NULL;
    if (status == -ENOENT)
        status = problems_add(loader->problems, path, 0, "recipe-missing",
                              "a directory without package.yml; write one, or remove the directory");
    if (status >= 0)
        status = recipe_parse(buf_view(&loader->text), path, &recipe, loader->problems);
    if (status < 0) {
        map_set(loader->broken, view_text(name), loader);
        return;
    }
    check_place(loader, recipe, tier, name);
    add_package(loader, dirfd, recipe);
}

static void load_tier(struct loader *loader, int packages_fd, const char *tier)
{
    CLEANUP_FREE char *path = mem_format("packages/%s", tier);
    CLEANUP_CLOSE int tier_fd = open_component(loader, packages_fd, tier, path, O_DIRECTORY);
    char **names = NULL;
    size_t count = 0;
    if (tier_fd < 0 || list_directories(loader, tier_fd, path, &names, &count) < 0)
        return;
    for (size_t i = 0; i < count && loader->tree->npackages < TREE_PACKAGES_MAX; i++)
        load_package(loader, tier_fd, tier, names[i]);
    free_names(names, count);
}

static int load_packages(struct loader *loader, int dirfd)
{
    CLEANUP_CLOSE int packages_fd = open_component(loader, dirfd, "packages", "packages", O_DIRECTORY);
    char **tiers = NULL;
    size_t count = 0;
    if (packages_fd == -ENOENT)
        return problems_add(loader->problems, "packages", 0, "no-packages",
                            "there is no directory \"packages\"; is this a package tree?");
    if (packages_fd < 0 || list_directories(loader, packages_fd, "packages", &tiers, &count) < 0)
        return FARM_E_REFUSED;
    for (size_t i = 0; i < count; i++)
        load_tier(loader, packages_fd, tiers[i]);
    free_names(tiers, count);
    if (loader->tree->npackages >= TREE_PACKAGES_MAX)
        return problems_add(loader->problems, "packages", 0, "tree-limit", "more than %d packages",
                            TREE_PACKAGES_MAX);
    return 0;
}

static int package_compare(const void *left, const void *right)
{
    const struct recipe *a = ((const struct package *)left)->recipe,
                        *b = ((const struct package *)right)->recipe;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : strcmp(a->path, b->path);
}

/* Keeps the first of each name, so that what follows has one recipe a name. */
static void sort_packages(struct tree *tree, struct problems *problems)
{
    if (tree->npackages == 0)
        return;
    qsort(tree->packages, tree->npackages, sizeof *tree->packages, package_compare);
    size_t kept = 1;
    for (size_t i = 1; i < tree->npackages; i++) {
        const struct recipe *first = tree->packages[kept - 1].recipe, *second = tree->packages[i].recipe;
        if (strcmp(first->name, second->name) != 0) {
            tree->packages[kept++] = tree->packages[i];
            continue;
        }
        (void)problems_add(problems, second->file, second->line_name, "duplicate-name",
                           "\"%s\" is also the name of %s:%d; rename one of them", second->name, first->file,
                           first->line_name);
        package_done(&tree->packages[i]);
    }
    tree->npackages = kept;
}

/* The three sidecar files; each may be absent. The digests are those of the bytes that were read. */
static void load_farm_files(struct loader *loader, int farm_fd)
{
    struct tree *tree = loader->tree;
    if (read_component(loader, farm_fd, "resources.yml", "farm/resources.yml", RESOURCES_FILE_MAX) == 0)
        (void)!resources_parse(buf_view(&loader->text), "farm/resources.yml", &tree->resources,
                               loader->problems);
    if (read_component(loader, farm_fd, "policy.yml", "farm/policy.yml", POLICY_FILE_MAX) == 0) {
        tree->has_policy = true;
        tree->policy_digest = digest_of(buf_view(&loader->text));
        (void)!policy_parse(buf_view(&loader->text), "farm/policy.yml", &tree->policy, loader->problems);
    }
    if (read_component(loader, farm_fd, "farm.lock", "farm/farm.lock", LOCK_FILE_MAX) == 0) {
        tree->has_lock = true;
        tree->lock_digest = digest_of(buf_view(&loader->text));
        (void)!lock_parse(buf_view(&loader->text), "farm/farm.lock", &tree->lock, loader->problems);
    }
}

/* An empty scripts/ is none: git does not keep empty directories, so others who check the tree out have no such directory. */
static int digest_scripts(int fd, struct digest *ret, struct diag *diag)
{
    struct treedigest *nothing = treedigest_new();
    struct digest empty = treedigest_finish(nothing), found;
    treedigest_free(nothing);
    int result = treedigest_of_dir(fd, &found, diag);
    if (result >= 0 && !digest_equal(&found, &empty))
        *ret = found;
    return result;
}

static int load_sidecars(struct loader *loader, int dirfd, struct diag *diag)
{
    CLEANUP_CLOSE int farm_fd = open_component(loader, dirfd, "farm", "farm", O_DIRECTORY);
    CLEANUP_CLOSE int scripts_fd = open_component(loader, dirfd, "scripts", "scripts", O_DIRECTORY);
    if (farm_fd >= 0)
        load_farm_files(loader, farm_fd);
    if (loader->tree->resources == NULL)
        loader->tree->resources = resources_default();
    return scripts_fd >= 0 ? digest_scripts(scripts_fd, &loader->tree->scripts_digest, diag) : 0;
}

static int load(struct loader *loader, int dirfd, struct diag *diag)
{
    int status = load_sidecars(loader, dirfd, diag);
    if (status < 0)
        return status;
    status = load_packages(loader, dirfd);
    if (status < 0)
        return status;
    sort_packages(loader->tree, loader->problems);
    treegraph_build(loader->tree, loader->broken, loader->problems);
    /* A lock that could not be read would make every pin look missing. */
    if (!loader->tree->has_lock || loader->tree->lock != NULL)
        treepins_build(loader->tree, loader->problems);
    return 0;
}

int tree_load(int dirfd, struct tree **ret, struct problems *problems, struct diag *diag)
{
    struct problems own = PROBLEMS_INIT;
    struct problems *found = problems != NULL ? problems : &own;
    size_t before = found->count + found->dropped;
    struct loader loader = {.tree = mem_zero(1, sizeof *loader.tree), .broken = map_new(), .problems = found};
    int status = load(&loader, dirfd, diag);
    size_t count = found->count + found->dropped - before;
    if (count > 0)
        status = diag_set(diag, FARM_E_REFUSED, "the package tree has %zu problem%s", count,
                          count == 1 ? "" : "s");
    problems_sort(found);
    problems_done(&own);
    map_free(loader.broken);
    buf_done(&loader.text);
    if (status < 0) {
        tree_free(loader.tree);
        return status;
    }
    *ret = loader.tree;
    return 0;
}
