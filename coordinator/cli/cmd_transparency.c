/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * farmctl log show, prove, verify: the transparency log, for people. "verify" asks no coordinator: it believes the log's key that it is
 * given, and its own arithmetic.
 */
#include "cli.h"

#include "directory.h"
#include "file.h"
#include "logentry.h"
#include "logproof.h"
#include "moment.h"
#include "root.h"
#include "tiledir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- entries ---- */

/* "lease job=0f3a... nonce=..." for a line; digests are cut, since a line is for the eye and --json is for tools. */
static char *entry_line(const json_t *entry)
{
    enum { SHORT = 16 };
    struct buf line = BUF_INIT;
    const char *key;
    json_t *value;
    buf_add_format(&line, "%s  %-9s", cli_text(entry, "at"), cli_text(entry, "kind"));
    json_object_foreach((json_t *)entry, key, value)
    {
        CLEANUP_FREE char *text = cli_cell(entry, key);
        if (strcmp(key, "at") != 0 && strcmp(key, "kind") != 0)
            buf_add_format(&line, " %s=%.*s", key, strlen(text) == DIGEST_HEX_SIZE ? SHORT : 128, text);
    }
    return buf_steal(&line);
}

static void print_entry(const json_t *item)
{
    CLEANUP_FREE char *line = entry_line(json_object_get(item, "entry"));
    printf("%8lld  %s\n", (long long)cli_number(item, "position"), line);
}

/* ---- show ---- */

static void print_checkpoint(const json_t *body)
{
    const json_t *checkpoint = json_object_get(body, "checkpoint");
    if (json_is_null(checkpoint)) {
        puts("checkpoint none yet");
        return;
    }
    printf("checkpoint %lld entries, root %s, shown %s ago\n", (long long)cli_number(checkpoint, "size"),
           cli_text(checkpoint, "root"), moment_duration(cli_number(checkpoint, "age_ms")).text);
}

static void print_cosignatures(struct cli *cli, const json_t *body)
{
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(body, "cosignatures"), index, item)
    {
        bool listed = json_is_true(json_object_get(item, "listed"));
        CLEANUP_FREE char *operator_name = cli_cell(item, "operator");
        printf("cosigned by %s (%s), ", operator_name, cli_text(item, "worker"));
        cli_put(cli, listed ? CLI_GOOD : CLI_FAINT, listed ? "a listed operator" : "not listed: advice");
        putchar('\n');
    }
}

static void print_required(struct cli *cli, const json_t *body)
{
    const json_t *required = json_object_get(body, "required"), *cosigned = json_object_get(body, "cosigned");
    size_t index;
    json_t *item;
    if (json_is_null(required)) {
        puts("The trust root names no log: nothing shows what a coordinator hides.");
        return;
    }
    printf("the trust root asks for %lld of ", (long long)cli_number(required, "threshold"));
    json_array_foreach(json_object_get(required, "witnesses"), index, item)
        printf("%s%s", index > 0 ? ", " : "", json_string_value(item));
    fputs(": ", stdout);
    if (json_is_null(cosigned))
        cli_put(cli, CLI_WARN, "not reached yet\n");
    else
        printf("reached at %lld entries, %s ago\n", (long long)cli_number(cosigned, "size"),
               moment_duration(cli_number(cosigned, "age_ms")).text);
}

static void print_log(struct cli *cli, const json_t *body)
{
    size_t index;
    json_t *item;
    printf("log %s: %lld entries\nvkey %s\n", cli_text(body, "origin"), (long long)cli_number(body, "size"),
           cli_text(body, "vkey"));
    print_checkpoint(body);
    print_cosignatures(cli, body);
    print_required(cli, body);
    if (json_array_size(json_object_get(body, "entries")) > 0)
        putchar('\n');
    json_array_foreach(json_object_get(body, "entries"), index, item) print_entry(item);
}

/* For farm-sign root. */
static void print_vkey(struct cli *cli, const json_t *body)
{
    (void)cli;
    puts(cli_text(body, "vkey"));
}

int transparency_show(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"entries", required_argument, NULL, 'e'}, {"vkey", no_argument, NULL, 'k'}, {NULL, 0, NULL, 0}};
    const char *entries = NULL;
    bool vkey = false;
    for (int option; (option = getopt_long(argc, argv, "e:k", options, NULL)) != -1;) {
        if (option == 'e')
            entries = optarg;
        else if (option == 'k')
            vkey = true;
        else
            return cli_usage(cli, &cmd_log, "see the options below");
    }
    if (argc != optind)
        return cli_usage(cli, &cmd_log, "show takes no argument; a job called \"show\" is TIER/show");
    return cli_ask_print(cli, "log.show", json_pack("{s:s*}", "entries", entries),
                         vkey ? print_vkey : print_log);
}

