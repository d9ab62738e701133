/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Making signatures, taking in those that OpenSSH made, and keeping both beside their document. */
#include "farm_sign.h"

#include "docjson.h"
#include "file.h"
#include "sshsig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int is_signature(const struct dirent *entry)
{
    return view_ends(view_text(entry->d_name), VIEW(".sig"));
}

int farm_sign_signatures(const char *path, char ***ret, size_t *ret_count, struct diag *diag)
{
    CLEANUP_FREE char *directory = mem_format("%s.sig.d", path);
    struct dirent **entries = NULL;
    int found = scandir(directory, &entries, is_signature, alphasort), result = 0;
    if (found < 0 && errno != ENOENT)
        return diag_errno(diag, "%s", directory);
    char **texts = mem_zero(ROOT_SIGNATURES_MAX, sizeof *texts);
    size_t count = 0;
    if (found > ROOT_SIGNATURES_MAX)
        result =
            diag_set(diag, FARM_E_LIMIT, "%s: %d signatures, the limit is %d; remove those that do not count",
                     directory, found, ROOT_SIGNATURES_MAX);
    for (int i = 0; i < found; i++) {
        CLEANUP_FREE char *name = mem_format("%s/%s", directory, entries[i]->d_name);
        CLEANUP_BUF struct buf text = BUF_INIT;
        if (result >= 0 && (result = file_read(AT_FDCWD, name, SSHSIG_ARMOR_MAX, &text, diag)) >= 0)
            texts[count++] = buf_steal(&text);
        free(entries[i]);
    }
    free(entries);
    if (result < 0) {
        docjson_free_strings(texts, count);
        return result;
    }
    *ret = texts;
    *ret_count = count;
    return 0;
}

static char *beside(const struct farm_sign_document *document)
{
    return mem_format("%s.sig", document->path);
}

/* What a person types to sign with a token, a passphrase or an agent. */
static int tell_command(const struct farm_sign_document *document, const char *key, const char *why,
                        struct diag *diag)
{
    return diag_set(
        diag, FARM_E_UNAVAILABLE,
        "%s. OpenSSH signs it, and the second line takes its signature in:\n    ssh-keygen -Y sign -n "
        "%s -f %s %s\n    %s",
        why, document->name_space, key, document->path, document->command);
}

static bool is_public_file(const char *path)
{
    return view_ends(view_text(path), VIEW(".pub"));
}

static int sign_with_key(const struct farm_sign_document *document, const char *key, struct buf *ret,
                         struct diag *diag)
{
    CLEANUP_KEYS struct key_pair *pair = NULL;
    if (is_public_file(key))
        return tell_command(document, key, "this is a public key; its secret half may be in ssh-agent", diag);
    int result = ssh_private_key_read(AT_FDCWD, key, &pair, diag);
    if (result == FARM_E_UNAVAILABLE)
        return tell_command(document, key, "this key has a passphrase, or lives in a token", diag);
    return result < 0 ? result : sshsig_sign(pair, document->name_space, document->text, ret, diag);
}

static int take_file(const char *path, struct buf *ret, struct diag *diag)
{
    return farm_sign_read(path, SSHSIG_ARMOR_MAX, ret, diag);
}

static int obtain_any(const struct farm_sign_document *document, const struct farm_sign_hand *hand,
                      struct buf *ret, struct diag *diag)
{
    CLEANUP_FREE char *path = beside(document);
    if (hand->key != NULL)
        return sign_with_key(document, hand->key, ret, diag);
    if (hand->import != NULL)
        return take_file(hand->import, ret, diag);
    if (access(path, F_OK) == 0)
        return take_file(path, ret, diag);
    return tell_command(document, "KEY", "there is neither --key KEY nor a signature to take in", diag);
}

int farm_sign_obtain(const struct farm_sign_document *document, const struct farm_sign_hand *hand,
                     struct buf *ret_armored, struct sshsig *ret_by, struct diag *diag)
{
    CLEANUP_BUF struct buf armored = BUF_INIT;
    int result = obtain_any(document, hand, &armored, diag);
    if (result < 0)
        return result;
    result = sshsig_verify(buf_view(&armored), document->name_space, document->text, ret_by, diag);
    if (result < 0)
        return diag_wrap(diag, result, "%s",
                         hand->import != NULL ? hand->import
                         : hand->key != NULL  ? hand->key
                                              : "signature");
    buf_add_view(ret_armored, buf_view(&armored));
    return 0;
}

void farm_sign_forget(const struct farm_sign_document *document, const struct farm_sign_hand *hand)
{
    CLEANUP_FREE char *path = beside(document);
    if (hand->key == NULL && hand->import == NULL)
        (void)unlink(path);
}

static int write_signature(const char *path, const struct sshsig *by, struct view armored, struct diag *diag)
{
    struct digest id = keys_id(&by->key.key);
    CLEANUP_FREE char *directory = mem_format("%s.sig.d", path);
    CLEANUP_FREE char *file = mem_format("%s/%.16s.sig", directory, digest_hex(&id).text);
    int result = file_make_dirs(AT_FDCWD, directory, 0755, diag);
    if (result >= 0)
        result = file_write(AT_FDCWD, file, armored, 0644, diag);
    if (result >= 0)
        printf("wrote %s\n", file);
    return result;
}

int farm_sign_document(const struct farm_sign_document *document, const struct farm_sign_hand *hand,
                       struct sshsig *ret_by, struct diag *diag)
{
    CLEANUP_BUF struct buf armored = BUF_INIT;
    struct sshsig by;
    int result = farm_sign_obtain(document, hand, &armored, &by, diag);
    if (result >= 0)
        result = write_signature(document->path, &by, buf_view(&armored), diag);
    if (result < 0)
        return result;
    farm_sign_forget(document, hand);
    if (ret_by != NULL)
        *ret_by = by;
    return 0;
}
