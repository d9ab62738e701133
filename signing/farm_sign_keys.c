/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-sign keygen, pubkey */
#include "farm_sign.h"

#include "identity.h"
#include "sshsig.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

static const char keygen_help[] =
    "Usage: farm-sign keygen FILE [--comment TEXT]\n"
    "       farm-sign keygen FILE --machine NAME [--curve]\n\n"
    "Makes an Ed25519 key. FILE gets mode 0600 and is never replaced.\n\n"
    "Without --machine: a person's key in OpenSSH's format, without passphrase, and FILE.pub beside it. For "
    "a key with\n"
    "passphrase or in a token use \"ssh-keygen -t ed25519\" or \"-t ed25519-sk\": the farm accepts those as "
    "well.\n"
    "With --machine: a machine's identity (its own text format); --curve adds the key that it talks with.\n\n"
    "  -c, --comment TEXT   a note in the public key, e.g. a name\n"
    "  -m, --machine NAME   name of the machine: a-z 0-9 . _ -\n"
    "      --curve          with a CURVE key for the network\n";

static const char pubkey_help[] =
    "Usage: farm-sign pubkey FILE [--pem | --id]\n\n"
    "Prints the public half of a secret or public key file, as one OpenSSH line.\n\n"
    "      --pem   SPKI in PEM instead, for other tools\n"
    "      --id    the key id that DSSE envelopes carry\n";

static int make_machine(const char *path, const char *name, bool curve, struct diag *diag)
{
    if (!identity_name_is_valid(view_text(name)))
        return diag_set(diag, FARM_E_USAGE,
                        "\"%s\" is no machine name: a-z 0-9 . _ - and at most 64 characters", name);
    struct identity *identity = identity_generate(name, curve);
    int result = identity_write(identity, AT_FDCWD, path, diag);
    identity_free(identity);
    return result;
}

static int make_person(const char *path, const char *comment, struct diag *diag)
{
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    return ssh_private_key_write(pair, comment, AT_FDCWD, path, diag);
}

int farm_sign_keygen(int argc, char **argv)
{
    static const struct option options[] = {{"comment", required_argument, NULL, 'c'},
                                            {"machine", required_argument, NULL, 'm'},
                                            {"curve", no_argument, NULL, 'C'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *comment = "", *machine = NULL;
    bool curve = false;
    for (int option; (option = getopt_long(argc, argv, "c:m:h", options, NULL)) != -1;)
        switch (option) {
        case 'c':
            comment = optarg;
            break;
        case 'm':
            machine = optarg;
            break;
        case 'C':
            curve = true;
            break;
        case 'h':
            fputs(keygen_help, stdout);
            return FARM_EXIT_OK;
        default:
            return farm_sign_usage("keygen: wrong option");
        }
    if (argc - optind != 1)
        return farm_sign_usage("keygen: one FILE is needed");
    if (curve && machine == NULL)
        return farm_sign_usage("keygen: --curve goes with --machine");
    struct diag diag = DIAG_INIT;
    const char *path = argv[optind];
    int result =
        machine != NULL ? make_machine(path, machine, curve, &diag) : make_person(path, comment, &diag);
    return result < 0 ? farm_sign_fail(&diag, result) : FARM_EXIT_OK;
}

/* Only the beginning: a secret must not pass through ordinary memory. */
static bool looks_secret(const char *path)
{
    char head[18];
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t got = fd >= 0 ? read(fd, head, sizeof head) : -1;
    struct view text = view_of(head, got > 0 ? (size_t)got : 0);
    return view_equal(text, VIEW("-----BEGIN OPENSSH")) || view_equal(text, VIEW("intergenos-farm-ke"));
}

/* A public key file if it is one, else the secret key. */
static int read_public(const char *path, struct ssh_public_key *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_KEYS struct key_pair *pair = NULL;
    int result;
    if (!looks_secret(path)) {
        result = farm_sign_read(path, SSHSIG_PUBLIC_MAX, &text, diag);
        return result < 0 ? result : ssh_public_key_parse(buf_view(&text), path, ret, diag);
    }
    if ((result = ssh_private_key_read(AT_FDCWD, path, &pair, diag)) >= 0)
        *ret = ssh_public_key_of(pair);
    return result;
}

static void print_public(const struct ssh_public_key *key, int form)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest id = keys_id(&key->key);
    if (form == 'p')
        keys_public_write_pem(&key->key, &text);
    else if (form == 'i')
        buf_add_format(&text, "%s\n", digest_hex(&id).text);
    else
        ssh_public_key_write(key, &text);
    printf("%s%s", text.data, form == 0 ? "\n" : "");
}

int farm_sign_pubkey(int argc, char **argv)
{
    static const struct option options[] = {{"pem", no_argument, NULL, 'p'},
                                            {"id", no_argument, NULL, 'i'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int form = 0;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;)
        switch (option) {
        case 'p':
        case 'i':
            form = option;
            break;
        case 'h':
            fputs(pubkey_help, stdout);
            return FARM_EXIT_OK;
        default:
            return farm_sign_usage("pubkey: wrong option");
        }
    if (argc - optind != 1)
        return farm_sign_usage("pubkey: one FILE is needed");
    struct diag diag = DIAG_INIT;
    struct ssh_public_key key;
    int result = read_public(argv[optind], &key, &diag);
    if (result < 0)
        return farm_sign_fail(&diag, result);
    print_public(&key, form);
    return FARM_EXIT_OK;
}
