/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Specs read back: everything is checked again, since the text came from outside. */
#include "spec.h"

#include "buildenv.h"
#include "file.h"
#include "names.h"

#include <stdlib.h>

struct spec *spec_free(struct spec *spec)
{
    if (spec == NULL)
        return NULL;
    char *texts[] = {
        spec->kind,        spec->name,    spec->version,    spec->release,      spec->tier,
        spec->description, spec->license, spec->build_path, spec->install_func, spec->tests_failure_policy};
    struct text_list *lists[] = {&spec->depends,     &spec->configure_flags, &spec->supersedes,
                                 &spec->gpu_targets, &spec->environment,     &spec->verify_paths};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        text_list_done(lists[i]);
    for (size_t i = 0; i < spec->nsources; i++) {
        free(spec->sources[i].filename);
        free(spec->sources[i].into);
    }
    for (size_t i = 0; i < spec->npatches; i++)
        free(spec->patches[i].file);
    for (size_t i = 0; i < spec->nbundles; i++) {
        free(spec->bundles[i].name);
        free(spec->bundles[i].dest);
    }
    for (size_t i = 0; i < spec->ndependencies; i++)
        free(spec->dependencies[i].name);
    for (size_t i = 0; i < spec->nvalidations; i++) {
        free(spec->validations[i].type);
        free(spec->validations[i].description);
        free(spec->validations[i].script);
        free(spec->validations[i].expect_contains);
    }
    free(spec->sources);
    free(spec->patches);
    free(spec->bundles);
    free(spec->dependencies);
    free(spec->validations);
    free(spec);
    return NULL;
}

static const char document[] = "job spec";

static int refuse(struct diag *diag, const char *key, const char *what)
{
    return diag_set(diag, FARM_E_SYNTAX, "%s: \"%s\" %s", document, key, what);
}

/* A text that 'allowed' accepts (NULL: any); *ret is owned. */
static int take_text(const json_t *object, const char *key, bool (*allowed)(struct view), char **ret,
                     struct diag *diag)
{
    const char *text;
    int status = json_get_text(object, document, key, &text, diag);
    if (status < 0)
        return status;
    if (allowed != NULL && !allowed(view_text(text)))
        return refuse(diag, key, "has a value that is not allowed");
    *ret = mem_string(text);
    return 0;
}

/* As take_text; absent is allowed. */
static int take_optional(const json_t *object, const char *key, bool (*allowed)(struct view), char **ret,
                         struct diag *diag)
{
    return json_object_get(object, key) != NULL ? take_text(object, key, allowed, ret, diag) : 0;
}

static int take_texts(const json_t *object, const char *key, bool (*allowed)(struct view),
                      struct text_list *ret, struct diag *diag)
{
    json_t *array;
    int status = json_get_array(object, document, key, &array, diag);
    if (status < 0)
        return status;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        struct view text = view_of(json_string_value(item), json_string_length(item));
        if (text.data == NULL || strlen(text.data) != text.size || (allowed != NULL && !allowed(text)))
            return refuse(diag, key, "has an item that is not allowed");
        text_list_add(ret, text, 0);
    }
    return 0;
}

/* The items of an array, each an object, given to 'take' one by one. */
typedef int item_taker(const json_t *item, struct spec *spec, struct diag *diag);

static int take_items(const json_t *object, const char *key, item_taker *take, struct spec *spec,
                      struct diag *diag)
{
    json_t *array;
    int status = json_get_array(object, document, key, &array, diag);
    for (size_t i = 0; status >= 0 && i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        status = json_is_object(item) ? take(item, spec, diag)
                                      : refuse(diag, key, "has an item that is no object");
    }
    return status;
}

static bool is_into(struct view text)
{
    return view_equal(text, VIEW(".")) || (view_is_token(text) && file_path_is_plain(text));
}

static bool is_file_path(struct view text)
{
    return view_is_token(text) && file_path_is_plain(text);
}

static bool is_release(struct view text)
{
    uint64_t number;
    return view_decimal(text, &number);
}

