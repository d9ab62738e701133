/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The rules. The file, and the answers to other threads, are trust_file.c's. */
#include "trust_private.h"

#include "moment.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    SEEN_SAVE_MS =
        3600 * 1000, /* the time that is remembered grows all the time; this often it is worth a write */
    WALK_MAX = 10000 /* versions looked at for the pinned one: a root a day for 27 years */
};

void trust_finding_done(struct trust_finding *finding)
{
    alarm_done(&finding->alarm);
}

static void see_time(struct trust *trust, int64_t now_ms, struct trust_finding *ret)
{
    if (now_ms > trust->seen_ms)
        trust->seen_ms = now_ms;
    ret->changed = ret->changed || trust->seen_ms - trust->saved_ms >= SEEN_SAVE_MS;
}

static void refuse(struct trust_finding *ret)
{
    ret->move = TRUST_REFUSED;
}

static void sound(struct trust_finding *ret, enum alarm_kind kind, const char *expected, const char *seen)
{
    alarm_set(&ret->alarm, kind, expected, seen, VIEW(""), VIEW(""));
    ret->move = TRUST_ALARM;
}

/* ---- may it work? ---- */

static int check_expiry(const struct trust *trust, int64_t expires_ms, int64_t now_ms, const char *what,
                        struct diag *diag)
{
    int64_t time_ms = now_ms > trust->seen_ms ? now_ms : trust->seen_ms;
    if (expires_ms > time_ms)
        return 0;
    if (expires_ms > now_ms)
        return diag_set(diag, FARM_E_STALE,
                        "%s expired at %s: this machine's clock was at %s before it was set back", what,
                        moment_format(expires_ms).text, moment_format(time_ms).text);
    return diag_set(diag, FARM_E_STALE, "%s expired at %s; the farm has to publish its next version", what,
                    moment_format(expires_ms).text);
}

static int check_entry(const struct trust *trust, int64_t now_ms, struct diag *diag)
{
    const struct trust_listing *directory = &trust->directory;
    if (!directory->listed)
        return diag_set(diag, FARM_E_REFUSED,
                        "version %" PRId64
                        " of the worker directory does not list %s: it was removed, or is not "
                        "admitted yet",
                        directory->version, trust->self.worker);
    if (directory->compromised_from >= 0)
        return diag_set(diag, FARM_E_REFUSED,
                        "the worker directory says that the keys of %s are compromised from position %" PRId64
                        " of the log on: make a new worker with new keys",
                        trust->self.worker, directory->compromised_from);
    return check_expiry(trust, directory->entry_expires_ms, now_ms, "this worker's entry in the directory",
                        diag);
}

int trust_may_work(const struct trust *trust, int64_t now_ms, struct diag *diag)
{
    if (!trust_is_pinned(trust))
        return 0;
    if (trust->root == NULL)
        return diag_set(diag, FARM_E_STATE,
                        "the trust root %.12s, which the join string pinned, was not shown yet",
                        digest_hex(&trust->self.pinned).text);
    int error = check_expiry(trust, trust->root->expires_ms, now_ms, "the trust root", diag);
    if (error < 0)
        return error;
    if (!trust->has_directory || trust->directory.root_version != trust->root->version)
        return diag_set(diag, FARM_E_STATE,
                        "the worker directory is not checked yet under version %" PRId64 " of the trust root",
                        trust->root->version);
    error = check_expiry(trust, trust->directory.expires_ms, now_ms, "the worker directory", diag);
    return error < 0 ? error : check_entry(trust, now_ms, diag);
}

/* ---- roots ---- */

uint64_t trust_asks(const struct trust *trust)
{
    return trust->root != NULL ? (uint64_t)trust->root->version : trust->walked;
}

static void adopt(struct trust *trust, struct root *root, struct view text, struct trust_finding *ret)
{
    trust_set_root(trust, root, mem_string_n(text.data, text.size));
    ret->root_changed = ret->changed = true;
}

/* Without a root: every version on the way to the pinned one is looked at, and none of them believed. */
static bool walk_on(struct trust *trust, const struct trust_answer *answer, struct trust_finding *ret)
{
    CLEANUP_ROOT struct root *root = NULL;
    struct digest digest = digest_of(answer->root);
    bool is_first =
        trust->walked == 0 && answer->version > 0; /* a coordinator may keep the chain from a later one on */
    if ((answer->version != trust->walked + 1 && !is_first) || trust->walked >= WALK_MAX) {
        diag_set(&ret->why, FARM_E_REFUSED,
                 "the farm has %" PRIu64
                 " versions of its trust root, and none that it showed has the digest %.12s, "
                 "which the join string pinned: another farm, or one that lost its state",
                 answer->newest, digest_hex(&trust->self.pinned).text);
        trust->walked = 0;
        refuse(ret);
        return false;
    }
    if (!digest_equal(&digest, &trust->self.pinned)) {
        trust->walked = answer->version;
        ret->move = TRUST_ASK;
        return false;
    }
    if (root_parse(answer->root, "trust root", &root, &ret->why) < 0) {
        refuse(ret);
        return false;
    }
    adopt(trust, STEAL(root), answer->root, ret);
    return true;
}

