/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "spec.h"

#include "buildenv.h"
#include "moment.h"

#include <stdlib.h>

static json_t *text_array(const struct text_list *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_string(list->items[i].text));
    return array;
}

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text != NULL)
        json_object_set_new(object, key, json_string(text));
}

static json_t *source_array(const struct package *package)
{
    json_t *array = json_array();
    for (size_t i = 0; i < package->npins; i++) {
        const struct pin *pin = &package->pins[i];
        bool git = pin->kind == PIN_GIT;
        json_t *source = json_object();
        set_text(source, "kind", git ? "git" : "archive");
        set_text(source, "commit", git ? pin->commit : NULL);
        json_object_set_new(source, git ? "tree_sha256" : "sha256", json_digest(&pin->digest));
        set_text(source, "filename", git ? NULL : pin->filename);
        set_text(source, "into", pin->into);
        json_array_append_new(array, source);
    }
    return array;
}

static json_t *patch_array(const struct recipe *recipe)
{
    json_t *array = json_array();
    for (size_t i = 0; i < recipe->npatches; i++) {
        json_t *patch = json_object();
        set_text(patch, "file", recipe->patches[i].file);
        if (recipe->patches[i].has_sha256)
            json_object_set_new(patch, "sha256", json_digest(&recipe->patches[i].sha256));
        json_array_append_new(array, patch);
    }
    return array;
}

static json_t *bundle_array(const struct recipe *recipe)
{
    json_t *array = json_array();
    for (size_t i = 0; i < recipe->nbundles; i++)
        json_array_append_new(
            array, json_pack("{s:s s:s}", "name", recipe->bundles[i].name, "dest", recipe->bundles[i].dest));
    return array;
}

static json_t *validation_array(const struct recipe *recipe)
{
    json_t *array = json_array();
    for (size_t i = 0; i < recipe->nvalidations; i++) {
        const struct recipe_validation *from = &recipe->validations[i];
        json_t *check = json_object();
        set_text(check, "type", from->type);
        set_text(check, "description", from->description);
        set_text(check, "script", from->script);
        set_text(check, "expect_contains", from->expect_contains);
        json_object_set_new(check, "fatal", json_boolean(from->fatal));
        json_array_append_new(array, check);
    }
    return array;
}

static json_t *dependency_array(const struct spec_inputs *inputs, const size_t *closure)
{
    json_t *array = json_array();
    for (size_t i = 0; i < inputs->npayloads; i++) {
        json_t *dependency = json_object();
        set_text(dependency, "name", inputs->tree->packages[closure[i]].recipe->name);
        json_object_set_new(dependency, "payload", json_digest(&inputs->payloads[i]));
        json_array_append_new(array, dependency);
    }
    return array;
}

static json_t *environment_array(const struct package *package, int64_t epoch)
{
    struct text_list environment = {0};
    buildenv_make(package->recipe, package->resources.jobs, epoch, &environment);
    json_t *array = text_array(&environment);
    text_list_done(&environment);
    return array;
}

static json_t *tests_object(const struct recipe *recipe)
{
    json_t *tests = json_object();
    json_object_set_new(tests, "enabled", json_boolean(recipe->tests_enabled));
    set_text(tests, "failure_policy", recipe->tests_failure_policy);
    return tests;
}

/* Who it is, and what .PKGINFO says of it. */
static void set_identity(json_t *spec, const struct recipe *recipe)
{
    json_object_set_new(spec, "v", json_integer(1));
    json_object_set_new(spec, "contract", json_integer(SPEC_CONTRACT));
    set_text(spec, "kind", "package");
    set_text(spec, "name", recipe->name);
    set_text(spec, "version", recipe->version);
    set_text(spec, "release", recipe->release);
    set_text(spec, "tier", recipe->tier);
    set_text(spec, "description", recipe->description);
    set_text(spec, "license", recipe->license);
    json_object_set_new(spec, "depends", text_array(&recipe->runtime));
}

static void set_inputs(json_t *spec, const struct spec_inputs *inputs, const size_t *closure)
{
    const struct package *package = &inputs->tree->packages[inputs->package];
    json_object_set_new(spec, "recipe", json_digest(&package->recipe_digest));
    json_object_set_new(spec, "scripts", json_digest(&inputs->tree->scripts_digest));
    json_object_set_new(spec, "base", json_digest(&inputs->base));
    json_object_set_new(spec, "sources", source_array(package));
    json_object_set_new(spec, "patches", patch_array(package->recipe));
    json_object_set_new(spec, "bundled_deps", bundle_array(package->recipe));
    json_object_set_new(spec, "dependencies", dependency_array(inputs, closure));
}

