/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What workers ask about trust: the version of the root behind the one that they know, and which worker directory holds. They follow the
 * chain one version at a time and believe signatures alone, so nothing is decided here.
 *
 * The directory may have megabytes: it is an object that every admitted worker may fetch (access_publish). It is put into the store when it is
 * first asked for, which is also right after a restart, and after publishing whatever the way.
 */
#include "farm.h"

#include "farmlog.h"

#include <stdlib.h>

/* What an answer has beside root and signatures: numbers, a digest, and the frame around them. */
enum { ROOM_FOR_THE_REST = 512 };

static int offer_directory(struct farm *farm, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest stored;
    if (access_is_published(farm->access, &farm->directory->digest))
        return 0;
    int result = trust_directory_text(farm, &text, diag);
    if (result < 0)
        return result;
    store_pin(farm->store, &farm->directory->digest); /* no collection comes in between */
    result = store_put(farm->store, buf_view(&text), &stored, diag);
    if (result >= 0)
        (void)access_publish(farm->access, &stored);
    store_unpin(farm->store, &farm->directory->digest);
    return result;
}

/*
 * Which one holds is said also when it cannot be had now (a full disk, say): none, or an older one, is what workers raise an alarm about,
 * and what they cannot fetch they ask for again.
 */
static void add_directory(struct farm *farm, const char *worker, Wire__TrustAnswer *answer)
{
    struct diag why = DIAG_INIT;
    if (farm->directory->version == 0)
        return; /* nobody was admitted yet */
    answer->directory_version = (uint64_t)farm->directory->version;
    answer->directory = wire_digest(&farm->directory->digest);
    int result = offer_directory(farm, &why);
    if (result < 0)
        sessions_warn(farm, worker, "the worker directory cannot be shown",
                      log_text(FIELD_REASON, diag_text(&why, result)));
}

/* A frame holds a root of the largest size with more signatures than anybody has needed; what goes beyond is left out. */
static size_t signatures_that_fit(const struct buf *root, char *const *signatures, size_t count)
{
    size_t room = WIRE_CONTROL_MAX - ROOM_FOR_THE_REST - root->size, fit = 0;
    while (fit < count && fit < WIRE_SIGNATURES_MAX && strlen(signatures[fit]) + 4 <= room) {
        room -= strlen(signatures[fit]) + 4; /* tag and length */
        fit++;
    }
    if (fit < count)
        log_warning("a trust root has %zu signatures, and only %zu of them fit into a message to workers",
                    count, fit);
    return fit;
}

static void free_signatures(char **signatures, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(signatures[i]);
    free(signatures);
}

/* Who knows none yet gets the first that is here: a coordinator may have been given a chain that others began. */
static int get_next(struct farm *farm, int64_t *version, struct buf *ret_text, char ***ret_signatures,
                    size_t *ret_count, struct diag *diag)
{
    bool is_first = *version == 1;
    int result = trust_chain_get(farm, *version, ret_text, ret_signatures, ret_count, diag);
    while (is_first && result == FARM_E_MISSING && *version < farm->root->version)
        result = trust_chain_get(farm, ++*version, ret_text, ret_signatures, ret_count, diag);
    return result;
}

/* What the answer points to has to live until it was sent. */
static void answer_with_root(struct farm *farm, const char *worker, Wire__TrustAnswer *answer,
                             int64_t version)
{
    CLEANUP_BUF struct buf root = BUF_INIT;
    ProtobufCBinaryData list[WIRE_SIGNATURES_MAX];
    char **signatures = NULL;
    size_t count = 0;
    struct diag why = DIAG_INIT;
    int result = get_next(farm, &version, &root, &signatures, &count, &why);
    if (result >= 0) {
        answer->root_version = (uint64_t)version;
        answer->root = wire_bytes(buf_view(&root));
        answer->n_signatures = signatures_that_fit(&root, signatures, count);
        answer->signatures = list;
        for (size_t i = 0; i < answer->n_signatures; i++)
            list[i] = wire_bytes(view_text(signatures[i]));
    } else {
        sessions_warn(farm, worker, "a trust root cannot be shown to a worker that needs it to follow",
                      log_number(FIELD_VERSION, version), log_text(FIELD_REASON, diag_text(&why, result)));
    }
    farm_post(farm, worker, WIRE_TRUST_ANSWER, &answer->base);
    answer->n_signatures = 0; /* what they point to ends here */
    answer->signatures = NULL;
    answer->root = (ProtobufCBinaryData){0};
    free_signatures(signatures, count);
}

void trust_on_ask(struct farm *farm, const char *worker, const Wire__TrustAsk *ask)
{
    Wire__TrustAnswer answer = WIRE__TRUST_ANSWER__INIT;
    if (farm->restored.waits) /* a directory older than one that it knows would be an alarm; it asks again */
        return;
    add_directory(farm, worker, &answer);
    if (farm->root != NULL)
        answer.newest_root = (uint64_t)farm->root->version;
    if (ask->root_version < answer.newest_root)
        answer_with_root(farm, worker, &answer, (int64_t)ask->root_version + 1);
    else
        farm_post(farm, worker, WIRE_TRUST_ANSWER, &answer.base);
}
