/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A coordinator that lies about its log, with the log's own key, as long as the file $FARM_TEST_WHEN is there. $FARM_TEST_LIE:
 *
 *     omit     shows no proof of any answer (K3)
 *     other    logs other answers in place of those that came (K3)
 *     fork     shows checkpoints with another root (L1)
 *     shrink   shows checkpoints with one entry less (L2)
 *
 * $FARM_TEST_STATE is its state directory, where the key is. What it keeps for itself is honest but for "other".
 */
#include "file.h"
#include "identity.h"
#include "journal.h"
#include "wire.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int __real_wire_encode(int type, const ProtobufCMessage *body, struct buf *ret, struct diag *diag);
int __wrap_wire_encode(int type, const ProtobufCMessage *body, struct buf *ret, struct diag *diag);
uint64_t __real_journal_add(struct farm *farm, struct logentry *entry);
uint64_t __wrap_journal_add(struct farm *farm, struct logentry *entry);

/* A lie that cannot be told would pass the test for nothing. */
static void must(bool ok)
{
    if (!ok)
        abort();
}

static bool lies(const char *how)
{
    const char *lie = getenv("FARM_TEST_LIE"), *when = getenv("FARM_TEST_WHEN");
    must(lie != NULL && when != NULL);
    return strcmp(lie, how) == 0 && access(when, F_OK) == 0;
}

static void sign(const struct checkpoint *checkpoint, struct buf *ret)
{
    struct identity *identity = NULL;
    const char *state = getenv("FARM_TEST_STATE");
    CLEANUP_CLOSE int dirfd = file_open_dir(AT_FDCWD, state != NULL ? state : ".", NULL);
    must(dirfd >= 0 && identity_read(dirfd, "coordinator.key", &identity, NULL) >= 0);
    must(note_sign_checkpoint(checkpoint, identity_keys(identity), ret, NULL) >= 0);
    identity_free(identity);
}

static void lie(Wire__LogAnswer *answer, struct buf *note)
{
    struct note honest = NOTE_INIT;
    struct checkpoint checkpoint;
    must(note_parse(wire_view(&answer->checkpoint), &honest, NULL) >= 0);
    must(checkpoint_parse(honest.text, &checkpoint, NULL) >= 0);
    note_done(&honest);
    if (lies("shrink")) {
        checkpoint.size--;
        answer->n_consistency = 0;
    }
    checkpoint.root.bytes[0] ^= 1;
    sign(&checkpoint, note);
    answer->checkpoint = wire_bytes(buf_view(note));
    answer->n_inclusions = 0;
}

int __wrap_wire_encode(int type, const ProtobufCMessage *body, struct buf *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf note = BUF_INIT;
    if (type != WIRE_LOG_ANSWER)
        return __real_wire_encode(type, body, ret, diag);
    Wire__LogAnswer answer = *(const Wire__LogAnswer *)body;
    if (lies("omit"))
        answer.n_inclusions = 0;
    if (answer.checkpoint.len > 0 && (lies("fork") || lies("shrink")))
        lie(&answer, &note);
    return __real_wire_encode(type, &answer.base, ret, diag);
}

uint64_t __wrap_journal_add(struct farm *farm, struct logentry *entry)
{
    if (entry->kind == LOG_ENVELOPE && lies("other"))
        entry->sha256.bytes[0] ^= 1;
    return __real_journal_add(farm, entry);
}
