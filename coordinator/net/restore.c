/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Restore, offline. Everything is verified on its way: files by backup.json, objects by their names. A restore that is interrupted leaves
 * RESTORE_UNFINISHED in the state directory, which no coordinator starts with, and which the next restore takes as leave to begin anew.
 */
#include "backup.h"

#include "db.h"
#include "file.h"
#include "identity.h"
#include "journal.h"
#include "moment.h"
#include "restored.h"
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct restore {
    const struct coordinator_config *config;
    const char *from;
    bool check_only;
    void (*say)(const char *line);
    int from_dirfd, to_dirfd, lock_fd;
    struct backup_list list;
    struct store *store; /* NULL while only checking */
};

static void say(const struct restore *restore, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct restore *restore, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    CLEANUP_FREE char *line = mem_vformat(format, args);
    va_end(args);
    restore->say(line);
}

/* ---- where it goes ---- */

/* Nothing in it but a lock; or, *ret_unfinished, what an interrupted restore left. Anything else is refused. */
static int look_at_state(const struct restore *restore, bool *ret_unfinished, struct diag *diag)
{
    int copy = openat(restore->to_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (stream == NULL) {
        int error = diag_errno(diag, "%s", restore->config->state_dir);
        mem_close_p(&copy);
        return error;
    }
    bool empty = true, unfinished = false;
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strcmp(entry->d_name, "lock") == 0)
            continue;
        empty = false;
        unfinished = unfinished || strcmp(entry->d_name, RESTORE_UNFINISHED) == 0;
    }
    closedir(stream);
    if (!empty && !unfinished)
        return diag_set(diag, FARM_E_EXISTS,
                        "%s is not empty; a restore never writes over a state directory: move it away first",
                        restore->config->state_dir);
    *ret_unfinished = unfinished;
    return 0;
}