/* ---- prove ---- */

static int write_proof(struct cli *cli, const char *path, const json_t *body)
{
    struct diag diag = DIAG_INIT;
    int result = file_write(AT_FDCWD, path, view_text(cli_text(body, "proof")), 0644, &diag);
    if (result < 0)
        return cli_fail(cli, result, &diag);
    if (!cli->json)
        printf("%s: entry %lld is in the log of %lld entries, cosigned by %lld listed operators\n", path,
               (long long)cli_number(body, "position"), (long long)cli_number(body, "size"),
               (long long)cli_number(body, "witnesses"));
    return FARM_EXIT_OK;
}

int transparency_prove(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"out", required_argument, NULL, 'o'}, {NULL, 0, NULL, 0}};
    const char *out = NULL;
    CLEANUP_JSON json_t *body = NULL;
    for (int option; (option = getopt_long(argc, argv, "o:", options, NULL)) != -1;) {
        if (option != 'o')
            return cli_usage(cli, &cmd_log, "see the options below");
        out = optarg;
    }
    if (argc - optind != 1)
        return cli_usage(cli, &cmd_log, "expected one POSITION or SHA256");
    struct cli_request request = {
        .verb = "log.prove", .params = json_pack("{s:s}", "entry", argv[optind]), .fd = -1};
    int status = cli_ask(cli, &request, &body);
    if (body == NULL)
        return status;
    if (cli->json)
        cli_print_json(body);
    else if (out == NULL)
        fputs(cli_text(body, "proof"), stdout);
    return out != NULL ? write_proof(cli, out, body) : status;
}

/* ---- verify ---- */

struct verification {
    struct note_key key;
    struct root *root;           /* with --trust */
    struct directory *directory; /* with --workers */
    json_t *report;
};

static int read_trust(struct verification *run, const char *path, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = file_read(AT_FDCWD, path, ROOT_SIZE_MAX, &text, diag);
    if (result >= 0)
        result = root_parse(buf_view(&text), path, &run->root, diag);
    if (result >= 0 && !run->root->log.present)
        result = diag_set(diag, FARM_E_MISSING, "%s names no log; give its key with --vkey", path);
    if (result >= 0)
        run->key = run->root->log.key;
    return result;
}

static int read_workers(struct verification *run, const char *path, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct problems problems = PROBLEMS_INIT;
    int result = file_read(AT_FDCWD, path, DIRECTORY_SIZE_MAX, &text, diag);
    if (result >= 0)
        result = directory_parse(buf_view(&text), path, &run->directory, diag);
    if (result >= 0)
        result = directory_check(run->directory, path, run->root, &problems);
    if (result < 0 && problems.count > 0)
        diag_set(diag, result, "%s: %s", path, problems.items[0].text);
    problems_done(&problems);
    return result;
}

/* The entry of the directory that a cosignature's name means; NULL: there is none, or no directory. */
static const struct directory_entry *find_cosigner(const struct verification *run, struct view name)
{
    struct view operator_name, worker = name;
    if (run->directory == NULL || !view_split(&worker, '/', &operator_name) || worker.size == 0)
        return NULL;
    CLEANUP_FREE char *text = view_string(worker);
    const struct directory_entry *entry = directory_find(run->directory, text);
    return entry != NULL && view_equal(view_text(entry->operator_name), operator_name) ? entry : NULL;
}

static bool is_witness(const struct verification *run, const struct directory_entry *entry)
{
    return entry->expires_ms > moment_wall_ms() && entry->compromised_from < 0 &&
           root_is_witness(run->root, entry->operator_name) && directory_entry_is_anchor(entry, run->root);
}

static json_t *cosignature_json(struct verification *run, const struct note *note,
                                const struct note_signature *line, json_t *operators)
{
    const struct directory_entry *entry = find_cosigner(run, line->name);
    json_t *json = json_pack("{s:o, s:b}", "name", json_view(line->name), "checked", (int)(entry != NULL));
    if (entry == NULL)
        return json;
    struct note_key key = {.type = NOTE_COSIGNATURE, .key = entry->ed25519};
    snprintf(key.name, sizeof key.name, "%s/%s", entry->operator_name, entry->worker);
    bool good = note_check(note, &key, NULL, NULL) > 0, listed = good && is_witness(run, entry);
    json_object_set_new(json, "good", json_boolean(good));
    json_object_set_new(json, "listed", json_boolean(listed));
    if (listed)
        json_object_set_new(operators, entry->operator_name, json_true());
    return json;
}

