/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-sign release: shows what a release.json says, and signs it. */
#include "farm_sign.h"

#include "moment.h"
#include "release.h"
#include "shown.h"

#include <getopt.h>
#include <stdio.h>

static const char release_help[] = "Usage: farm-sign release FILE [--key KEY | --import SIG]\n\n"
                                   "Shows what a release.json says and signs it; the signature goes into "
                                   "FILE.sig.d/. Run farm-verify on the release\n"
                                   "directory first: it checks the evidence, this command does not.\n\n"
                                   "  -k, --key KEY      a key file; for a key with passphrase, in a token "
                                   "or an agent, the line that OpenSSH needs is printed\n"
                                   "      --import SIG   takes in a signature that OpenSSH made (default: "
                                   "FILE.sig, where ssh-keygen puts it)\n";

static void print_log(const struct release *release)
{
    if (release->has_log)
        printf("log %s, up to entry %llu, root %s\n", release->log.origin,
               (unsigned long long)release->log.size, digest_hex(&release->log.root).text);
    else
        puts("no transparency log: nothing shows whether answers were left out");
    for (size_t i = 0; i < release->nwaivers; i++) {
        CLEANUP_FREE char *reason = shown_text(release->waivers[i].reason);
        printf("  waived until %s: \"%s\" for %s %s: %s\n",
               moment_format(release->waivers[i].expires_ms).text, waiver_rule_name(release->waivers[i].rule),
               release->waivers[i].package, release->waivers[i].version, reason);
    }
}

static void print_release(const struct release *release)
{
    CLEANUP_FREE char *url = shown_text(release->tree.url);
    printf("release %s, sequence %lld, made %s, expires %s\nsha256 %s\ntree %s at %s\n", release->name,
           (long long)release->sequence, moment_format(release->created_ms).text,
           moment_format(release->expires_ms).text, digest_hex(&release->digest).text, url,
           release->tree.commit);
    printf("%zu packages of %llu planned, %zu held; the base is %s\n", release->npackages,
           (unsigned long long)release->planned, release->nheld,
           release->base_verified ? "itself built by quorum" : "not itself built by quorum");
    print_log(release);
    for (size_t i = 0; i < release->npackages; i++) {
        const struct release_package *package = &release->packages[i];
        printf("  %s/%s %s-%s: %zu operators, %u dissent, %s\n", package->tier, package->name,
               package->version, package->release, package->noperators, package->dissent,
               digest_hex(&package->payload).text);
    }
    for (size_t i = 0; i < release->nheld; i++) {
        CLEANUP_FREE char *reason = shown_text(release->held[i].reason);
        printf("  held: %s (%s)\n", release->held[i].name, reason);
    }
}

static int sign_release(const char *path, const struct farm_sign_hand *hand, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_RELEASE struct release *release = NULL;
    int result;
    if ((result = farm_sign_read(path, RELEASE_SIZE_MAX, &text, diag)) < 0 ||
        (result = release_parse(buf_view(&text), path, &release, diag)) < 0)
        return result;
    print_release(release);
    CLEANUP_FREE char *command = mem_format("farm-sign release %s", path);
    const struct farm_sign_document document = {path, buf_view(&text), SSHSIG_NAMESPACE_RELEASE, command};
    return farm_sign_document(&document, hand, NULL, diag);
}

int farm_sign_release(int argc, char **argv)
{
    static const struct option options[] = {{"key", required_argument, NULL, 'k'},
                                            {"import", required_argument, NULL, 'i'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct farm_sign_hand hand = {NULL, NULL};
    struct diag diag = DIAG_INIT;
    for (int option; (option = getopt_long(argc, argv, "k:h", options, NULL)) != -1;)
        switch (option) {
        case 'k':
            hand.key = optarg;
            break;
        case 'i':
            hand.import = optarg;
            break;
        case 'h':
            fputs(release_help, stdout);
            return FARM_EXIT_OK;
        default:
            return farm_sign_usage("release: wrong option");
        }
    if (argc - optind != 1 || (hand.key != NULL && hand.import != NULL))
        return farm_sign_usage("release: one FILE is needed, and --key KEY or --import SIG, not both");
    int result = sign_release(argv[optind], &hand, &diag);
    return result < 0 ? farm_sign_fail(&diag, result) : FARM_EXIT_OK;
}
