/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A job spec from the coordinator: what is accepted can be built: its names are names, its paths stay inside, its environment has
 * entries, and its .PKGINFO is lines.
 */
#include "fuzz.h"

#include "buildenv.h"
#include "file.h"
#include "names.h"
#include "spec.h"

static void check_sources(const struct spec *spec)
{
    for (size_t i = 0; i < spec->nsources; i++) {
        const struct spec_source *source = &spec->sources[i];
        FUZZ_CHECK(source->kind != PIN_GIT || commit_is_plain(view_text(source->commit)));
        FUZZ_CHECK(source->kind != PIN_ARCHIVE || filename_is_plain(view_text(source->filename)));
        FUZZ_CHECK(source->into == NULL || strcmp(source->into, ".") == 0 ||
                   file_path_is_plain(view_text(source->into)));
    }
    for (size_t i = 0; i < spec->nbundles; i++)
        FUZZ_CHECK(strcmp(spec->bundles[i].dest, ".") == 0 ||
                   file_path_is_plain(view_text(spec->bundles[i].dest)));
}

static void check_spec(const struct spec *spec, struct view text)
{
    struct digest key = digest_of(text);
    CLEANUP_BUF struct buf info = BUF_INIT;
    FUZZ_CHECK(digest_equal(&spec->key, &key));
    FUZZ_CHECK(name_is_plain(view_text(spec->name)) && version_is_plain(view_text(spec->version)));
    FUZZ_CHECK(name_is_plain(view_text(spec->tier)) && spec->jobs >= 1 && spec->epoch >= 0);
    FUZZ_CHECK(spec->install_func == NULL || function_is_plain(view_text(spec->install_func)));
    for (size_t i = 0; i < spec->environment.count; i++)
        FUZZ_CHECK(buildenv_is_entry(view_text(spec->environment.items[i].text)));
    for (size_t i = 0; i < spec->verify_paths.count; i++)
        FUZZ_CHECK(path_is_installed(view_text(spec->verify_paths.items[i].text)));
    check_sources(spec);
    spec_pkginfo(spec, 1, 1, &info);
    FUZZ_CHECK(info.size > 0 && info.data[info.size - 1] == '\n' && view_is_utf8(buf_view(&info)));
}

static void run(struct view input)
{
    struct spec *spec = NULL;
    struct diag diag = DIAG_INIT;
    int result = spec_parse(input, &spec, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    else
        check_spec(spec, input);
    spec_free(spec);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 16 * 1024, .heap_base = 512 * 1024, .heap_factor = 512};