/* Everybody who signed it but the log itself. With a directory the listed operators must reach the root's threshold. */
static int check_cosignatures(struct verification *run, struct view bytes, struct diag *diag)
{
    CLEANUP(note_done) struct note note = NOTE_INIT;
    CLEANUP_JSON json_t *operators = json_object();
    json_t *list = json_array();
    int result = note_parse(bytes, &note, diag);
    for (size_t i = 0; result >= 0 && i < note.nsignatures; i++)
        if (!view_equal(note.signatures[i].name, view_text(run->key.name)))
            json_array_append_new(list, cosignature_json(run, &note, &note.signatures[i], operators));
    json_object_set_new(run->report, "cosignatures", list);
    if (result < 0 || run->directory == NULL)
        return result;
    size_t count = json_object_size(operators);
    json_object_set_new(run->report, "witnesses", json_integer((json_int_t)count));
    json_object_set_new(run->report, "threshold", json_integer(run->root->log.threshold));
    if (count < run->root->log.threshold)
        return diag_set(
            diag, FARM_E_SIGNATURE,
            "%zu of the listed operators cosigned, and the trust root asks for %u: others may have been "
            "shown another log",
            count, run->root->log.threshold);
    return 0;
}

static void report_checkpoint(struct verification *run, const struct checkpoint *checkpoint)
{
    json_object_set_new(run->report, "origin", json_string(checkpoint->origin));
    json_object_set_new(run->report, "size", json_integer((json_int_t)checkpoint->size));
    json_object_set_new(run->report, "root", json_digest(&checkpoint->root));
}

static int report_entry(struct verification *run, uint64_t position, struct view entry, struct diag *diag)
{
    struct logentry parsed;
    json_t *json = NULL;
    int result = logentry_parse(entry, &parsed, diag);
    if (result >= 0)
        result = json_read(entry, "entry", LOGENTRY_SIZE_MAX, &json, diag);
    if (result < 0)
        return result;
    logentry_done(&parsed);
    json_object_set_new(run->report, "position", json_integer((json_int_t)position));
    json_object_set_new(run->report, "entry", json);
    return 0;
}

static int verify_proof(struct verification *run, const char *path, struct diag *diag)
{
    CLEANUP(logproof_done) struct logproof proof = {.position = 0};
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct checkpoint checkpoint;
    int result = file_read(AT_FDCWD, path, LOGPROOF_SIZE_MAX, &text, diag);
    if (result >= 0)
        result = logproof_parse(buf_view(&text), &proof, diag);
    if (result >= 0)
        result = logproof_check(&proof, &run->key, &checkpoint, diag);
    if (result < 0)
        return result;
    report_checkpoint(run, &checkpoint);
    result = report_entry(run, proof.position, buf_view(&proof.entry), diag);
    return result < 0 ? result : check_cosignatures(run, buf_view(&proof.note), diag);
}

/* All entries: their form, how many of each kind, and the root of their tree. */
struct count {
    struct tlog_tree tree;
    json_int_t kinds[LOG_OTHER + 1];
    struct diag *diag;
};

static int count_entry(void *context, uint64_t position, struct view entry)
{
    struct count *count = context;
    struct digest leaf = tlog_leaf(entry);
    struct logentry parsed;
    int result = logentry_parse(entry, &parsed, count->diag);
    if (result < 0)
        return diag_wrap(count->diag, result, "entry %llu", (unsigned long long)position);
    count->kinds[parsed.kind]++;
    logentry_done(&parsed);
    tlog_append(&count->tree, &leaf, NULL, NULL);
    return 0;
}

static int check_entries(struct verification *run, int dirfd, const struct checkpoint *checkpoint,
                         struct diag *diag)
{
    struct count count = {.diag = diag};
    json_t *kinds = json_object();
    int result = tiledir_each_entry(dirfd, checkpoint->size, count_entry, &count, diag);
    for (int i = 0; i <= LOG_OTHER; i++)
        if (count.kinds[i] > 0)
            json_object_set_new(kinds, logentry_kind_name((enum logentry_kind)i),
                                json_integer(count.kinds[i]));
    json_object_set_new(run->report, "kinds", kinds);
    struct digest root = tlog_root(&count.tree);
    if (result >= 0 && !digest_equal(&root, &checkpoint->root))
        return diag_set(
            diag, FARM_E_REFUSED,
            "the entries give the root %s, and the checkpoint has %s: this is not the log that was signed",
            digest_hex(&root).text, digest_hex(&checkpoint->root).text);
    return result;
}

