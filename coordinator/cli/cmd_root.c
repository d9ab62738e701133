/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include "file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROOT_FILE_MAX = 256 * 1024 };

static void print(struct cli *cli, const json_t *body)
{
    const char *role;
    json_t *value;
    size_t index;
    (void)cli;
    printf("trust root version %lld, expires %s\nsha256 %s\n", (long long)cli_number(body, "version"),
           cli_text(body, "expires"), cli_text(body, "sha256"));
    json_object_foreach(json_object_get(body, "roles"), role, value)
        printf("role %-10s %lld of %lld persons\n", role, (long long)cli_number(value, "threshold"),
               (long long)cli_number(value, "persons"));
    json_array_foreach(json_object_get(body, "anchors"), index, value)
        printf("anchor operator %s\n", json_string_value(value));
    json_array_foreach(json_object_get(body, "bases"), index, value)
        printf("base %s\n", json_string_value(value));
    printf("policy %s\n", cli_text(body, "policy"));
}

static int install(struct cli *cli, const char *path)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_t *signatures = json_array();
    int result = file_read(AT_FDCWD, path, ROOT_FILE_MAX, &text, &diag);
    if (result >= 0)
        result = cli_read_signatures(path, signatures, &diag);
    if (result < 0) {
        json_decref(signatures);
        return cli_fail(cli, result, &diag);
    }
    return cli_ask_print(
        cli, "root.install",
        json_pack("{s:o, s:o}", "root", json_view(buf_view(&text)), "signatures", signatures), print);
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "show") == 0)
        return cli_ask_print(cli, "root.show", json_object(), print);
    if (argc != 3 || strcmp(argv[1], "install") != 0)
        return cli_usage(cli, &cmd_root, "expected install FILE or show");
    return install(cli, argv[2]);
}

const struct cli_verb cmd_root = {
    .name = "root",
    .summary = "install the trust root; show the installed one",
    .help = "Usage: farmctl root install FILE [--json]\n"
            "       farmctl root show [--json]\n"
            "\n"
            "FILE is a root.json made by \"farm-sign root init\", its signatures are the files of "
            "FILE.sig.d. The first root is\n"
            "believed because you install it; each later one must be signed by the thresholds of both.\n",
    .run = run,
};