static void set_build(json_t *spec, const struct package *package, int64_t epoch)
{
    const struct recipe *recipe = package->recipe;
    CLEANUP_FREE char *path = mem_format(SPEC_WORK "%s", recipe->name);
    set_text(spec, "build_path", path);
    set_text(spec, "build_style", build_style_name(recipe->style));
    set_text(spec, "cpu_level", SPEC_CPU);
    set_text(spec, "install_func", recipe->install_func);
    json_object_set_new(spec, "build_sh", json_boolean(recipe->has_build_sh));
    json_object_set_new(spec, "configure_flags", text_array(&recipe->configure_flags));
    json_object_set_new(spec, "direct_install", json_boolean(recipe->direct_install));
    json_object_set_new(spec, "environment", environment_array(package, epoch));
    json_object_set_new(spec, "epoch", json_integer(epoch));
    json_object_set_new(spec, "gpu_targets", text_array(&recipe->gpu_targets));
    json_object_set_new(spec, "jobs", json_integer(package->resources.jobs));
    json_object_set_new(spec, "supersedes", text_array(&recipe->supersedes));
    json_object_set_new(spec, "tests", tests_object(recipe));
    json_object_set_new(spec, "validation", validation_array(recipe));
    json_object_set_new(spec, "verify_paths", text_array(&recipe->verify_paths));
}

static int check_inputs(const struct spec_inputs *inputs, int64_t epoch, size_t nclosure, struct diag *diag)
{
    const struct package *package = &inputs->tree->packages[inputs->package];
    const char *name = package->recipe->name;
    if (package->in_base)
        return diag_set(diag, FARM_E_REFUSED, "%s is part of the base (tier %s) and is not built by the farm",
                        name, package->recipe->tier);
    if (epoch < 0 || (package->epoch < 0 && epoch == 0))
        return diag_set(
            diag, FARM_E_MISSING,
            "epoch-missing: farm/farm.lock gives no epoch for source[0] of %s; \"farmctl pin %s\" writes it",
            name, name);
    if (inputs->npayloads != nclosure)
        return diag_set(diag, FARM_E_REFUSED, "%s needs %zu dependency payloads, %zu are given", name,
                        nclosure, inputs->npayloads);
    return 0;
}

int spec_write(const struct spec_inputs *inputs, struct buf *ret, struct digest *ret_key, struct diag *diag)
{
    const struct package *package = &inputs->tree->packages[inputs->package];
    int64_t epoch = package->epoch >= 0 ? package->epoch : inputs->epoch;
    CLEANUP_FREE size_t *closure = NULL;
    size_t nclosure = 0, start = ret->size;
    tree_closure(inputs->tree, inputs->package, &closure, &nclosure);
    int status = check_inputs(inputs, epoch, nclosure, diag);
    if (status < 0)
        return status;
    CLEANUP_JSON json_t *spec = json_object();
    set_identity(spec, package->recipe);
    set_inputs(spec, inputs, closure);
    set_build(spec, package, epoch);
    json_write(spec, ret);
    *ret_key = digest_of(view_of(ret->data + start, ret->size - start));
    return 0;
}

/* A description may run over lines; a line of .PKGINFO may not. */
static void add_line(struct buf *ret, const char *key, const char *value)
{
    size_t start = ret->size;
    buf_add_format(ret, "%s=%s", key, value);
    while (ret->size > start && ret->data[ret->size - 1] == '\n')
        ret->size--;
    for (size_t i = start; i < ret->size; i++)
        if (ret->data[i] == '\n')
            ret->data[i] = ' ';
    buf_add_byte(ret, '\n');
}

void spec_pkginfo(const struct spec *spec, uint64_t installed_size, uint64_t file_count, struct buf *ret)
{
    add_line(ret, "pkgname", spec->name);
    add_line(ret, "pkgver", spec->version);
    add_line(ret, "pkgrel", spec->release);
    add_line(ret, "pkgdesc", spec->description);
    add_line(ret, "license", spec->license);
    add_line(ret, "tier", spec->tier);
    add_line(ret, "builddate", moment_format(spec->epoch * 1000).text);
    buf_add_format(ret, "size=%llu\nfilecount=%llu\n", (unsigned long long)installed_size,
                   (unsigned long long)file_count);
    for (size_t i = 0; i < spec->depends.count; i++)
        add_line(ret, "depend", spec->depends.items[i].text);
}