static int take_git(const json_t *item, struct spec_source *source, struct diag *diag)
{
    static const char *const keys[] = {"kind", "commit", "tree_sha256", "into", NULL};
    CLEANUP_FREE char *commit = NULL;
    int status;
    if ((status = json_only_keys(item, document, keys, diag)) < 0 ||
        (status = take_text(item, "commit", commit_is_plain, &commit, diag)) < 0 ||
        (status = take_text(item, "into", is_into, &source->into, diag)) < 0)
        return status;
    source->kind = PIN_GIT;
    memcpy(source->commit, commit, strlen(commit) + 1);
    return json_get_digest(item, document, "tree_sha256", &source->digest, diag);
}

static int take_archive(const json_t *item, struct spec_source *source, struct diag *diag)
{
    static const char *const keys[] = {"kind", "sha256", "filename", "into", NULL};
    int status;
    if ((status = json_only_keys(item, document, keys, diag)) < 0 ||
        (status = take_text(item, "filename", filename_is_plain, &source->filename, diag)) < 0 ||
        (status = take_optional(item, "into", is_into, &source->into, diag)) < 0)
        return status;
    source->kind = PIN_ARCHIVE;
    return json_get_digest(item, document, "sha256", &source->digest, diag);
}

static int take_source(const json_t *item, struct spec *spec, struct diag *diag)
{
    const char *kind;
    struct spec_source *source = &spec->sources[spec->nsources++];
    int status = json_get_text(item, document, "kind", &kind, diag);
    if (status < 0)
        return status;
    if (strcmp(kind, "git") == 0)
        return take_git(item, source, diag);
    if (strcmp(kind, "archive") == 0)
        return take_archive(item, source, diag);
    return diag_set(diag, FARM_E_UNSUPPORTED, "%s: a source of a kind that this program does not know",
                    document);
}

static int take_patch(const json_t *item, struct spec *spec, struct diag *diag)
{
    static const char *const keys[] = {"file", "sha256", NULL};
    struct spec_patch *patch = &spec->patches[spec->npatches++];
    int status;
    if ((status = json_only_keys(item, document, keys, diag)) < 0 ||
        (status = take_text(item, "file", is_file_path, &patch->file, diag)) < 0)
        return status;
    patch->has_sha256 = json_object_get(item, "sha256") != NULL;
    return patch->has_sha256 ? json_get_digest(item, document, "sha256", &patch->sha256, diag) : 0;
}

static int take_bundle(const json_t *item, struct spec *spec, struct diag *diag)
{
    static const char *const keys[] = {"name", "dest", NULL};
    struct spec_bundle *bundle = &spec->bundles[spec->nbundles++];
    int status;
    if ((status = json_only_keys(item, document, keys, diag)) < 0 ||
        (status = take_text(item, "name", line_is_plain, &bundle->name, diag)) < 0)
        return status;
    return take_text(item, "dest", is_file_path, &bundle->dest, diag);
}

static int take_dependency(const json_t *item, struct spec *spec, struct diag *diag)
{
    static const char *const keys[] = {"name", "payload", NULL};
    struct spec_dependency *dependency = &spec->dependencies[spec->ndependencies++];
    int status;
    if ((status = json_only_keys(item, document, keys, diag)) < 0 ||
        (status = take_text(item, "name", name_is_plain, &dependency->name, diag)) < 0)
        return status;
    return json_get_digest(item, document, "payload", &dependency->payload, diag);
}

static int take_validation(const json_t *item, struct spec *spec, struct diag *diag)
{
    static const char *const keys[] = {"type", "description", "script", "expect_contains", "fatal", NULL};
    struct spec_validation *check = &spec->validations[spec->nvalidations++];
    int status;
    if ((status = json_only_keys(item, document, keys, diag)) < 0 ||
        (status = take_text(item, "type", name_is_plain, &check->type, diag)) < 0 ||
        (status = take_optional(item, "description", NULL, &check->description, diag)) < 0 ||
        (status = take_optional(item, "script", NULL, &check->script, diag)) < 0 ||
        (status = take_optional(item, "expect_contains", NULL, &check->expect_contains, diag)) < 0)
        return status;
    return json_get_bool(item, document, "fatal", &check->fatal, diag);
}

static int take_number(const json_t *object, const char *key, int64_t least, int64_t greatest, int64_t *ret,
                       struct diag *diag)
{
    int status = json_get_number(object, document, key, ret, diag);
    if (status < 0)
        return status;
    return *ret < least || *ret > greatest ? refuse(diag, key, "is out of range") : 0;
}

