/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Notes, checkpoints, cosignatures: against C2SP's published examples, and against what others may send. */
#include "log_test.h"

#include "base64.h"

#include <stdio.h>
#include <stdlib.h>

#define DASH "\xe2\x80\x94"
#define ROOT "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="

static struct key_pair *pair_of(unsigned char number)
{
    unsigned char seed[KEYS_SEED_SIZE] = {number};
    return keys_from_seed(seed);
}

static struct note_key key_of(const char *name, enum note_type type, const struct key_pair *pair)
{
    struct note_key key = {.type = type, .key = *keys_public(pair)};
    snprintf(key.name, sizeof key.name, "%s", name);
    return key;
}

static struct checkpoint checkpoint_of(const char *origin, uint64_t size)
{
    struct checkpoint checkpoint = {.size = size, .root = digest_of(VIEW("a tree"))};
    snprintf(checkpoint.origin, sizeof checkpoint.origin, "%s", origin);
    return checkpoint;
}

static int parse(struct view text, struct diag *diag)
{
    struct note note = NOTE_INIT;
    int result = note_parse(text, &note, diag);
    note_done(&note);
    return result;
}

/* --- keys --- */

/* Of Go's documentation of sumdb/note, and of the Go checksum database. */
static void test_published_keys(void **state)
{
    static const char *const keys[] = {
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        CLEANUP_BUF struct buf again = BUF_INIT;
        struct note_key key;
        struct diag diag = DIAG_INIT;
        assert_ok(&diag, note_key_parse(view_text(keys[i]), &key, &diag));
        assert_int_equal(key.type, NOTE_ED25519);
        note_key_write(&key, &again);
        assert_string_equal(again.data, keys[i]);
    }
}

static void test_key_round_trip(void **state)
{
    struct key_pair *pair = pair_of(1);
    (void)state;
    for (int type = NOTE_ED25519; type <= NOTE_COSIGNATURE; type += NOTE_COSIGNATURE - NOTE_ED25519) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        struct note_key key = key_of("alder/alder-1", (enum note_type)type, pair), again;
        struct diag diag = DIAG_INIT;
        note_key_write(&key, &text);
        assert_ok(&diag, note_key_parse(buf_view(&text), &again, &diag));
        assert_string_equal(again.name, key.name);
        assert_int_equal(again.type, key.type);
        assert_true(keys_public_equal(&again.key, &key.key));
    }
    keys_free(pair);
}

/* The same key has another id under another name, and as another type. */
static void test_key_id_binds(void **state)
{
    struct key_pair *pair = pair_of(1), *other = pair_of(2);
    struct note_key log = key_of("farm.example/log", NOTE_ED25519, pair), name = log, type = log, key = log;
    (void)state;
    name.name[0] = 'g';
    type.type = NOTE_COSIGNATURE;
    key.key = *keys_public(other);
    assert_int_not_equal(note_key_id(&log), note_key_id(&name));
    assert_int_not_equal(note_key_id(&log), note_key_id(&type));
    assert_int_not_equal(note_key_id(&log), note_key_id(&key));
    keys_free(pair);
    keys_free(other);
}

static void refuse_key(const char *text, const char *because)
{
    struct note_key key = {.name = "untouched"};
    struct diag diag = DIAG_INIT;
    assert_int_equal(note_key_parse(view_text(text), &key, &diag), FARM_E_SYNTAX);
    if (strstr(diag.text, because) == NULL)
        fail_msg("%s: %s", text, diag.text);
    assert_string_equal(key.name, "untouched");
}

