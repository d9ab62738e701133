/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include "file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROOT_FILE_MAX = 256 * 1024 };

/* "alder, birch", or "none". Owned. */
static char *list_of(const json_t *array)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_t *value;
    size_t index;
    json_array_foreach(array, index, value)
        buf_add_format(&text, "%s%s", index > 0 ? ", " : "", json_string_value(value));
    return text.size > 0 ? buf_steal(&text) : mem_string("none");
}

static void print_log(const json_t *body)
{
    const json_t *log = json_object_get(body, "log");
    CLEANUP_FREE char *witnesses = list_of(json_object_get(log, "witnesses"));
    if (!json_is_object(log)) {
        puts("log      none: nothing shows what a coordinator hides");
        return;
    }
    printf("log      %s\n", cli_text(log, "vkey"));
    printf("         cosigned by %lld of %s", (long long)cli_number(log, "threshold"), witnesses);
    if (json_object_get(log, "cosigned_size") != NULL)
        printf("; %lld entries are\n", (long long)cli_number(log, "cosigned_size"));
    else
        puts("; no checkpoint is yet");
    if (cli_number(log, "previous_size") > 0)
        printf("         follows %s, which ended with %lld entries\n", cli_text(log, "previous"),
               (long long)cli_number(log, "previous_size"));
}

static void print_chain(const json_t *body)
{
    json_t *value;
    size_t index;
    puts("chain");
    json_array_foreach(json_object_get(body, "chain"), index, value)
    {
        bool known = json_is_string(json_object_get(value, "sha256"));
        printf("  %3lld    %s", (long long)cli_number(value, "version"),
               known ? cli_text(value, "sha256")
                     : "was never installed here; \"farmctl root install\" takes it");
        if (known)
            printf("  expires %.10s, %lld signatures", cli_text(value, "expires"),
                   (long long)cli_number(value, "signatures"));
        putchar('\n');
    }
}

static void print(struct cli *cli, const json_t *body)
{
    const char *role;
    json_t *value;
    size_t index;
    printf("trust root version %lld, ", (long long)cli_number(body, "version"));
    cli_put(cli, json_is_true(json_object_get(body, "expired")) ? CLI_BAD : CLI_PLAIN,
            json_is_true(json_object_get(body, "expired")) ? "EXPIRED " : "expires ");
    printf("%s\nsha256   %s\n", cli_text(body, "expires"), cli_text(body, "sha256"));
    json_object_foreach(json_object_get(body, "roles"), role, value)
    {
        CLEANUP_FREE char *names = list_of(json_object_get(value, "names"));
        printf("role     %-10s %lld of %lld: %s\n", role, (long long)cli_number(value, "threshold"),
               (long long)cli_number(value, "persons"), names);
    }
    CLEANUP_FREE char *anchors = list_of(json_object_get(body, "anchors"));
    printf("anchors  %s\n", anchors);
    print_log(body);
    json_array_foreach(json_object_get(body, "bases"), index, value)
        printf("base     %s\n", json_string_value(value));
    printf("policy   %s\n", cli_text(body, "policy"));
    json_array_foreach(json_object_get(body, "unverified"), index, value)
        printf("may be released with a quorum of 1: %s\n", json_string_value(value));
    print_chain(body);
}

/* {"root","signatures"}, of FILE and the files of FILE.sig.d. */
static int read_one(const char *path, json_t **ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_t *signatures = json_array();
    int result = file_read(AT_FDCWD, path, ROOT_FILE_MAX, &text, diag);
    if (result >= 0)
        result = cli_read_signatures(path, signatures, diag);
    if (result < 0) {
        json_decref(signatures);
        return result;
    }
    *ret = json_pack("{s:o, s:o}", "root", json_view(buf_view(&text)), "signatures", signatures);
    return 0;
}

/* The last FILE is installed; those before it are the versions that lead to it. */
static int install(struct cli *cli, int count, char *const *paths)
{
    struct diag diag = DIAG_INIT;
    json_t *before = json_array(), *one = NULL;
    int result = 0;
    for (int i = 0; result >= 0 && i < count; i++) {
        if (one != NULL)
            json_array_append_new(before, one);
        one = NULL;
        result = read_one(paths[i], &one, &diag);
    }
    if (result < 0) {
        json_decref(one);
        json_decref(before);
        return cli_fail(cli, result, &diag);
    }
    json_object_set_new(one, "before", before);
    return cli_ask_print(cli, "root.install", one, print);
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "show") == 0)
        return cli_ask_print(cli, "root.show", json_object(), print);
    if (argc < 3 || strcmp(argv[1], "install") != 0)
        return cli_usage(cli, &cmd_root, "expected install FILE... or show");
    return install(cli, argc - 2, argv + 2);
}

const struct cli_verb cmd_root = {
    .name = "root",
    .summary = "install the trust root; show it and the chain of those before",
    .help = "Usage: farmctl root install FILE... [--json]\n"
            "       farmctl root show [--json]\n"
            "\n"
            "FILE is a root.json made by \"farm-sign root\", its signatures are the files of FILE.sig.d. The "
            "first root is\n"
            "believed because you install it; each later one must be exactly the next version, signed by the "
            "thresholds of both. It\n"
            "must name this coordinator's log (\"farmctl log show --vkey\"), or none.\n"
            "\n"
            "With several FILEs, in the order of their versions, the last one is installed and those before "
            "it are kept: for a\n"
            "coordinator that missed a version, and for a new one that goes on with an old farm's roots. "
            "Releases carry the chain from\n"
            "version 1 on. show prints what the root says, the log and its witnesses, and the chain.\n",
    .run = run,
};
