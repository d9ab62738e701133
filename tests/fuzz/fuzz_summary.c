/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz_summary.h"

struct vsa_inputs fuzz_summary(void)
{
    static const struct digest envelopes[] = {{{1}}, {{2}}};
    static char *operators[] = {(char *)"alice", (char *)"bob"};
    static struct release_package package = {.name = (char *)"a",
                                             .version = (char *)"1.2",
                                             .release = (char *)"1",
                                             .tier = (char *)"extra",
                                             .phase = (char *)"extra",
                                             .archive = (char *)"a-1.2.igos.tar.gz",
                                             .archive_size = 12,
                                             .operators = operators,
                                             .noperators = ARRAY_SIZE(operators),
                                             .gpu = (char *)"none"};
    static struct release release = {
        .name = (char *)"r1",
        .sequence = 1,
        .tree = {.url = (char *)"https://a.org/t", .commit = "dbc2f403d7a212fab737a3f7e1775bd9608d5496"},
        .packages = &package,
        .npackages = 1};
    return (struct vsa_inputs){.release = &release,
                               .package = &package,
                               .verifier = "fuzz/log",
                               .verified_ms = 1795366000000,
                               .envelopes = envelopes,
                               .nenvelopes = ARRAY_SIZE(envelopes)};
}
