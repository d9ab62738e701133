/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gate: two maps over the same entries, behind a mutex, and the counter that numbers handshakes.
 *
 * An entry remembers the counter's value when its key was admitted. A connection that is older than that was made
 * under an earlier admission, and its messages no longer count: so revoking and admitting again does not revive it.
 */
#include "link_private.h"

#include "map.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct entry {
    unsigned char key[LINK_KEY_SIZE];
    char user[LINK_USER_MAX + 1];
    uint64_t since;
};

struct link_gate {
    pthread_mutex_t mutex;
    struct map *by_key, *by_user;
    uint64_t serial; /* of the last handshake */
};

struct link_gate *link_gate_new(void)
{
    struct link_gate *gate = mem_zero(1, sizeof(*gate));
    pthread_mutex_init(&gate->mutex, NULL);
    gate->by_key = map_new();
    gate->by_user = map_new();
    return gate;
}

struct link_gate *link_gate_free(struct link_gate *gate)
{
    struct view key;
    void *entry;
    size_t cursor = 0;
    if (gate == NULL)
        return NULL;
    while (map_next(gate->by_user, &cursor, &key, &entry))
        free(entry);
    map_free(gate->by_key);
    map_free(gate->by_user);
    pthread_mutex_destroy(&gate->mutex);
    free(gate);
    return NULL;
}

static struct view key_view(const unsigned char *key)
{
    return view_of(key, LINK_KEY_SIZE);
}

static struct entry *remove_user(struct link_gate *gate, const char *user)
{
    struct entry *entry = map_remove(gate->by_user, view_text(user));
    if (entry != NULL)
        map_remove(gate->by_key, key_view(entry->key));
    return entry;
}

static int admit(struct link_gate *gate, const unsigned char *key, const char *user, struct diag *diag)
{
    struct entry *holder = map_get(gate->by_key, key_view(key));
    if (holder != NULL && strcmp(holder->user, user) == 0)
        return 0;
    if (holder != NULL)
        return diag_set(diag, FARM_E_EXISTS,
                        "%s: this connection key already belongs to %s; each worker needs "
                        "a key of its own",
                        user, holder->user);
    struct entry *entry = mem_zero(1, sizeof(*entry));
    memcpy(entry->key, key, LINK_KEY_SIZE);
    memcpy(entry->user, user, strlen(user) + 1);
    entry->since = gate->serial;
    free(remove_user(gate, user));
    map_set(gate->by_key, key_view(key), entry);
    map_set(gate->by_user, view_text(user), entry);
    return 0;
}

int link_gate_admit(struct link_gate *gate, const unsigned char key[LINK_KEY_SIZE], const char *user,
                    struct diag *diag)
{
    struct view name = view_text(user);
    if (name.size == 0 || name.size > LINK_USER_MAX || !view_is_token(name))
        return diag_set(diag, FARM_E_SYNTAX, "a user's name has 1 to %d printable characters without spaces",
                        LINK_USER_MAX);
    pthread_mutex_lock(&gate->mutex);
    int r = admit(gate, key, user, diag);
    pthread_mutex_unlock(&gate->mutex);
    return r;
}

bool link_gate_revoke(struct link_gate *gate, const char *user)
{
    pthread_mutex_lock(&gate->mutex);
    struct entry *entry = remove_user(gate, user);
    pthread_mutex_unlock(&gate->mutex);
    free(entry);
    return entry != NULL;
}

size_t link_gate_count(struct link_gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    size_t count = map_count(gate->by_user);
    pthread_mutex_unlock(&gate->mutex);
    return count;
}

bool link_gate_knows(struct link_gate *gate, const unsigned char key[LINK_KEY_SIZE], const char *user)
{
    pthread_mutex_lock(&gate->mutex);
    const struct entry *entry = map_get(gate->by_user, view_text(user));
    bool knows = entry != NULL && memcmp(entry->key, key, LINK_KEY_SIZE) == 0;
    pthread_mutex_unlock(&gate->mutex);
    return knows;
}

bool link_gate_handshake(struct link_gate *gate, const unsigned char *key, size_t size,
                         char ret_user_id[LINK_USER_ID_MAX])
{
    if (size != LINK_KEY_SIZE)
        return false;
    pthread_mutex_lock(&gate->mutex);
    const struct entry *entry = map_get(gate->by_key, key_view(key));
    if (entry != NULL)
        snprintf(ret_user_id, LINK_USER_ID_MAX, "%" PRIu64 ":%s", ++gate->serial, entry->user);
    pthread_mutex_unlock(&gate->mutex);
    return entry != NULL;
}

bool link_gate_holds(struct link_gate *gate, const char *user, uint64_t session)
{
    pthread_mutex_lock(&gate->mutex);
    const struct entry *entry = map_get(gate->by_user, view_text(user));
    bool holds = entry != NULL && session > entry->since;
    pthread_mutex_unlock(&gate->mutex);
    return holds;
}