/* What this program understands; anything else must not be half understood. */
static int check_version(const json_t *object, struct diag *diag)
{
    int64_t version = 0, contract = 0;
    const char *kind = "", *cpu = "";
    int status;
    if ((status = json_get_number(object, document, "v", &version, diag)) < 0 ||
        (status = json_get_number(object, document, "contract", &contract, diag)) < 0 ||
        (status = json_get_text(object, document, "kind", &kind, diag)) < 0 ||
        (status = json_get_text(object, document, "cpu_level", &cpu, diag)) < 0)
        return status;
    if (version != 1 || contract != SPEC_CONTRACT || strcmp(kind, "package") != 0 ||
        strcmp(cpu, SPEC_CPU) != 0)
        return diag_set(diag, FARM_E_UNSUPPORTED,
                        "%s: version %lld, contract %lld, kind or CPU level that this program does not know",
                        document, (long long)version, (long long)contract);
    return 0;
}

static int take_identity(const json_t *object, struct spec *spec, struct diag *diag)
{
    int status;
    if ((status = take_text(object, "kind", NULL, &spec->kind, diag)) < 0 ||
        (status = take_text(object, "name", name_is_plain, &spec->name, diag)) < 0 ||
        (status = take_text(object, "version", version_is_plain, &spec->version, diag)) < 0 ||
        (status = take_text(object, "release", is_release, &spec->release, diag)) < 0 ||
        (status = take_text(object, "tier", name_is_plain, &spec->tier, diag)) < 0 ||
        (status = take_text(object, "description", NULL, &spec->description, diag)) < 0 ||
        (status = take_text(object, "license", line_is_plain, &spec->license, diag)) < 0)
        return status;
    return take_texts(object, "depends", name_is_plain, &spec->depends, diag);
}

/* Room for as many items as the document has; not an array counts as none and is refused later. */
static void reserve_items(const json_t *object, struct spec *spec)
{
    spec->sources = mem_zero(json_array_size(json_object_get(object, "sources")), sizeof *spec->sources);
    spec->patches = mem_zero(json_array_size(json_object_get(object, "patches")), sizeof *spec->patches);
    spec->bundles = mem_zero(json_array_size(json_object_get(object, "bundled_deps")), sizeof *spec->bundles);
    spec->dependencies =
        mem_zero(json_array_size(json_object_get(object, "dependencies")), sizeof *spec->dependencies);
    spec->validations =
        mem_zero(json_array_size(json_object_get(object, "validation")), sizeof *spec->validations);
}

static int take_inputs(const json_t *object, struct spec *spec, struct diag *diag)
{
    int status;
    if ((status = json_get_digest(object, document, "recipe", &spec->recipe, diag)) < 0 ||
        (status = json_get_digest(object, document, "scripts", &spec->scripts, diag)) < 0 ||
        (status = json_get_digest(object, document, "base", &spec->base, diag)) < 0)
        return status;
    static const struct {
        const char *key;
        item_taker *take;
    } arrays[] = {{"sources", take_source},
                  {"patches", take_patch},
                  {"bundled_deps", take_bundle},
                  {"dependencies", take_dependency},
                  {"validation", take_validation}};
    reserve_items(object, spec);
    for (size_t i = 0; status >= 0 && i < ARRAY_SIZE(arrays); i++)
        status = take_items(object, arrays[i].key, arrays[i].take, spec, diag);
    return status;
}

static int take_tests(const json_t *object, struct spec *spec, struct diag *diag)
{
    static const char *const keys[] = {"enabled", "failure_policy", NULL};
    json_t *tests;
    int status;
    if ((status = json_get_object(object, document, "tests", &tests, diag)) < 0 ||
        (status = json_only_keys(tests, document, keys, diag)) < 0 ||
        (status = json_get_bool(tests, document, "enabled", &spec->tests_enabled, diag)) < 0)
        return status;
    return take_optional(tests, "failure_policy", name_is_plain, &spec->tests_failure_policy, diag);
}

static int take_style(const json_t *object, struct spec *spec, struct diag *diag)
{
    const char *style;
    int status = json_get_text(object, document, "build_style", &style, diag);
    if (status >= 0 && !build_style_parse(view_text(style), &spec->style))
        status = refuse(diag, "build_style", "is unknown");
    return status;
}

