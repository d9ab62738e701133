/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Waiver: release managers let one package pass in spite of one rule, for a time, and say why. It stands in the release for all to see.
 *
 *     {"created":"...","expires":"...","format":"intergenos-waiver/1","package":"tier/name","reason":"...","rule":"hold","version":"1.2"}
 *
 * Signed as SSHSIG in the namespace waiver@intergenos by the release role's threshold. What can be waived is a closed list: "hold" (the policy
 * holds the package back) and "evidence" (the policy asks for hardware evidence, and there is none). Nothing else: no waiver
 * touches quorum, anchors, dissent, signatures, the log or bytes (S12).
 */
#ifndef FARM_WAIVER_H
#define FARM_WAIVER_H

#include "json.h"
#include "root.h"

#define WAIVER_FORMAT "intergenos-waiver/1"

enum { WAIVER_SIZE_MAX = 4096, WAIVER_REASON_MAX = 1024, WAIVERS_MAX = 1024 };
#define WAIVER_LIFETIME_MAX_MS ((int64_t)180 * 24 * 3600 * 1000)

enum waiver_rule { WAIVER_HOLD, WAIVER_EVIDENCE };

/* Everything owned. */
struct waiver {
    char *package, *version, *reason;
    enum waiver_rule rule;
    int64_t created_ms, expires_ms;
    char **signatures; /* armored */
    size_t nsignatures;
};

const char *waiver_rule_name(enum waiver_rule rule);
/* A rule that cannot be waived is refused by name (S12). 'name' is for messages. */
int waiver_rule_parse(const char *text, const char *name, enum waiver_rule *ret, struct diag *diag) MUST_USE;
/* The text that is signed, and back. Form and lifetime are checked. */
void waiver_write(const struct waiver *waiver, struct buf *ret);
int waiver_parse(struct view text, const char *name, struct waiver *ret, struct diag *diag) MUST_USE;
/* The same signature twice is one. */
void waiver_add_signature(struct waiver *waiver, struct view armored);
/* Signed by the release role, and not expired at 'now_ms', nor made a day or more after it. */
int waiver_check(const struct waiver *waiver, const struct root *root, int64_t now_ms,
                 struct diag *diag) MUST_USE;
void waiver_done(struct waiver *waiver);
/* {"signatures":[...],"waiver":{...}}: how it stands in release.json, and in the file that is passed around. */
json_t *waiver_json(const struct waiver *waiver);
int waiver_from_json(const json_t *value, const char *name, struct waiver *ret, struct diag *diag) MUST_USE;

#endif