static int verify_directory(struct verification *run, const char *path, struct diag *diag)
{
    CLEANUP_CLOSE int dirfd = file_open_dir(AT_FDCWD, path, diag);
    CLEANUP_BUF struct buf note = BUF_INIT;
    struct checkpoint checkpoint;
    struct digest root;
    int result = dirfd < 0 ? dirfd : file_read(dirfd, TILEDIR_CHECKPOINT, NOTE_SIZE_MAX, &note, diag);
    if (result == -ENOENT)
        return diag_set(diag, FARM_E_MISSING, "%s: has no file \"checkpoint\"; is it the directory of a log?",
                        path);
    if (result >= 0)
        result = note_open_checkpoint(buf_view(&note), &run->key, &checkpoint, diag);
    if (result < 0)
        return diag_wrap(diag, result, "%s/checkpoint", path);
    report_checkpoint(run, &checkpoint);
    result = check_entries(run, dirfd, &checkpoint, diag);
    bool tiles = faccessat(dirfd, "tile/0", F_OK, 0) == 0; /* a release carries the entries alone */
    if (result >= 0 && tiles)
        result = tiledir_verify(dirfd, checkpoint.size, &root, diag);
    json_object_set_new(run->report, "tiles", json_boolean(tiles));
    return result < 0 ? result : check_cosignatures(run, buf_view(&note), diag);
}

static void print_verified(struct cli *cli, const json_t *body)
{
    const char *kind;
    json_t *item;
    size_t index;
    printf("log %s: %lld entries, root %s\n", cli_text(body, "origin"), (long long)cli_number(body, "size"),
           cli_text(body, "root"));
    if (json_object_get(body, "entry") != NULL)
        print_entry(body);
    json_object_foreach(json_object_get(body, "kinds"), kind, item)
        printf("%8lld  %s\n", (long long)json_integer_value(item), kind);
    json_array_foreach(json_object_get(body, "cosignatures"), index, item)
    {
        CLEANUP_FREE char *name = cli_cell(item, "name");
        bool checked = json_is_true(json_object_get(item, "checked"));
        printf("cosigned by %s: ", name);
        cli_put(cli, checked ? CLI_PLAIN : CLI_FAINT,
                !checked                                        ? "not checked (--trust and --workers do)"
                : json_is_true(json_object_get(item, "listed")) ? "good, a listed operator"
                : json_is_true(json_object_get(item, "good"))   ? "good, not listed"
                                                                : "WRONG");
        putchar('\n');
    }
    if (json_object_get(body, "witnesses") != NULL)
        printf("%lld listed operators cosigned, %lld are asked for\n",
               (long long)cli_number(body, "witnesses"), (long long)cli_number(body, "threshold"));
    cli_put(cli, CLI_GOOD, "verified\n");
}

static int verify_path(struct verification *run, const char *path, struct diag *diag)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return diag_errno(diag, "%s", path);
    if (S_ISDIR(status.st_mode))
        return verify_directory(run, path, diag);
    int result = verify_proof(run, path, diag);
    return result < 0 ? diag_wrap(diag, result, "%s", path) : result;
}

struct verify_options {
    const char *vkey, *trust, *workers;
};

static int prepare(struct verification *run, const struct verify_options *options, struct diag *diag)
{
    int result = options->trust != NULL ? read_trust(run, options->trust, diag) : 0;
    if (result >= 0 && options->vkey != NULL)
        result = note_key_parse(view_text(options->vkey), &run->key, diag);
    if (result >= 0 && options->workers != NULL)
        result = read_workers(run, options->workers, diag);
    return result;
}

int transparency_verify(struct cli *cli, int argc, char **argv)
{
    static const struct option list[] = {{"vkey", required_argument, NULL, 'k'},
                                         {"trust", required_argument, NULL, 't'},
                                         {"workers", required_argument, NULL, 'w'},
                                         {NULL, 0, NULL, 0}};
    struct verify_options options = {0};
    struct verification run = {.report = json_object()};
    struct diag diag = DIAG_INIT;
    for (int option; (option = getopt_long(argc, argv, "k:t:w:", list, NULL)) != -1;) {
        if (option == 'k')
            options.vkey = optarg;
        else if (option == 't')
            options.trust = optarg;
        else if (option == 'w')
            options.workers = optarg;
        else
            return cli_usage(cli, &cmd_log, "see the options below");
    }
    if (argc - optind != 1 || (options.vkey == NULL && options.trust == NULL) ||
        (options.workers != NULL && options.trust == NULL))
        return cli_usage(cli, &cmd_log, "expected PATH with --vkey or --trust; --workers goes with --trust");
    int result = prepare(&run, &options, &diag);
    if (result >= 0)
        result = verify_path(&run, argv[optind], &diag);
    if (result >= 0 && cli->json)
        cli_print_json(run.report);
    else if (result >= 0)
        print_verified(cli, run.report);
    json_decref(run.report);
    root_free(run.root);
    directory_free(run.directory);
    return result < 0 ? cli_fail(cli, result, &diag) : FARM_EXIT_OK;
}
