/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include "file.h"
#include "gitpin.h"
#include "unpack.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct pin_options {
    const char *package, *git, *ref, *url, *file, *repository;
};

static char *make_scratch(struct diag *diag)
{
    const char *tmp = getenv("TMPDIR");
    CLEANUP_FREE char *prefix = mem_format("%s/farmctl", tmp != NULL ? tmp : "/var/tmp");
    char *scratch = NULL;
    return file_temp_dir(AT_FDCWD, prefix, &scratch, diag) < 0 ? NULL : scratch;
}

static void print_git(struct cli *cli, const struct pin_options *options, const struct gitpin_info *info)
{
    if (cli->json) {
        CLEANUP_JSON json_t *body =
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "package", options->package, "git",
                      options->git, "ref", options->ref, "commit", info->commit, "tree_sha256",
                      digest_hex(&info->tree_sha256).text, "epoch", (json_int_t)info->epoch, "gitlinks",
                      (json_int_t)info->gitlinks, "lfs_pointers", (json_int_t)info->lfs_pointers);
        cli_print_json(body);
        return;
    }
    printf("  %s:\n    - git: %s\n      ref: %s\n      commit: %s\n      tree_sha256: %s\n      epoch: "
           "%lld\n      into: .\n",
           options->package, options->git, options->ref, info->commit, digest_hex(&info->tree_sha256).text,
           (long long)info->epoch);
    if (info->gitlinks > 0)
        fprintf(stderr,
                "farmctl: %llu submodules are not part of this pin: pin each, or list it under absent\n",
                (unsigned long long)info->gitlinks);
    if (info->lfs_pointers > 0)
        fprintf(stderr, "farmctl: %llu files are LFS pointers and stay pointers\n",
                (unsigned long long)info->lfs_pointers);
}

static int pin_git(struct cli *cli, const struct pin_options *options, const char *scratch, struct diag *diag)
{
    struct gitrepo *repo = NULL;
    struct gitpin_info info;
    CLEANUP_FREE char *fetched = mem_format("%s/git", scratch);
    const char *path = options->repository;
    const struct gitfetch what = {.url = options->git, .ref = options->ref, .path = fetched};
    char commit[65];
    int result = gitpin_setup(diag);
    if (result >= 0 && path == NULL) {
        path = fetched;
        result = gitrepo_fetch(&what, diag);
    }
    if (result >= 0)
        result = gitrepo_open(path, &repo, diag);
    if (result >= 0)
        result = gitrepo_resolve(repo, options->ref, commit, diag);
    if (result >= 0)
        result = gitrepo_inspect(repo, commit, GITPIN_LIMITS, &info, diag);
    if (result >= 0)
        print_git(cli, options, &info);
    gitrepo_close(repo);
    return result;
}

static void print_archive(struct cli *cli, const struct pin_options *options, const struct digest *digest,
                          uint64_t size, int64_t epoch)
{
    const char *slash = strrchr(options->file, '/');
    const char *name = slash != NULL ? slash + 1 : options->file;
    if (cli->json) {
        CLEANUP_JSON json_t *body = json_pack(
            "{s:s, s:s, s:s, s:s, s:I, s:I}", "package", options->package, "url", options->url, "filename",
            name, "sha256", digest_hex(digest).text, "size", (json_int_t)size, "epoch", (json_int_t)epoch);
        cli_print_json(body);
        return;
    }
    printf(
        "  %s:\n    - url: %s\n      filename: %s\n      sha256: %s\n      size: %llu\n      epoch: %lld\n",
        options->package, options->url, name, digest_hex(digest).text, (unsigned long long)size,
        (long long)epoch);
}

static int pin_archive(struct cli *cli, const struct pin_options *options, const char *scratch,
                       struct diag *diag)
{
    struct digest digest;
    struct stat status;
    int64_t newest = 0;
    CLEANUP_CLOSE int fd = open(options->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return diag_errno(diag, "%s", options->file);
    CLEANUP_CLOSE int dirfd = file_open_dir(AT_FDCWD, scratch, diag);
    int result = dirfd < 0 ? dirfd : digest_of_fd(fd, &digest, diag);
    if (result >= 0 && lseek(fd, 0, SEEK_SET) < 0)
        result = diag_errno(diag, "%s", options->file);
    if (result >= 0) /* also shows that it can be unpacked at all */
        result = unpack_archive(fd, dirfd, 1, UNPACK_LIMITS_SOURCE, 0, &newest, diag);
    if (result >= 0)
        print_archive(cli, options, &digest, (uint64_t)status.st_size, newest);
    return result;
}

static int pin(struct cli *cli, const struct pin_options *options)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *scratch = make_scratch(&diag);
    if (scratch == NULL)
        return cli_fail(cli, diag.error, &diag);
    int result = options->git != NULL ? pin_git(cli, options, scratch, &diag)
                                      : pin_archive(cli, options, scratch, &diag);
    (void)!file_remove_tree(AT_FDCWD, scratch, NULL);
    return result < 0 ? cli_fail(cli, result, &diag) : FARM_EXIT_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"git", required_argument, NULL, 'g'},        {"ref", required_argument, NULL, 'r'},
        {"url", required_argument, NULL, 'u'},        {"file", required_argument, NULL, 'f'},
        {"repository", required_argument, NULL, 'R'}, {NULL, 0, NULL, 0}};
    struct pin_options wanted = {0};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const char **field = option == 'g'   ? &wanted.git
                             : option == 'r' ? &wanted.ref
                             : option == 'u' ? &wanted.url
                             : option == 'f' ? &wanted.file
                             : option == 'R' ? &wanted.repository
                                             : NULL;
        if (field == NULL)
            return cli_usage(cli, &cmd_pin, "see the options below");
        *field = optarg;
    }
    if (argc - optind != 1)
        return cli_usage(cli, &cmd_pin, "expected one package name");
    wanted.package = argv[optind];
    bool git = wanted.git != NULL && wanted.ref != NULL && wanted.url == NULL && wanted.file == NULL;
    bool archive = wanted.url != NULL && wanted.file != NULL && wanted.git == NULL && wanted.ref == NULL;
    if (!git && !archive)
        return cli_usage(cli, &cmd_pin, "expected --git and --ref, or --url and --file");
    return pin(cli, &wanted);
}

const struct cli_verb cmd_pin = {
    .name = "pin",
    .summary = "resolve a tag or an archive to an entry for farm.lock",
    .help = "Usage: farmctl pin PACKAGE --git URL --ref REF [--repository PATH] [--json]\n"
            "       farmctl pin PACKAGE --url URL --file ARCHIVE [--json]\n"
            "\n"
            "Prints the entry for farm/farm.lock, with what it resolved; it changes no file. Needs no "
            "coordinator.\n"
            "\n"
            "      --git URL          the repository that the entry names\n"
            "      --ref REF          tag, branch or commit to resolve now; information only from then on\n"
            "      --repository PATH  resolve in this local repository instead of fetching from the URL\n"
            "      --url URL          where the archive comes from\n"
            "      --file ARCHIVE     the archive itself, fetched and looked at by you\n",
    .run = run,
};
