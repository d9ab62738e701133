/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who says so, and is it the newest: root chain, release signatures, worker directory, expiry, remembered state. */
#include "verify_private.h"

#include "docjson.h"
#include "file.h"
#include "moment.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Versions of a root; one a year for a millennium. */
enum { ROOT_VERSIONS_MAX = 1000 };

static void check_expiry(struct verify_run *run, const char *file, int64_t expires_ms, const char *what)
{
    if (expires_ms <= run->now_ms)
        verify_problem(run, file, "expired",
                       "the %s expired at %s (it is %s, by the highest time known): get a newer one", what,
                       moment_format(expires_ms).text, moment_format(run->now_ms).text); /* S5, C2 */
}

static int read_trust(const struct verify_options *options, struct root **ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = file_read(AT_FDCWD, options->trust, ROOT_SIZE_MAX, &text, diag);
    return result < 0 ? diag_wrap(diag, result, "trusted root")
                      : root_parse(buf_view(&text), options->trust, ret, diag);
}

/* Which logs the chain names; a version that goes on with the same one adds nothing. */
static void note_origin(struct verify_run *run, const struct root_log *log)
{
    if (!log->present ||
        (run->norigins > 0 && strcmp(run->origins[run->norigins - 1].origin, log->key.name) == 0))
        return;
    run->origins = mem_grow(run->origins, run->norigins + 1, sizeof *run->origins);
    struct verify_origin *added = &run->origins[run->norigins++];
    *added = (struct verify_origin){.previous = log->previous};
    memcpy(added->origin, log->key.name, sizeof added->origin);
}

/* Is this link of the chain signed by its predecessor and by itself? Takes the place of *link if so. */
static bool follow(struct verify_run *run, const char *file, const struct root *trusted, struct root **link)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *next = NULL;
    CLEANUP_FREE char *sig_dir = mem_format("%s.sig.d", file);
    struct diag diag = DIAG_INIT;
    char **signatures;
    size_t count;
    if (!verify_read(run, file, ROOT_SIZE_MAX, &text))
        return false;
    int result = root_parse(buf_view(&text), file, &next, &diag);
    if (result < 0) {
        verify_failure(run, file, "root-malformed", result, &diag);
        return false;
    }
    verify_signatures(run, sig_dir, &signatures, &count);
    CLEANUP_FREE struct view *views = mem_zero(count + 1, sizeof *views);
    for (size_t i = 0; i < count; i++)
        views[i] = view_text(signatures[i]);
    result = *link == NULL && next->version != 1
                 ? diag_set(&diag, FARM_E_REFUSED, "the chain must begin with version 1")
                 : root_check(*link, next, buf_view(&text), views, count, &diag);
    docjson_free_strings(signatures, count);
    if (result < 0) {
        verify_failure(run, file, "root-signature", result, &diag);
        return false;
    }
    if (next->version == trusted->version && !digest_equal(&next->digest, &trusted->digest)) {
        verify_problem(run, file, "root-untrusted", "this is not the root version %lld that you trust (%s)",
                       (long long)trusted->version, run->options->trust);
        return false;
    }
    root_free(*link);
    *link = STEAL(next);
    return true;
}

