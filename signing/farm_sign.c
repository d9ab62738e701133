/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-sign: what people do with keys, on a machine that needs no network. This file finds the command. */
#include "farm_sign.h"

#include "file.h"
#include "moment.h"
#include "sshsig.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"keygen", farm_sign_keygen, "make a key: for a person (OpenSSH) or a machine"},
    {"pubkey", farm_sign_pubkey, "print the public half of a key"},
    {"root", farm_sign_root, "make, change, sign and show the trust root"},
    {"entry", farm_sign_entry, "make, change and sign a worker's entry for the directory"},
    {"directory", farm_sign_directory, "put signed entries together into workers.json; check one"},
    {"release", farm_sign_release, "sign a release.json, after showing what it says"},
    {"waiver", farm_sign_waiver, "let one package pass in spite of one rule, for a time"},
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
          "Keys with a passphrase, in tokens or in ssh-agent sign with OpenSSH itself; the second line takes "
          "its "
          "signature in:\n"
          "    ssh-keygen -Y sign -n release@intergenos -f ~/.ssh/id_ed25519_sk DIR/release.json\n"
          "    farm-sign release DIR/release.json\n\n"
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

int farm_sign_time(const char *text, int64_t now_ms, int64_t *ret_ms, struct diag *diag)
{
    enum { DAYS_MAX = 36525 }; /* a century */
    const int64_t day_ms = (int64_t)24 * 3600 * 1000;
    CLEANUP_FREE char *midnight = mem_format("%sT00:00:00Z", text);
    uint64_t days;
    if (moment_parse(view_text(text), ret_ms) || moment_parse(view_text(midnight), ret_ms))
        return 0;
    if (strcmp(text, "now") == 0) {
        *ret_ms = now_ms / 1000 * 1000;
        return 0;
    }
    if (!view_decimal(view_text(text), &days) || days < 1 || days > DAYS_MAX)
        return diag_set(
            diag, FARM_E_USAGE,
            "\"%s\" is neither a date (2027-01-31 or 2027-01-31T12:00:00Z) nor a number of days, nor "
            "\"now\"",
            text);
    *ret_ms = now_ms / 1000 * 1000 + (int64_t)days * day_ms;
    return 0;
}

int farm_sign_number(const char *text, const char *what, uint64_t limit, uint64_t *ret, struct diag *diag)
{
    uint64_t number;
    if (!view_decimal(view_text(text), &number) || number > limit)
        return diag_set(diag, FARM_E_USAGE, "%s is a number up to %llu, not \"%s\"", what,
                        (unsigned long long)limit, text);
    *ret = number;
    return 0;
}

int farm_sign_read(const char *path, size_t limit, struct buf *ret, struct diag *diag)
{
    return file_read(AT_FDCWD, path, limit, ret, diag);
}

int farm_sign_public_key(const char *text, struct ssh_public_key *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf line = BUF_INIT;
    if (strchr(text, ' ') != NULL && access(text, F_OK) < 0)
        return ssh_public_key_parse(view_text(text), "key", ret, diag);
    int result = farm_sign_read(text, SSHSIG_PUBLIC_MAX, &line, diag);
    return result < 0 ? result : ssh_public_key_parse(buf_view(&line), text, ret, diag);
}

int farm_sign_read_root(const char *path, struct buf *text, struct root **ret, struct diag *diag)
{
    CLEANUP_BUF struct buf mine = BUF_INIT;
    struct buf *into = text != NULL ? text : &mine;
    int result = farm_sign_read(path, ROOT_SIZE_MAX, into, diag);
    return result < 0 ? result : root_parse(buf_view(into), path, ret, diag);
}

void farm_sign_print_json(const json_t *value)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_write(value, &text);
    printf("%s\n", text.data);
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