static void sound_older(const struct trust *trust, uint64_t newest, struct trust_finding *ret)
{
    CLEANUP_FREE char *expected =
        mem_format("version %" PRId64 " of the trust root, which was shown before, or a later one",
                   trust->root->version);
    CLEANUP_FREE char *seen =
        mem_format("the coordinator says that version %" PRIu64 " is the newest", newest);
    sound(ret, ALARM_ROOT, expected, seen);
}

/* Another root of the version that we have. Only the holders of the keys can make one that needs an alarm. */
static void judge_twin(const struct trust *trust, const struct root *twin, const struct trust_answer *answer,
                       struct trust_finding *ret)
{
    struct diag why = DIAG_INIT;
    int signed_by_ours = role_verify(&trust->root->roles[ROLE_ROOT], "root", SSHSIG_NAMESPACE_ROOT,
                                     answer->root, answer->signatures, answer->nsignatures, NULL, &why);
    if (signed_by_ours < 0) {
        diag_set(&ret->why, FARM_E_REFUSED,
                 "the coordinator shows another trust root of version %" PRId64
                 ", which its role does not sign",
                 twin->version);
        refuse(ret);
        return;
    }
    CLEANUP_FREE char *expected = mem_format("version %" PRId64 " of the trust root with digest %s",
                                             trust->root->version, digest_hex(&trust->root->digest).text);
    CLEANUP_FREE char *seen =
        mem_format("one with digest %s, and both are signed", digest_hex(&twin->digest).text);
    sound(ret, ALARM_ROOT, expected, seen);
}

/* True: the next one was adopted. */
static bool follow(struct trust *trust, const struct trust_answer *answer, struct trust_finding *ret)
{
    CLEANUP_ROOT struct root *root = NULL;
    int error = root_parse(answer->root, "trust root", &root, &ret->why);
    if (error >= 0 && (uint64_t)root->version != answer->version)
        error = diag_set(&ret->why, FARM_E_REFUSED,
                         "the coordinator calls version %" PRId64 " of the trust root version %" PRIu64,
                         root->version, answer->version);
    if (error >= 0 && root->version == trust->root->version) {
        if (!digest_equal(&root->digest, &trust->root->digest))
            judge_twin(trust, root, answer, ret);
        return false;
    }
    if (error >= 0)
        error =
            root_check(trust->root, root, answer->root, answer->signatures, answer->nsignatures, &ret->why);
    if (error < 0) {
        diag_wrap(&ret->why, error,
                  "the trust root that the coordinator shows cannot follow version %" PRId64,
                  trust->root->version);
        refuse(ret);
        return false;
    }
    adopt(trust, STEAL(root), answer->root, ret);
    return true;
}

/* True: the root is the newest there is, and the directory's turn has come. */
static bool judge_root(struct trust *trust, const struct trust_answer *answer, struct trust_finding *ret)
{
    if (trust->root == NULL && answer->newest == 0) {
        diag_set(&ret->why, FARM_E_REFUSED, "the farm has no trust root, and the join string pinned one");
        refuse(ret);
        return false;
    }
    if (trust->root == NULL && !walk_on(trust, answer, ret))
        return false;
    if (ret->root_changed && (uint64_t)trust->root->version < answer->newest) {
        ret->move = TRUST_ASK;
        return false;
    }
    if (answer->newest < (uint64_t)trust->root->version) {
        sound_older(trust, answer->newest, ret);
        return false;
    }
    if (ret->root_changed)
        return true;
    if (answer->version == 0 && answer->newest > (uint64_t)trust->root->version) {
        diag_set(&ret->why, FARM_E_REFUSED,
                 "the coordinator says that version %" PRIu64
                 " of the trust root is the newest, and does not show version %" PRId64,
                 answer->newest, trust->root->version + 1);
        refuse(ret);
        return false;
    }
    if (answer->version != 0 && !follow(trust, answer, ret))
        return ret->move == TRUST_SETTLED;
    if ((uint64_t)trust->root->version < answer->newest)
        ret->move = TRUST_ASK;
    return ret->move == TRUST_SETTLED;
}

/* ---- the directory ---- */

static void sound_directory(const struct trust *trust, uint64_t version, const struct digest *digest,
                            const char *why, struct trust_finding *ret)
{
    CLEANUP_FREE char *expected = mem_format(
        "version %" PRId64 " of the worker directory with digest %s, which was shown before, or a later one",
        trust->directory.version, digest_hex(&trust->directory.digest).text);
    CLEANUP_FREE char *seen =
        mem_format("version %" PRIu64 " with digest %s: %s", version, digest_hex(digest).text, why);
    sound(ret, ALARM_DIRECTORY, expected, seen);
}

/* True: it is an alarm. */
static bool goes_back(const struct trust *trust, uint64_t version, const struct digest *digest,
                      struct trust_finding *ret)
{
    if (!trust->has_directory)
        return false;
    uint64_t known = (uint64_t)trust->directory.version;
    if (version < known)
        sound_directory(trust, version, digest, "an older one", ret);
    else if (version == known && !digest_equal(digest, &trust->directory.digest))
        sound_directory(trust, version, digest, "the same version with other content", ret);
    return ret->move == TRUST_ALARM;
}