static void test_malformed_keys(void **state)
{
    char longest[600];
    (void)state;
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    refuse_key("", "name");
    refuse_key("+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "name");
    refuse_key("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "name");
    refuse_key("P\xc3\xa9ter+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "name");
    refuse_key(longest, "name");
    refuse_key("PeterNeumann", "id");
    refuse_key("PeterNeumann+c74f20a+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "id");
    refuse_key("PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "id");
    refuse_key("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "id is not the one");
    refuse_key("PeterNeumanm+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "id is not the one");
    refuse_key("PeterNeumann+c74f20a3", "base64");
    refuse_key("PeterNeumann+c74f20a3+", "base64");
    refuse_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq_LDE4izWy10TW", "base64"); /* URL-safe */
    refuse_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n", "base64");
    refuse_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10Q=", "base64"); /* 32 bytes */
    refuse_key("PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "type");
}

static void refuse_point(const char *hex)
{
    struct note_key key = {.name = "farm.example/log", .type = NOTE_ED25519};
    CLEANUP_BUF struct buf text = BUF_INIT;
    assert_true(hex_decode(view_text(hex), key.key.bytes, KEYS_PUBLIC_SIZE));
    note_key_write(&key, &text);
    refuse_key(text.data, "no honest Ed25519 key generator");
}

/* W4: points of small order (0, 1, order 8), of mixed order, and one that is not canonical. */
static void test_W4_dishonest_keys(void **state)
{
    (void)state;
    refuse_point("0000000000000000000000000000000000000000000000000000000000000000");
    refuse_point("0100000000000000000000000000000000000000000000000000000000000000");
    refuse_point("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    refuse_point("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
    refuse_point("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
    refuse_point("0100000000000000000000000000000000000000000000000000000000000080");
    refuse_point("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    struct key_pair *pair = pair_of(3);
    struct note_key key = key_of("farm.example/log", NOTE_COSIGNATURE, pair);
    keys_free(pair);
    key.key.bytes[31] ^= 0x80; /* the other x: an honest key again */
    assert_true(keys_public_is_valid(&key.key));
}

static void test_names(void **state)
{
    static const char *const bad[] = {"", " ", "a b", "a+b", "a\n", "\x7f", "\xc3\xa9", "a\tb"};
    char name[NOTE_NAME_MAX + 2];
    (void)state;
    memset(name, '~', sizeof name);
    assert_true(note_name_is_valid(view_of(name, NOTE_NAME_MAX)));
    assert_false(note_name_is_valid(view_of(name, NOTE_NAME_MAX + 1)));
    assert_true(note_name_is_valid(VIEW("intergenos-farm/0123456789abcdef")));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(note_name_is_valid(view_text(bad[i])));
    assert_false(note_name_is_valid(VIEW("a\0b")));
}

/* --- notes --- */

/* The note of Go's documentation, signed by PeterNeumann and by EnochRoot . */
static void test_published_note(void **state)
{
    static const char text[] =
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n" DASH " PeterNeumann "
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n" DASH
        " EnochRoot "
        "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";
    static const char peter[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    static const char enoch[] = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
    struct note note = NOTE_INIT;
    struct note_key key;
    struct diag diag = DIAG_INIT;
    (void)state;
    assert_ok(&diag, note_parse(VIEW(text), &note, &diag));
    assert_int_equal(note.nsignatures, 2);
    assert_true(view_equal(note.signatures[1].name, VIEW("EnochRoot")));
    assert_int_equal(note.signatures[1].keyid, 0xaf0cfe78);
    assert_ok(&diag, note_key_parse(VIEW(peter), &key, &diag));
    assert_int_equal(note_check(&note, &key, NULL, &diag), 1);
    assert_ok(&diag, note_key_parse(VIEW(enoch), &key, &diag));
    assert_int_equal(note_check(&note, &key, NULL, &diag), 1);
    note_done(&note);
    note_done(&note); /* twice is harmless */
}

static void test_sign_and_open(void **state)
{
    struct key_pair *pair = pair_of(1);
    struct note_key log = key_of("farm.example/log", NOTE_ED25519, pair);
    struct checkpoint checkpoint = checkpoint_of("farm.example/log", 1234567), found;
    CLEANUP_BUF struct buf note = BUF_INIT;
    struct diag diag = DIAG_INIT;
    (void)state;
    assert_ok(&diag, note_sign_checkpoint(&checkpoint, pair, &note, &diag));
    assert_true(view_starts(buf_view(&note), VIEW("farm.example/log\n1234567\n")));
    assert_non_null(strstr(note.data, "=\n\n" DASH " farm.example/log "));
    assert_ok(&diag, note_open_checkpoint(buf_view(&note), &log, &found, &diag));
    assert_string_equal(found.origin, "farm.example/log");
    assert_int_equal(found.size, 1234567);
    assert_digest_equal(found.root, checkpoint.root);
    keys_free(pair);
}

static void test_L4_any_altered_byte(void **state)
{
    struct key_pair *pair = pair_of(1);
    struct note_key log = key_of("farm.example/log", NOTE_ED25519, pair);
    struct checkpoint checkpoint = checkpoint_of("farm.example/log", 1234567),
                      found = {.origin = "untouched"};
    CLEANUP_BUF struct buf note = BUF_INIT;
    struct diag diag = DIAG_INIT;
    (void)state;
    assert_ok(&diag, note_sign_checkpoint(&checkpoint, pair, &note, &diag));
    for (size_t i = 0; i < note.size; i++)
        for (int bit = 0; bit < 8; bit++) {
            note.data[i] ^= (char)(1 << bit);
            assert_true(note_open_checkpoint(buf_view(&note), &log, &found, &diag) < 0);
            note.data[i] ^= (char)(1 << bit);
        }
    for (size_t size = 0; size < note.size; size++)
        assert_true(note_open_checkpoint(view_of(note.data, size), &log, &found, &diag) < 0);
    assert_string_equal(found.origin, "untouched");
    buf_add_byte(&note, '\n');
    assert_true(note_open_checkpoint(buf_view(&note), &log, &found, &diag) < 0);
    keys_free(pair);
}

struct signers {
    struct key_pair *log_pair, *witness_pair, *other_pair;
    struct note_key log, witness, other;
    struct checkpoint checkpoint;
    struct buf note;
    struct diag diag;
};

static int make_signers(void **state)
{
    struct signers *s = mem_zero(1, sizeof *s);
    s->log_pair = pair_of(1);
    s->witness_pair = pair_of(2);
    s->other_pair = pair_of(3);
    s->log = key_of("farm.example/log", NOTE_ED25519, s->log_pair);
    s->witness = key_of("alder/alder-1", NOTE_COSIGNATURE, s->witness_pair);
    s->other = key_of("birch/birch-1", NOTE_COSIGNATURE, s->other_pair);
    s->checkpoint = checkpoint_of("farm.example/log", 42);
    *state = s;
    return note_sign_checkpoint(&s->checkpoint, s->log_pair, &s->note, &s->diag);
}

static int free_signers(void **state)
{
    struct signers *s = *state;
    keys_free(s->log_pair);
    keys_free(s->witness_pair);
    keys_free(s->other_pair);
    buf_done(&s->note);
    free(s);
    return 0;
}

static void cosign(struct signers *s, const struct note_key *key, const struct key_pair *pair,
                   uint64_t time_s)
{
    struct signature signature;
    assert_ok(&s->diag, note_cosign(&s->checkpoint, time_s, pair, &signature, &s->diag));
    note_write_cosignature(key, time_s, &signature, &s->note);
}

static int check(struct signers *s, const struct note_key *key, uint64_t *ret_time)
{
    struct note note = NOTE_INIT;
    assert_ok(&s->diag, note_parse(buf_view(&s->note), &note, &s->diag));
    int result = note_check(&note, key, ret_time, &s->diag);
    note_done(&note);
    return result;
}

static int open_it(struct signers *s)
{
    struct checkpoint found;
    return note_open_checkpoint(buf_view(&s->note), &s->log, &found, &s->diag);
}

static void test_cosignatures(void **state)
{
    struct signers *s = *state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    uint64_t time_s = 77;
    assert_int_equal(check(s, &s->witness, &time_s), 0);
    assert_int_equal(time_s, 77); /* untouched */
    cosign(s, &s->witness, s->witness_pair, 1700000000);
    cosign(s, &s->other, s->other_pair, 0);
    assert_int_equal(check(s, &s->witness, &time_s), 1);
    assert_int_equal(time_s, 1700000000);
    assert_int_equal(check(s, &s->other, &time_s), 1);
    assert_int_equal(time_s, 0);
    assert_int_equal(check(s, &s->other, NULL), 1);
    assert_int_equal(open_it(s), 0); /* cosignatures do not disturb who only knows the log */
    cosign(s, &s->witness, s->witness_pair, 1800000000);
    cosign(s, &s->witness, s->witness_pair, 1750000000);
    assert_int_equal(check(s, &s->witness, &time_s), 1);
    assert_int_equal(time_s, 1800000000);
    note_cosigned_text(&s->checkpoint, 1700000000, &text);
    assert_true(
        view_starts(buf_view(&text), VIEW("cosignature/v1\ntime 1700000000\nfarm.example/log\n42\n")));
}

/* A plain signature is no cosignature, of the same key neither; nor the other way round. */
static void test_types_are_apart(void **state)
{
    struct signers *s = *state;
    struct note_key as_log = s->witness, as_witness = s->log;
    struct checkpoint found;
    as_log.type = NOTE_ED25519;
    as_witness.type = NOTE_COSIGNATURE;
    cosign(s, &s->witness, s->witness_pair, 5);
    assert_int_equal(check(s, &as_log, NULL), 0);
    assert_int_equal(check(s, &as_witness, NULL), 0);
    assert_int_equal(note_open_checkpoint(buf_view(&s->note), &as_witness, &found, &s->diag), FARM_E_REFUSED);
}

static void test_L4_known_key_that_fails(void **state)
{
    struct signers *s = *state;
    struct signature zero = {{0}};
    uint64_t time_s = 9;
    note_write_signature(&s->log, view_of(zero.bytes, sizeof zero.bytes), &s->note);
    assert_int_equal(open_it(s), FARM_E_SIGNATURE); /* although the first one is good */
    assert_non_null(strstr(s->diag.text, "farm.example/log that does not verify"));
    cosign(s, &s->witness, s->witness_pair, 5);
    note_write_cosignature(&s->witness, 5, &zero, &s->note);
    assert_int_equal(check(s, &s->witness, &time_s), FARM_E_SIGNATURE);
    assert_int_equal(time_s, 9);
}

/* The time is signed: another one makes the cosignature bad. And it is of one checkpoint. */
static void test_L4_cosignature_of_another(void **state)
{
    struct signers *s = *state;
    struct signature signature;
    struct checkpoint other = s->checkpoint;
    size_t before = s->note.size;
    assert_int_equal(note_cosign(&s->checkpoint, 5, s->witness_pair, &signature, &s->diag), 0);
    note_write_cosignature(&s->witness, 6, &signature, &s->note);
    assert_int_equal(check(s, &s->witness, NULL), FARM_E_SIGNATURE);
    s->note.size = before;
    other.size++;
    assert_int_equal(note_cosign(&other, 5, s->witness_pair, &signature, &s->diag), 0);
    note_write_cosignature(&s->witness, 5, &signature, &s->note);
    assert_int_equal(check(s, &s->witness, NULL), FARM_E_SIGNATURE);
    s->note.size = before; /* the words alone, without the domain in front */
    CLEANUP_BUF struct buf text = BUF_INIT;
    checkpoint_write(&s->checkpoint, &text);
    assert_int_equal(keys_sign(s->witness_pair, buf_view(&text), &signature, &s->diag), 0);
    note_write_cosignature(&s->witness, 5, &signature, &s->note);
    assert_int_equal(check(s, &s->witness, NULL), FARM_E_SIGNATURE);
    assert_int_equal(
        note_cosign(&s->checkpoint, (uint64_t)INT64_MAX + 1, s->witness_pair, &signature, &s->diag),
        FARM_E_REFUSED);
}

/* A time beyond 2^63-1 that a witness did sign: by another program; not a time. */
static void test_L4_time_out_of_range(void **state)
{
    struct signers *s = *state;
    struct signature signature;
    CLEANUP_BUF struct buf text = BUF_INIT;
    note_cosigned_text(&s->checkpoint, UINT64_MAX, &text);
    assert_int_equal(keys_sign(s->witness_pair, buf_view(&text), &signature, &s->diag), 0);
    note_write_cosignature(&s->witness, UINT64_MAX, &signature, &s->note);
    assert_int_equal(check(s, &s->witness, NULL), FARM_E_SIGNATURE);
}

static void test_L4_signature_of_odd_size(void **state)
{
    static const size_t sizes[] = {1, 63, 65, 71, 73, 200};
    struct signers *s = *state;
    size_t before = s->note.size;
    char bytes[256] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        s->note.size = before;
        note_write_signature(&s->log, view_of(bytes, sizes[i]), &s->note);
        assert_int_equal(open_it(s), FARM_E_SIGNATURE);
        s->note.size = before;
        note_write_signature(&s->witness, view_of(bytes, sizes[i]), &s->note);
        assert_int_equal(check(s, &s->witness, NULL), FARM_E_SIGNATURE);
    }
}

/* Keys that share a name or an id with ours, but not both, are somebody else's. */
static void test_unknown_keys_are_ignored(void **state)
{
    struct signers *s = *state;
    char junk[2420] = {1};
    struct note_key same_name = s->log;
    same_name.key = s->other.key;
    note_write_signature(&same_name, view_of(junk, 64), &s->note);
    note_write_signature(&s->other, view_of(junk, sizeof junk),
                         &s->note); /* as large as a post-quantum one */
    buf_add_text(&s->note, DASH " t\xc3\xa9moin.example/\xe6\x9c\xa8 AAAAAAE=\n");
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    uint32_t id = note_key_id(&s->log);
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_add_byte(&bytes, (char)(id >> shift));
    buf_add(&bytes, junk, 64);
    buf_add_text(&s->note, DASH " farm.example/log2 ");
    base64_encode(buf_view(&bytes), &s->note);
    buf_add_byte(&s->note, '\n');
    assert_int_equal(open_it(s), 0);
    assert_int_equal(check(s, &s->witness, NULL), 0);
}

/* A note that only strangers signed says nothing. */
static void test_L1_not_signed_by_the_log(void **state)
{
    struct signers *s = *state;
    struct checkpoint found;
    struct note_key stranger = key_of("farm.example/log", NOTE_ED25519, s->other_pair);
    assert_int_equal(note_open_checkpoint(buf_view(&s->note), &stranger, &found, &s->diag), FARM_E_SIGNATURE);
    assert_non_null(strstr(s->diag.text, "not signed by the log farm.example/log"));
    CLEANUP_BUF struct buf forged = BUF_INIT; /* the log's key, and another log's name in the text */
    struct signature signature;
    buf_add_text(&forged, "farm.example/other\n1\n" ROOT "\n");
    assert_int_equal(keys_sign(s->log_pair, buf_view(&forged), &signature, &s->diag), 0);
    buf_add_byte(&forged, '\n');
    note_write_signature(&s->log, view_of(signature.bytes, sizeof signature.bytes), &forged);
    assert_int_equal(note_open_checkpoint(buf_view(&forged), &s->log, &found, &s->diag), FARM_E_REFUSED);
}

static void test_malformed_notes(void **state)
{
    static const char *const bad[] = {
        "",
        "\n",
        "\n\n",
        "text\n",
        "text\n\n",
        "text\n\nno signature\n",
        "text\n\n" DASH " name AAAAAAE=", /* no newline at the end */
        "text\n\n" DASH " name AAAAAAE=\n\n",
        "text\n" DASH " name AAAAAAE=\n",  /* no empty line */
        "text\n\n" DASH "name AAAAAAE=\n", /* no blank */
        "text\n\n" DASH " name\n",
        "text\n\n" DASH " name \n",
        "text\n\n" DASH "  AAAAAAE=\n", /* no name */
        "text\n\n" DASH " na+me AAAAAAE=\n",
        "text\n\n" DASH " na\xc2\xa0me AAAAAAE=\n",     /* U+00A0 */
        "text\n\n" DASH " na\xe2\x80\xa8me AAAAAAE=\n", /* U+2028 */
        "text\n\n" DASH " name AAAAAAE= \n",
        "text\n\n" DASH " name x AAAAAAE=\n",
        "text\n\n" DASH " name AAAAAA==\n",     /* an id and no signature */
        "text\n\n" DASH " name AAAAAAE\n",      /* no padding */
        "text\n\n" DASH " name AAAAAAF=\n",     /* bits behind the end */
        "text\n\n" DASH " name AAAA-AE=\n",     /* URL-safe */
        "text\n\n- name AAAAAAE=\n",            /* hyphen */
        "text\n\n\xe2\x80\x93 name AAAAAAE=\n", /* en dash */
        "text\r\n\n" DASH " name AAAAAAE=\n",
        "te\x01xt\n\n" DASH " name AAAAAAE=\n",
        "te\xfft\n\n" DASH " name AAAAAAE=\n",
        "text\n\n" DASH " name AAAAAAE=\n" DASH " name AAAAAAE=\nx\n",
    };
    struct diag diag = DIAG_INIT;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (parse(view_text(bad[i]), &diag) != FARM_E_SYNTAX)
            fail_msg("number %zu was taken: %s", i, bad[i]);
    assert_int_equal(parse(VIEW("te\0t\n\n" DASH " name AAAAAAE=\n"), &diag), FARM_E_SYNTAX);
    assert_int_equal(parse(VIEW_NONE, &diag), FARM_E_SYNTAX);
    assert_int_equal(parse(VIEW("text\n\n" DASH " name AAAAAAE=\n"), &diag), 0);
}

/* Empty lines may stand in the text; the last one divides. */
static void test_text_with_empty_lines(void **state)
{
    struct note note = NOTE_INIT;
    struct diag diag = DIAG_INIT;
    (void)state;
    assert_ok(&diag,
              note_parse(VIEW("a\n\n" DASH " not one\n\nb\n\n" DASH " name AAAAAAE=\n"), &note, &diag));
    assert_true(view_equal(note.text, VIEW("a\n\n" DASH " not one\n\nb\n")));
    assert_int_equal(note.nsignatures, 1);
    assert_int_equal(note.signatures[0].bytes.size, 1);
    note_done(&note);
    assert_ok(&diag,
              note_parse(VIEW("\n\n" DASH " name AAAAAAE=\n"), &note, &diag)); /* an empty line is a text */
    assert_true(view_equal(note.text, VIEW("\n")));
    note_done(&note);
}

static void test_limits(void **state)
{
    CLEANUP_BUF struct buf note = BUF_INIT;
    struct diag diag = DIAG_INIT;
    (void)state;
    buf_add_text(&note, "text\n\n");
    for (int i = 0; i < NOTE_SIGNATURES_MAX; i++)
        buf_add_text(&note, DASH " name AAAAAAE=\n");
    assert_int_equal(parse(buf_view(&note), &diag), 0);
    buf_add_text(&note, DASH " name AAAAAAE=\n");
    assert_int_equal(parse(buf_view(&note), &diag), FARM_E_LIMIT);
    buf_clear(&note);
    while (note.size < NOTE_SIZE_MAX - 100)
        buf_add_text(&note, "a line of the text\n");
    buf_add_text(&note, "\n" DASH " name AAAAAAE=\n");
    assert_int_equal(parse(buf_view(&note), &diag), 0);
    while (note.size <= NOTE_SIZE_MAX)
        buf_add_text(&note, DASH " name AAAAAAE=\n");
    assert_int_equal(parse(buf_view(&note), &diag), FARM_E_LIMIT);
}

/* --- checkpoints --- */

static void test_checkpoint_round_trip(void **state)
{
    static const uint64_t sizes[] = {0, 1, 20852163, INT64_MAX};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        struct checkpoint checkpoint = checkpoint_of("example.com/behind-the-sofa", sizes[i]), again;
        struct diag diag = DIAG_INIT;
        checkpoint_write(&checkpoint, &text);
        assert_ok(&diag, checkpoint_parse(buf_view(&text), &again, &diag));
        assert_string_equal(again.origin, checkpoint.origin);
        assert_int_equal(again.size, checkpoint.size);
        assert_digest_equal(again.root, checkpoint.root);
    }
}

static void test_malformed_checkpoints(void **state)
{
    static const char *const bad[] = {
        "",
        "\n",
        "log\n",
        "log\n1\n",
        "log\n1\n" ROOT, /* no newline */
        "\n1\n" ROOT "\n",
        "l og\n1\n" ROOT "\n",
        "l+og\n1\n" ROOT "\n",
        "log\n\n" ROOT "\n",
        "log\n01\n" ROOT "\n",
        "log\n-1\n" ROOT "\n",
        "log\n+1\n" ROOT "\n",
        "log\n 1\n" ROOT "\n",
        "log\n1 \n" ROOT "\n",
        "log\n0x1\n" ROOT "\n",
        "log\n9223372036854775808\n" ROOT "\n",
        "log\n18446744073709551616\n" ROOT "\n",
        "log\n1\n\n",
        "log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2\n",
        "log\n1\nCsUYapGGPo4dkMgIAUqom_Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n",
        "log\n1\n" ROOT "\nextension\n",
        "log\n1\n" ROOT "\n\n",
        " log\n1\n" ROOT "\n",
    };
    struct diag diag = DIAG_INIT;
    struct checkpoint checkpoint = {.size = 77};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (checkpoint_parse(view_text(bad[i]), &checkpoint, &diag) != FARM_E_SYNTAX)
            fail_msg("number %zu was taken: %s", i, bad[i]);
    assert_int_equal(checkpoint_parse(VIEW_NONE, &checkpoint, &diag), FARM_E_SYNTAX);
    CLEANUP_FREE char *big = mem_alloc(CHECKPOINT_TEXT_MAX + 1);
    memset(big, 'a', CHECKPOINT_TEXT_MAX + 1);
    assert_int_equal(checkpoint_parse(view_of(big, CHECKPOINT_TEXT_MAX + 1), &checkpoint, &diag),
                     FARM_E_LIMIT);
    assert_int_equal(checkpoint.size, 77);
    char name[NOTE_NAME_MAX + 2];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CLEANUP_FREE char *text = mem_format("%s\n1\n" ROOT "\n", name);
    assert_int_equal(checkpoint_parse(view_text(text), &checkpoint, &diag), FARM_E_SYNTAX);
    assert_int_equal(checkpoint_parse(view_text(text + 1), &checkpoint, &diag), 0);
}

/* Whatever bytes come, nothing but an error: mutations of a true note, seeded. */
static void test_mutations(void **state)
{
    struct signers *s = *state;
    uint64_t random = 5;
    cosign(s, &s->witness, s->witness_pair, 5);
    for (int i = 0; i < 20000; i++) {
        CLEANUP_BUF struct buf bad = BUF_INIT;
        struct note note = NOTE_INIT;
        buf_add_view(&bad, buf_view(&s->note));
        for (uint64_t n = 1 + log_random(&random) % 4; n > 0; n--)
            bad.data[log_random(&random) % bad.size] =
                (char)(log_random(&random) % 3 ? "\n +\xe2="[n] : (char)log_random(&random));
        bad.size -= log_random(&random) % 3;
        if (note_parse(buf_view(&bad), &note, NULL) >= 0)
            (void)!note_check(&note, &s->witness, NULL, NULL);
        note_done(&note);
    }
}

#define with_signers(test) cmocka_unit_test_setup_teardown(test, make_signers, free_signers)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_keys),
        cmocka_unit_test(test_key_round_trip),
        cmocka_unit_test(test_key_id_binds),
        cmocka_unit_test(test_malformed_keys),
        cmocka_unit_test(test_W4_dishonest_keys),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_published_note),
        cmocka_unit_test(test_sign_and_open),
        cmocka_unit_test(test_L4_any_altered_byte),
        with_signers(test_cosignatures),
        with_signers(test_types_are_apart),
        with_signers(test_L4_known_key_that_fails),
        with_signers(test_L4_cosignature_of_another),
        with_signers(test_L4_time_out_of_range),
        with_signers(test_L4_signature_of_odd_size),
        with_signers(test_unknown_keys_are_ignored),
        with_signers(test_L1_not_signed_by_the_log),
        cmocka_unit_test(test_malformed_notes),
        cmocka_unit_test(test_text_with_empty_lines),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_checkpoint_round_trip),
        cmocka_unit_test(test_malformed_checkpoints),
        with_signers(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