static int take_environment(const json_t *object, struct spec *spec, struct diag *diag)
{
    int status = take_texts(object, "environment", buildenv_is_entry, &spec->environment, diag);
    for (size_t i = 1; status >= 0 && i < spec->environment.count; i++) {
        const char *before = spec->environment.items[i - 1].text, *entry = spec->environment.items[i].text;
        size_t key = (size_t)(strchr(before, '=') - before) + 1;
        if (strcmp(before, entry) >= 0 || strncmp(before, entry, key) == 0)
            status = refuse(diag, "environment", "is not sorted, or sets a variable twice");
    }
    return status;
}

static int take_build_path(const json_t *object, struct spec *spec, struct diag *diag)
{
    int status = take_text(object, "build_path", NULL, &spec->build_path, diag);
    if (status < 0)
        return status;
    CLEANUP_FREE char *expected = mem_format(SPEC_WORK "%s", spec->name);
    return strcmp(expected, spec->build_path) == 0 ? 0 : refuse(diag, "build_path", "is not the contract's");
}

static int take_build(const json_t *object, struct spec *spec, struct diag *diag)
{
    int status;
    int64_t jobs = 0;
    if ((status = take_style(object, spec, diag)) < 0 || (status = take_tests(object, spec, diag)) < 0 ||
        (status = take_environment(object, spec, diag)) < 0 ||
        (status = take_build_path(object, spec, diag)) < 0 ||
        (status = json_get_bool(object, document, "build_sh", &spec->build_sh, diag)) < 0 ||
        (status = json_get_bool(object, document, "direct_install", &spec->direct_install, diag)) < 0 ||
        (status = take_optional(object, "install_func", function_is_plain, &spec->install_func, diag)) < 0 ||
        (status = take_texts(object, "configure_flags", line_is_plain, &spec->configure_flags, diag)) < 0 ||
        (status = take_texts(object, "supersedes", name_is_plain, &spec->supersedes, diag)) < 0 ||
        (status = take_texts(object, "gpu_targets", name_is_plain, &spec->gpu_targets, diag)) < 0 ||
        (status = take_texts(object, "verify_paths", path_is_installed, &spec->verify_paths, diag)) < 0 ||
        (status = take_number(object, "epoch", 0, 253402300799, &spec->epoch, diag)) < 0 ||
        (status = take_number(object, "jobs", 1, 4096, &jobs, diag)) < 0)
        return status;
    spec->jobs = (uint32_t)jobs;
    return 0;
}

static int take_spec(const json_t *object, struct spec *spec, struct diag *diag)
{
    static const char *const keys[] = {"v",
                                       "kind",
                                       "contract",
                                       "name",
                                       "version",
                                       "release",
                                       "tier",
                                       "description",
                                       "license",
                                       "depends",
                                       "recipe",
                                       "scripts",
                                       "patches",
                                       "sources",
                                       "base",
                                       "bundled_deps",
                                       "dependencies",
                                       "environment",
                                       "jobs",
                                       "cpu_level",
                                       "gpu_targets",
                                       "epoch",
                                       "build_path",
                                       "build_style",
                                       "build_sh",
                                       "configure_flags",
                                       "supersedes",
                                       "install_func",
                                       "validation",
                                       "direct_install",
                                       "verify_paths",
                                       "tests",
                                       NULL};
    int status;
    if (!json_is_object(object))
        return diag_set(diag, FARM_E_SYNTAX, "%s: not an object", document);
    if ((status = json_only_keys(object, document, keys, diag)) < 0 ||
        (status = check_version(object, diag)) < 0 || (status = take_identity(object, spec, diag)) < 0 ||
        (status = take_inputs(object, spec, diag)) < 0)
        return status;
    return take_build(object, spec, diag);
}

int spec_parse(struct view text, struct spec **ret, struct diag *diag)
{
    CLEANUP_JSON json_t *object = NULL;
    int status = json_read(text, document, SPEC_SIZE_MAX, &object, diag);
    if (status < 0)
        return status;
    struct spec *spec = mem_zero(1, sizeof *spec);
    status = take_spec(object, spec, diag);
    if (status < 0) {
        spec_free(spec);
        return status;
    }
    spec->key = digest_of(text);
    *ret = spec;
    return 0;
}
