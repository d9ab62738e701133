/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-sign: what people do with keys, on a machine that needs no network. This file finds the command. */
#include "farm_sign.h"

#include "docjson.h"
#include "file.h"
#include "moment.h"
#include "root.h"
#include "sshsig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"keygen", farm_sign_keygen, "make a key: for a person (OpenSSH) or a machine"},
    {"pubkey", farm_sign_pubkey, "print the public half of a key"},
    {"root", farm_sign_root, "make, sign and show the trust root"},
    {"entry", farm_sign_entry, "make and sign a worker's entry for the directory"},
    {"directory", farm_sign_directory, "put signed entries together into workers.json"},
    {"release", farm_sign_release, "sign a release.json, after showing what it says"},
};

static void print_help(FILE *out)
{
    fputs("Usage: farm-sign COMMAND [OPTION...] [FILE...]\n\n"
          "Signs for a build farm. Everything works offline, and no secret key ever leaves its "
          "file.\n\nCommands:\n",
          out);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\n\"farm-sign COMMAND --help\" explains one of them.\n\n"
          "A release manager's day: receive a release directory, run farm-verify on it, then\n"
          "    farm-sign release DIR/release.json --key ~/.ssh/id_ed25519\n"
          "Keys with a passphrase and keys in tokens sign with OpenSSH itself, and the farm reads the result "
          "as well:\n"
          "    ssh-keygen -Y sign -n release@intergenos -f ~/.ssh/id_ed25519_sk DIR/release.json\n"
          "    mkdir -p DIR/release.json.sig.d && mv DIR/release.json.sig DIR/release.json.sig.d/NAME.sig\n\n"
          "Exit status: 0 done, 1 a check failed, 2 could not run.\n",
          out);
}

int farm_sign_fail(const struct diag *diag, int error)
{
    fprintf(stderr, "farm-sign: %s\n", diag_text(diag, error));
    return farm_error_exit(error);
}

int farm_sign_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("farm-sign: ", stderr);
    vfprintf(stderr, format, args);
    fputs(" (see --help)\n", stderr);
    va_end(args);
    return FARM_EXIT_CANNOT_RUN;
}

bool farm_sign_time(const char *text, int64_t *ret_ms)
{
    CLEANUP_FREE char *midnight = mem_format("%sT00:00:00Z", text);
    return moment_parse(view_text(text), ret_ms) || moment_parse(view_text(midnight), ret_ms);
}

int farm_sign_read(const char *path, size_t limit, struct buf *ret, struct diag *diag)
{
    return file_read(AT_FDCWD, path, limit, ret, diag);
}

static int is_signature(const struct dirent *entry)
{
    return view_ends(view_text(entry->d_name), VIEW(".sig"));
}

int farm_sign_signatures(const char *path, char ***ret, size_t *ret_count, struct diag *diag)
{
    CLEANUP_FREE char *directory = mem_format("%s.sig.d", path);
    struct dirent **entries = NULL;
    int found = scandir(directory, &entries, is_signature, alphasort), result = 0;
    char **texts = mem_zero(ROOT_SIGNATURES_MAX, sizeof *texts);
    size_t count = 0;
    for (int i = 0; i < found; i++) {
        CLEANUP_FREE char *name = mem_format("%s/%s", directory, entries[i]->d_name);
        CLEANUP_BUF struct buf text = BUF_INIT;
        if (result >= 0 && count < ROOT_SIGNATURES_MAX &&
            (result = file_read(AT_FDCWD, name, SSHSIG_ARMOR_MAX, &text, diag)) >= 0)
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

static int write_signature(const char *path, const struct key_pair *pair, struct view armored,
                           struct diag *diag)
{
    struct digest id = keys_id(keys_public(pair));
    CLEANUP_FREE char *directory = mem_format("%s.sig.d", path);
    CLEANUP_FREE char *file = mem_format("%s/%.16s.sig", directory, digest_hex(&id).text);
    int result = file_make_dirs(AT_FDCWD, directory, 0755, diag);
    if (result >= 0)
        result = file_write(AT_FDCWD, file, armored, 0644, diag);
    if (result >= 0)
        printf("wrote %s\n", file);
    return result;
}

int farm_sign_document(const char *path, struct view text, const char *name_space, const char *key,
                       struct diag *diag)
{
    CLEANUP_KEYS struct key_pair *pair = NULL;
    CLEANUP_BUF struct buf armored = BUF_INIT;
    struct sshsig checked;
    int result;
    if ((result = ssh_private_key_read(AT_FDCWD, key, &pair, diag)) < 0 ||
        (result = sshsig_sign(pair, name_space, text, &armored, diag)) < 0 ||
        (result = sshsig_verify(buf_view(&armored), name_space, text, &checked, diag)) < 0)
        return result;
    return write_signature(path, pair, buf_view(&armored), diag);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return farm_sign_usage("no command");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return FARM_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("farm-sign " FARM_VERSION);
        return FARM_EXIT_OK;
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return farm_sign_usage("no command \"%s\"", argv[1]);
}
