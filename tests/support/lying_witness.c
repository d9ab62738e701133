/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A worker that says that it has seen a thousand entries more of the log than it has. $FARM_TEST_LIE:
 *
 *     number     shows nothing for it
 *     forged     shows a checkpoint of so many entries, with the log's signature of the one that it keeps
 */
#include "note.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

enum { MORE = 1000 };

int __real_wire_encode(int type, const ProtobufCMessage *body, struct buf *ret, struct diag *diag);
int __wrap_wire_encode(int type, const ProtobufCMessage *body, struct buf *ret, struct diag *diag);

/* A lie that cannot be told would pass the test for nothing. */
static void must(bool ok)
{
    if (!ok)
        abort();
}

static void forge(struct view kept, struct buf *ret)
{
    struct note note = NOTE_INIT;
    struct checkpoint checkpoint;
    must(note_parse(kept, &note, NULL) >= 0);
    must(checkpoint_parse(note.text, &checkpoint, NULL) >= 0);
    checkpoint.size += MORE;
    checkpoint_write(&checkpoint, ret);
    buf_add(ret, kept.data + note.text.size, kept.size - note.text.size);
    note_done(&note);
}

int __wrap_wire_encode(int type, const ProtobufCMessage *body, struct buf *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf note = BUF_INIT;
    const char *lie = getenv("FARM_TEST_LIE");
    if (type != WIRE_LOG_ASK)
        return __real_wire_encode(type, body, ret, diag);
    Wire__LogAsk ask = *(const Wire__LogAsk *)body;
    must(lie != NULL && ask.known_size > 0);
    if (strcmp(lie, "forged") == 0)
        forge(wire_view(&ask.checkpoint), &note);
    else
        must(strcmp(lie, "number") == 0);
    ask.known_size += MORE;
    ask.checkpoint = wire_bytes(buf_view(&note));
    return __real_wire_encode(type, &ask.base, ret, diag);
}