/* The marker goes last: it is what allows this. */
static int empty_state(const struct restore *restore, struct diag *diag)
{
    int copy = openat(restore->to_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (stream == NULL) {
        int error = diag_errno(diag, "%s", restore->config->state_dir);
        mem_close_p(&copy);
        return error;
    }
    int result = 0;
    for (const struct dirent *entry; result >= 0 && (entry = readdir(stream)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            strcmp(entry->d_name, RESTORE_UNFINISHED) != 0 && strcmp(entry->d_name, "lock") != 0)
            result = file_remove_tree(restore->to_dirfd, entry->d_name, diag);
    closedir(stream);
    return result;
}

static int check_owner(const struct restore *restore, struct diag *diag)
{
    struct stat status;
    const char *path = restore->config->state_dir;
    if (fstat(restore->to_dirfd, &status) < 0)
        return diag_errno(diag, "%s", path);
    if (status.st_uid != geteuid())
        return diag_set(diag, FARM_E_CONFIG,
                        "%s: belongs to user %u, this is user %u; restore as the coordinator's user", path,
                        (unsigned int)status.st_uid, (unsigned int)geteuid());
    if ((status.st_mode & 077) != 0)
        return diag_set(diag, FARM_E_CONFIG, "%s: open to others (mode %04o); chmod 700 it", path,
                        (unsigned int)status.st_mode & 07777);
    return 0;
}

static int lock_state(struct restore *restore, struct diag *diag)
{
    restore->lock_fd = openat(restore->to_dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (restore->lock_fd < 0)
        return diag_errno(diag, "%s/lock", restore->config->state_dir);
    if (flock(restore->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return diag_set(diag, FARM_E_UNAVAILABLE, "%s: a coordinator, or another restore, runs on it",
                        restore->config->state_dir);
    return 0;
}

/*
 * Looked at once so that nothing is made in a directory that is not ours, and again under the lock: what counts is what nobody else changes. The
 * marker comes after the lock: in a running coordinator's directory it would be leave to empty that.
 */
static int open_state(struct restore *restore, struct diag *diag)
{
    const char *path = restore->config->state_dir;
    bool unfinished = false;
    int result = file_make_dirs(AT_FDCWD, path, 0700, diag);
    if (result >= 0)
        result = restore->to_dirfd = file_open_dir(AT_FDCWD, path, diag);
    if (result >= 0)
        result = check_owner(restore, diag);
    if (result >= 0)
        result = look_at_state(restore, &unfinished, diag);
    if (result >= 0)
        result = lock_state(restore, diag);
    if (result >= 0)
        result = look_at_state(restore, &unfinished, diag);
    if (result < 0)
        return result;
    return unfinished ? empty_state(restore, diag)
                      : file_create(restore->to_dirfd, RESTORE_UNFINISHED, VIEW("a restore is under way\n"),
                                    0600, diag);
}

/* ---- files ---- */

/* Of the copy when there is one, else of the original: what is in the state directory is what was verified. */
static int check_file(const struct restore *restore, int dirfd, const struct backup_file *file,
                      struct diag *diag)
{
    struct digest found;
    CLEANUP_CLOSE int fd = openat(dirfd, file->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return diag_errno(diag, "%s/%s", restore->from, file->path);
    int result = digest_of_fd(fd, &found, diag);
    if (result >= 0 && !digest_equal(&found, &file->sha256))
        return diag_set(diag, FARM_E_CORRUPT,
                        "%s/%s is damaged: its SHA-256 is not the one in " BACKUP_FILE
                        "; take another backup",
                        restore->from, file->path);
    return result;
}

static int copy_whole(int from, int to, const char *name, struct diag *diag)
{
    enum { CHUNK = 256 * 1024 };
    CLEANUP_FREE char *chunk = mem_alloc(CHUNK);
    for (;;) {
        ssize_t got = read(from, chunk, CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return diag_errno(diag, "%s: read", name);
        int result = file_write_all(to, chunk, (size_t)got);
        if (result < 0)
            return diag_set(diag, result, "%s: write: %s", name, farm_error_text(result));
        if (got == 0)
            return file_sync(to, diag);
    }
}

static int copy_file(const struct restore *restore, const char *path, struct diag *diag)
{
    CLEANUP_CLOSE int from =
        openat(restore->from_dirfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (from < 0)
        return diag_errno(diag, "%s/%s", restore->from, path);
    if (strchr(path, '/') != NULL) {
        CLEANUP_FREE char *parent = mem_string_n(path, (size_t)(strrchr(path, '/') - path));
        int result = file_make_dirs(restore->to_dirfd, parent, 0755, diag);
        if (result < 0)
            return result;
    }
    CLEANUP_CLOSE int to =
        openat(restore->to_dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return diag_errno(diag, "%s/%s", restore->config->state_dir, path);
    return copy_whole(from, to, path, diag);
}

/* The list of objects is for us, and farm.conf for people. */
static bool belongs_into_state(const char *path)
{
    return strcmp(path, BACKUP_OBJECTS) != 0 && strcmp(path, "farm.conf") != 0;
}

static int put_files(const struct restore *restore, struct diag *diag)
{
    int result = 0;
    for (size_t i = 0; result >= 0 && i < restore->list.nfiles; i++) {
        const struct backup_file *file = &restore->list.files[i];
        bool copied = !restore->check_only && belongs_into_state(file->path);
        if (copied)
            result = copy_file(restore, file->path, diag);
        if (result >= 0)
            result = check_file(restore, copied ? restore->to_dirfd : restore->from_dirfd, file, diag);
    }
    return result;
}

/*
 * What a backup may hold, beside its objects; a name that ends in a slash is all that lies below it. Anything else, a write-ahead log or a
 * repository say, would be read at the next start without having been in any backup.
 */
static const struct {
    const char *name;
    bool needed; /* without it, it would be no farm's backup */
} contents[] = {{BACKUP_DB, true},         {"coordinator.key", true}, {"root.json", false},
                {"root.json.sigs", false}, {"workers.json", false},   {"gate.state", false},
                {"farm.conf", false},      {BACKUP_OBJECTS, false},   {JOURNAL_DIR "/", false},
                {"roots/", false}};

static bool is_named(const char *path, const char *name)
{
    size_t size = strlen(name);
    return name[size - 1] == '/' ? strncmp(path, name, size) == 0 : strcmp(path, name) == 0;
}

static int check_contents(const struct restore *restore, struct diag *diag)
{
    bool found[ARRAY_SIZE(contents)] = {false};
    for (size_t k = 0; k < restore->list.nfiles; k++) {
        bool belongs = false;
        for (size_t i = 0; i < ARRAY_SIZE(contents); i++)
            if (is_named(restore->list.files[k].path, contents[i].name))
                belongs = found[i] = true;
        if (!belongs)
            return diag_set(diag, FARM_E_REFUSED,
                            "%s/" BACKUP_FILE
                            " lists %s, which no backup has: it was altered; take another backup",
                            restore->from, restore->list.files[k].path);
    }
    for (size_t i = 0; i < ARRAY_SIZE(contents); i++)
        if (contents[i].needed && !found[i])
            return diag_set(diag, FARM_E_CORRUPT,
                            "%s/" BACKUP_FILE " does not list %s: this is no whole backup", restore->from,
                            contents[i].name);
    return 0;
}

/* ---- objects ---- */

static int fill_partial(struct store_partial *partial, int fd, const char *path, struct diag *diag)
{
    enum { CHUNK = 256 * 1024 };
    CLEANUP_FREE char *chunk = mem_alloc(CHUNK);
    for (;;) {
        uint64_t offset = store_partial_offset(partial);
        ssize_t got = pread(fd, chunk, CHUNK, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? diag_errno(diag, "%s: read", path) : 0;
        int result = store_partial_add(partial, offset, view_of(chunk, (size_t)got), diag);
        if (result < 0)
            return result;
    }
}

static int import_object(struct store *store, const struct digest *object, int fd, const char *path,
                         struct diag *diag)
{
    struct store_partial *partial = NULL;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return diag_errno(diag, "%s", path);
    int result = store_partial_begin(store, "restore", object, (uint64_t)status.st_size, &partial, diag);
    if (result < 0)
        return result;
    result = fill_partial(partial, fd, path, diag);
    if (result >= 0)
        return store_partial_commit(partial, STORE_OBJECT_MAX, diag);
    store_partial_close(partial);
    return result;
}

/* Known to be missing when the backup was made: named, or behind as many as are named. */
static bool is_missing(const struct restore *restore, const struct digest *object)
{
    for (size_t i = 0; i < restore->list.nmissing; i++)
        if (digest_equal(&restore->list.missing[i], object))
            return true;
    return restore->list.nmissing >= BACKUP_MISSING_MAX;
}

static int put_object(const struct restore *restore, const struct digest *object, struct diag *diag)
{
    struct backup_path path = backup_object_path(object);
    CLEANUP_CLOSE int fd =
        openat(restore->from_dirfd, path.text, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT && is_missing(restore, object))
        return 0;
    if (fd < 0)
        return diag_errno(diag, "%s/%s", restore->from, path.text);
    int result = restore->check_only ? store_check_stored(fd, object, diag)
                                     : import_object(restore->store, object, fd, path.text, diag);
    if (result == FARM_E_DIGEST || result == FARM_E_LIMIT || result == FARM_E_SYNTAX)
        return diag_set(diag, FARM_E_CORRUPT,
                        "%s/%s is damaged: it is not the object of that name; take another backup",
                        restore->from, path.text);
    return result;
}

static int put_objects(const struct restore *restore, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct view line;
    uint64_t done = 0;
    int result = file_read(restore->from_dirfd, BACKUP_OBJECTS, BACKUP_OBJECTS_MAX, &text, diag);
    struct view rest = buf_view(&text);
    while (result >= 0 && rest.size > 0 && view_split(&rest, '\n', &line)) {
        struct digest object;
        if (!digest_parse(line, &object))
            return diag_set(diag, FARM_E_SYNTAX, "%s/" BACKUP_OBJECTS ": line %llu: expected a digest",
                            restore->from, (unsigned long long)done + 1);
        result = put_object(restore, &object, diag);
        if (++done % 1000 == 0)
            say(restore, "objects: %llu of %llu", (unsigned long long)done,
                (unsigned long long)restore->list.nobjects);
    }
    if (result >= 0 && done != restore->list.nobjects)
        return diag_set(diag, FARM_E_CORRUPT,
                        "%s/" BACKUP_OBJECTS " names %llu objects, and " BACKUP_FILE
                        " says %llu; take another backup",
                        restore->from, (unsigned long long)done, (unsigned long long)restore->list.nobjects);
    return result;
}

/* ---- all of it ---- */

/* The log goes on under its name, or is begun anew on purpose; never because somebody forgot a line of the configuration. */
static int check_origin(const struct restore *restore, struct diag *diag)
{
    const char *configured = restore->config->log_origin;
    CLEANUP_FREE char *derived =
        mem_format("intergenos-farm/%.16s", digest_hex(&restore->list.coordinator).text);
    const char *ours = configured != NULL && configured[0] != '\0' ? configured : derived;
    if (strcmp(ours, restore->list.origin) == 0)
        return 0;
    return diag_set(
        diag, FARM_E_CONFIG,
        "the backup's log is %s, and the configuration's is %s: set log_origin = %s, restore, and change it "
        "afterwards if a new log is to begin",
        restore->list.origin, ours, restore->list.origin);
}

static int check_backup(struct restore *restore, struct diag *diag)
{
    int result = restore->from_dirfd = file_open_dir(AT_FDCWD, restore->from, diag);
    if (result >= 0)
        result = backup_list_read(restore->from_dirfd, &restore->list, diag);
    if (result == -ENOENT)
        return diag_set(diag, FARM_E_MISSING, "%s has no " BACKUP_FILE ": it is no whole backup",
                        restore->from);
    if (result < 0)
        return diag_wrap(diag, result, "%s", restore->from);
    if (restore->list.schema > db_schema_newest())
        return diag_set(
            diag, FARM_E_UNSUPPORTED,
            "%s was made by a newer farm (%s, schema version %lld; this is version %lld); install that one",
            restore->from, restore->list.software, (long long)restore->list.schema,
            (long long)db_schema_newest());
    result = check_contents(restore, diag);
    return result < 0 ? result : check_origin(restore, diag);
}

/* Its key must be the one that the list names: else backup.json is of something else. */
static int check_key(const struct restore *restore, struct diag *diag)
{
    struct identity *identity = NULL;
    int dirfd = restore->check_only ? restore->from_dirfd : restore->to_dirfd;
    int result = identity_read(dirfd, "coordinator.key", &identity, diag);
    if (result < 0)
        return diag_wrap(diag, result, "%s", restore->from);
    struct digest id = keys_id(keys_public(identity_keys(identity)));
    identity_free(identity);
    return digest_equal(&id, &restore->list.coordinator)
               ? 0
               : diag_set(diag, FARM_E_CORRUPT,
                          "%s: coordinator.key is not the key that " BACKUP_FILE " names", restore->from);
}

static int put_store(struct restore *restore, struct diag *diag)
{
    if (!restore->list.has_store)
        return 0;
    int result = restore->check_only
                     ? 0
                     : store_open(restore->to_dirfd, "store", STORE_LEVEL_MIN, &restore->store, diag);
    if (result >= 0)
        result = put_objects(restore, diag);
    restore->store = store_close(restore->store);
    return result;
}

static int write_marker(const struct restore *restore, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    const struct backup_list *list = &restore->list;
    restored_write(list->origin, list->log_size, list->taken_ms, &text);
    if (syncfs(restore->to_dirfd) < 0) /* the names of all the files, before they are said to be there */
        return diag_errno(diag, "%s: sync", restore->config->state_dir);
    int result = file_create(restore->to_dirfd, RESTORED_FILE, buf_view(&text), 0600, diag);
    if (result >= 0 && unlinkat(restore->to_dirfd, RESTORE_UNFINISHED, 0) < 0)
        result = diag_errno(diag, "%s/" RESTORE_UNFINISHED, restore->config->state_dir);
    return result < 0 ? result : file_sync_parent(restore->to_dirfd, RESTORED_FILE, diag);
}

static void tell(const struct restore *restore)
{
    const struct backup_list *list = &restore->list;
    say(restore, "%s: backup of %s, schema %lld, by %s %s", restore->from, moment_format(list->taken_ms).text,
        (long long)list->schema, "farm-coordinator", list->software);
    say(restore, "  %zu files, %llu objects%s; log %s with %llu entries", list->nfiles,
        (unsigned long long)list->nobjects,
        list->has_store ? "" : " (not in this backup: put store/ back as well)", list->origin,
        (unsigned long long)list->log_size);
    if (list->nmissing > 0)
        say(restore, "  %zu objects were missing already when it was made; \"farmctl scrub\" names them",
            list->nmissing);
    if (restore->check_only) {
        say(restore, "the backup is whole; nothing was written");
        return;
    }
    say(restore, "restored to %s", restore->config->state_dir);
    say(restore,
        "Start the coordinator. It grants no lease until enough listed witnesses have said that they saw no "
        "more of the log than this backup has; \"farmctl status\" tells, and says what to do if one saw "
        "more.");
}

static void restore_done(struct restore *restore)
{
    backup_list_done(&restore->list);
    mem_close_p(&restore->lock_fd);
    mem_close_p(&restore->to_dirfd);
    mem_close_p(&restore->from_dirfd);
}

int restore_run(const struct coordinator_config *config, const char *from, bool check_only,
                void (*say_line)(const char *line), struct diag *diag)
{
    struct restore restore = {.config = config,
                              .from = from,
                              .check_only = check_only,
                              .say = say_line,
                              .from_dirfd = -1,
                              .to_dirfd = -1,
                              .lock_fd = -1};
    int result = check_backup(&restore, diag);
    if (result >= 0 && !check_only)
        result = open_state(&restore, diag);
    if (result >= 0)
        result = put_files(&restore, diag);
    if (result >= 0)
        result = check_key(&restore, diag);
    if (result >= 0)
        result = put_store(&restore, diag);
    if (result >= 0 && !check_only)
        result = write_marker(&restore, diag);
    if (result >= 0)
        tell(&restore);
    restore_done(&restore);
    return result < 0 ? result : 0;
}
