/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside signing: members that several of our documents have. All errors name the document and the member. */
#ifndef FARM_DOCJSON_H
#define FARM_DOCJSON_H

#include "json.h"
#include "sshsig.h"

/* The member "format" must be exactly this: FARM_E_UNSUPPORTED. */
int docjson_format(const json_t *object, const char *name, const char *format, struct diag *diag) MUST_USE;
/* RFC 3339, as moment_parse takes it. */
int docjson_time(const json_t *object, const char *name, const char *key, int64_t *ret_ms,
                 struct diag *diag) MUST_USE;
/* A copy, owned. */
int docjson_string(const json_t *object, const char *name, const char *key, char **ret,
                   struct diag *diag) MUST_USE;
/* An array of at most 'limit' members. */
int docjson_list(const json_t *object, const char *name, const char *key, size_t limit, json_t **ret,
                 struct diag *diag) MUST_USE;
/* An array of strings; *ret and its texts are owned. */
int docjson_strings(const json_t *object, const char *name, const char *key, size_t limit, char ***ret,
                    size_t *ret_count, struct diag *diag) MUST_USE;
/* An OpenSSH public key in a string. */
int docjson_key(const char *text, const char *name, struct ssh_public_key *ret, struct diag *diag) MUST_USE;
/* A digest or null, which gives zero. */
int docjson_maybe_digest(const json_t *object, const char *name, const char *key, struct digest *ret,
                         struct diag *diag) MUST_USE;

json_t *docjson_time_value(int64_t ms);
json_t *docjson_strings_value(char *const *texts, size_t count);
json_t *docjson_key_value(const struct ssh_public_key *key);
json_t *docjson_maybe_digest_value(const struct digest *digest); /* null for zero */
void docjson_free_strings(char **texts, size_t count);

#endif