static void judge_directory(const struct trust *trust, const struct trust_answer *answer,
                            struct trust_finding *ret)
{
    if (goes_back(trust, answer->directory_version, &answer->directory, ret))
        return;
    if (answer->directory_version == 0 || digest_is_zero(&answer->directory)) {
        diag_set(&ret->why, FARM_E_REFUSED, "the farm has published no worker directory");
        refuse(ret);
        return;
    }
    if (trust->has_directory && (uint64_t)trust->directory.version == answer->directory_version &&
        trust->directory.root_version == trust->root->version)
        return;
    ret->directory = answer->directory;
    ret->move = TRUST_FETCH;
}

void trust_on_answer(struct trust *trust, const struct trust_answer *answer, int64_t now_ms,
                     struct trust_finding *ret)
{
    if (!trust_is_pinned(trust))
        return;
    see_time(trust, now_ms, ret);
    if (judge_root(trust, answer, ret))
        judge_directory(trust, answer, ret);
}

int trust_read_directory(struct view text, const struct root *root, const struct trust_self *self,
                         struct trust_listing *ret, struct diag *diag)
{
    struct directory *directory = NULL;
    struct problems problems = PROBLEMS_INIT;
    int error = directory_parse(text, "worker directory", &directory, diag);
    if (error < 0)
        return error;
    error = directory_check(directory, "worker directory", root, &problems);
    if (error < 0)
        diag_set(diag, error, "worker directory, under version %" PRId64 " of the trust root: %s",
                 root->version, problems.count > 0 ? problems.items[0].text : farm_error_text(error));
    problems_done(&problems);
    const struct directory_entry *entry = directory_find(directory, self->worker);
    if (error >= 0) {
        *ret = (struct trust_listing){.version = directory->version,
                                      .expires_ms = directory->expires_ms,
                                      .root_version = root->version,
                                      .digest = directory->digest,
                                      .previous = directory->previous,
                                      .listed = entry != NULL,
                                      .same_keys = true,
                                      .compromised_from = -1};
        if (entry != NULL) {
            ret->same_keys = strcmp(entry->operator_name, self->operator_name) == 0 &&
                             keys_public_equal(&entry->ed25519, &self->ed25519) &&
                             memcmp(entry->curve, self->curve, DIRECTORY_CURVE_SIZE) == 0;
            ret->entry_expires_ms = entry->expires_ms;
            ret->compromised_from = entry->compromised_from;
        }
    }
    directory_free(directory);
    return error;
}

/* The chain is checked where it can be: versions between are not kept by anybody. */
static bool breaks_chain(const struct trust *trust, const struct trust_listing *listing,
                         struct trust_finding *ret)
{
    if (!trust->has_directory || listing->version != trust->directory.version + 1 ||
        digest_equal(&listing->previous, &trust->directory.digest))
        return false;
    CLEANUP_FREE char *why = mem_format("it says that it follows %s", digest_hex(&listing->previous).text);
    sound_directory(trust, (uint64_t)listing->version, &listing->digest, why, ret);
    return true;
}

static void sound_identity(const struct trust *trust, const struct trust_listing *listing,
                           struct trust_finding *ret)
{
    CLEANUP_FREE char *expected = mem_format("%s of %s with the keys in this state directory",
                                             trust->self.worker, trust->self.operator_name);
    CLEANUP_FREE char *seen =
        mem_format("version %" PRId64 " of the worker directory gives that name to others", listing->version);
    sound(ret, ALARM_IDENTITY, expected, seen);
}

void trust_on_listing(struct trust *trust, const struct trust_listing *listing, int64_t now_ms,
                      struct trust_finding *ret)
{
    if (trust->root == NULL || listing->root_version != trust->root->version) {
        ret->move = TRUST_ASK; /* a root came meanwhile: once more, under that one */
        return;
    }
    if (goes_back(trust, (uint64_t)listing->version, &listing->digest, ret) ||
        breaks_chain(trust, listing, ret))
        return;
    if (!listing->same_keys) {
        sound_identity(trust, listing, ret);
        return;
    }
    see_time(trust, now_ms, ret);
    trust->directory = *listing;
    trust->has_directory = ret->changed = true;
}

void trust_describe(const struct trust *trust, struct buf *ret)
{
    if (!trust_is_pinned(trust)) {
        buf_add_text(ret, "none was pinned when this worker joined");
        return;
    }
    if (trust->root == NULL) {
        buf_add_format(ret, "waiting for the pinned one, %.12s", digest_hex(&trust->self.pinned).text);
        return;
    }
    buf_add_format(ret, "version %" PRId64 ", until %s", trust->root->version,
                   moment_format(trust->root->expires_ms).text);
    if (trust->has_directory)
        buf_add_format(ret, "; worker directory version %" PRId64 ", until %s", trust->directory.version,
                       moment_format(trust->directory.expires_ms).text);
}