static bool walk_chain(struct verify_run *run, const struct root *trusted)
{
    for (int64_t version = 1; version <= ROOT_VERSIONS_MAX; version++) {
        CLEANUP_FREE char *file = mem_format(RELEASE_ROOT_FORMAT, (long long)version);
        if (version > 1 && faccessat(run->options->dirfd, file, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
            break;
        if (!follow(run, file, trusted, &run->root))
            return false;
        note_origin(run, &run->root->log);
        run->root_versions = version;
    }
    if (run->root->version < trusted->version) {
        verify_problem(run, "root", "root-old",
                       "the release carries root version %lld, you trust version %lld: it is an old release",
                       (long long)run->root->version, (long long)trusted->version); /* K4 */
        return false;
    }
    return true;
}

static void check_root(struct verify_run *run)
{
    CLEANUP_FREE char *file = mem_format(RELEASE_ROOT_FORMAT, (long long)run->root_versions);
    const struct verify_state *state = run->options->state;
    if (state == NULL)
        return;
    if (run->root->version < state->root_version)
        verify_problem(run, file, "rollback", "root version %lld was accepted before, this is %lld",
                       (long long)state->root_version, (long long)run->root->version); /* K4 */
    else if (run->root->version == state->root_version && !digest_equal(&run->root->digest, &state->root))
        verify_problem(run, file, "rollback", "another root of the same version was accepted before");
}

static int read_release(struct verify_run *run, struct buf *text, struct diag *diag)
{
    int result = file_read(run->options->dirfd, RELEASE_FILE, RELEASE_SIZE_MAX, text, diag);
    if (result < 0)
        return diag_wrap(diag, result, "this is not a release directory");
    struct diag detail = DIAG_INIT;
    result = release_parse(buf_view(text), RELEASE_FILE, &run->release, &detail);
    if (result < 0)
        verify_failure(run, RELEASE_FILE, "release-malformed", result, &detail);
    return 0;
}

static void check_signatures(struct verify_run *run, struct view text)
{
    char **signatures;
    size_t count;
    struct diag diag = DIAG_INIT;
    verify_signatures(run, RELEASE_SIGNATURES, &signatures, &count);
    CLEANUP_FREE struct view *views = mem_zero(count + 1, sizeof *views);
    for (size_t i = 0; i < count; i++)
        views[i] = view_text(signatures[i]);
    int result = role_verify(&run->root->roles[ROLE_RELEASE], "release", SSHSIG_NAMESPACE_RELEASE, text,
                             views, count, &run->result->signers, &diag);
    if (result < 0)
        verify_failure(run, RELEASE_SIGNATURES, "release-signature", result, &diag); /* S1-S4, S8, S14 */
    docjson_free_strings(signatures, count);
}

/* S6: sequence only grows, and each names the one before. */
static void check_sequence(struct verify_run *run)
{
    const struct verify_state *state = run->options->state;
    const struct release *release = run->release;
    if (state == NULL || state->sequence == 0 || digest_equal(&release->digest, &state->release))
        return;
    if (release->sequence <= state->sequence)
        verify_problem(run, RELEASE_FILE, "rollback",
                       "sequence %lld was accepted before, this other release has %lld",
                       (long long)state->sequence, (long long)release->sequence);
    else if (release->sequence == state->sequence + 1 && !digest_equal(&release->previous, &state->release))
        verify_problem(run, RELEASE_FILE, "previous",
                       "\"previous\" is not the release that was accepted before (%s)",
                       digest_hex(&state->release).text);
    else if (release->sequence > state->sequence + 1)
        verify_note(
            run, "Releases %lld to %lld were never seen here, so the chain of \"previous\" was not followed.",
            (long long)state->sequence + 1, (long long)release->sequence - 1);
}

static void check_release(struct verify_run *run, struct view text)
{
    check_signatures(run, text);
    check_sequence(run);
    if (!digest_equal(&run->release->root, &run->root->digest))
        verify_problem(run, RELEASE_FILE, "root-digest",
                       "the release was made under another root than root/%lld.root.json",
                       (long long)run->root_versions);
    if (!root_allows_base(run->root, &run->release->base))
        verify_problem(run, RELEASE_FILE, "base-not-allowed", "the root does not allow the base %s",
                       digest_hex(&run->release->base).text); /* K7 */
    if (run->release->base_verified)
        verify_problem(
            run, RELEASE_FILE, "base-verified",
            "the release says that its base was itself built by quorum, of which this version of the "
            "format carries no evidence");
    else
        verify_note(run, "The base root filesystem was not itself built by quorum.");
}

static bool read_directory(struct verify_run *run)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    const struct verify_state *state = run->options->state;
    if (!verify_read_digest(run, RELEASE_WORKERS, DIRECTORY_SIZE_MAX, &run->release->workers, RELEASE_FILE,
                            &text))
        return false;
    int result = directory_parse(buf_view(&text), RELEASE_WORKERS, &run->directory, &diag);
    if (result < 0) {
        verify_failure(run, RELEASE_WORKERS, "directory-malformed", result, &diag);
        return false;
    }
    struct problems problems = PROBLEMS_INIT;
    if (directory_check(run->directory, RELEASE_WORKERS, run->root, &problems) < 0)
        for (size_t i = 0; i < problems.count; i++)
            verify_problem(run, RELEASE_WORKERS, problems.items[i].rule, "%s", problems.items[i].text);
    problems_done(&problems);
    if (state != NULL && (run->directory->version < state->directory_version ||
                          (run->directory->version == state->directory_version &&
                           !digest_equal(&run->directory->digest, &state->directory))))
        verify_problem(run, RELEASE_WORKERS, "rollback",
                       "directory version %lld was accepted before; this is an older one, or "
                       "another of the same version",
                       (long long)state->directory_version);
    return true;
}

/* By the highest time known: the state's, this machine's, and that of the log's witnesses. */
static void check_expiries(struct verify_run *run)
{
    CLEANUP_FREE char *root = mem_format(RELEASE_ROOT_FORMAT, (long long)run->root_versions);
    check_expiry(run, root, run->root->expires_ms, "trust root");
    check_expiry(run, RELEASE_FILE, run->release->expires_ms, "release");
    if (run->directory != NULL)
        check_expiry(run, RELEASE_WORKERS, run->directory->expires_ms, "worker directory");
}

/* The log's part is verify_witness's; called before it, since what witnesses' clocks say is not remembered. */
static void remember(struct verify_run *run)
{
    run->result->state = (struct verify_state){.root_version = run->root->version,
                                               .root = run->root->digest,
                                               .directory_version = run->directory->version,
                                               .directory = run->directory->digest,
                                               .sequence = run->release->sequence,
                                               .release = run->release->digest,
                                               .time_ms = run->now_ms};
}

static int judge_release(struct verify_run *run, struct view text, struct diag *diag)
{
    check_release(run, text);
    int result = read_directory(run) ? 1 : 0;
    if (result > 0) {
        remember(run);
        int witnessed = verify_witness(run, diag);
        result = witnessed < 0 ? witnessed : result;
    }
    check_expiries(run);
    return result;
}

int verify_trust(struct verify_run *run, struct diag *diag)
{
    CLEANUP_ROOT struct root *trusted = NULL;
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result;
    if ((result = read_trust(run->options, &trusted, diag)) < 0 ||
        (result = read_release(run, &text, diag)) < 0)
        return result;
    if (!walk_chain(run, trusted))
        return 0;
    check_root(run);
    return run->release != NULL ? judge_release(run, buf_view(&text), diag) : 0;
}
