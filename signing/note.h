/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Note: C2SP signed-note, and on top of it checkpoint (tlog-checkpoint) and cosignature/v1 (tlog-cosignature).
 *
 *     <origin>\n<size>\n<base64 root>\n            the text of a checkpoint; extension lines are refused
 *     \n
 *     — <name> <base64(keyid4 || signature)>\n     one line a signature; the dash is U+2014
 *
 * keyid4: first 4 bytes of SHA256(name || 0A || type || public key); type 01 is a plain Ed25519 signature over the text, type 04
 * a cosignature: u64be time || signature over "cosignature/v1\ntime <time>\n" and the text. vkey: name+<keyid4 hex>+base64(type || public key).
 * Signatures by unknown keys are ignored; a known key whose signature fails refuses the whole note (L4).
 */
#ifndef FARM_NOTE_H
#define FARM_NOTE_H

#include "keys.h"

enum {
    NOTE_SIZE_MAX = 64 * 1024,
    NOTE_SIGNATURES_MAX = 256,
    NOTE_NAME_MAX = 192, /* of a key; ours are an origin, or operator/worker */
    CHECKPOINT_TEXT_MAX = 512
};

/* What stands before the text in what a cosignature signs. */
#define NOTE_COSIGNATURE_HEAD "cosignature/v1\ntime %llu\n"

enum note_type { NOTE_ED25519 = 1, NOTE_COSIGNATURE = 4 };

struct note_key {
    char name[NOTE_NAME_MAX + 1];
    enum note_type type;
    struct public_key key;
};
/* 1 to NOTE_NAME_MAX printable ASCII bytes without blank and '+'. */
bool note_name_is_valid(struct view name);
/* Appends "name+id+base64". */
void note_key_write(const struct note_key *key, struct buf *ret);
/* FARM_E_SYNTAX saying which part is wrong: also an id that is not the key's, and a key that no honest generator makes (W4). */
int note_key_parse(struct view vkey, struct note_key *ret, struct diag *diag) MUST_USE;
uint32_t note_key_id(const struct note_key *key);

struct checkpoint {
    char origin[NOTE_NAME_MAX + 1];
    uint64_t size;
    struct digest root;
};
/* Appends the three lines. */
void checkpoint_write(const struct checkpoint *checkpoint, struct buf *ret);
int checkpoint_parse(struct view text, struct checkpoint *ret, struct diag *diag) MUST_USE;

/* A note taken apart; views into the text that was parsed. */
struct note_signature {
    struct view name;
    uint32_t keyid;
    struct view bytes; /* decoded; owned by the note */
};
struct note {
    struct view text;
    struct note_signature *signatures;
    size_t nsignatures;
    char *room; /* what 'bytes' point into */
};
#define NOTE_INIT                                                                                            \
    {                                                                                                        \
        .signatures = NULL                                                                                   \
    }
int note_parse(struct view bytes, struct note *ret, struct diag *diag) MUST_USE;
void note_done(struct note *note);

/* Appends "— name base64\n" with a signature's bytes as they stand behind the id. */
void note_write_signature(const struct note_key *key, struct view signature, struct buf *ret);
/*
 * Does this key's signature stand under it? 1 yes, 0 no signature by it, FARM_E_SIGNATURE if there is one and it fails.
 * *ret_time (may be NULL): seconds since 1970, of a cosignature; the latest, if it signed more than once.
 */
int note_check(const struct note *note, const struct note_key *key, uint64_t *ret_time,
               struct diag *diag) MUST_USE;
/* Text of a checkpoint + blank line + its log's signature: what is served. The key's name is the origin. Appends. */
int note_sign_checkpoint(const struct checkpoint *checkpoint, const struct key_pair *key, struct buf *ret,
                         struct diag *diag) MUST_USE;
/* Parses, demands the log's signature and that the origin is the key's name. */
int note_open_checkpoint(struct view bytes, const struct note_key *log, struct checkpoint *ret,
                         struct diag *diag) MUST_USE;
/* The bytes that a cosignature signs. Appends. */
void note_cosigned_text(const struct checkpoint *checkpoint, uint64_t time_s, struct buf *ret);
int note_cosign(const struct checkpoint *checkpoint, uint64_t time_s, const struct key_pair *key,
                struct signature *ret, struct diag *diag) MUST_USE;
/* Appends one signature line of a cosignature. */
void note_write_cosignature(const struct note_key *key, uint64_t time_s, const struct signature *signature,
                            struct buf *ret);

#endif
