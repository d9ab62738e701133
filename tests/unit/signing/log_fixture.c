/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log_fixture.h"

#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

struct log_fixture *log_fixture_new(const char *origin)
{
    struct log_fixture *log = mem_zero(1, sizeof *log);
    log->origin = mem_string(origin);
    log->key = keys_generate();
    return log;
}

void log_fixture_clear(struct log_fixture *log)
{
    for (size_t i = 0; i < log->nentries; i++)
        buf_done(&log->entries[i]);
    log->nentries = 0;
}

struct log_fixture *log_fixture_free(struct log_fixture *log)
{
    log_fixture_clear(log);
    keys_free(log->key);
    free(log->entries);
    free(log->origin);
    free(log);
    return NULL;
}

struct note_key log_fixture_key(const struct log_fixture *log)
{
    struct note_key key = {.type = NOTE_ED25519, .key = *keys_public(log->key)};
    assert_true(strlen(log->origin) <= NOTE_NAME_MAX);
    strcpy(key.name, log->origin);
    return key;
}

uint64_t log_fixture_add_text(struct log_fixture *log, struct view entry)
{
    log->entries = mem_reserve(log->entries, &log->capacity, log->nentries + 1, sizeof *log->entries);
    log->entries[log->nentries] = (struct buf)BUF_INIT;
    buf_add_view(&log->entries[log->nentries], entry);
    return log->nentries++;
}

uint64_t log_fixture_add(struct log_fixture *log, const struct logentry *entry)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    logentry_write(entry, &text);
    return log_fixture_add_text(log, buf_view(&text));
}

struct checkpoint log_fixture_checkpoint(const struct log_fixture *log, uint64_t size)
{
    struct tlog_tree tree = {.size = 0};
    assert_true(size <= log->nentries);
    for (uint64_t i = 0; i < size; i++) {
        struct digest leaf = tlog_leaf(buf_view(&log->entries[i]));
        tlog_append(&tree, &leaf, NULL, NULL);
    }
    struct checkpoint checkpoint = {.size = size, .root = tlog_root(&tree)};
    strcpy(checkpoint.origin, log->origin);
    return checkpoint;
}

void log_fixture_sign(const struct log_fixture *log, const struct checkpoint *checkpoint, struct buf *ret)
{
    assert_int_equal(note_sign_checkpoint(checkpoint, log->key, ret, NULL), 0);
}

void log_fixture_cosign(const struct checkpoint *checkpoint, const char *operator_name,
                        const struct identity *worker, uint64_t time_s, struct buf *note)
{
    struct note_key key = {.type = NOTE_COSIGNATURE, .key = *keys_public(identity_keys(worker))};
    struct signature signature;
    snprintf(key.name, sizeof key.name, "%s/%s", operator_name, identity_name(worker));
    assert_int_equal(note_cosign(checkpoint, time_s, identity_keys(worker), &signature, NULL), 0);
    note_write_cosignature(&key, time_s, &signature, note);
}

static void write_bundle(int dirfd, uint64_t index, unsigned int width, struct view bytes)
{
    struct tile_path tile = tiledir_path(TILEDIR_ENTRIES, index, width);
    CLEANUP_FREE char *path = mem_format("log/%s", tile.text);
    CLEANUP_FREE char *parent = mem_string_n(path, (size_t)(strrchr(path, '/') - path));
    assert_int_equal(file_make_dirs(dirfd, parent, 0755, NULL), 0);
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, bytes.data, bytes.size), 0);
}

void log_fixture_write(const struct log_fixture *log, int dirfd, uint64_t size)
{
    for (uint64_t from = 0; from < size; from += TILE_WIDTH) {
        CLEANUP_BUF struct buf bundle = BUF_INIT;
        unsigned int width = size - from < TILE_WIDTH ? (unsigned int)(size - from) : TILE_WIDTH;
        for (unsigned int i = 0; i < width; i++)
            tiledir_add_to_bundle(buf_view(&log->entries[from + i]), &bundle);
        write_bundle(dirfd, from / TILE_WIDTH, width, buf_view(&bundle));
    }
}
