/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * JSON: what is read is written canonically, and that is read to the same value and written to the same bytes; and read with its long array
 * item by item it is the same document, or refused as well.
 */
#include "fuzz.h"

#include "json.h"

enum { LIMIT = 16 * 1024 };

static int append_item(void *context, const json_t *item, size_t index, struct diag *diag)
{
    json_t *items = context;
    (void)diag;
    FUZZ_CHECK(index == json_array_size(items));
    return json_array_append(items, (json_t *)item);
}

static void check_pieces(struct view input, int result, const json_t *whole)
{
    CLEANUP_JSON json_t *items = json_array(), *rest = NULL;
    struct diag diag = DIAG_INIT;
    int status = json_read_long(input, "fuzz", LIMIT, "a", append_item, items, &rest, &diag);
    FUZZ_CHECK((status < 0) == (result < 0));
    if (status < 0)
        return;
    if (json_array_size(items) > 0)
        json_object_set(rest, "a", items);
    FUZZ_CHECK(json_equal(rest, whole));
}

static void run(struct view input)
{
    CLEANUP_JSON json_t *value = NULL, *again = NULL;
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = json_read(input, "fuzz", LIMIT, &value, &diag);
    check_pieces(input, result, value);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    json_write(value, &once);
    /* ASCII takes up to six bytes for one, a number up to 24 for three. */
    FUZZ_OK(json_read(buf_view(&once), "again", 16 * LIMIT, &again, &diag), &diag);
    FUZZ_CHECK(json_equal(value, again));
    json_write(again, &twice);
    fuzz_check_same(&once, &twice);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 16 * 1024 + 16, .heap_base = 256 * 1024, .heap_factor = 512};
