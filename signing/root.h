/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Trust root: root.json, what everybody who checks starts from. TUF's rules in one file.
 *
 *     {"anchors":[{"keys":["ssh-ed25519 ..."],"operator":"alpha"}],"bases":["<hex>"],"expires":"2027-01-01T00:00:00Z",
 *      "format":"intergenos-root/1",
 *      "log":{"previous":null,"threshold":2,"vkey":"<origin>+<id>+<base64>","witnesses":["alpha","beta","gamma"]},"policy":"<hex>",
 *      "roles":{"enrolment":{"keys":[{"key":"ssh-ed25519 ...","person":"ann","verify_required":false}],"threshold":1},
 *               "release":{...},"root":{...}},"unverified":[],"version":1}
 *
 * The role "verifier" may be left out. A threshold counts persons, 1 <= threshold <= persons (S10, S14); the same key bytes under
 * two names are refused (S2). "log" names the transparency log's key and who witnesses it: anchor operators, whose workers' cosignatures
 * count once for each operator; the threshold is more than half of them, so that two histories cannot both reach it (L8). After
 * the loss of a log the next root names another key, and in "previous" {"origin","root","size"} where the old one ended. "log" may be
 * null: then nothing shows what a coordinator hides, and every verification says so. Signatures are SSHSIG in the
 * namespace root@intergenos, in <file>.sig.d/.
 */
#ifndef FARM_ROOT_H
#define FARM_ROOT_H

#include "json.h"
#include "note.h"
#include "problems.h"
#include "sshsig.h"

#define ROOT_FORMAT "intergenos-root/1"

enum {
    ROOT_SIZE_MAX = 32 * 1024, /* with its signatures it travels in one message */
    ROOT_KEYS_MAX = 64,        /* in one role, or of one anchor operator */
    ROOT_ANCHORS_MAX = 256,
    ROOT_BASES_MAX = 64,
    ROOT_UNVERIFIED_MAX = 1024,
    ROOT_SIGNATURES_MAX = 64 /* looked at for one document */
};

enum role_name { ROLE_ROOT, ROLE_RELEASE, ROLE_ENROLMENT, ROLE_VERIFIER };
enum { ROLE_COUNT = ROLE_VERIFIER + 1 };

struct role_key {
    char *person;
    struct ssh_public_key key;
    bool verify_required; /* a token must have asked for PIN or finger */
};
struct role {
    uint32_t threshold; /* 0: this role is not in the file (verifier only) */
    struct role_key *keys;
    size_t nkeys;
};
struct root_anchor {
    char *operator_name;
    struct ssh_public_key *keys;
    size_t nkeys;
};

/* The transparency log. */
struct root_log {
    bool present;
    struct note_key key;
    char **witnesses; /* names of anchor operators, sorted */
    size_t nwitnesses;
    uint32_t threshold;         /* operators */
    struct checkpoint previous; /* size 0: there was none before */
};

/* Everything owned. */
struct root {
    int64_t version;
    int64_t expires_ms;
    struct role roles[ROLE_COUNT];
    struct root_anchor *anchors;
    size_t nanchors;
    struct root_log log;
    struct digest policy;
    struct digest *bases;
    size_t nbases;
    char **unverified; /* packages that may be released with a quorum of 1 */
    size_t nunverified;
    struct digest digest; /* of the bytes that were parsed; zero for one being made */
};

/* Checks every rule above. 'name' is for messages. */
int root_parse(struct view text, const char *name, struct root **ret, struct diag *diag) MUST_USE;
struct root *root_new(
    void); /* for those who make one: fill the fields with mem_* strings, root_check_rules, root_write */
struct root *root_free(struct root *root); /* accepts NULL, returns NULL */
int root_check_rules(const struct root *root, const char *name, struct diag *diag) MUST_USE;
void root_write(const struct root *root, struct buf *ret);

const char *role_name_text(enum role_name name);
bool role_name_parse(const char *text, enum role_name *ret);
size_t role_persons(const struct role *role);
bool root_allows_base(const struct root *root, const struct digest *base);
bool root_allows_unverified(const struct root *root, const char *package);
bool root_is_witness(const struct root *root, const char *operator_name);
/* The operator is listed, with this key. */
bool root_is_anchor(const struct root *root, const char *operator_name, const struct ssh_public_key *key);

/*
 * Counts the persons of a role whose signature is among these. Signatures by unknown keys are ignored; those that do not verify,
 * are in another namespace (S3), without touch (S4) or without required verification do not count. FARM_E_SIGNATURE below the
 * threshold (S1), naming who signed and why others did not count. *ret_persons may be NULL.
 */
int role_verify(const struct role *role, const char *role_text, const char *name_space, struct view document,
                const struct view *signatures, size_t nsignatures, size_t *ret_persons,
                struct diag *diag) MUST_USE;

/* Whose signature is this? The person's name, borrowed from the role; NULL and a diag if it does not count. */
const char *role_signer(const struct role *role, const char *name_space, struct view document,
                        struct view signature, struct diag *diag);

/*
 * The rules of succession that need no signature: exactly one version further (S9), and another log only with "previous" naming
 * the old one's origin.
 */
int root_check_follows(const struct root *old, const struct root *next, struct diag *diag) MUST_USE;

/*
 * May 'new' (whose bytes are 'text') follow 'old'? By the rules above, and signed by the thresholds of both.
 * With old NULL: signed by its own threshold; it is trusted because whoever asks says so. Expiry is asked separately.
 */
int root_check(const struct root *old, const struct root *new_root, struct view text,
               const struct view *signatures, size_t nsignatures, struct diag *diag) MUST_USE;

void root_free_p(struct root **root);
#define CLEANUP_ROOT __attribute__((cleanup(root_free_p)))

#endif
